/// Between the two phases of a search: of the coarse candidates of all legs, found with quantised vectors and so with
/// approximate distances, the nearest go on to be compared exactly. They are chosen over all shards together, so the
/// second phase asks only the shards where some of them live, for those alone; each shard re-ranking its own would do
/// as many times the work as there are shards.
public struct CandidateFunnel: Sendable {
    public struct Survivors: Hashable, Sendable {
        public var leg: Int
        /// Nearest first by the approximate distance; never empty.
        public var ids: [Int64]
    }

    private var merge: TopKMerge

    /// - Parameter most: candidates that go on, usually a few times k; less than 1: none.
    public init(most: Int) { merge = TopKMerge(k: most) }

    /// Rows refused because their distance is not a number.
    public var unordered: Int { merge.unordered }
    /// The approximate distance that a candidate must beat to go on; nil while there is room.
    public var bound: Double? { merge.bound }

    /// A row that two legs found goes on once, for the leg where it is nearer.
    public mutating func offer(_ candidate: Candidate) { merge.offer(candidate) }

    /// Only legs of which something goes on, by their number.
    public consuming func finish() -> [Survivors] {
        var ids: [Int: [Int64]] = [:]
        for candidate in merge.finish() { ids[candidate.leg, default: []].append(candidate.id) }
        return ids.map { Survivors(leg: $0.key, ids: $0.value) }.sorted { $0.leg < $1.leg }
    }
}
