internal import SluiceCore

/// A search made ready to run: its legs, and what each of them asks.
struct SearchPlan: Sendable {
    let legs: [PlannedLeg]
    /// One for each leg; those of one collection are alike.
    let inputs: [LegInput]
    let maxDistance: Double
}

/// What a leg asks besides its shape: settings and parameters.
struct LegInput: Sendable {
    let settings: SearchSettings
    let vector: [UInt8]
    let filterValues: [ParameterValue]
}

/// One (collection, shard) of a kind of search: made once, shared by all searches of that kind.
public final class PlannedLeg: Sendable {
    public let collection: String
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
        _ collection: Collection, shape: SearchShape, shardIndex: Int, shard: Catalogue.Shard, estimate: RowEstimate
    ) {
        self.collection = collection.name
        collectionRank = collection.rank
        self.shape = shape
        self.shardIndex = shardIndex
        self.shard = shard
        self.estimate = estimate
        timeout = collection.timeout
        latencyClass = 2 * collection.number + (shape.isExact ? 1 : 0)
    }
}

/// Checks a request against the catalogue and turns it into legs. Keeps the legs and settings it has made, so that
/// connections know them by identity.
struct Planner {
    /// What two searches of a collection must share to have the same legs.
    private struct Kind: Hashable {
        var collection: Int
        var columns: [String]
        var k: Int
        var exact: Bool
        var filter: FilterShape?
    }

    /// One client that varies its requests without end must not make all others prepare anew; the oldest goes first.
    private static let kindsKept = 4_096

    private let catalogue: Catalogue
    private let maximumK: Int
    private var kinds: RecentTable<Kind, [PlannedLeg]>
    private var settingShapes: [[String]: SettingShape] = [:]
    private let noSettings = SearchSettings(shape: SettingShape([]), values: [])

    init(catalogue: Catalogue, maximumK: Int) {
        self.catalogue = catalogue
        self.maximumK = maximumK
        kinds = RecentTable(capacity: Self.kindsKept)
    }

    mutating func plan(_ search: Search) throws(SearchError) -> SearchPlan {
        try check(k: search.k)
        if !search.settings.isEmpty { try search.settings.checkRanges() }
        try checkNames(search)
        let collections = try collections(search)
        let maxDistance = search.maxDistance ?? .infinity
        if collections.count == 1 {
            let (legs, input) = try plan(search, collections[0])
            let inputs = Array(repeating: input, count: legs.count)
            return SearchPlan(legs: legs, inputs: inputs, maxDistance: maxDistance)
        }
        var legs: [PlannedLeg] = []
        var inputs: [LegInput] = []
        for collection in collections {
            let (its, input) = try plan(search, collection)
            legs += its
            inputs += repeatElement(input, count: its.count)
        }
        return SearchPlan(legs: legs, inputs: inputs, maxDistance: maxDistance)
    }

    private mutating func plan(
        _ search: Search, _ collection: Collection
    ) throws(SearchError) -> ([PlannedLeg], LegInput) {
        let own = search.overrides[collection.name]
        let vector = own?.vector ?? search.vector
        let k = own?.k ?? search.k
        if own?.k != nil { try check(k: k) }
        try check(vector, collection)
        let columns = own?.columns ?? search.columns
        for column in columns where !collection.columns.contains(column) {
            throw SearchError(
                .unknownColumn, "collection \"\(collection.name)\" has no column \"\(Self.shown(column))\"")
        }
        var filter: FilterPlan?
        if let asked = own?.filter ?? search.filter {
            filter = try FilterPlan(asked, columns: collection.filterable, collection: collection.name)
        }
        let settings = try settings(search, collection, k: k)
        let kind = Kind(
            collection: collection.number, columns: columns, k: k, exact: search.exact, filter: filter?.shape)
        let input = LegInput(settings: settings, vector: vector.bytes, filterValues: filter?.values ?? [])
        if let known = kinds[kind] { return (known, input) }
        let shape = SearchShape(
            collection: collection, columns: columns, k: k, exact: search.exact, filter: filter?.shape)
        let legs = collection.shards.map { shard in
            PlannedLeg(
                collection, shape: shape, shardIndex: shard, shard: catalogue.shards[shard],
                estimate: catalogue.estimate(of: collection.name, shard: shard))
        }
        kinds[kind] = legs
        return (legs, input)
    }

    // MARK: Checks

    private func check(k: Int) throws(SearchError) {
        guard (1...maximumK).contains(k) else {
            throw SearchError(.invalidArgument, "k is \(k); it must be from 1 to \(maximumK)")
        }
    }

    private func check(_ vector: QueryVector, _ collection: Collection) throws(SearchError) {
        guard vector.form == collection.form else {
            throw SearchError(
                .invalidArgument,
                "collection \"\(collection.name)\" has vectors of type \(collection.form.rawValue), "
                    + "the request's is \(vector.form.rawValue)")
        }
        guard vector.dimensions == collection.dimensions else {
            throw SearchError(
                .dimensionMismatch,
                "collection \"\(collection.name)\" has \(collection.dimensions) dimensions, "
                    + "the vector has \(vector.dimensions)")
        }
    }

    private func checkNames(_ search: Search) throws(SearchError) {
        guard !search.collections.isEmpty else {
            throw SearchError(.invalidArgument, "no collection is named; name at least one")
        }
        if let twice = firstDuplicate(search.columns) {
            throw SearchError(.invalidArgument, "column \"\(twice)\" is asked for twice")
        }
        if let twice = firstDuplicate(search.collections) {
            throw SearchError(.invalidArgument, "collection \"\(twice)\" is named twice")
        }
        for (name, override) in search.overrides {
            guard search.collections.contains(name) else {
                throw SearchError(
                    .invalidArgument, "there is an override for \"\(Self.shown(name))\", which is not searched")
            }
            if let twice = firstDuplicate(override.columns ?? []) {
                throw SearchError(.invalidArgument, "column \"\(twice)\" is asked for twice")
            }
        }
        if let distance = search.maxDistance, !distance.isFinite {
            throw SearchError(.invalidArgument, "max_distance must be a finite number")
        }
    }

    private func collections(_ search: Search) throws(SearchError) -> [Collection] {
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
        if let asked = search.model, let model = collection.model, asked != model {
            throw SearchError(
                .modelMismatch,
                "collection \"\(name)\" holds vectors of model \"\(model)\", not \"\(Self.shown(asked))\"")
        }
        return collection
    }

    // MARK: Settings

    private mutating func settings(
        _ search: Search, _ collection: Collection, k: Int
    ) throws(SearchError) -> SearchSettings {
        // What nearly every search asks: nothing.
        if !search.exact, search.settings.isEmpty, collection.defaults.isEmpty, ScanSettings.suffices(forK: k) {
            return noSettings
        }
        try search.settings.check(within: collection.caps, of: collection.name)
        var assignments = search.settings.filled(from: collection.defaults).assignments(k: k)
        if search.exact { assignments = assignments.filter { $0.name == "work_mem" } + [("enable_indexscan", "off")] }
        let names = assignments.map(\.name)
        let shape = settingShapes[names] ?? (names.isEmpty ? noSettings.shape : SettingShape(names))
        settingShapes[names] = shape
        return SearchSettings(shape: shape, values: assignments.map(\.value))
    }

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
