internal import SluiceCore

/// A search made ready to run: its legs, and the settings they share.
struct SearchPlan: Sendable {
    let legs: [PlannedLeg]
    let settings: SearchSettings
}

/// One (collection, shard) of a kind of search: made once, shared by all searches of that kind.
public final class PlannedLeg: Sendable {
    public let collection: String
    /// The collection's place in the order of the names, which equal distances are ordered by.
    let collectionRank: Int
    public let shape: SearchShape
    let shardIndex: Int
    let shard: Catalogue.Shard
    /// How many rows of the collection are there.
    let estimate: RowEstimate
    let timeout: Duration?
    /// Legs of one kind take about as long: those of a collection, with an index or without.
    let latencyClass: Int
    public var shardName: String { shard.name }

    init(
        _ collection: Collection, collectionRank: Int, shape: SearchShape, shardIndex: Int, shard: Catalogue.Shard,
        estimate: RowEstimate
    ) {
        self.collection = collection.name
        self.collectionRank = collectionRank
        self.shape = shape
        self.shardIndex = shardIndex
        self.shard = shard
        self.estimate = estimate
        timeout = collection.timeout
        latencyClass = 2 * collection.number + (shape.isExact ? 1 : 0)
    }
}

/// Checks a request against the catalogue and turns it into legs. Keeps the legs it has made.
struct Planner {
    /// What two searches must share to have the same legs.
    private struct Kind: Hashable {
        var collections: [String]
        var columns: [String]
        var k: Int
        var exact: Bool
    }

    private struct Known {
        var collections: [Collection]
        var legs: [PlannedLeg]
    }

    /// HNSW's own range of ef_search (pgvector README, "Query Options").
    static let efSearchRange = 1...1_000
    private static let kindsKept = 1_024

    private let catalogue: Catalogue
    private let maximumK: Int
    private var kinds: [Kind: Known] = [:]

    init(catalogue: Catalogue, maximumK: Int) {
        self.catalogue = catalogue
        self.maximumK = maximumK
    }

    mutating func plan(_ search: Search) throws(SearchError) -> SearchPlan {
        guard (1...maximumK).contains(search.k) else {
            throw SearchError(.invalidArgument, "k is \(search.k); it must be from 1 to \(maximumK)")
        }
        if let efSearch = search.efSearch, !Self.efSearchRange.contains(efSearch) {
            throw SearchError(.invalidArgument, "ef_search is \(efSearch); it must be from 1 to 1000")
        }
        let known = try known(search)
        for collection in known.collections where collection.dimensions != search.dimensions {
            throw SearchError(
                .dimensionMismatch,
                "collection \"\(collection.name)\" has \(collection.dimensions) dimensions, "
                    + "the vector has \(search.dimensions)")
        }
        return SearchPlan(legs: known.legs, settings: Self.settings(search))
    }

    private mutating func known(_ search: Search) throws(SearchError) -> Known {
        let kind = Kind(collections: search.collections, columns: search.columns, k: search.k, exact: search.exact)
        if let known = kinds[kind] { return known }
        let collections = try collections(search)
        let made = Known(collections: collections, legs: legs(collections, search))
        if kinds.count >= Self.kindsKept { kinds.removeAll(keepingCapacity: true) }
        kinds[kind] = made
        return made
    }

    private func collections(_ search: Search) throws(SearchError) -> [Collection] {
        guard !search.collections.isEmpty else {
            throw SearchError(.invalidArgument, "no collection is named; name at least one")
        }
        if let twice = firstDuplicate(search.columns) {
            throw SearchError(.invalidArgument, "column \"\(twice)\" is asked for twice")
        }
        if let twice = firstDuplicate(search.collections) {
            throw SearchError(.invalidArgument, "collection \"\(twice)\" is named twice")
        }
        let collections = try search.collections.map { name throws(SearchError) in try collection(name, for: search) }
        if let first = collections.first, let other = collections.first(where: { $0.metric != first.metric }) {
            throw SearchError(
                .invalidArgument,
                "\"\(first.name)\" is compared by \(first.metric.rawValue) and \"\(other.name)\" by "
                    + "\(other.metric.rawValue): their distances cannot be merged; search them one at a time")
        }
        return collections
    }

    private func collection(_ name: String, for search: Search) throws(SearchError) -> Collection {
        guard let collection = catalogue.collections[name] else {
            throw SearchError(.unknownCollection, "there is no collection \"\(Self.shown(name))\"")
        }
        for column in search.columns where !collection.columns.contains(column) {
            throw SearchError(.unknownColumn, "collection \"\(name)\" has no column \"\(Self.shown(column))\"")
        }
        return collection
    }

    private func legs(_ collections: [Collection], _ search: Search) -> [PlannedLeg] {
        let names = collections.map(\.name).sorted()
        return collections.flatMap { collection in
            let shape = SearchShape(collection: collection, columns: search.columns, k: search.k, exact: search.exact)
            let rank = names.firstIndex(of: collection.name) ?? 0
            return collection.shards.map { shard in
                PlannedLeg(
                    collection, collectionRank: rank, shape: shape, shardIndex: shard, shard: catalogue.shards[shard],
                    estimate: catalogue.estimate(of: collection.name, shard: shard))
            }
        }
    }

    // MARK: Settings

    private static let noSettings = SearchSettings(shape: SettingShape([]), values: [])
    private static let withoutIndexes = SearchSettings(shape: SettingShape(["enable_indexscan"]), values: ["off"])
    private static let efSearchOnly = SettingShape(["hnsw.ef_search"])
    private static let efSearchAndIteration = SettingShape(["hnsw.ef_search", "hnsw.iterative_scan"])

    private static func settings(_ search: Search) -> SearchSettings {
        if search.exact { return withoutIndexes }
        // HNSW finds at most ef_search rows, so less than k would cut the answer short; 40 is pgvector's default.
        let needed = max(search.efSearch ?? defaultEfSearch, min(search.k, efSearchRange.upperBound))
        if search.k > efSearchRange.upperBound {
            return SearchSettings(shape: efSearchAndIteration, values: [String(needed), "strict_order"])
        }
        if search.efSearch == nil, needed == defaultEfSearch { return noSettings }
        return SearchSettings(shape: efSearchOnly, values: [String(needed)])
    }

    private static let defaultEfSearch = 40

    private func firstDuplicate(_ names: [String]) -> String? {
        if names.count < 2 { return nil }
        var seen: Set<String> = []
        return names.first { !seen.insert($0).inserted }.map(Self.shown)
    }

    /// A client's word as it may stand in a message: short and without control characters.
    static func shown(_ text: String) -> String {
        String(
            String.UnicodeScalarView(text.unicodeScalars.prefix(63).map { $0.value < 32 || $0.value == 127 ? "?" : $0 })
        )
    }
}
