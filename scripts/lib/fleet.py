"""The gateways before a cluster that Patroni keeps: their configuration, and their processes."""

import os
import subprocess
import sys

from daemon import Daemon
from gateway import binary
from home import PROJECT, Failure, say, yaml_path
from patroni import NAMESPACE

RELAY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "relay.py")


# What each gateway asks where not all ask the same: the second, which alone can be cut off from etcd, is to ask it.
MIXED = {1: "patroni", 2: "etcd"}


def shard_lines(cluster, shard, number, etcd_port):
    """How the configuration of gateway `number`, which reaches etcd on a port of its own, says where a shard is."""
    password = yaml_path(os.path.join(cluster.home.path, "password"))
    # By its application's name a server knows which gateway has written a row.
    login = "dbname=sluice user=sluice application_name=gateway-%d" % number
    source, lines = cluster.source or MIXED[number], ["  - name: %s" % shard.name]
    if source == "static":
        lines += ["    replicas:"]
        for member in shard.members:
            lines += ["      - name: %s" % member.name,
                      "        dsn: host=127.0.0.1 port=%d %s" % (member.port, login),
                      "        password_file: %s" % password]
        return lines
    ports = [etcd_port] if source == "etcd" else [member.rest for member in shard.members]
    lines += ["    source:", "      type: %s" % source,
              "      endpoints: [%s]" % ", ".join('"http://127.0.0.1:%d"' % port for port in ports)]
    if source == "etcd":
        lines += ["      namespace: %s" % NAMESPACE, "      scope: %s" % shard.name]
    if cluster.modes["synchronous_mode"]:
        lines += ["      require_sync: true"]
    state = yaml_path(os.path.join(cluster.home.path, "gateway-%d-%s.state" % (number, shard.name)))
    return lines + ["      state_file: %s" % state, "      replica:", "        dsn: " + login,
                    "        password_file: %s" % password]


def collections():
    """Those of configs/cluster.yaml."""
    with open(os.path.join(PROJECT, "configs", "cluster.yaml")) as file:
        text = file.read()
    return text[text.index("\ncollections:"):].strip()


class Gateway:
    def __init__(self, cluster, number, etcd_port):
        self.cluster, self.home, self.number = cluster, cluster.home, number
        self.name, self.etcd_port = "gateway-%d" % number, etcd_port
        self.port = cluster.port + 8 + 2 * number
        self.admin = self.port + 1
        self.url = "sluice://127.0.0.1:%d" % self.port
        self.config = os.path.join(cluster.home.path, self.name + ".yaml")
        self.daemon = Daemon(cluster.home, self.name, self._command, cluster.home.path, as_caller=True)

    def _command(self):
        return [binary(), "serve", "--config", self.config]

    def configure(self):
        """Writes its configuration; a gateway that runs sees the change and takes it."""
        lines = ["# Written by scripts/cluster; changes here are lost.", "listen: {tcp: 127.0.0.1:%d}" % self.port,
                 "admin: {tcp: 127.0.0.1:%d}" % self.admin, "shards:"]
        for shard in self.cluster.shards:
            lines += shard_lines(self.cluster, shard, self.number, self.etcd_port)
        text = "\n".join(lines + [collections()]) + "\n"
        try:
            with open(self.config) as file:
                if file.read() == text:
                    return
        except OSError:
            pass
        with open(self.config + ".new", "w") as file:
            file.write(text)
        os.replace(self.config + ".new", self.config)

    def answers(self):
        return subprocess.run([binary(), "ping", "--gateway", self.url, "--timeout", "2s"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0

    def up(self):
        """Whether there was anything to do."""
        self.configure()
        thawed = self.daemon.thaw()
        if self.daemon.pid():
            return thawed
        self.daemon.start()
        self.daemon.await_start(self.answers, 30)
        return True


class Fleet:
    """Two gateways. The second reaches etcd by a relay that nobody else uses, so that it alone can be cut off."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.relay_port = cluster.port + 2
        self.relay = Daemon(cluster.home, "relay", self._relay_command, cluster.home.path, as_caller=True)
        self.gateways = [Gateway(cluster, 1, cluster.etcd.port), Gateway(cluster, 2, self.relay_port)]

    def _relay_command(self):
        return [sys.executable, RELAY, str(self.relay_port), str(self.cluster.etcd.port)]

    def numbered(self, number):
        if not 1 <= number <= len(self.gateways):
            raise Failure("there is no gateway %d; there are 1 to %d" % (number, len(self.gateways)))
        return self.gateways[number - 1]

    def up(self):
        if self.relay.thaw():
            say("the relay of gateway 2 was frozen; continued")
        if not self.relay.pid():
            self.relay.start()
        for gateway in self.gateways:
            did = gateway.up()
            say("%s %s: %s, pid %s" % (gateway.name, "started" if did else "already runs", gateway.url,
                                       gateway.daemon.pid()))

    def reconfigure(self):
        """After members came or went."""
        for gateway in self.gateways:
            if gateway.daemon.pid():
                gateway.configure()

    def down(self):
        return [each.name for each in [*(gateway.daemon for gateway in self.gateways), self.relay] if each.stop()]
