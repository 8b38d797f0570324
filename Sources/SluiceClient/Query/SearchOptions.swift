extension SearchQuery {
    /// What one collection is asked instead of what the query says; nil for the same.
    public struct Override: Hashable, Sendable {
        public var vector: Vector?
        /// How many rows it may bring, at least 1.
        public var k: Int?
        /// An empty list asks for none.
        public var columns: [String]?
        public var filter: Filter?

        public init(vector: Vector? = nil, k: Int? = nil, columns: [String]? = nil, filter: Filter? = nil) {
            self.vector = vector
            self.k = k
            self.columns = columns
            self.filter = filter
        }
    }

    /// How the index scans of this one search work; nil for what the gateway's configuration says. The configuration
    /// may set narrower bounds.
    public struct Settings: Hashable, Sendable {
        /// What an index scan does when the filter has thrown out so many of its rows that too few are left.
        public enum Iteration: UInt8, Hashable, Sendable, CaseIterable {
            /// It ends.
            case off = 0
            /// It goes on; rows may come a little out of order, and the gateway sorts them.
            case relaxed = 1
            /// It goes on, and drops rows that come out of order. Not for ivfflat.
            case strict = 2
        }

        /// ivfflat.probes, 1...32768: how many lists are looked at.
        public var probes: Int?
        public var iterativeScan: Iteration?
        /// hnsw.max_scan_tuples, 1...2147483647: where an iterative scan ends.
        public var maxScanTuples: Int?
        /// hnsw.scan_mem_multiplier, 1...1000: the memory of an iterative scan, in work_mems.
        public var scanMemoryMultiplier: Double?
        /// work_mem in KiB, 64...2147483647.
        public var workMemKiB: Int?

        public init(
            probes: Int? = nil, iterativeScan: Iteration? = nil, maxScanTuples: Int? = nil,
            scanMemoryMultiplier: Double? = nil, workMemKiB: Int? = nil
        ) {
            self.probes = probes
            self.iterativeScan = iterativeScan
            self.maxScanTuples = maxScanTuples
            self.scanMemoryMultiplier = scanMemoryMultiplier
            self.workMemKiB = workMemKiB
        }
    }

    /// The best hits of each value of a column.
    public struct Grouping: Hashable, Sendable {
        public var column: String
        /// How many hits of each group, 1...10000.
        public var size: Int

        public init(by column: String, size: Int = 1) {
            self.column = column
            self.size = size
        }
    }

    /// The other half of a hybrid search.
    public struct TextSearch: Hashable, Sendable {
        /// How the list of the vector and the list of the words become one. Larger scores are better.
        public enum Fusion: Hashable, Sendable {
            /// The sum over the two lists of weight ÷ (constant + rank). The constant is 0...1000000.
            case reciprocalRank(constant: Double = 60)
            /// The sum over the two lists of weight × score, scaled to 0...1 within each list.
            case scoreSum
        }

        /// 1...4096 bytes, as PostgreSQL's `websearch_to_tsquery` reads them: `"exact words" or other -without`.
        public var query: String
        public var fusion: Fusion
        /// 0...1000000, not both 0.
        public var textWeight: Double
        public var vectorWeight: Double
        /// How long each list is before the two are fused, 1...1000000; nil for the gateway's default.
        public var candidates: Int?

        public init(
            _ query: String, fusion: Fusion = .reciprocalRank(), textWeight: Double = 1, vectorWeight: Double = 1,
            candidates: Int? = nil
        ) {
            self.query = query
            self.fusion = fusion
            self.textWeight = textWeight
            self.vectorWeight = vectorWeight
            self.candidates = candidates
        }
    }

    /// A search of a small index first, then exact distances of its best rows. Not with `exact`.
    public struct TwoPhase: Hashable, Sendable {
        public enum Coarse: UInt8, Hashable, Sendable, CaseIterable {
            /// One bit a component.
            case binary = 0
            /// 16 bits a component.
            case half = 1
        }

        public var coarse: Coarse
        /// How many are ranked exactly, over all shards, 1...1000000; nil for the gateway's default.
        public var candidates: Int?

        public init(_ coarse: Coarse, candidates: Int? = nil) {
            self.coarse = coarse
            self.candidates = candidates
        }
    }
}
