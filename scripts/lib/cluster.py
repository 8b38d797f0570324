"""The shards: a primary and its streaming standbys each."""

import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

import firewall
import pgbin
from home import DEFAULT_BASE_PORT, Failure, in_threads, say
from pooler import Pooler
from server import Server, wait_for

MAX_STANDBYS = 9  # ten ports a shard


def base_port(recorded=None):
    text = os.environ.get("SLUICE_BASE_PORT")
    if not text:
        return recorded or DEFAULT_BASE_PORT
    if not text.isdigit() or not 1024 <= int(text) <= 63000:
        raise Failure("SLUICE_BASE_PORT=%s is not a port between 1024 and 63000" % text)
    return int(text)


class Cluster:
    """All servers of one home, in order: shard by shard, the primary first."""

    def __init__(self, home, binaries, root, shards, standbys, port):
        self.home, self.binaries, self.root = home, binaries, root
        self.shards, self.standbys, self.port = shards, standbys, port
        self.groups = [[self._server(shard, index) for index in range(standbys + 1)] for shard in range(shards)]

    def _server(self, shard, index):
        name = "s%d-%s" % (shard, "abcdefghij"[index])
        role = "primary" if index == 0 else "standby"
        return Server(self.home, self.root, self.binaries, name, role, self.port + 10 * shard + index)

    @classmethod
    def existing(cls, home):
        """The cluster of the last `up`, or a clear error."""
        state = home.state()
        if state is None:
            raise Failure("there are no replicas in %s; `scripts/replicas up` makes them" % home.path)
        return cls(home, state["binaries"], home.data_root(), state["shards"], state["standbys"], state["base_port"])

    def first(self, shards):
        """The same servers, but of no more than the first `shards` shards."""
        return Cluster(self.home, self.binaries, self.root, shards, self.standbys, self.port)

    @property
    def servers(self):
        return [server for group in self.groups for server in group]

    def primary_of(self, server):
        group = next(group for group in self.groups if server in group)
        return None if server is group[0] else group[0]

    def named(self, name):
        for server in self.servers:
            if server.name == name:
                return server
        raise Failure("there is no replica `%s`; there are %s" % (name, ", ".join(s.name for s in self.servers)))

    # Bringing up

    def record(self):
        self.home.save(self.home.state_file, {
            "uid": os.geteuid(), "server_user": self.home.user.pw_name if self.home.user else None,
            "binaries": self.binaries, "base_port": self.port, "shards": self.shards, "standbys": self.standbys})

    def write_topology(self):
        """What tests and the gateway's users read; pgpass lets libpq log in without a password in sight."""
        password = self.home.secret("password")
        self.home.save(self.home.topology, {
            "shards": [{"name": "s%d" % number, "replicas": [
                {"name": server.name, "host": "127.0.0.1", "port": server.port, "role": server.role}
                for server in group]} for number, group in enumerate(self.groups)],
            "database": "sluice", "user": "sluice", "password_file": os.path.join(self.home.path, "password")})
        self.home.write_private(os.path.join(self.home.path, "pgpass"), "".join(
            "127.0.0.1:%d:sluice:sluice:%s\n" % (server.port, password) for server in self.servers))

    def up(self, started):
        """Makes what is missing and starts what is down. Appends every server it starts to `started`."""
        for server in self.servers:
            if firewall.mend(server.port):
                say("%-6s was cut off; mended" % server.name)
            if server.state() == "orphans":
                server.stop()
                say("%-6s ended the processes a dead postmaster had left" % server.name)
        in_threads(self.home, lambda group: self._up_group(group, started), self.groups)

    def _up_group(self, group, started):
        for server in group:
            self.home.check_halt()
            state = server.state()
            if state == "stopped":
                server.signal_all(signal.SIGCONT)
                say("%-6s was stopped by a signal; continued" % server.name)
                state = "running"
            if state == "running" and server.is_made():
                if not wait_for(lambda: self.home.halted or server.answers(), 60):
                    raise Failure("%s runs but does not accept connections; see %s" % (server.name, server.log))
                self.home.check_halt()
                say("%-6s already running: %s" % (server.name, server.place()))
            else:
                self.start(server, started)
                say("%-6s started: %s" % (server.name, server.place()))

    def start(self, server, started):
        """Starts one server that is down, making its data directory first if it has none."""
        primary = self.primary_of(server)
        self._check_version(server)
        if primary and server.is_made() and self._slot_is_lost(server, primary):
            say("%-6s is too far behind; copying it anew" % server.name)
            server.remove()
        started.append(server)
        if not server.is_made():
            server.stop()  # half made by an `up` that was interrupted
            server.remove()
            server.make_directory()
            self._copy(server, primary) if primary else self._initialize(server)
        server.start(primary)
        if not primary and not server.is_made():
            self._create_database(server)
        server.mark_ready()

    def _check_version(self, server):
        try:
            with open(os.path.join(server.data, "PG_VERSION")) as file:
                made_by = file.read().strip()
        except OSError:
            return
        have = os.popen("'%s' --version" % server.tool("postgres").replace("'", "'\\''")).read().split()[-1]
        if server.is_made() and have.split(".")[0] != made_by:
            raise Failure("%s was made by PostgreSQL %s and this is %s; `scripts/replicas down --purge`, then `up`"
                          % (server.name, made_by, have))

    def _initialize(self, server):
        path = os.path.join(self.root, server.name + ".secret")
        self.home.write_private(path, self.home.secret("superuser-password", create=True) + "\n", self.home.user)
        try:
            server.run_as_user(["initdb", "-D", server.data, "-U", "postgres", "--pwfile", path, "-E", "UTF8",
                                "--locale=C", "-A", "scram-sha-256", "--data-checksums", "--no-instructions"])
        finally:
            os.unlink(path)

    def _create_database(self, server):
        replication = self.home.secret("replication-password", create=True)
        server.query("CREATE ROLE sluice LOGIN PASSWORD '%s'; CREATE ROLE replicator LOGIN REPLICATION PASSWORD '%s';"
                     % (self.home.secret("password", create=True), replication), superuser=True, database="postgres")
        server.query("CREATE DATABASE sluice OWNER sluice", superuser=True, database="postgres")
        server.query("CREATE EXTENSION vector", superuser=True)
        for standby in self.groups[[group[0] for group in self.groups].index(server)][1:]:
            self._make_slot(standby, server)

    def _make_slot(self, server, primary):
        primary.query("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '%s'; "
                      "SELECT pg_create_physical_replication_slot('%s', true)" % (server.slot, server.slot),
                      superuser=True)

    def _slot_is_lost(self, server, primary):
        rows = primary.query("SELECT wal_status FROM pg_replication_slots WHERE slot_name = '%s'" % server.slot,
                             superuser=True, timeout=10)
        return not rows or rows[0][0] == "lost"

    def _copy(self, server, primary):
        """Clones the primary; its slot keeps the WAL from this moment on."""
        self._make_slot(server, primary)
        passfile = os.path.join(self.root, "passfile")
        server.run_as_user(["pg_basebackup", "-D", server.data, "-h", "127.0.0.1", "-p", str(primary.port),
                            "-U", "replicator", "-w", "-X", "stream", "-c", "fast", "-S", server.slot],
                           PGPASSFILE=passfile)
        self.home.write_private(os.path.join(server.data, "standby.signal"), "", self.home.user)

    def prepare(self):
        """Secrets and the servers' password file, before the first server starts."""
        self.home.secret("password", create=True)
        self.home.secret("superuser-password", create=True)
        replication = self.home.secret("replication-password", create=True)
        self.home.write_private(os.path.join(self.root, "passfile"),
                                "127.0.0.1:*:*:replicator:%s\n" % replication, self.home.user)

    def await_standbys(self, seconds=60):
        """Waits until every running standby has replayed what its primary has written by now."""
        for group in self.groups:
            target = group[0].query("SELECT pg_current_wal_lsn()", superuser=True)[0][0]
            for standby in group[1:]:
                if standby.state() != "running":
                    continue
                check = "SELECT pg_last_wal_replay_lsn() >= '%s'::pg_lsn" % target
                if not wait_for(lambda: standby.query(check, superuser=True)[0][0] == "t", seconds):
                    raise Failure("%s has not caught up with %s in %d s" % (standby.name, group[0].name, seconds))

    # Taking down

    def down(self, names=()):
        """Stops the named servers, or every server; standbys first. Returns how many were up."""
        chosen = [self.named(name) for name in names] or self.servers
        groups = [[server for server in group if server in chosen] for group in self.groups]
        failures = []
        with ThreadPoolExecutor(len(groups)) as pool:
            stopped = sum(pool.map(lambda group: self._down_group(group, failures), groups))
        if failures:
            raise Failure("\n".join(map(str, failures)))
        return stopped

    def _down_group(self, group, failures):
        """What does not end keeps nothing else from being ended."""
        stopped = 0
        for server in reversed(group):
            for what in (Pooler(server).stop, lambda: firewall.mend(server.port), server.stop):
                try:
                    ended = what()
                except Failure as failure:
                    failures.append(failure)
                    ended = None
            if ended is not None:
                say("%-6s %s" % (server.name, "stopped" if ended else "was down"))
            stopped += bool(ended)
        return stopped

    def purge(self):
        """Deletes data, secrets and logs of servers that are down."""
        for server in self.servers:
            Pooler(server).remove()
            server.remove()
        home = self.home
        if os.path.islink(home.data_link):
            shutil.rmtree(home.data_root(), ignore_errors=True)
            os.unlink(home.data_link)
        else:
            shutil.rmtree(home.data_link, ignore_errors=True)
        for name in ("password", "superuser-password", "replication-password", "pgpass", "topology.json", "state.json"):
            path = os.path.join(home.path, name)
            if os.path.exists(path):
                os.unlink(path)
        shutil.rmtree(home.logs, ignore_errors=True)


