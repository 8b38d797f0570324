/// What a leg needs of the replica that answers it.
public struct FreshnessNeed: Hashable, Sendable {
    /// The log must have been replayed so far.
    public var position: UInt64?
    /// What it gives must not be older.
    public var maxStaleness: Duration?

    public init(position: UInt64? = nil, maxStaleness: Duration? = nil) {
        self.position = position
        self.maxStaleness = maxStaleness
    }
}

extension ShardMachine {
    /// What a replica gives is at most so old; nil if that is not known.
    public func stalenessBound(of replica: Int, now: Instant) -> Duration? {
        primaryPlaces.contains(replica) ? .zero : staleness.bound(of: replica, now: now)
    }

    public func isFresh(_ replica: Int, for need: FreshnessNeed, now: Instant) -> Bool {
        if primaryPlaces.contains(replica) { return true }
        if let position = need.position, !staleness.hasReplayed(position, on: replica) { return false }
        guard let most = need.maxStaleness else { return true }
        return staleness.bound(of: replica, now: now).map { $0 <= most } ?? false
    }

    /// Those that must not answer.
    public func stale(for need: FreshnessNeed, now: Instant) -> ReplicaSet {
        var stale = ReplicaSet()
        for place in replicas.indices where !isFresh(place, for: need, now: now) { stale.insert(place) }
        return stale
    }

    /// Whether a leg had better wait until a replica of the preferred role has what is needed.
    public enum FreshnessOutlook: Hashable, Sendable {
        /// One has it, or none can be expected to get it.
        case ready
        /// None has it yet. These are worth asking how far they are.
        case wait(ReplicaSet)
    }

    /// - Parameter tried: those that the leg has asked before.
    public func outlook(for need: FreshnessNeed, tried: ReplicaSet, now: Instant) -> FreshnessOutlook {
        var behind = ReplicaSet()
        var hasPreferred = false
        for place in replicas.indices where isUsable(place, avoiding: tried) {
            if isFresh(place, for: need, now: now) {
                if isPreferred(place) { return .ready }
                continue
            }
            // What a server is that has not said it yet is worth asking, too.
            if isPreferred(place) || replicas[place].role == .unknown { hasPreferred = true }
            behind.insert(place)
        }
        guard hasPreferred || (!behind.isEmpty && !hasFresh(need, tried, now)) else { return .ready }
        guard need.maxStaleness != nil else { return .wait(behind) }
        // How old a standby's rows are can be said only by what the primary had.
        for place in replicas.indices where replicas[place].role == .primary { behind.insert(place) }
        return .wait(behind)
    }

    private func hasFresh(_ need: FreshnessNeed, _ tried: ReplicaSet, _ now: Instant) -> Bool {
        replicas.indices.contains { isUsable($0, avoiding: tried) && isFresh($0, for: need, now: now) }
    }
}
