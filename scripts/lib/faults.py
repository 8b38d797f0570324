"""The faults that scripts/cluster makes: each does one thing to processes it knows by pid, waits until it has taken
effect, and says what was done to whom, and when."""

import signal
import time

from home import Failure, say
from patroni import TTL, Member, ask, leader_name
from processes import send
from server import wait_for

PATIENCE = 3 * TTL  # seconds for a new leader


def told(text):
    now = time.time()
    say("%s.%03d  %s" % (time.strftime("%H:%M:%S", time.localtime(now)), now % 1 * 1000, text))


class Faults:
    """`record`: called after members came or went."""

    def __init__(self, cluster, fleet, record, wait=True):
        self.cluster, self.fleet, self.record, self.wait = cluster, fleet, record, wait

    def _await_promotion(self, shard, timeline, began, but=None):
        """Waits for a leader of a higher timeline, another than `but`."""
        if not self.wait:
            return
        found = []

        def promoted():
            view = shard.view()
            leader = view.get(leader_name(view, running=True), {})
            if (leader.get("timeline") or 0) > timeline and leader.get("name") != but:
                found.append(leader)
            return found
        if not wait_for(promoted, PATIENCE):
            raise Failure("%s has no new leader after %d s; `scripts/cluster heal` brings back what is down"
                          % (shard.name, PATIENCE))
        told("%s leads %s on timeline %d, %.1f s after the fault"
             % (found[0]["name"], shard.name, found[0]["timeline"], time.monotonic() - began))

    def kill_leader_server(self, shard, _):
        """kill -9 of the leader's postmaster; its agent lives."""
        leader, timeline = self._leader(shard)
        pid = leader.server.pid()
        if not pid:
            raise Failure("the server of %s does not run" % leader.name)
        began = time.monotonic()
        send(pid, signal.SIGKILL)
        if not wait_for(lambda: leader.server.pid() != pid, 10):
            raise Failure("%s: process %d is still there after SIGKILL" % (leader.name, pid))
        told("killed the server of %s, which led %s (postmaster %d); its agent lives" % (leader.name, shard.name, pid))
        self._await_promotion(shard, timeline, began)

    def kill_leader_node(self, shard, _):
        """kill -9 of the leader's agent and of all its server's processes; they stay down until `heal`."""
        leader, timeline = self._leader(shard)
        began = time.monotonic()
        agent = leader.agent.kill()
        count = leader.server.signal_all(signal.SIGKILL)
        if not leader.server.wait_until_gone(10):
            raise Failure("%s: processes are still there after SIGKILL" % leader.name)
        told("killed %s, which led %s: its agent (%d) and its server (%d processes)"
             % (leader.name, shard.name, agent, count))
        self._await_promotion(shard, timeline, began, but=leader.name)

    def switchover(self, shard, _):
        """A planned switchover to a standby, asked for by Patroni's REST API."""
        leader, timeline = self._leader(shard)
        view = shard.view()
        # A synchronous one where there is any: no other may take over then.
        candidates = sorted((name for name, each in view.items() if each.get("state") == "streaming"),
                            key=lambda name: (view[name]["role"] != "sync_standby", name))
        if not candidates:
            raise Failure("%s has no standby that streams" % shard.name)
        began = time.monotonic()
        told("asked %s to hand %s over to %s" % (leader.name, shard.name, candidates[0]))
        status, answer = ask(leader.rest, "/switchover", {"leader": leader.name, "candidate": candidates[0]},
                             timeout=PATIENCE)
        if status != 200:
            raise Failure("%s refuses the switchover: %s" % (leader.name, answer))
        self._await_promotion(shard, timeline, began, but=leader.name)

    def freeze_leader_agent(self, shard, _):
        """SIGSTOP of the leader's agent: its server goes on, and another is promoted when the lock has expired."""
        leader, timeline = self._leader(shard)
        began = time.monotonic()
        pid = leader.agent.freeze()
        told("froze the agent of %s, which leads %s (pid %d); its server runs on" % (leader.name, shard.name, pid))
        self._await_promotion(shard, timeline, began, but=leader.name)

    def thaw(self, shard, _):
        """SIGCONT to the shard's frozen agents."""
        thawed = [member.name for member in shard.members if member.agent.thaw()]
        told("thawed the agents of %s" % ", ".join(thawed) if thawed else "no agent of %s was frozen" % shard.name)

    def cut_etcd(self, *_):
        """SIGSTOP of etcd: it accepts connections and says nothing, to anybody."""
        told("froze etcd (pid %d)" % self.cluster.etcd.daemon.freeze())

    def cut_gateway_etcd(self, *_):
        """SIGSTOP of the relay by which gateway 2 alone reaches etcd."""
        told("froze the relay by which gateway 2 reaches etcd (pid %d)" % self.fleet.relay.freeze())

    def kill_gateway(self, _, number):
        """kill -9 of a gateway; it stays down until `heal`."""
        gateway = self.fleet.numbered(number or 1)
        told("killed %s (pid %d)" % (gateway.name, gateway.daemon.kill()))

    def remove_member(self, shard, _):
        """Ends a standby, the last by name, and deletes its data; the gateways are told."""
        if len(shard.members) < 2:
            raise Failure("%s has only its leader" % shard.name)
        member = max(shard.standbys(), key=lambda each: each.index)
        pid = member.agent.pid()
        member.stop()
        shard.members.remove(member)
        self.record()
        member.remove()
        self.fleet.reconfigure()
        told("removed %s (agent %s) from %s with its data" % (member.name, pid, shard.name))
        if self.wait and not wait_for(lambda: member.name not in shard.view(), PATIENCE):
            raise Failure("Patroni still lists %s after %d s" % (member.name, PATIENCE))
        told("Patroni no longer lists %s" % member.name)

    def add_member(self, shard, _):
        """Makes a standby, under the first free name; the gateways are told."""
        taken = {member.index for member in shard.members}
        index = next((index for index in range(10) if index not in taken), None)
        if index is None:
            raise Failure("%s has ten members, which is all there is room for" % shard.name)
        began = time.monotonic()
        member = Member(self.cluster, shard.number, index)
        member.server.check_port()
        shard.members.append(member)
        shard.members.sort(key=lambda each: each.index)
        self.record()
        member.start()
        told("started %s, a new member of %s (agent %s)" % (member.name, shard.name, member.agent.pid()))
        shard.await_whole()
        self.fleet.reconfigure()
        told("%s streams, %.1f s after it was started" % (member.name, time.monotonic() - began))

    def _leader(self, shard):
        view = shard.view()
        leader = shard.leader()
        return leader, view.get(leader.name, {}).get("timeline") or 0

    def run(self, name, number, gateway):
        if not 0 <= number < len(self.cluster.shards):
            raise Failure("there is no shard %d; there are 0 to %d" % (number, len(self.cluster.shards) - 1))
        if not self.fleet.relay.pid() and name == "cut-gateway-etcd":
            raise Failure("there are no gateways; `scripts/cluster up` without --no-gateways starts them")
        getattr(self, name.replace("-", "_"))(self.cluster.shards[number], gateway)


NAMES = ("kill-leader-server", "kill-leader-node", "switchover", "freeze-leader-agent", "thaw", "cut-etcd",
         "cut-gateway-etcd", "remove-member", "add-member", "kill-gateway")
