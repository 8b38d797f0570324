"""The programs that Sluice is compared with, for a benchmark: where they come from, and each as a block.

    with peers.PgBouncer(home, server, pool=16) as pooler: ...

They listen on free ports of the loopback, run as the servers' user where root calls, have their files in the replicas'
data root and end with the block, however it ends; if this process is killed, the kernel ends them.
"""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..", "scripts", "lib"))
import pgbin  # noqa: E402
from gateway import cpu_seconds, resident  # noqa: E402
from home import Failure, say  # noqa: E402
from server import environment, tail, wait_for  # noqa: E402

PLACES = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"  # Debian has servers where only root's PATH leads
# psycopg with libpq in it; numpy is how applications hold vectors.
DRIVERS = ("psycopg[binary,pool]>=3.2,<4", "asyncpg>=0.30", "uvloop", "numpy")
PREPARES = (1, 21)  # PgBouncer knows prepared statements in transaction mode from this version on
NEWER_DEBIAN = "trixie"  # which has such a PgBouncer


# Where they come from

def need(**packages):
    """Installs what is missing with apt-get (root), or says which line does. `packages`: program=package."""
    missing = [package for program, package in packages.items() if not shutil.which(program, path=PLACES)]
    if missing:
        apt_get("the benchmark's peers", *missing)
    for program, package in packages.items():
        if not shutil.which(program, path=PLACES):
            raise Failure("there is no `%s`, which Debian's package %s should have brought" % (program, package))


def apt_get(what, *packages):
    if not shutil.which("apt-get"):
        raise Failure("these are missing, by their Debian names: %s" % " ".join(packages))
    line = "apt-get update && apt-get install -y --no-install-recommends " + " ".join(packages)
    if os.geteuid() != 0:
        raise Failure("packages are missing. Run this line, then this script again:\nsudo sh -c '%s'" % line)
    say("installing %s: %s" % (what, " ".join(packages)))
    with services_left_alone():
        finish(["sh", "-c", line], env=dict(os.environ, DEBIAN_FRONTEND="noninteractive"))


@contextlib.contextmanager
def services_left_alone(policy="/usr/sbin/policy-rc.d"):
    """Packages start no services meanwhile: a benchmark starts its own. A policy of the machine's own is obeyed."""
    try:
        descriptor = os.open(policy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755)
    except FileExistsError:
        yield
        return
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write("#!/bin/sh\nexit 101\n")
        os.chmod(policy, 0o755)  # whatever the umask
        yield
    finally:
        os.unlink(policy)


