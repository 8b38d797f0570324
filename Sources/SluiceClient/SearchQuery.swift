/// What to search for.
public struct SearchQuery: Sendable {
    /// One or more, compared by the same metric: their answers are merged into one list.
    public var collections: [String]
    /// As many components as the collections have dimensions; all finite.
    public var vector: [Float]
    /// How many neighbours to find, at least 1.
    public var k: Int
    /// Columns of each hit; each collection must have them.
    public var columns: [String]
    /// How long the search may take altogether; nil for the gateway's default.
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

    public enum Priority: UInt8, Hashable, Sendable {
        case interactive = 0
        /// Shed first when the gateway is full.
        case batch = 1
    }

    public init(
        collections: [String], vector: [Float], k: Int = 10, columns: [String] = [], deadline: Duration? = nil,
        efSearch: Int? = nil, exact: Bool = false, allowPartial: Bool = false
    ) {
        self.collections = collections
        self.vector = vector
        self.k = k
        self.columns = columns
        self.deadline = deadline
        self.efSearch = efSearch
        self.exact = exact
        self.allowPartial = allowPartial
    }
}
