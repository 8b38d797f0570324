internal import NIOCore

/// The nearest neighbours of one or several vectors in some collections, please.
public struct SearchRequest: Hashable, Sendable {
    public var collections: [String]
    /// Each is searched for by itself: a batch. Empty if `byID` says what to search for, or each collection's override
    /// has a vector.
    public var vectors: [VectorBytes]
    public var k: Int
    public var columns: [String]
    /// The time left; nil for the gateway's default.
    public var deadline: Duration?
    public var efSearch: Int?
    public var exact: Bool
    public var allowPartial: Bool
    /// The share of the rows, 0...1, that an answer must cover; nil for all, or as `allowPartial` says.
    public var minCoverage: Double?
    /// False to never ask a second replica while the first is still at it.
    public var allowHedges = true
    /// 0 interactive, 1 batch: which is shed first.
    public var priority: UInt8 = 0
    public var filter: FilterExpression?
    /// At most one for each collection.
    public var overrides: [CollectionOverride] = []
    /// A list for each collection instead of a merged one.
    public var separate = false
    public var settings = ScanSettings()
    /// Only rows at most so far away. Finite.
    public var maxDistance: Double?
    /// If fewer than k are found while more rows may match, the gateway searches harder, within the deadline.
    public var complete = false
    /// With which probability the list is to be complete before a shard is asked again, above 0 to 1; nil for the
    /// gateway's default.
    public var probability: Double?
    public var group: Grouping?
    public var text: TextSearch?
    public var twoPhase: TwoPhase?
    /// The model that made the vectors: refused by collections of another.
    public var model: String?
    /// How many hits the answer has; the rest of the k wait behind a cursor. Nil for all at once.
    public var pageSize: Int?
    public var bypassCache = false
    /// The answer may come in parts.
    public var stream = false
    /// The row whose vector to search for.
    public var byID: RowReference?
    public var freshness = FreshnessTerms()
    /// Which trace it is part of; nil for none.
    public var trace: TraceContext?

    public static let maximumCollections = 64
    public static let maximumColumns = 256
    public static let maximumVectors = 64
    /// Of an answer: a list for each vector and collection.
    public static let maximumLists = maximumVectors * maximumCollections

    public init(
        collections: [String], vectors: [VectorBytes], k: Int, columns: [String] = [], deadline: Duration? = nil,
        efSearch: Int? = nil, exact: Bool = false, allowPartial: Bool = false
    ) {
        self.collections = collections
        self.vectors = vectors
        self.k = k
        self.columns = columns
        self.deadline = deadline
        self.efSearch = efSearch
        self.exact = exact
        self.allowPartial = allowPartial
    }

    public init(
        collections: [String], vector: VectorBytes, k: Int, columns: [String] = [], deadline: Duration? = nil,
        efSearch: Int? = nil, exact: Bool = false, allowPartial: Bool = false
    ) {
        self.init(
            collections: collections, vectors: [vector], k: k, columns: columns, deadline: deadline,
            efSearch: efSearch, exact: exact, allowPartial: allowPartial)
    }

    /// The first of the vectors; without one, bytes that `VectorBytes.validate()` refuses.
    public var vector: VectorBytes {
        get { vectors.first ?? VectorBytes(unchecked: .init()) }
        set { vectors = [newValue] + vectors.dropFirst() }
    }

    /// How many lists the answer has.
    public var listCount: Int { max(1, vectors.count) * (separate ? collections.count : 1) }

    /// The list of a vector, and, if they are separate, of a collection.
    public func listIndex(vector: Int, collection: Int) -> Int {
        separate ? vector * collections.count + collection : vector
    }

    /// Of a collection, if it has one.
    public func override(of collection: String) -> CollectionOverride? {
        overrides.first { $0.collection == collection }
    }

    /// Everything that needs no knowledge of the gateway's collections and limits. What decoding has accepted may still
    /// fail here: its vectors, and fields that do not go together.
    /// - Throws: `invalidArgument`, with the field's name.
    public func validate() throws(WireError) {
        try checkVectors()
        try checkOverrides()
        try checkCombinations()
        try filter?.validate()
        try settings.validate()
        try group?.validate()
        try text?.validate()
        try twoPhase?.validate()
        try freshness.validate()
        try checkNumbers()
    }

