internal import SluiceCore
package import SluiceTopology

/// Judges what each witness of a shard's source says when it is asked by itself, and what the members' servers say of
/// themselves. Pure.
package struct SourceJudge: Sendable {
    /// A member's server that was reached.
    package struct Server: Hashable, Sendable {
        package var name: String
        package var identity: ServerIdentity

        package init(_ name: String, _ identity: ServerIdentity) {
            self.name = name
            self.identity = identity
        }
    }

    let shard: String
    let settings: TopologySettings
    /// How long each was waited for.
    let patience: Duration
    /// The highest timeline that the shard's state file has; 0 for none.
    let remembered: UInt32

    package init(_ shard: String, _ settings: TopologySettings, patience: Duration, remembered: UInt32 = 0) {
        self.shard = shard
        self.settings = settings
        self.patience = patience
        self.remembered = remembered
    }

    package func findings(_ words: [SourceProbe.Word], servers: [Server] = []) -> [Finding] {
        let said = words.compactMap { word in (try? word.answer.get()).map { (witness: word.witness, report: $0) } }
        var findings = words.compactMap(reach) + words.compactMap(slowness)
        if settings.namesLeader {
            findings += said.flatMap { sense(of: $0.report, by: $0.witness) } + contradictions(said)
        } else {
            findings += said.flatMap { complaints(of: $0.report, by: $0.witness) }
        }
        let agreed = agreed(said)
        if let agreed, settings.namesLeader { findings += timelines(agreed) }
        return findings + identities(words) + times(words)
            + contradictions(between: agreed, servers, identifier: words.compactMap(\.systemIdentifier).first)
    }

    // MARK: Each witness

    private func reach(_ word: SourceProbe.Word) -> Finding? {
        guard case .failure(let problem) = word.answer else { return nil }
        func finding(_ message: String) -> Finding { warning("\(word.witness) \(message)", .reach) }
        switch problem.kind {
        case .unreachable:
            return finding(
                "cannot be reached: look whether \(service) runs there and a firewall lets it be asked; if it is gone "
                    + "for good, take it out of `endpoints`")
        case .late:
            return finding(
                "has not answered within \(Self.words(patience)), and the gateway waits "
                    + "\(Self.words(settings.timeout)) (`timeout`): to it that one is silent; look at its machine and "
                    + "at the network between")
        case .status(let status):
            let advice =
                status == 401 || status == 403
                ? "it wants to know who asks" : "look whether that is the address of \(service), and at its log"
            return finding("answers with \(problem.description): \(advice)")
        case .unusable where !isHTTP:
            return warning("\(problem.description); look at the name, and at /etc/resolv.conf", .reach)
        case .unusable:
            return finding(
                "gives an answer that cannot be used (\(problem.description)): look whether that is the address of "
                    + "\(service)")
        }
    }

    private func slowness(_ word: SourceProbe.Word) -> Finding? {
        guard case .success = word.answer, word.took > settings.timeout else { return nil }
        return warning(
            "\(word.witness) has answered after \(Self.words(word.took)), and `timeout` is "
                + "\(Self.words(settings.timeout)): to the gateway it is silent; look at its load, or raise `timeout`")
    }

    private func sense(of report: ClusterReport, by witness: String) -> [Finding] {
        let leaders = Set(report.leaders)
        var findings: [Finding] = []
        func note(_ message: String) { findings.append(warning("\(witness) \(message)")) }
        if report.members.isEmpty {
            note(
                "names no members: look whether \(keys) and whether Patroni's agents run (`patronictl list`)")
        } else if leaders.isEmpty {
            note(
                "names no leader, so nothing is written: an election may be under way; if it stays so look at "
                    + "`patronictl list` and the agents' logs")
        }
        let places = Set(report.members.filter { leaders.contains($0.name) }.map(\.place))
        if leaders.count > 1 || places.count > 1 {
            let names = leaders.count > 1 ? leaders.sorted().prefix(4) : places.map(\.description).sorted().prefix(4)
            note(
                "names two leaders, \(names.joined(separator: " and ")), so nothing is written: restart the agent of "
                    + "the one that does not hold the leader's key (`patronictl list`), and see that its server is no "
                    + "primary any more")
        } else if let leader = leaders.first, places.isEmpty, !report.members.isEmpty {
            note(
                "names a leader, \(leader), that is not among the members, so nothing is written: look whether that "
                    + "one's agent runs and has a usable name and address")
        }
        if report.isStandbyCluster {
            note(
                "says that it is a standby cluster, which takes no rows: promote it (`patronictl promote-cluster`), or "
                    + "name the other cluster as the shard's source")
        }
        return findings + complaints(of: report, by: witness)
    }

    private func complaints(of report: ClusterReport, by witness: String) -> [Finding] {
        report.complaints.map { warning("\(witness) says what nothing can be made of: \($0); it is left out") }
    }

    // MARK: All of them

    /// What more than half of those who answered say, if they do.
    private func agreed(_ said: [(witness: String, report: ClusterReport)]) -> ClusterReport? {
        said.first { one in said.count { Self.leader(of: $0.report) == Self.leader(of: one.report) } * 2 > said.count }?
            .report
    }

    private static func leader(of report: ClusterReport) -> Set<MemberPlace> {
        let leaders = Set(report.leaders)
        return Set(report.members.filter { leaders.contains($0.name) }.map(\.place))
    }

    private func contradictions(_ said: [(witness: String, report: ClusterReport)]) -> [Finding] {
        guard Set(said.map { Self.leader(of: $0.report) }).count > 1 else { return [] }
        guard let agreed = agreed(said) else {
            let words = said.map { "\($0.witness) says \($0.report.words)" }.joined(separator: ", ")
            return [
                warning(
                    "its witnesses contradict each other and none has more than half of them, so nothing is written: "
                        + "\(words); look at the agents that are behind, and list all members' in `endpoints`")
            ]
        }
        return said.filter { Self.leader(of: $0.report) != Self.leader(of: agreed) }.map { odd in
            warning(
                "\(odd.witness) contradicts the others and is outvoted: it says \(odd.report.words), they say "
                    + "\(agreed.words); look at its agent, which is cut off, frozen, or of another cluster")
        }
    }

    private func timelines(_ report: ClusterReport) -> [Finding] {
        guard let leader = report.leaders.first, let own = report.members.first(where: { $0.name == leader }),
            let timeline = own.timeline
        else { return [] }
        if timeline < remembered {
            return [
                warning(
                    "the source has the leader \(leader) on timeline \(timeline), and the state file knows "
                        + "\(remembered), so nothing is written: the cluster has been put back, or \(leader) was left "
                        + "behind by a promotion; if this is the cluster that is to be kept, stop the gateway, delete "
                        + "the state file, and start it")
            ]
        }
        guard let ahead = report.members.first(where: { ($0.timeline ?? 0) > timeline }) else { return [] }
        return [
            warning(
                "the source has \(ahead.name) on timeline \(ahead.timeline ?? 0), and the leader \(leader) on "
                    + "\(timeline), so nothing is written: \(leader) was left behind by a promotion; look at "
                    + "`patronictl list`, and which of them has the rows")
        ]
    }

    /// Of one cluster all members have the same.
    private func identities(_ words: [SourceProbe.Word]) -> [Finding] {
        var witnesses: [UInt64: [String]] = [:]
        for word in words {
            if let identifier = word.systemIdentifier { witnesses[identifier, default: []].append(word.witness) }
        }
        guard witnesses.count > 1 else { return [] }
        let groups = witnesses.sorted { $0.value[0] < $1.value[0] }
            .map { "\($0.value.joined(separator: " and ")) of \($0.key)" }
        return [
            Finding(
                .error, .topology, shard: shard,
                "its endpoints are of different clusters, by the system identifier "
                    + "(\(groups.joined(separator: ", "))): take the other cluster's out of `endpoints`")
        ]
    }

    private func times(_ words: [SourceProbe.Word]) -> [Finding] {
        var findings: [Finding] = []
        if words.contains(where: { $0.isPaused == true }) {
            findings.append(
                warning(
                    "the cluster is in maintenance (`pause`): nobody is promoted when the leader goes; run "
                        + "`patronictl resume` when that is over"))
        }
        guard settings.namesLeader, let alive = words.compactMap(\.timeToLive).min() else { return findings }
        let lease = settings.machine.leaderLease
        if lease > alive {
            findings.append(
                warning(
                    "`leader_lease` is \(Self.words(lease)), and the leader's key lives for \(Self.words(alive)) "
                        + "(`ttl`): a gateway that is cut off from the source writes to a leader that may have been "
                        + "replaced; lower it"))
        }
        let answered = words.filter { if case .success = $0.answer { true } else { false } }
        if let slowest = answered.max(by: { $0.took < $1.took }), slowest.took + settings.interval > alive {
            findings.append(
                warning(
                    "\(slowest.witness) answers after \(Self.words(slowest.took)), is asked every "
                        + "\(Self.words(settings.interval)), and the leader's key lives for \(Self.words(alive)) "
                        + "(`ttl`): what it says may be of a leader that is gone; ask more often (`interval`), or find "
                        + "out why it is slow"))
        }
        return findings
    }

    // MARK: The servers themselves

    /// - Parameter identifier: the cluster's, if the source says it.
    private func contradictions(
        between report: ClusterReport?, _ servers: [Server], identifier: UInt64?
    ) -> [Finding] {
        let leader = report?.leaders.first
        let expected =
            identifier ?? servers.first { $0.name == leader }?.identity.systemIdentifier
            ?? servers.compactMap(\.identity.systemIdentifier).first
        return servers.flatMap { server -> [Finding] in
            func finding(_ message: String) -> Finding {
                Finding(.error, .topology, shard: shard, replica: server.name, message)
            }
            if let own = server.identity.systemIdentifier, let expected, own != expected {
                return [
                    finding(
                        "the server at its address is another cluster's (system identifier \(own), the shard's is "
                            + "\(expected)): correct the address, or end the server that took its place")
                ]
            }
            guard settings.namesLeader, report?.members.contains(where: { $0.name == server.name }) == true else {
                return []
            }
            return role(of: server, report, finding).map { [$0] } ?? []
        }
    }

    private func role(_ server: Server, isLeader: Bool, highest: UInt32, _ finding: (String) -> Finding) -> Finding? {
        switch (isLeader, server.identity.isStandby) {
        case (true, true):
            return finding(
                "the source names it leader, and its server is in recovery: it takes no writes; a promotion is under "
                    + "way, or its agent cannot bring it about: look at its log")
        case (false, false):
            return finding(
                "the source calls it a standby, and its server is a primary: the gateway does not write to it, others "
                    + "may, and what they write is lost; stop that server, and look at its agent")
        case (true, false):
            guard let timeline = server.identity.timeline, timeline < highest else { return nil }
            return finding(
                "the source names it leader, and its server writes on timeline \(timeline), which is older than "
                    + "\(highest): it was left behind by a promotion; nothing is written to it")
        case (false, true): return nil
        }
    }

    private func role(of server: Server, _ report: ClusterReport?, _ finding: (String) -> Finding) -> Finding? {
        let highest = max(remembered, report?.members.compactMap(\.timeline).max() ?? 0)
        let isLeader = report?.leaders.contains(server.name) == true
        return role(server, isLeader: isLeader, highest: highest, finding)
    }

    // MARK: Words

    private var isHTTP: Bool {
        switch settings.source {
        case .patroni, .etcd: true
        case .dns, .srv: false
        }
    }

    private var service: String { settings.kind == "etcd" ? "etcd" : "Patroni's REST API" }

    private var keys: String {
        settings.kind == "etcd" ? "`namespace` and `scope` are Patroni's," : "these are the endpoints of this cluster,"
    }

    private static func words(_ duration: Duration) -> String {
        let milliseconds = duration.nanoseconds / 1_000_000
        if milliseconds < 1_000 { return "\(milliseconds) ms" }
        return milliseconds % 1_000 < 100
            ? "\(milliseconds / 1_000) s" : "\(milliseconds / 1_000).\(milliseconds % 1_000 / 100) s"
    }

    private func warning(_ message: String, _ topic: Finding.Topic = .topology) -> Finding {
        Finding(.warning, topic, shard: shard, message)
    }
}
