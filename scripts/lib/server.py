"""One PostgreSQL server: its files, its processes, its signals."""

import os
import shutil
import signal
import socket
import subprocess
import time

from home import Failure
from processes import send, working_in

SETTINGS = """\
# Written by scripts/replicas at every start; changes here are lost.
cluster_name = '{name}'
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 100
password_encryption = 'scram-sha-256'
shared_buffers = '128MB'
maintenance_work_mem = '256MB'
dynamic_shared_memory_type = 'mmap'  # nothing in /dev/shm: it is small in containers, and a killed server leaves it
max_wal_size = '2GB'
wal_level = 'replica'
max_wal_senders = 10
max_replication_slots = 10
max_slot_wal_keep_size = '4GB'
hot_standby = on
hot_standby_feedback = on
log_line_prefix = '%m [%p] %q%u@%d '
timezone = 'UTC'
log_timezone = 'UTC'
"""

UPSTREAM = """\
primary_conninfo = 'host=127.0.0.1 port={port} user=replicator passfile=''{passfile}'' application_name={name}'
primary_slot_name = '{slot}'
"""

ACCESS = """\
# Written by scripts/replicas: passwords only, over loopback only.
host  all          all         127.0.0.1/32  scram-sha-256
host  replication  replicator  127.0.0.1/32  scram-sha-256
"""


