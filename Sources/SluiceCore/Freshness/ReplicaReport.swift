/// What a server says of itself when it is asked.
public struct ReplicaReport: Hashable, Sendable {
    public var role: ReplicaRole
    /// Of a primary: it counts up at each promotion. Nil for a standby, or if it was not asked for.
    public var timeline: UInt32?
    /// As far as the server has got in the shard's log: a primary has written that much, a standby has replayed it.
    public var position: UInt64?
    /// Another number after each start, and another one on each server. Nil if it was not asked for.
    public var incarnation: UInt64?
    /// The cluster's, the same on all its servers. Nil if the server does not say it.
    public var systemIdentifier: UInt64?
    /// What the server said was true then, or later.
    public var asked: Instant

    public init(
        role: ReplicaRole, timeline: UInt32? = nil, position: UInt64? = nil, incarnation: UInt64? = nil,
        systemIdentifier: UInt64? = nil, asked: Instant
    ) {
        self.role = role
        self.timeline = timeline
        self.position = position
        self.incarnation = incarnation
        self.systemIdentifier = systemIdentifier
        self.asked = asked
    }
}

/// Where a shard can be written to.
public enum PrimaryChoice: Hashable, Sendable {
    case found(replica: Int, timeline: UInt32)
    case none(NoPrimary)
    /// Several servers say that they are it: writing to any of them could be writing to the wrong one.
    case conflict([Int])
}

/// Why a shard has no primary.
public enum NoPrimary: Hashable, Sendable {
    case unreachable
    /// It has not said yet what it is, or on which timeline.
    case unknown
    /// All that can be reached are standbys.
    case onlyStandbys
    /// The one that says that it is it has been left behind by a promotion elsewhere.
    case demoted
    /// The one that says that it is it is of another cluster than most of the shard's servers.
    case otherCluster
}

/// Two servers of a shard have begun to say that they are its primary, or have stopped.
public enum PrimaryConflictChange: Hashable, Sendable {
    case began([Int])
    case ended
}
