public import SluiceCore

/// What few searches ask for.
public struct SearchExtras: Hashable, Sendable {
    /// Vectors after the first, each of which is searched for by itself.
    public var furtherVectors: [QueryVector] = []
    /// A list for each collection instead of a merged one.
    public var isSeparate = false
    /// Search harder, within the deadline, if fewer than k are found while more rows may match.
    public var isComplete = false
    /// That the shards' first answers are enough for the merged list: above 0 to 1, which asks each shard for k.
    public var probability: Double?
    public var group: Grouping?
    public var text: TextSearch?
    public var twoPhase: TwoPhase?
    /// Search for this row's vector, and do not find the row itself.
    public var like: RowReference?
    /// How many hits an answer has; the rest of the k wait behind a cursor.
    public var pageSize: Int?
    /// Neither the cache nor another search's execution is to answer.
    public var bypassesCache = false
    /// Nil for whatever a replica has.
    public var freshness: Boxed<Freshness>?

    public struct Grouping: Hashable, Sendable {
        public var column: String
        /// Hits of each group, at least 1.
        public var size: Int

        public init(column: String, size: Int) {
            self.column = column
            self.size = size
        }
    }

    public struct TextSearch: Hashable, Sendable {
        public enum Fusion: Hashable, Sendable {
            case reciprocalRank(constant: Double)
            case normalisedScoreSum
        }

        public var query: String
        public var fusion: Fusion
        public var textWeight: Double
        public var vectorWeight: Double
        /// How long each list is before they are fused.
        public var candidates: Int?

        public init(
            query: String, fusion: Fusion, textWeight: Double, vectorWeight: Double, candidates: Int? = nil
        ) {
            self.query = query
            self.fusion = fusion
            self.textWeight = textWeight
            self.vectorWeight = vectorWeight
            self.candidates = candidates
        }
    }

    public struct TwoPhase: Hashable, Sendable {
        public var coarse: CoarseForm
        /// How many are ranked exactly, over all shards.
        public var candidates: Int?

        public init(coarse: CoarseForm, candidates: Int? = nil) {
            self.coarse = coarse
            self.candidates = candidates
        }
    }

    public struct RowReference: Hashable, Sendable {
        public var collection: String
        public var id: Int64
        /// Rows of which it is not true are none.
        public var filter: Filter?

        public init(collection: String, id: Int64) {
            self.collection = collection
            self.id = id
        }
    }

    public init() {}
}
