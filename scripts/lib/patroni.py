"""Shards that Patroni keeps: etcd, and for each member an agent with its PostgreSQL server."""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys

import pgbin
from daemon import Daemon
from home import Failure, in_threads, say
from server import Server, wait_for

NAMESPACE = "/sluice/"
# 4.1 and not Debian's 3.0.2, which takes a lock back that another holds. Two of its parts come as source only.
PACKAGES = ("patroni[etcd3,psycopg3]==4.1.*", "psycopg[binary]")
FROM_SOURCE = "python-etcd,ydiff"
TTL, LOOP_WAIT, RETRY_TIMEOUT = 20, 2, 5

PARAMETERS = {
    "wal_level": "replica", "hot_standby": "on", "max_connections": 60, "max_wal_senders": 10,
    "max_replication_slots": 10, "wal_log_hints": "on", "max_wal_size": "1GB", "max_slot_wal_keep_size": "2GB",
    "shared_buffers": "64MB", "dynamic_shared_memory_type": "mmap", "password_encryption": "scram-sha-256",
    "timezone": "UTC", "log_timezone": "UTC"}


def ask(port, path, body=None, method=None, timeout=2):
    """One HTTP request to this machine: the status and the JSON that came, or (None, why not)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        text = json.dumps(body) if body is not None else None
        connection.request(method or ("POST" if body is not None else "GET"), path, text,
                           {"Content-Type": "application/json"} if text else {})
        answer = connection.getresponse()
        data = answer.read()
    except (OSError, http.client.HTTPException) as error:
        return None, str(error)
    finally:
        connection.close()
    try:
        return answer.status, json.loads(data)
    except ValueError:
        return answer.status, data.decode("utf-8", "replace")


class Etcd:
    """One node: what it is here for is that it can be taken away."""

    def __init__(self, home, root, port):
        self.port, self.data = port, os.path.join(root, "etcd")
        self.daemon = Daemon(home, "etcd", self._command, self.data)
        self.home = home

    def _command(self):
        client, peer = ("http://127.0.0.1:%d" % port for port in (self.port, self.port + 1))
        return [program(), "--name", "etcd", "--data-dir", os.path.join(self.data, "data"),
                "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
                "--initial-advertise-peer-urls", peer, "--initial-cluster", "etcd=" + peer,
                "--auto-compaction-mode", "periodic", "--auto-compaction-retention", "1h"]

    def answers(self):
        status, health = ask(self.port, "/health", timeout=1)
        return status == 200 and isinstance(health, dict) and health.get("health") == "true"

    def up(self):
        if self.daemon.thaw():
            say("etcd   was frozen; continued")
        if not self.daemon.pid():
            directory(self.home, self.data)
            self.daemon.start()
        self.daemon.await_start(self.answers, 30)


def program():
    found = shutil.which("etcd", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/bin")
    if not found:
        raise Failure("etcd is not installed (Debian's package: etcd-server)")
    return found


def directory(home, path):
    """A directory of the servers' user, for nobody else."""
    if not os.path.isdir(path):
        os.mkdir(path, 0o700)
        if home.user:
            os.chown(path, home.user.pw_uid, home.user.pw_gid)


