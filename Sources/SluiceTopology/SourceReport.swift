package import SluiceCore

/// How a shard's source is doing, and each witness of it.
package struct SourceReport: Hashable, Sendable {
    package struct Endpoint: Hashable, Sendable {
        /// Like `endpoints[0]`, its place in the configuration; `dns` of a name.
        package var name: String
        /// Since the last round was begun in which it answered; nil if there is none.
        package var age: Duration?
        /// What it said then, in a few words.
        package var said: String?
        /// Why it did not answer when it did not last, and how long ago that was.
        package var error: String?
        package var errorAge: Duration?
        /// It was asked in vain the last time.
        package var isSilent: Bool
    }

    /// `patroni`, `etcd`, `dns` or `srv`.
    package var kind: String
    package var condition: SourceCondition
    /// Whom it names, whether or not that one may be written to.
    package var leader: MemberPlace?
    package var leaderTimeline: UInt32?
    package var endpoints: [Endpoint]
    package var leaderChanges: UInt64
    package var memberChanges: UInt64
}

extension SourceReport {
    init(_ settings: TopologySettings, _ machine: ShardTopology, _ ledger: SourceLedger, now: Instant) {
        func age(_ instant: Instant?) -> Duration? { instant.map { max(.zero, $0.duration(to: now)) } }
        self.init(
            kind: settings.kind,
            condition: ledger.condition(
                age: machine.age(now: now), bound: settings.oldest, hasComplaints: machine.hasComplaints, now: now),
            leader: machine.leader, leaderTimeline: machine.leaderTimeline,
            endpoints: ledger.witnesses.map {
                Endpoint(
                    name: $0.name, age: age($0.answered), said: $0.said, error: $0.error, errorAge: age($0.failed),
                    isSilent: $0.isSilent)
            },
            leaderChanges: ledger.leaderChanges, memberChanges: ledger.memberChanges)
    }
}

extension TopologySettings {
    package var kind: String {
        switch source {
        case .patroni: "patroni"
        case .etcd: "etcd"
        case .dns: "dns"
        case .srv: "srv"
        }
    }

    /// What those are called that are asked, in their order.
    package var witnesses: [String] {
        switch source {
        case .patroni(let endpoints), .etcd(let endpoints, _): endpoints.indices.map(HTTPEndpoint.name)
        case .dns, .srv: ["dns"]
        }
    }

    /// What a source that is asked as it should be says is never older: a round may be lost.
    var oldest: Duration { interval * 2 + timeout * 2 }
}