def finish(command, **settings):
    """Runs a program to its end; its output only if it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True, **settings)
    if done.returncode != 0:
        raise Failure("`%s` failed:\n%s" % (" ".join(command)[:200], done.stdout.strip()[-1500:]))
    return done.stdout


def drivers_python(home):
    """A Python that has psycopg, asyncpg, uvloop and numpy: a venv in $SLUICE_HOME, made on first use."""
    venv = os.path.join(home.path, "drivers")
    python = os.path.join(venv, "bin", "python3")
    probe = [python, "-c", "import asyncpg, numpy, psycopg, psycopg_pool, uvloop"]
    if os.access(python, os.X_OK) and subprocess.run(probe, stderr=subprocess.DEVNULL).returncode == 0:
        return python
    return pgbin.pip_install("psycopg and asyncpg", *DRIVERS, venv=venv)


def version_of(program):
    """A program's version as (major, minor), by what it prints first, or (0, 0)."""
    try:
        text = subprocess.run([program, "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              universal_newlines=True).stdout
    except OSError:
        return 0, 0
    found = re.search(r"(\d+)\.(\d+)", text)
    return (int(found.group(1)), int(found.group(2))) if found else (0, 0)


def pgbouncer(home, may_build):
    """A PgBouncer that can hold prepared statements in transaction mode: the installed one, or one that is built from
    the source package of a newer Debian. An old one would have to parse every query anew, which is no comparison: it
    is taken only where none may be built."""
    built = os.path.join(folder(home), "built", "pgbouncer")
    if version_of(built) >= PREPARES:
        return built
    need(pgbouncer="pgbouncer")
    installed = shutil.which("pgbouncer", path=PLACES)
    if version_of(installed) >= PREPARES or not may_build:
        return installed
    build_pgbouncer(built)
    return built


def build_pgbouncer(target):
    if not all(shutil.which(tool) for tool in ("gcc", "make", "pkg-config")) or subprocess.run(
            ["pkg-config", "--exists", "libevent", "openssl"]).returncode != 0:
        apt_get("what PgBouncer is built with", "gcc", "make", "pkg-config", "libevent-dev", "libssl-dev")
    say("building PgBouncer from Debian %s: the installed one holds no prepared statements (a minute)" % NEWER_DEBIAN)
    place = os.path.dirname(target)
    shutil.rmtree(place, ignore_errors=True)
    os.makedirs(os.path.join(place, "lists", "partial"), mode=0o755)
    with open(os.path.join(place, "sources.list"), "w") as file:
        file.write("deb-src %s %s main\n" % (debian_archive(), NEWER_DEBIAN))
    apt = ["apt-get", "-o", "Dir::Etc::sourcelist=%s/sources.list" % place, "-o", "Dir::Etc::sourceparts=-",
           "-o", "Dir::State::lists=%s/lists" % place, "-o", "Dir::Cache=%s" % place, "-o", "APT::Sandbox::User=root"]
    finish([*apt, "update"])
    finish([*apt, "source", "--download-only", "pgbouncer"], cwd=place)  # its signature is checked
    archive = next(name for name in os.listdir(place) if name.endswith(".orig.tar.gz"))
    source = os.path.join(place, "source")
    os.mkdir(source)
    finish(["tar", "-xf", archive, "-C", source, "--strip-components=1"], cwd=place)
    finish(["./configure", "--without-cares", "--without-pam", "CFLAGS=-O2"], cwd=source)
    finish(["make", "-j", str(os.cpu_count() or 1), "pgbouncer"], cwd=source)
    shutil.move(os.path.join(source, "pgbouncer"), target)
    for name in os.listdir(place):
        path = os.path.join(place, name)
        if path != target:
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)


def debian_archive():
    """Where this machine has its Debian packages from."""
    lines = finish(["apt-get", "indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(LABEL)"]).splitlines()
    found = [line.split()[0] for line in lines if line.split()[1:] == ["Debian", "Debian"]]
    if not found:
        raise Failure("PgBouncer %d.%d or newer is needed; this system has none, and it is no Debian that could "
                      "build one" % PREPARES)
    return found[0]


# As a block each

def folder(home):
    """Where peers have their files: the servers' user can reach it."""
    path = os.path.join(home.data_root(), "peers")
    os.makedirs(path, mode=0o755, exist_ok=True)
    return path


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def end_with_parent():
    """In a child: SIGTERM when the parent has died (prctl's PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


class Peer:
    """A server process: started by the block, and gone after it."""

    name = "peer"

    def __init__(self, home):
        self.home, self.port, self.process = home, free_port(), None
        self.folder = os.path.join(folder(home), "%s-%d" % (self.name, self.port))
        self.log = os.path.join(self.folder, "log")

    def command(self):
        """Writes what configuration there is; the command that runs in the foreground."""
        raise NotImplementedError

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        self.home.write_private(path, text, self.home.user)
        return path

    def __enter__(self):
        settings = {"env": environment()}
        os.mkdir(self.folder, 0o700)
        try:
            if self.home.user:
                os.chown(self.folder, self.home.user.pw_uid, self.home.user.pw_gid)
                settings.update(user=self.home.user.pw_uid, group=self.home.user.pw_gid, extra_groups=[])
            command = self.command()
            with open(self.log, "ab") as log:
                self.process = subprocess.Popen(
                    command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    start_new_session=True, preexec_fn=end_with_parent, **settings)
            wait_for(lambda: self.process.poll() is not None or self.answers(), 20)
            if self.process.poll() is not None or not self.answers():
                raise Failure("%s did not start on port %d:\n%s" % (self.name, self.port, tail(self.log)))
        except BaseException:
            self.__exit__()
            raise
        return self

    def answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=2).close()
            return True
        except OSError:
            return False

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def cpu_seconds(self):
        return cpu_seconds(self.process.pid)

    def resident(self):
        return resident(self.process.pid)


PGBOUNCER = """\
[databases]
sluice = host=127.0.0.1 port={server} dbname=sluice
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = plain
auth_file = {users}
pool_mode = transaction
default_pool_size = {pool}
min_pool_size = {pool}
{prepares}
max_client_conn = {clients}
log_connections = 0
log_disconnections = 0
"""


class PgBouncer(Peer):
    """Before one PostgreSQL server, in transaction mode. Its clients' passwords are in clear (over the loopback), so
    that no work for SCRAM is counted as PgBouncer's. Has what gateway.pgbench asks of a server."""

    name = "pgbouncer"

    def __init__(self, home, server, pool, clients=1200, may_build=True):
        """`may_build`: the program, if the installed one holds no prepared statements."""
        super().__init__(home)
        self.server, self.pool, self.clients = server, pool, clients
        self.tool, self.program = server.tool, pgbouncer(home, may_build)
        self.version = version_of(self.program)
        self.prepares = self.version >= PREPARES

    def about(self):
        """What a reader of the result must know."""
        text = "PgBouncer %d.%d" % self.version
        return text if self.prepares else text + (", which holds no prepared statements: every query is parsed anew, "
                                                  "which without --quick is not so")

    def command(self):
        # The password is plain in it, as PgBouncer needs it to log in at the server.
        users = self.write("users", '"sluice" "%s"\n' % self.home.secret("password"))
        return [self.program, self.write("pgbouncer.ini", PGBOUNCER.format(
            server=self.server.port, port=self.port, users=users, pool=self.pool, clients=self.clients,
            prepares="max_prepared_statements = 200" if self.prepares else ""))]

    def login(self):
        return dict(self.server.login(), PGPORT=str(self.port))


HAPROXY = """\
global
    maxconn 2000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
"""


class HAProxy(Peer):
    """TCP to one PgBouncer for each shard, each on a port of its own: `ports`."""

    name = "haproxy"

    def __init__(self, home, poolers):
        super().__init__(home)
        need(haproxy="haproxy")
        self.poolers, self.ports = poolers, [self.port] + [free_port() for _ in poolers[1:]]

    def command(self):
        lines = ["listen %s\n    bind 127.0.0.1:%d\n    server pooler 127.0.0.1:%d\n"
                 % (pooler.server.name, port, pooler.port) for pooler, port in zip(self.poolers, self.ports)]
        return [shutil.which("haproxy", path=PLACES), "-db", "-q", "-f",
                self.write("haproxy.cfg", HAPROXY + "".join(lines))]


class Redis(Peer):
    """Redis without persistence."""

    name = "redis"

    def __init__(self, home):
        super().__init__(home)
        need(**{"redis-server": "redis-server", "redis-benchmark": "redis-tools"})

    def command(self):
        return [shutil.which("redis-server", path=PLACES), self.write(
            "redis.conf", "bind 127.0.0.1\nport %d\nsave \"\"\nappendonly no\ndir %s\n" % (self.port, self.folder))]
