/// What to search for.
public struct SearchQuery: Sendable {
    /// One or more. `search(_:)` merges their answers into one list, for which they must have the same metric.
    public var collections: [String]
    public var target: Target
    /// How many neighbours to find, at least 1; with `group`, how many groups.
    public var k: Int
    /// Columns of each hit; each collection must have them.
    public var columns: [String]
    /// How long the search may take altogether; nil for the gateway's default. The gateway cuts it to its own limit.
    public var deadline: Duration?
    /// hnsw.ef_search for this search, 1...1000: more finds more of the true neighbours and takes longer.
    public var efSearch: Int?
    /// Compare with every row instead of using an index.
    public var exact: Bool
    /// Accept an answer that not all shards have contributed to; `SearchReply.coverage` says how much did.
    public var allowPartial: Bool
    /// The share of the rows, 0...1, that an answer must cover: once it is reached, laggards get little time. Nil for
    /// all, or as `allowPartial` says.
    public var minCoverage: Double?
    /// Let the gateway ask a second replica when the first takes longer than most.
    public var allowHedges = true
    public var priority = Priority.interactive
    /// Only rows of which it is true, in all collections that have no filter of their own.
    public var filter: Filter?
    /// What single collections are asked instead, by their names.
    public var overrides: [String: Override] = [:]
    /// How the index scans work.
    public var settings = Settings()
    /// Only rows at most so far away, by `SearchReply.Hit.distance`. Finite.
    public var maxDistance: Double?
    /// If fewer than k are found while more rows may match, as with a filter that few rows pass, search harder until
    /// the deadline. `SearchReply.rung` says how hard it was, `isComplete` whether that was enough.
    public var complete = false
    /// How likely the first answers of the shards are to be enough for the merged list, above 0 to 1: with less than 1
    /// each shard is asked for fewer rows than k, and again if it turns out to have been too few. Nil for the gateway's
    /// default.
    public var probability: Double?
    /// The best of each group, by a column's value.
    public var group: Grouping?
    /// Search for words, too, and fuse the two lists.
    public var text: TextSearch?
    /// Coarse candidates first, exact distances of the best of them.
    public var twoPhase: TwoPhase?
    /// The model that made the vector. A collection that is known to be of another refuses it with `modelMismatch`
    /// instead of finding nonsense.
    public var model: String?
    /// Neither the gateway's result cache nor another search's execution answers this one.
    public var bypassCache = false
    /// What must be seen: only replicas that have replayed the log so far answer.
    public var after: ConsistencyToken?
    /// Only replicas that are no further behind answer. The collection's configuration may be stricter.
    public var maxStaleness: Duration?
    /// If no replica is as fresh as `after` and `maxStaleness` ask for, another answers, and `LegReport.isStale` says
    /// so.
    public var allowStale = false

    public enum Priority: UInt8, Hashable, Sendable {
        case interactive = 0
        /// Shed first when the gateway is full.
        case batch = 1
    }

    /// What the neighbours are neighbours of.
    public enum Target: Hashable, Sendable {
        case vector(Vector)
        /// The vector of this row, which itself is not found.
        case row(id: Int64, collection: String)
        /// Each collection's own, in `overrides`.
        case overrides
    }

    /// A search for a vector of type `vector`: as many components as the collections have dimensions, all finite. The
    /// parameters are the properties of the same names.
    public init(
        collections: [String], vector: [Float], k: Int = 10, columns: [String] = [], deadline: Duration? = nil,
        efSearch: Int? = nil, exact: Bool = false, allowPartial: Bool = false
    ) {
        self.init(
            collections: collections, target: .vector(.float(vector)), k: k, columns: columns, deadline: deadline,
            efSearch: efSearch, exact: exact, allowPartial: allowPartial)
    }

    public init(
        collections: [String], target: Target, k: Int = 10, columns: [String] = [], deadline: Duration? = nil,
        efSearch: Int? = nil, exact: Bool = false, allowPartial: Bool = false
    ) {
        self.collections = collections
        self.target = target
        self.k = k
        self.columns = columns
        self.deadline = deadline
        self.efSearch = efSearch
        self.exact = exact
        self.allowPartial = allowPartial
    }
}