class Member:
    def __init__(self, cluster, shard, index):
        self.home, self.cluster, self.shard, self.index = cluster.home, cluster, shard, index
        self.name = "s%d-%s" % (shard, "abcdefghij"[index])
        self.port = cluster.port + 100 + 20 * shard + index
        self.rest = self.port + 10
        self.folder = os.path.join(cluster.root, self.name)  # the agent's; it makes and removes the data in it
        self.server = Server(cluster.home, self.folder, cluster.binaries, self.name, "member", self.port)
        self.config = os.path.join(self.folder, "patroni.json")
        self.agent = Daemon(cluster.home, self.name, self._command, self.folder)

    def _command(self):
        return [os.path.join(self.cluster.venv, "bin", "python3"), "-m", "patroni", self.config]

    def settings(self):
        home, here = self.home, "127.0.0.1:%d"
        secrets = {name: home.secret(name + "-password") for name in ("superuser", "replication", "rewind")}
        return {
            "scope": "s%d" % self.shard, "namespace": NAMESPACE, "name": self.name,
            "restapi": {"listen": here % self.rest, "connect_address": here % self.rest},
            "etcd3": {"hosts": here % self.cluster.etcd.port, "protocol": "http"},
            "bootstrap": {
                "dcs": dict({
                    "ttl": TTL, "loop_wait": LOOP_WAIT, "retry_timeout": RETRY_TIMEOUT,
                    "maximum_lag_on_failover": 1 << 20, "primary_start_timeout": 0,
                    "postgresql": {"use_pg_rewind": True, "use_slots": True, "parameters": PARAMETERS},
                }, **self.cluster.modes),
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "data-checksums"]},
            "postgresql": {
                "listen": here % self.port, "connect_address": here % self.port, "data_dir": self.server.data,
                "bin_dir": self.cluster.binaries, "pgpass": os.path.join(self.folder, "pgpass"),
                "remove_data_directory_on_diverged_timelines": True, "remove_data_directory_on_rewind_failure": True,
                "authentication": {
                    "superuser": {"username": "postgres", "password": secrets["superuser"]},
                    "replication": {"username": "replicator", "password": secrets["replication"]},
                    "rewind": {"username": "rewind", "password": secrets["rewind"]}},
                "parameters": {"unix_socket_directories": "", "log_line_prefix": "%m [%p] %q%u@%d "},
                "pg_hba": ["host all all 127.0.0.1/32 scram-sha-256",
                           "host replication replicator 127.0.0.1/32 scram-sha-256"]},
            "watchdog": {"mode": "off"}}

    def start(self):
        """Starts the agent, which starts the server; whether there was anything to do."""
        thawed = self.agent.thaw()
        if self.server.state() == "stopped":
            self.server.signal_all(signal.SIGCONT)
            thawed = True
        if self.agent.pid():
            return thawed
        if self.server.state() == "orphans":
            self.server.stop()
        self.server.forget_dead_postmaster()
        directory(self.home, self.folder)
        self.home.write_private(self.config, json.dumps(self.settings(), indent=2), self.home.user)
        self.agent.start()
        return True

    def stop(self):
        """Ends agent and server, whatever state they are in; whether there was anything to end."""
        self.server.signal_all(signal.SIGCONT)
        ended = self.agent.stop()  # ends its server, too
        return self.server.stop() or ended

    def remove(self):
        self.server.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def says(self, path):
        """What its REST API answers, or None; a frozen agent is not waited for."""
        if self.agent.state() != "running":
            return None
        status, answer = ask(self.rest, path)
        return answer if status and isinstance(answer, dict) else None


