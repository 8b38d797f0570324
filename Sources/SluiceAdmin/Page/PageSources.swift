extension PageText {
    /// Where the shards' replicas come from: a line for each shard that has a source.
    static let sources = #"""
        function sourceMood(topology) {
          if (topology.refused !== undefined) return "bad";
          return topology.state === "current" ? "good" : "warn";
        }

        function sourceLine(shard, topology) {
          const heard = topology.age === undefined ? "not heard yet" : "heard " + seconds(topology.age) + " ago";
          const leader = !topology.is_fenced ? [] : [topology.leader === undefined ? "no leader"
            : "leader " + topology.leader + (topology.leader_timeline === undefined ? ""
              : " on timeline " + topology.leader_timeline)];
          const highest = topology.is_fenced && topology.timeline !== topology.leader_timeline
            ? ["highest timeline " + topology.timeline] : [];
          const silent = topology.endpoints.filter((each) => !each.is_answering && each.error !== undefined)
            .map((each) => each.name + ": " + each.error);
          const wrong = topology.complaints.filter((each) => !silent.includes(each));
          return shard.name + ": " + [topology.source + " " + topology.state, heard, ...leader, ...highest,
            several(topology.members.length, "member"),
            ...(topology.refused === undefined ? [] : ["NO WRITES: " + topology.refused_words]),
            ...(topology.state === "stale" ? [topology.words] : []), ...silent, ...wrong].join(" · ");
        }

        function drawSources(state) {
          const shards = state.shards.filter((shard) => shard.topology);
          // What is in good order is told of last.
          const order = {bad: 0, warn: 1, good: 2};
          const lines = shards
            .map((shard) => [sourceMood(shard.topology), sourceLine(shard, shard.topology), shard.name])
            .sort((left, right) => order[left[0]] - order[right[0]]);
          place("sources").replaceChildren(...lines.map(([mood, text, name]) =>
            element("li", {class: mood, "data-shard": name, "data-mood": mood}, text)));
        }

        """#
}
