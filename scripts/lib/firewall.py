"""Drops a local server's packets without a reset, as a cable that is pulled does. Needs root and nftables."""

import os
import shutil
import subprocess

from home import Failure

RULES = """\
table inet {table} {{
    chain in {{
        type filter hook input priority 0;
        tcp dport {port} drop
        tcp sport {port} drop
    }}
}}
"""


def cut(port):
    mend(port)
    _run(["-f", "-"], RULES.format(table=_table(port), port=port))


def mend(port):
    """Does nothing where nothing was cut."""
    if is_cut(port):
        _run(["delete", "table", "inet", _table(port)])


def is_cut(port):
    program = _program()
    if os.geteuid() != 0 or not program:
        return False
    return subprocess.run([program, "list", "table", "inet", _table(port)], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def _table(port):
    return "sluice_cut_%d" % port


def _program():
    return shutil.which("nft", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _run(arguments, text=None):
    program = _program()
    if os.geteuid() != 0 or not program:
        raise Failure("dropping packets needs root and nftables (Debian's package: nftables)")
    done = subprocess.run([program] + arguments, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    if done.returncode != 0:
        raise Failure("nft refused: %s" % done.stdout.strip())