class Shard:
    def __init__(self, cluster, number, indices):
        self.cluster, self.number, self.name = cluster, number, "s%d" % number
        self.members = [Member(cluster, number, index) for index in indices]

    def view(self):
        """The members as Patroni sees them, by name: what /cluster of any of them says. Empty if none answers."""
        for member in self.members:
            answer = member.says("/cluster")
            if answer and answer.get("members"):
                return {each["name"]: each for each in answer["members"]}
        return {}

    def leader(self):
        """Its member that is leader, or a clear error."""
        name = leader_name(self.view())
        for member in self.members:
            if member.name == name:
                return member
        raise Failure("%s has no leader just now" % self.name)

    def standbys(self):
        name = self.leader().name
        return [member for member in self.members if member.name != name]

    def is_whole(self):
        """One leader that runs, and every other member streams on its timeline."""
        view = self.view()
        leader = view.get(leader_name(view))
        if not leader or leader.get("state") != "running" or set(view) != {member.name for member in self.members}:
            return False
        return all(each is leader or each.get("state") == "streaming" and each.get("timeline") == leader["timeline"]
                   for each in view.values())

    def await_whole(self, seconds=180):
        def whole():
            self.cluster.home.check_halt()
            return self.is_whole()
        if not wait_for(whole, seconds):
            raise Failure("%s is not whole after %d s: %s; see %s" % (
                self.name, seconds, ", ".join("%s is %s" % (name, each.get("state"))
                                              for name, each in sorted(self.view().items())) or "nobody answers",
                self.cluster.home.logs))

    def up(self):
        """Starts what is down; the first member of a new shard alone, so that it is the first leader."""
        first, rest = self.members[0], self.members[1:]
        if not any(os.path.exists(os.path.join(member.server.data, "PG_VERSION")) for member in self.members):
            first.start()
            first.agent.await_start(lambda: leader_name(self.view(), running=True) == first.name, 120)
        started = [member.name for member in (first, *rest) if member.start()]
        # What agents say may be old: one that had no etcd for a while calls a server whole that it is restarting.
        if not wait_for(self._has_leader_that_answers, 180):
            raise Failure("%s has no leader that takes connections" % self.name)
        self._create_database(self.leader().server)
        return started

    def _has_leader_that_answers(self):
        self.await_whole()
        try:
            return self.leader().server.query(
                "SELECT NOT pg_is_in_recovery()", superuser=True, database="postgres")[0][0] == "t"
        except Failure:
            return self.cluster.home.check_halt() or False

    def _create_database(self, server):
        """As scripts/replicas makes it, if it is not there."""
        if server.query("SELECT 1 FROM pg_database WHERE datname = 'sluice'", superuser=True, database="postgres"):
            return
        server.query("CREATE ROLE sluice LOGIN PASSWORD '%s'" % self.cluster.home.secret("password"),
                     superuser=True, database="postgres")
        server.query("CREATE DATABASE sluice OWNER sluice", superuser=True, database="postgres")
        server.query("CREATE EXTENSION vector", superuser=True)
        self.cluster.await_replay(self)

    def set_modes(self, modes):
        """Patroni's dynamic configuration, if it says otherwise."""
        member = self.leader()
        now = member.says("/config") or {}
        changed = {key: value for key, value in modes.items() if now.get(key, False) != value}
        if changed:
            status, answer = ask(member.rest, "/config", changed, "PATCH", timeout=10)
            if status != 200:
                raise Failure("%s refuses %s: %s" % (member.name, changed, answer))


def leader_name(view, running=False):
    return next((name for name, each in view.items() if each.get("role") in ("leader", "standby_leader")
                 and (not running or each.get("state") == "running")), None)


