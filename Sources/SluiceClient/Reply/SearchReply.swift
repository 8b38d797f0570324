package import SluiceWire

/// The nearest neighbours, and what was looked at to find them.
public struct SearchReply: Sendable {
    public struct Hit: Hashable, Sendable {
        public var collection: String
        public var id: Int64
        /// In the collection's metric; smaller is nearer. NaN for a hit of a hybrid search that only its words found.
        public var distance: Double
        public var columns: [String: Value]
        /// Where it was found.
        public var shard: String
        public var replica: String
    }

    /// Why a hit of a hybrid search is where it is.
    public struct Ranks: Hashable, Sendable {
        /// Larger is better.
        public var score: Double
        /// Its rank in the vector's list, from 1; nil if it is not in it.
        public var vector: Int?
        /// Its rank in the words' list, from 1; nil if it is not in it.
        public var text: Int?
    }

    /// How hard a search was, in rising order.
    public enum Rung: String, Hashable, Sendable {
        case asAsked = "as_asked"
        /// With a larger ef_search or more probes.
        case widerSearch = "wider_search"
        case iterativeScan = "iterative_scan"
        /// Every row was compared.
        case exact
        /// A newer gateway said something that this version has no name for.
        case unknown
    }

    public enum Source: String, Hashable, Sendable {
        case executed
        /// An equal search was running already, and its answer is this one's.
        case shared
        /// The gateway had the answer.
        case cache
        /// A newer gateway said something that this version has no name for.
        case unknown
    }

    /// Nearest first; equal distances by collection, then id. Of a hybrid search, the best score first; of a grouped
    /// one, group by group.
    public var hits: [Hit]
    public var legs: [LegReport]
    /// The share of the rows, by estimate, that the shards which answered have, from 0 to 1.
    public var coverage: Double
    /// What the gateway took.
    public var elapsed: Duration
    /// False if fewer hits than asked for were found although more rows may match.
    public var isComplete: Bool
    /// The hardest that a shard was searched.
    public var rung: Rung
    /// A shard was asked again, because its first share turned out to be too small.
    public var repaired: Bool
    public var source: Source
    /// The hits of each group, as ranges of `hits`, the nearest group first; empty without `SearchQuery.group`.
    public var groups: [Range<Int>]
    /// Of a hybrid search, one for each hit; else empty.
    public var ranks: [Ranks]
}

extension SearchReply {
    /// - Parameter list: which of the answer's lists.
    init(_ result: SearchResult, list: PackedHits) throws(WireError) {
        legs = result.legs.map(LegReport.init)
        coverage = result.coverage
        elapsed = result.elapsed
        isComplete = !result.mayBeIncomplete
        rung = Rung(result.rung)
        repaired = result.repaired
        source = Source(result.source)
        hits = try Self.hits(of: list, result.legs)
        groups = []
        ranks = []
    }

    /// Of an answer with one list.
    package init(_ result: SearchResult) throws(WireError) {
        try self.init(result, list: result.hits)
        try takeGroups(result.groupSizes)
        guard result.fused.isEmpty || result.fused.count == hits.count else {
            throw WireError(.malformed, "RESULT: its ranks are not one for each hit")
        }
        ranks = result.fused.map {
            Ranks(
                score: $0.score, vector: $0.vectorRank == 0 ? nil : $0.vectorRank,
                text: $0.textRank == 0 ? nil : $0.textRank)
        }
    }

    private mutating func takeGroups(_ sizes: [Int]) throws(WireError) {
        guard !sizes.isEmpty else { return }
        var start = 0
        for size in sizes {
            guard size <= hits.count - start else { break }
            groups.append(start..<start + size)
            start += size
        }
        guard groups.count == sizes.count, start == hits.count else {
            throw WireError(.malformed, "RESULT: its groups are not its hits")
        }
    }

    static func hits(of list: PackedHits, _ legs: [SluiceWire.LegReport]) throws(WireError) -> [Hit] {
        try list.hits(of: legs).map { hit in
            let leg = legs[hit.leg]
            var columns: [String: Value] = [:]
            for (column, cell) in zip(leg.columns, hit.cells) {
                columns[column.name] = Value(cell, typeOID: column.typeOID)
            }
            return Hit(
                collection: leg.collection, id: hit.id, distance: hit.distance, columns: columns, shard: leg.shard,
                replica: leg.replica)
        }
    }
}

extension SearchReply.Rung {
    init(_ rung: SluiceWire.Rung) {
        switch rung {
        case .asAsked: self = .asAsked
        case .widerSearch: self = .widerSearch
        case .iterativeScan: self = .iterativeScan
        case .exact: self = .exact
        default: self = .unknown
        }
    }
}

extension SearchReply.Source {
    init(_ source: AnswerSource) {
        switch source {
        case .executed: self = .executed
        case .shared: self = .shared
        case .cache: self = .cache
        default: self = .unknown
        }
    }
}
