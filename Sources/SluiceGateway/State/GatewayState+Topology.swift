internal import SluiceCore
package import SluiceTopology

extension GatewayState {
    /// What is known of a shard by the source of its topology.
    package struct Topology: Codable, Hashable, Sendable {
        package struct Member: Codable, Hashable, Sendable {
            package var name: String
            /// `leader`, `standby` or `synchronous_standby`.
            package var role: String
            package var isRunning: Bool
            package var timeline: UInt32?
            package var lagBytes: UInt64?
        }

        package struct Refusal: Codable, Hashable, Sendable {
            package var reason: String
            package var count: UInt64
        }

        /// Somebody who is asked.
        package struct Endpoint: Codable, Hashable, Sendable {
            /// Like `endpoints[0]`: its place in the configuration.
            package var name: String
            /// It answered when it was asked last.
            package var isAnswering: Bool
            /// Since the last round began that it answered in; nil before the first.
            package var age: Double?
            /// What it said then, like `leader n1, 3 members, timeline 4`.
            package var said: String?
            /// Why it did not answer when it did not last, also if it answers by now; and how long ago that was.
            package var error: String?
            package var errorAge: Double?
        }

        /// `patroni`, `etcd`, `dns` or `srv`.
        package var source: String
        /// How the source is doing: `unheard`, `current`, `impaired` or `stale`.
        package var state: String
        /// The same in words.
        package var words: String
        /// Since the last round that was answered began; nil before the first.
        package var age: Double?
        /// The source says who may be written to.
        package var isFenced: Bool
        /// Who may be written to, if that is the source's to say and it names one.
        package var writable: String?
        /// Why nobody may be written to.
        package var refused: String?
        /// The same in words.
        package var refusedWords: String?
        /// Whom the source names, whether or not that one may be written to, and its timeline.
        package var leader: String?
        package var leaderTimeline: UInt32?
        /// The highest that was seen; it never goes back.
        package var timeline: UInt32
        /// The cluster's, as PostgreSQL has it; nil while it is not known.
        package var systemIdentifier: String?
        package var members: [Member]
        package var endpoints: [Endpoint]
        package var complaints: [String]
        /// How often a write was held up, by the reason.
        package var refusals: [Refusal]
        /// How often another was named leader, and other servers were members.
        package var leaderChanges: UInt64
        package var memberChanges: UInt64
    }
}

extension GatewayState.Topology {
    package init(_ report: ShardWatch.Report) {
        var (writable, refusal): (String?, WriteRefusal?) = (nil, nil)
        if report.isFenced {
            switch report.verdict {
            case .writable(let place): writable = place.name
            case .refused(let reason): refusal = reason
            }
        }
        let source = report.source
        self.init(
            source: source.kind, state: source.condition.rawValue, words: source.condition.words,
            age: report.age?.seconds, isFenced: report.isFenced, writable: writable, refused: refusal?.rawValue,
            refusedWords: refusal?.words, leader: source.leader?.name, leaderTimeline: source.leaderTimeline,
            timeline: report.highestTimeline, systemIdentifier: report.systemIdentifier.map { String($0) },
            members: report.members.map {
                .init(
                    name: $0.name, role: $0.role.rawValue, isRunning: $0.isRunning, timeline: $0.timeline,
                    lagBytes: $0.lag)
            },
            endpoints: source.endpoints.map {
                .init(
                    name: $0.name, isAnswering: !$0.isSilent && $0.age != nil, age: $0.age?.seconds, said: $0.said,
                    error: $0.error, errorAge: $0.errorAge?.seconds)
            },
            complaints: report.complaints,
            refusals: WriteRefusal.allCases.map { .init(reason: $0.rawValue, count: report.refusals[$0] ?? 0) },
            leaderChanges: source.leaderChanges, memberChanges: source.memberChanges)
    }

    /// It is heard as it should be.
    package var isUp: Bool {
        switch SourceCondition(rawValue: state) {
        case .current, .impaired: true
        case .unheard, .stale, nil: false
        }
    }
}