    private func checkVectors() throws(WireError) {
        guard vectors.count <= Self.maximumVectors else { throw Self.tooManyVectors }
        for (place, vector) in vectors.enumerated() {
            guard vector.form == vectors[0].form else { throw Rules.wrong("the vectors are of different types") }
            do { try vector.validate() } catch {
                guard vectors.count > 1 else { throw error }
                throw WireError(error.code, "vector \(place) of the batch: \(error.message)")
            }
        }
        if byID != nil, !vectors.isEmpty { throw Rules.wrong("a search has a vector or by_id, not both") }
    }

    private func checkOverrides() throws(WireError) {
        var seen: Set<String> = []
        var vectors = 0
        for override in overrides {
            guard collections.contains(override.collection) else {
                throw Rules.wrong("an override is for \(override.collection), which is not searched")
            }
            guard seen.insert(override.collection).inserted else {
                throw Rules.wrong("there are two overrides for \(override.collection)")
            }
            try override.validate()
            vectors += override.vector == nil ? 0 : 1
        }
        if vectors > 0, self.vectors.count > 1 {
            throw Rules.wrong("a batch of vectors and an override with a vector do not go together")
        }
        if self.vectors.isEmpty, byID == nil, vectors < collections.count {
            throw Rules.wrong("a search has a vector, by_id, or an override with a vector for each collection")
        }
    }

    private func checkCombinations() throws(WireError) {
        // Nearly all searches have none of it.
        if pageSize == nil, text == nil, group == nil, twoPhase == nil { return }
        // What an answer could not say: ranks, group sizes and cursors belong to one list.
        let (isBatch, isPaged, isGrouped) = (vectors.count > 1, pageSize != nil, group != nil)
        let together: [(String, Bool, String, Bool)] = [
            ("page_size", isPaged, "a batch", isBatch), ("page_size", isPaged, "separate", separate),
            ("page_size", isPaged, "stream", stream), ("page_size", isPaged, "group", isGrouped),
            ("text", text != nil, "a batch", isBatch), ("text", text != nil, "separate", separate),
            ("group", isGrouped, "a batch", isBatch), ("group", isGrouped, "separate", separate),
            ("group", isGrouped, "stream", stream), ("exact", exact, "two_phase", twoPhase != nil),
            ("text", text != nil, "group", isGrouped), ("text", text != nil, "stream", stream),
            ("two_phase", twoPhase != nil, "a batch", isBatch), ("two_phase", twoPhase != nil, "text", text != nil),
            ("two_phase", twoPhase != nil, "group", isGrouped),
        ]
        for (name, isThere, other, otherIsThere) in together where isThere && otherIsThere {
            throw Rules.wrong("\(name) and \(other) do not go together")
        }
    }

    private func checkNumbers() throws(WireError) {
        if let maxDistance { try Self.check(maxDistance: maxDistance) }
        if let probability { try Self.check(probability: probability) }
        if let minCoverage { try Self.check(minCoverage: minCoverage) }
        if let model { try Rules.check(name: model, "the model") }
        try Rules.check(k, in: 1...Int(UInt32.max), "k")
        try Rules.check(pageSize, in: 1...Int(UInt32.max), "page_size")
    }

    // MARK: Rules that decoding has, too

    static var tooManyVectors: WireError { Rules.wrong("a search has at most \(maximumVectors) vectors") }

    static func check(minCoverage: Double) throws(WireError) {
        try Rules.check(minCoverage, in: 0...1, "min_coverage")
    }

    static func check(maxDistance: Double) throws(WireError) {
        guard maxDistance.isFinite else { throw Rules.wrong("max_distance is \(maxDistance); it must be finite") }
    }

    static func check(probability: Double) throws(WireError) {
        guard probability > 0, probability <= 1 else {
            throw Rules.wrong("probability is \(probability); it must be above 0, and at most 1")
        }
    }
}
