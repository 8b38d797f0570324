internal import SluiceCore
internal import SluiceTopology

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

        /// Since the last round that was answered began; nil before the first.
        package var age: Double?
        /// The source says who may be written to.
        package var isFenced: Bool
        /// Who may be written to, if that is the source's to say and it names one.
        package var writable: String?
        /// Why nobody may be written to.
        package var refused: String?
        /// The highest that was seen; it never goes back.
        package var timeline: UInt32
        /// The cluster's, as PostgreSQL has it; nil while it is not known.
        package var systemIdentifier: String?
        package var members: [Member]
        package var complaints: [String]
        /// How often a write was held up, by the reason.
        package var refusals: [Refusal]
    }
}

extension GatewayState.Topology {
    init(_ report: ShardWatch.Report) {
        var (writable, refused): (String?, String?) = (nil, nil)
        if report.isFenced {
            switch report.verdict {
            case .writable(let place): writable = place.name
            case .refused(let refusal): refused = refusal.rawValue
            }
        }
        self.init(
            age: report.age?.seconds, isFenced: report.isFenced, writable: writable, refused: refused,
            timeline: report.highestTimeline, systemIdentifier: report.systemIdentifier.map { String($0) },
            members: report.members.map {
                .init(
                    name: $0.name, role: $0.role.rawValue, isRunning: $0.isRunning, timeline: $0.timeline,
                    lagBytes: $0.lag)
            },
            complaints: report.complaints,
            refusals: WriteRefusal.allCases.map { .init(reason: $0.rawValue, count: report.refusals[$0] ?? 0) })
    }
}
