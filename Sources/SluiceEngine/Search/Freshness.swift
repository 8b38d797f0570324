internal import SluiceCore

/// How fresh the replicas must be that answer a request.
public struct Freshness: Hashable, Sendable {
    /// By the shards' names: how much of the log a replica must have replayed.
    public var positions: [String: UInt64]
    /// What a replica gives must not be older.
    public var maxStaleness: Duration?
    /// If no replica is as fresh, another answers, and the leg says so.
    public var allowsStale: Bool

    public init(positions: [String: UInt64] = [:], maxStaleness: Duration? = nil, allowsStale: Bool = false) {
        self.positions = positions
        self.maxStaleness = maxStaleness
        self.allowsStale = allowsStale
    }
}

extension RunningSearch {
    /// What a leg needs of its replica; nil for nothing, as nearly always.
    func need(of leg: PlannedLeg) -> FreshnessNeed? {
        guard let asked = terms.freshness?.value else {
            return leg.maxStaleness.map { FreshnessNeed(maxStaleness: $0) }
        }
        let bounds = [leg.maxStaleness, asked.maxStaleness].compactMap(\.self)
        let need = FreshnessNeed(position: asked.positions[leg.shardName], maxStaleness: bounds.min())
        return need.position == nil && need.maxStaleness == nil ? nil : need
    }

    var acceptsStale: Bool { terms.freshness?.value.allowsStale ?? false }
}
