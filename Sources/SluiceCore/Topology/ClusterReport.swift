/// Which server of a cluster: by the name that the cluster has for it, and where it is reached.
public struct MemberPlace: Hashable, Sendable, CustomStringConvertible {
    public var name: String
    public var host: String
    public var port: Int

    public init(name: String, host: String, port: Int) {
        self.name = name
        self.host = host
        self.port = port
    }

    public var description: String { "\(name) (\(host):\(port))" }
}

/// A server of a shard's cluster, as a source of topology says.
public struct ClusterMember: Hashable, Sendable {
    public enum Role: String, Hashable, Sendable, CaseIterable {
        case leader
        case standby
        /// A commit waits for it, or may.
        case synchronousStandby = "synchronous_standby"
    }

    public var place: MemberPlace
    public var role: Role
    /// Its server runs, as far as the source knows.
    public var isRunning: Bool
    /// Nil if the source does not say.
    public var timeline: UInt32?
    /// WAL that it has not received, in bytes; nil if the source does not say.
    public var lag: UInt64?

    public init(
        _ place: MemberPlace, role: Role, isRunning: Bool = true, timeline: UInt32? = nil, lag: UInt64? = nil
    ) {
        self.place = place
        self.role = role
        self.isRunning = isRunning
        self.timeline = timeline
        self.lag = lag
    }

    public var name: String { place.name }
}

/// A cluster as one witness describes it, well-formed and otherwise unchecked.
public struct ClusterReport: Hashable, Sendable {
    public var members: [ClusterMember]
    /// The names that the lock, or the role, is said to be with. A sound report has one or none.
    public var leaders: [String]
    /// The cluster follows another one: its leader takes no rows.
    public var isStandbyCluster: Bool
    /// Synchronous mode is on; nil if the witness does not say.
    public var isSynchronous: Bool?
    /// PostgreSQL's, by which clusters are told apart; nil if the witness does not say.
    public var systemIdentifier: UInt64?
    /// What it said of members that nothing can be made of, in words.
    public var complaints: [String]

    public init(
        members: [ClusterMember], leaders: [String], isStandbyCluster: Bool = false, isSynchronous: Bool? = nil,
        systemIdentifier: UInt64? = nil, complaints: [String] = []
    ) {
        self.members = members
        self.leaders = leaders
        self.isStandbyCluster = isStandbyCluster
        self.isSynchronous = isSynchronous
        self.systemIdentifier = systemIdentifier
        self.complaints = complaints
    }

    /// More members are not served from one cluster, nor are more witnesses asked about it.
    public static let mostMembers = 64
}

/// Why nobody of a shard may be written to, as far as its source goes.
public enum WriteRefusal: String, Hashable, Sendable, CaseIterable, Error {
    /// The source has not been heard since the gateway started.
    case unheard
    /// What it said last is older than the lease.
    case silent
    case noLeader = "no_leader"
    case twoLeaders = "two_leaders"
    /// Its witnesses contradict each other, and no more than half of them say the same.
    case disputed
    /// The leader is not among the members.
    case unlistedLeader = "unlisted_leader"
    case standbyCluster = "standby_cluster"
    /// The leader's timeline is lower than one that was seen before.
    case timelineBack = "timeline_back"
    /// What is described, or the leader's own server, is of another cluster than the shard's.
    case otherCluster = "other_cluster"
    case noSynchronousStandby = "no_synchronous_standby"
    /// The leader is another server.
    case notLeader = "not_leader"
    /// The leader's own server does not say that it is a primary, or cannot be reached.
    case notPrimary = "not_primary"

    /// What is to be done if the cluster is another one on purpose.
    static let otherClusterRemedy =
        "If the cluster was restored or replaced on purpose: stop the gateway, delete the shard's state_file, start it"

    /// What a client and the log are told.
    public var words: String {
        switch self {
        case .unheard: "its topology source has not been heard yet"
        case .silent: "its topology source has been silent for longer than leader_lease"
        case .noLeader: "its topology source names no leader"
        case .twoLeaders: "its topology source names two leaders"
        case .disputed: "the witnesses of its topology source contradict each other"
        case .unlistedLeader: "its topology source names a leader that is not among the members"
        case .standbyCluster: "its topology source says that it is a standby cluster"
        case .timelineBack: "the timeline of the leader that its topology source names is lower than one seen before"
        case .otherCluster:
            "its topology source, or the leader's own server, is of another cluster than before. "
                + Self.otherClusterRemedy
        case .noSynchronousStandby: "its leader has no synchronous standby, and require_sync is set"
        case .notLeader: "its topology source names another leader by now"
        case .notPrimary: "the leader that its topology source names is not, or not yet, a primary that can be reached"
        }
    }
}