def open_for_up(home, shards, standbys):
    """The cluster that `up` is to bring up: the recorded one, widened if asked, or a new one."""
    state = home.state() or {}
    old_shards, old_standbys = state.get("shards", 0), state.get("standbys", 0)
    shards = shards or old_shards or 2
    standbys = standbys if standbys is not None else (old_standbys if state else 1)
    if not 1 <= shards <= 64 or not 0 <= standbys <= MAX_STANDBYS:
        raise Failure("--shards must be in 1...64 and --standbys in 0...%d" % MAX_STANDBYS)
    if shards < old_shards or standbys < old_standbys:
        raise Failure("there are %d shards with %d standbys each; `scripts/replicas down --purge` first to have fewer"
                      % (old_shards, old_standbys))
    port = base_port(state.get("base_port"))
    if state and port != state["base_port"]:
        running = [s.name for s in Cluster.existing(home).servers if s.processes() or Pooler(s).pids()]
        if running:
            raise Failure("%s run on ports from %d, not %d; `scripts/replicas down` first"
                          % (", ".join(running), state["base_port"], port))
    # Ports first: a range that is taken should cost nothing and leave nothing.
    for server in Cluster(home, None, home.data_root(), shards, standbys, port).servers:
        if not server.processes():
            server.check_port()
    root = home.data_root(create=True)
    binaries = pgbin.find(home, root)
    return Cluster(home, binaries, root, shards, standbys, port)