class PatroniCluster:
    def __init__(self, home, root, binaries, port, shards, modes, source=None):
        """`shards`: of each, the indices of its members. `source`: where all gateways get the topology from; None:
        each from another source."""
        self.home, self.root, self.binaries, self.port, self.modes = home, root, binaries, port, modes
        self.source = source
        self.venv = os.path.join(root, "venv")
        self.etcd = Etcd(home, root, port)
        self.shards = [Shard(self, number, indices) for number, indices in enumerate(shards)]

    @classmethod
    def existing(cls, home):
        state = home.state()
        if state is None:
            raise Failure("there is no cluster in %s; `%s up` makes one" % (home.path, home.script))
        return cls(home, home.data_root(), state["binaries"], state["base_port"], state["shards"], state["modes"],
                   state["source"])

    def record(self):
        self.home.save(self.home.state_file, {
            "uid": os.geteuid(), "server_user": self.home.user.pw_name if self.home.user else None,
            "binaries": self.binaries, "base_port": self.port, "modes": self.modes, "source": self.source,
            "shards": [[member.index for member in shard.members] for shard in self.shards]})

    @property
    def members(self):
        return [member for shard in self.shards for member in shard.members]

    def named(self, name):
        for member in self.members:
            if member.name == name:
                return member
        raise Failure("there is no member `%s`; there are %s" % (name, ", ".join(m.name for m in self.members)))

    def write_passwords(self):
        for name in ("password", "superuser-password", "replication-password", "rewind-password"):
            self.home.secret(name, create=True)
        password = self.home.secret("password")
        self.home.write_private(os.path.join(self.home.path, "pgpass"), "".join(
            "127.0.0.1:%d:sluice:sluice:%s\n" % (member.port, password) for member in self.members))

    def up(self):
        self.etcd.up()
        say("etcd   runs on port %d, pid %s" % (self.etcd.port, self.etcd.daemon.pid()))
        started = in_threads(self.home, Shard.up, self.shards)
        for shard in self.shards:
            shard.set_modes(self.modes)
        for names in started:
            if names:
                say("started or continued: %s" % ", ".join(names))
        return sum(started, [])

    def await_replay(self, shard, seconds=60):
        """Waits until every member has replayed what the leader has written by now."""
        leader = shard.leader()

        def ask_server(member, sql):  # a database that is there whatever has been replayed
            return member.server.query(sql, superuser=True, database="postgres")[0][0]
        target = ask_server(leader, "SELECT pg_current_wal_lsn()")
        check = "SELECT coalesce(pg_last_wal_replay_lsn() >= '%s'::pg_lsn, false)" % target
        for member in shard.members:
            if member is not leader and not wait_for(lambda: ask_server(member, check) == "t", seconds):
                raise Failure("%s has not caught up in %d s" % (member.name, seconds))

    def down(self):
        """Standbys first: a leader that goes while standbys are there hands over. Returns what was up."""
        self.etcd.daemon.thaw()  # agents that cannot give their lock back wait for it
        leaders = [leader_name(shard.view()) for shard in self.shards]
        standbys = [member for member in self.members if member.name not in leaders]
        stopped = []
        for group in (standbys, [member for member in self.members if member.name in leaders]):
            if group:
                ended = in_threads(self.home, Member.stop, group)
                stopped += [member.name for member, was_up in zip(group, ended) if was_up]
        return stopped + (["etcd"] if self.etcd.daemon.stop() else [])


def install(home, venv):
    """Patroni in a venv that the servers' user can enter, made by a Python that this user can run."""
    python = os.path.join(venv, "bin", "python3")
    mark = os.path.join(venv, "complete")
    if os.path.exists(mark):
        return
    shutil.rmtree(venv, ignore_errors=True)
    say("installing Patroni into %s" % venv)
    run([base_python(home), "-m", "venv", venv], "cannot make a Python venv (on Debian: apt-get install python3-venv)")
    run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:",
         "--no-binary", FROM_SOURCE, *PACKAGES], "pip could not install Patroni")
    open(mark, "w").close()


def base_python(home):
    """A Python that the servers' user can run: this one may be in a home directory that it cannot enter."""
    settings = {"user": home.user.pw_uid, "group": home.user.pw_gid, "extra_groups": []} if home.user else {}
    for python in (os.path.realpath(sys.executable), "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            done = subprocess.run([python, "-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 9))"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", **settings)
        except OSError:
            continue
        if done.returncode == 0:
            return python
    raise Failure("user `%s` can run no Python 3.9 or newer with venv (on Debian: apt-get install python3 python3-venv)"
                  % (home.user.pw_name if home.user else os.geteuid()))


def run(command, complaint):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    if done.returncode != 0:
        raise Failure("%s:\n%s" % (complaint, done.stdout.strip()))


def binaries(home, root):
    """The directory of PostgreSQL's programs, with those that Patroni needs besides."""
    found = pgbin.find(home, root)
    missing = [tool for tool in ("pg_ctl", "pg_controldata", "pg_rewind") if not os.path.exists(
        os.path.join(found, tool))]
    if missing:
        raise Failure("%s has no %s, which Patroni needs; set SLUICE_PG_BIN" % (found, ", ".join(missing)))
    return found
