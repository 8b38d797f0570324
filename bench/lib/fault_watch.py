"""What bench/faults looks at while a fault lasts: what gateways and etcd show, what servers take and have, and what
the bundled client is told."""

import base64
import json
import os
import subprocess
import threading
import time

from errors import Failure
from fault_figures import Row
from gateway import binary
from patroni import NAMESPACE, ask
import sample

INTERVAL = 0.05


class Poll:
    """Calls `look` again and again in a thread of its own, until `end`."""

    def __init__(self):
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.stop.is_set():
            self.look()
            self.stop.wait(INTERVAL)

    def end(self):
        self.stop.set()
        self.thread.join()


class GatewayWatch(Poll):
    """What a gateway's state shows of a shard. `seen`: (when, timeline), when being a time of day, as servers have it:
    the moment at which the answer was there, so that nothing is called visible before it was."""

    def __init__(self, gateway, shard):
        self.gateway, self.shard, self.seen, self.refused, self.complaints = gateway, shard, [], set(), set()
        super().__init__()

    def look(self):
        topology = topologies(self.gateway).get(self.shard.name)
        if not topology:
            return
        if not self.seen or self.seen[-1][1] != topology["timeline"]:
            self.seen.append((time.time(), topology["timeline"]))
        self.complaints.update(topology["complaints"])
        if topology.get("refused"):
            self.refused.add(topology["refused"])


def topologies(gateway):
    """What its state says of each shard's source; empty without an answer."""
    status, state = ask(gateway.admin, "/api/v1/state", timeout=1)
    if status != 200 or not isinstance(state, dict):
        return {}
    return {shard["name"]: shard["topology"] for shard in state["shards"] if shard.get("topology")}


def takes_writes(gateway, shards):
    """Whether it knows for each shard whom to write to; one that is only told its replicas has nothing to wait for."""
    known = topologies(gateway)
    return gateway.cluster.source == "static" or all(
        known.get(shard.name, {}).get("writable") for shard in shards)


class EtcdWatch(Poll):
    """What etcd has of a shard. `leaders`: (when, who leads, whether a synchronous standby is named), at each change;
    who is None where there is none."""

    def __init__(self, cluster, shard):
        prefix = "%s%s/" % (NAMESPACE, shard.name)
        self.port, self.prefix, self.leaders = cluster.etcd.port, prefix, []
        self.question = {"key": encoded(prefix), "range_end": encoded(prefix[:-1] + "0")}
        super().__init__()

    def look(self):
        status, answer = ask(self.port, "/v3/kv/range", self.question, timeout=1)
        if status != 200 or not isinstance(answer, dict):
            return
        values = {base64.b64decode(each["key"]).decode(): base64.b64decode(each.get("value", ""))
                  for each in answer.get("kvs", ())}
        leader = values.get(self.prefix + "leader", b"").decode() or None
        synchronous = json.loads(values.get(self.prefix + "sync") or b"{}")
        entry = (leader, bool(synchronous.get("sync_standby")) and synchronous.get("leader") == leader)
        if not self.leaders or self.leaders[-1][1:] != entry:
            self.leaders.append((time.monotonic(), *entry))

    def is_synchronous(self, moment):
        """Whether a synchronous standby was named by then, as it was known last."""
        return next((synchronous for when, _, synchronous in reversed(self.leaders) if when <= moment), False)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


class Prober:
    """scripts/lib/prober.py at work on one shard. `acks`: (when, member, id, timeline)."""

    def __init__(self, cluster, shard, first):
        program = os.path.join(os.path.dirname(os.path.abspath(sample.__file__)), "prober.py")
        self.process = subprocess.Popen(
            [os.path.join(cluster.venv, "bin", "python3"), program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            universal_newlines=True)
        self.process.stdin.write(json.dumps({
            "members": [{"name": member.name, "port": member.port} for member in shard.members],
            "password": cluster.home.secret("password"), "first": first, "timeline": sample.TIMELINE}) + "\n")
        self.process.stdin.flush()
        self.acks = []
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            moment, member, row, timeline = line.split()
            self.acks.append((float(moment), member, int(row), int(timeline)))

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.thread.join()


class SwiftClient:
    """`sluice bench` with the addresses of all gateways, while gateways come and go."""

    def __init__(self, gateways, rate, seconds):
        addresses = ",".join("127.0.0.1:%d" % gateway.port for gateway in gateways)
        self.process = subprocess.Popen(
            [binary(), "bench", "--gateway", "sluice://" + addresses, "--collection", "items", "--mix",
             "search=80,get=20", "--rate", "%g" % rate, "--connections", "4", "--deadline", "2s", "--warmup", "0",
             "--seconds", "%g" % seconds, "--json"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)

    def figures(self):
        """Requests, those that failed, and answers after their deadline, as it has counted them."""
        output, complaints = self.process.communicate(timeout=60)
        try:
            found = json.loads(output)
        except ValueError:
            raise Failure("`sluice bench` ended with code %d: %s" % (self.process.returncode, complaints.strip()))
        failed = sum(found["errors"].values())
        return {"requests": found["searches"] + failed, "failed": failed, "late": found["late"],
                "errors": found["errors"], "p99_ms": found["p99_us"] / 1000, "max_ms": found["max_us"] / 1000}

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def rows_of(member, first):
    """What a server has of `writes` from this id on; nothing of one that does not answer."""
    try:
        found = member.server.query(
            "SELECT id, port, timeline, extract(epoch FROM at), gateway FROM writes WHERE id >= %d" % first, timeout=5)
    except Failure:
        return []
    return [Row(int(row[0]), int(row[1]), int(row[2]), float(row[3]), row[4]) for row in found]
