"""Drops a local server's packets without a reset, as a cable that is pulled does. Needs root and nftables."""

import os
import shutil
import subprocess

from errors import Failure

NEEDS = "dropping packets needs root, nftables (Debian's package: nftables) and, in a container, CAP_NET_ADMIN"
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
    """Returns whether it was not cut before."""
    if is_cut(port):
        return False
    _nft(["-f", "-"], RULES.format(table=_table(port), port=port))
    return True


def mend(port):
    """Returns whether it was cut, or None: that cannot be told, nor can anything be cut from here."""
    was_cut = is_cut(port)
    if was_cut:
        _nft(["delete", "table", "inet", _table(port)])
    return was_cut


def is_cut(port):
    """None: it cannot be told."""
    if os.geteuid() != 0 or not _program():
        return None
    done = _run(["list", "table", "inet", _table(port)])
    return True if done.returncode == 0 else False if "No such file or directory" in done.stdout else None


def _table(port):
    return "sluice_cut_%d" % port


def _program():
    return shutil.which("nft", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _nft(arguments, text=None):
    if os.geteuid() != 0 or not _program():
        raise Failure(NEEDS)
    done = _run(arguments, text)
    if done.returncode != 0:
        raise Failure("%s; nft says: %s" % (NEEDS, done.stdout.strip()))


def _run(arguments, text=None):
    return subprocess.run([_program()] + arguments, input=text or "", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True, env=dict(os.environ, LC_ALL="C"))