class Server:
    def __init__(self, home, root, binaries, name, role, port):
        self.home, self.root, self.binaries = home, root, binaries
        self.name, self.role, self.port = name, role, port
        self.data = os.path.join(root, name)
        self.ready_mark = os.path.join(root, name + ".ready")
        self.slot = name.replace("-", "_")
        self.log = os.path.join(home.logs, name + ".log")

    # Processes

    def processes(self):
        """The live processes of this server as (pid, state), the postmaster first. All of PostgreSQL's processes, and
        nobody else's, have the data directory as working directory; that also finds children of a dead postmaster."""
        found = [(process.pid, process.state) for process in working_in(
            self.data, "postgres", self.home.user, "postgres: %s: " % self.name)]
        postmaster = self.recorded_pid()
        return sorted(found, key=lambda process: (process[0] != postmaster, process[0]))

    def recorded_pid(self):
        try:
            with open(os.path.join(self.data, "postmaster.pid")) as file:
                return int(file.readline())
        except (OSError, ValueError):
            return None

    def pid(self):
        """The live postmaster's pid, or None."""
        processes, recorded = self.processes(), self.recorded_pid()
        return recorded if processes and processes[0][0] == recorded else None

    def place(self):
        return "%s, port %d, pid %s" % (self.role, self.port, self.pid())

    def state(self):
        """running, stopped (by SIGSTOP), down, or orphans (the postmaster is gone, children live)."""
        processes = self.processes()
        if not processes:
            return "down"
        if processes[0][0] != self.recorded_pid():
            return "orphans"
        return "stopped" if processes[0][1] in "Tt" else "running"

    def signal_all(self, number):
        """Sends a signal to the postmaster and every child, again until no process is left unsignalled."""
        signalled = set()
        while True:
            fresh = [pid for pid, _ in self.processes() if pid not in signalled]
            if not fresh:
                return len(signalled)
            for pid in fresh:
                send(pid, number)
                signalled.add(pid)

    def wait_until_gone(self, seconds):
        return wait_for(lambda: not self.processes(), seconds)

    # Start and stop

    def check_port(self):
        reason = taken(self.port)
        if reason:
            raise Failure("port %d, which %s needs, is taken (%s); set SLUICE_BASE_PORT to a free range"
                          % (self.port, self.name, reason))

    def configure(self, primary):
        settings = SETTINGS.format(name=self.name, port=self.port)
        if primary:
            settings += UPSTREAM.format(port=primary.port, name=self.slot, slot=self.slot,
                                        passfile=quoted(os.path.join(self.root, "passfile")))
        for name, text in (("postgresql.conf", settings), ("pg_hba.conf", ACCESS)):
            self.home.write_private(os.path.join(self.data, name), text, self.home.user)

    def start(self, primary=None):
        """Starts the server in a session of its own, so that Ctrl-C in a terminal does not reach it, and in its data
        directory, so that `processes` sees it from the first moment. It is up when this returns, or down."""
        self.check_port()
        self.configure(primary)
        self.forget_dead_postmaster()
        if os.path.exists(self.log) and os.path.getsize(self.log) > 16 << 20:
            os.replace(self.log, self.log + ".old")
        with open(self.log, "ab") as log:
            process = subprocess.Popen([self.tool("postgres"), "-D", self.data], stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log, cwd=self.data, start_new_session=True, **self.as_user())
        try:
            self._await_answer(process)
            if self.pid() != process.pid:
                raise Failure("%s answers, but its process %d is not to be seen" % (self.name, process.pid))
        except BaseException:
            end(process)
            raise

    def forget_dead_postmaster(self):
        """Removes the lock file of a killed postmaster. PostgreSQL itself keeps it if the pid still exists, as it
        does where process 1 reaps no orphans (many containers) or where another program has got the pid."""
        path = os.path.join(self.data, "postmaster.pid")
        if not self.processes() and os.path.exists(path):
            os.unlink(path)

    def _await_answer(self, process):
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            self.home.check_halt()
            if process.poll() is not None:
                raise Failure("%s did not start; the end of %s:\n%s" % (self.name, self.log, tail(self.log)))
            if self.answers():
                return
            time.sleep(0.05)
        raise Failure("%s did not accept connections within 120 s; see %s" % (self.name, self.log))

    def answers(self):
        """Whether the server accepts connections (a standby: has reached a consistent state)."""
        return subprocess.run([self.tool("pg_isready"), "-q", "-t", "2", "-h", "127.0.0.1", "-p", str(self.port)],
                              env=environment()).returncode == 0

    def stop(self):
        """Ends every process of the server: politely, then firmly. True if there was anything to end."""
        if not self.processes():
            return False
        self.signal_all(signal.SIGCONT)
        postmaster = self.pid()
        if postmaster:
            for number, seconds in ((signal.SIGINT, 20), (signal.SIGQUIT, 5)):
                send(postmaster, number)
                if self.wait_until_gone(seconds):
                    return True
        self.signal_all(signal.SIGKILL)
        if not self.wait_until_gone(10):
            raise Failure("%s: processes %s do not end" % (self.name, [pid for pid, _ in self.processes()]))
        return True

    def remove(self):
        """Deletes the data of a server that is down, and the System V segment a killed one left."""
        try:
            with open(os.path.join(self.data, "postmaster.pid")) as file:
                segment = file.read().splitlines()[6].split()[1]
            subprocess.run(["ipcrm", "-m", segment], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except (OSError, IndexError):
            pass
        if os.path.exists(self.ready_mark):
            os.unlink(self.ready_mark)
        if os.path.lexists(self.data):
            shutil.rmtree(self.data)

    # Making the data directory

    def is_made(self):
        return os.path.exists(self.ready_mark)

    def make_directory(self):
        os.mkdir(self.data, 0o700)
        if self.home.user:
            os.chown(self.data, self.home.user.pw_uid, self.home.user.pw_gid)

    def mark_ready(self):
        with open(self.ready_mark, "w"):
            pass

    def run_as_user(self, command, **extra):
        """Runs one of PostgreSQL's own tools as the servers' user."""
        env = environment(**extra)
        code, output, _ = self._finish([self.tool(command[0])] + command[1:], "", stderr=subprocess.STDOUT, cwd="/",
                                       **dict(self.as_user(), env=env))
        if code != 0:
            raise Failure("%s for %s failed:\n%s" % (command[0], self.name, output))

    def _finish(self, command, text, timeout=None, **settings):
        """Runs a program to its end and returns its code and output. A time-out or a halt ends it at once, with
        whatever it has started: it leads a session of its own."""
        deadline = time.monotonic() + timeout if timeout else None
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True,
                                   start_new_session=True, **settings)
        try:
            while True:
                try:
                    output, errors = process.communicate(text, timeout=0.1)
                    return process.returncode, output, errors
                except subprocess.TimeoutExpired:
                    text = None  # it is on its way
                    self.home.check_halt()
                    if deadline and time.monotonic() > deadline:
                        raise Failure("%s does not answer" % self.name)
        except BaseException:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
            raise

    def as_user(self):
        settings = {"env": environment()}
        if self.home.user:
            settings.update(user=self.home.user.pw_uid, group=self.home.user.pw_gid, extra_groups=[])
        return settings

    # Asking it

    def tool(self, name):
        return os.path.join(self.binaries, name)

    def login(self, superuser=False):
        """The environment in which psql and pgbench are this database's `sluice` or `postgres`."""
        secret = self.home.secret("superuser-password" if superuser else "password")
        return environment(PGHOST="127.0.0.1", PGPORT=str(self.port), PGUSER="postgres" if superuser else "sluice",
                           PGDATABASE="sluice", PGPASSWORD=secret, PGCONNECT_TIMEOUT="3")

    def query(self, sql, superuser=False, database="sluice", timeout=None):
        """Runs SQL through psql's standard input (so that it is in no process list); rows of text columns."""
        command = [self.tool("psql"), "-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d", database]
        code, output, errors = self._finish(command, sql, timeout, stderr=subprocess.PIPE, env=self.login(superuser))
        if code != 0:
            raise Failure("%s: %s" % (self.name, errors.strip()))
        return [line.split("\t") for line in output.splitlines()]


def taken(port):
    """Why a port of this machine cannot be had, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.strerror
    return None


def environment(**extra):
    """A clean environment for PostgreSQL's programs: no PG* of the caller's, English messages."""
    wanted = ("PATH", "HOME", "TERM", "LD_LIBRARY_PATH", "PAGER", "TMPDIR")
    return dict({key: os.environ[key] for key in wanted if key in os.environ}, LC_ALL="C", LANG="C", **extra)


def quoted(path):
    """A path inside a quoted libpq value inside a quoted setting."""
    value = path.replace("\\", "\\\\").replace("'", "\\'")
    return value.replace("\\", "\\\\").replace("'", "''")


def tail(log):
    try:
        with open(log, "rb") as file:
            return b"\n".join(file.read().splitlines()[-8:]).decode("utf-8", "replace")
    except OSError:
        return "(no log)"


def end(process):
    """Ends a program that this one has started: politely, then firmly."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
