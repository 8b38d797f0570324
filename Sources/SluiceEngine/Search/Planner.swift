internal import SluiceCore

/// A search made ready to run: its legs, and the settings they share.
struct SearchPlan: Sendable {
    struct Leg: Sendable {
        /// The collection's place in the order of the names, which equal distances are ordered by.
        var collectionRank: Int
        var shape: SearchShape
        var shard: Catalogue.Shard
    }

    var legs: [Leg]
    /// Settings for each leg besides `statement_timeout`, which depends on the time left.
    var settings: [BackendSetting]
}

/// Checks a request against the catalogue and turns it into legs. Keeps the shapes it has made.
struct Planner {
    private struct ShapeKey: Hashable {
        var collection: String
        var columns: [String]
        var k: Int
        var exact: Bool
    }

    /// HNSW's own range of ef_search (pgvector README, "Query Options").
    static let efSearchRange = 1...1_000
    private static let shapesKept = 1_024

    private let catalogue: Catalogue
    private let maximumK: Int
    private var shapes: [ShapeKey: SearchShape] = [:]

    init(catalogue: Catalogue, maximumK: Int) {
        self.catalogue = catalogue
        self.maximumK = maximumK
    }

    mutating func plan(_ search: Search) throws(SearchError) -> SearchPlan {
        guard !search.collections.isEmpty else {
            throw SearchError(.invalidArgument, "no collection is named; name at least one")
        }
        guard (1...maximumK).contains(search.k) else {
            throw SearchError(.invalidArgument, "k is \(search.k); it must be from 1 to \(maximumK)")
        }
        if let efSearch = search.efSearch, !Self.efSearchRange.contains(efSearch) {
            throw SearchError(.invalidArgument, "ef_search is \(efSearch); it must be from 1 to 1000")
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
        return SearchPlan(legs: legs(collections, search), settings: settings(search))
    }

    private func collection(_ name: String, for search: Search) throws(SearchError) -> Collection {
        guard let collection = catalogue.collections[name] else {
            throw SearchError(.unknownCollection, "there is no collection \"\(Self.shown(name))\"")
        }
        guard search.dimensions == collection.dimensions else {
            throw SearchError(
                .dimensionMismatch,
                "collection \"\(name)\" has \(collection.dimensions) dimensions, the vector has \(search.dimensions)")
        }
        for column in search.columns where !collection.columns.contains(column) {
            throw SearchError(.unknownColumn, "collection \"\(name)\" has no column \"\(Self.shown(column))\"")
        }
        return collection
    }

    private mutating func legs(_ collections: [Collection], _ search: Search) -> [SearchPlan.Leg] {
        let names = collections.map(\.name).sorted()
        var legs: [SearchPlan.Leg] = []
        for collection in collections {
            let shape = shape(collection, search)
            let rank = names.firstIndex(of: collection.name) ?? 0
            for shard in collection.shards {
                legs.append(.init(collectionRank: rank, shape: shape, shard: catalogue.shards[shard]))
            }
        }
        return legs
    }

    private mutating func shape(_ collection: Collection, _ search: Search) -> SearchShape {
        let key = ShapeKey(collection: collection.name, columns: search.columns, k: search.k, exact: search.exact)
        if let known = shapes[key] { return known }
        let made = SearchShape(collection: collection, columns: search.columns, k: search.k, exact: search.exact)
        if shapes.count >= Self.shapesKept { shapes.removeAll(keepingCapacity: true) }
        shapes[key] = made
        return made
    }

    private func settings(_ search: Search) -> [BackendSetting] {
        if search.exact { return [BackendSetting("enable_indexscan", "off")] }
        // HNSW finds at most ef_search rows, so less than k would cut the answer short; 40 is pgvector's default.
        let needed = max(search.efSearch ?? Self.defaultEfSearch, min(search.k, Self.efSearchRange.upperBound))
        var settings: [BackendSetting] = []
        if search.efSearch != nil || needed != Self.defaultEfSearch {
            settings.append(BackendSetting("hnsw.ef_search", String(needed)))
        }
        if search.k > Self.efSearchRange.upperBound {
            settings.append(BackendSetting("hnsw.iterative_scan", "strict_order"))
        }
        return settings
    }

    private static let defaultEfSearch = 40

    private func firstDuplicate(_ names: [String]) -> String? {
        if names.count < 2 { return nil }
        var seen: Set<String> = []
        return names.first { !seen.insert($0).inserted }.map(Self.shown)
    }

    /// A client's word as it may stand in a message: short and without control characters.
    private static func shown(_ text: String) -> String {
        String(
            String.UnicodeScalarView(text.unicodeScalars.prefix(63).map { $0.value < 32 || $0.value == 127 ? "?" : $0 })
        )
    }
}
