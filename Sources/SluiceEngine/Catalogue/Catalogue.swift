public import SluiceCore
internal import Synchronization

/// What the gateway serves: its shards with their replicas, and the collections on them. Made from the configuration,
/// never changed.
public struct Catalogue: Sendable {
    public struct Replica: Hashable, Sendable {
        public var name: String
        /// Which backend serves it: an index into the list that a lane is made with.
        public var backend: Int
        /// The most that one attempt on it may take.
        public var timeout: Duration?
        /// Which member of the shard's cluster it is; nil if the configuration lists it.
        public var member: MemberPlace?

        public init(name: String, backend: Int, timeout: Duration? = nil, member: MemberPlace? = nil) {
            self.name = name
            self.backend = backend
            self.timeout = timeout
            self.member = member
        }
    }

    public struct Shard: Hashable, Sendable {
        public var name: String
        public var replicas: [Replica]

        public init(name: String, replicas: [Replica]) {
            self.name = name
            self.replicas = replicas
        }

        /// Of the same name, and on some of the same servers: what is known of the one holds for the other.
        public func isSame(as other: Shard) -> Bool {
            name == other.name && !Set(replicas.map(\.backend)).isDisjoint(with: other.replicas.map(\.backend))
        }
    }

    public let shards: [Shard]
    /// By name; each made once, as what is looked up for every search should cost nothing to pass on.
    let boxed: [String: Boxed<Collection>]
    public var collections: [String: Collection] { boxed.mapValues(\.value) }
    /// Sorted by name.
    public var listed: [Collection] { boxed.values.map(\.value).sorted { $0.name < $1.name } }
    /// In the order of the configuration.
    public var numbered: [Collection] { boxed.values.map(\.value).sorted { $0.number < $1.number } }
    private let estimates: [Place: RowEstimate]
    private let notes: [Place: IndexNote]

    private struct Place: Hashable {
        var collection: String
        var shard: Int
    }

    /// A collection's `shards` are indices into `shards`.
    /// - Parameter earlier: whose knowledge of tables is kept where they are the same.
    public init(shards: [Shard], collections: [Collection], after earlier: Catalogue? = nil) {
        self.shards = shards
        var numbered = collections
        let names = collections.map(\.name).sorted()
        let ranks = Dictionary(names.enumerated().map { ($1, $0) }) { first, _ in first }
        for index in numbered.indices {
            numbered[index].number = index
            numbered[index].rank = ranks[numbered[index].name] ?? 0
        }
        boxed = Dictionary(numbered.map { ($0.name, Boxed($0)) }) { first, _ in first }
        let places = collections.flatMap { collection in
            collection.shards.map { Place(collection: collection.name, shard: $0) }
        }
        var estimates = Dictionary(places.map { ($0, RowEstimate()) }) { first, _ in first }
        var notes = Dictionary(places.map { ($0, IndexNote()) }) { first, _ in first }
        for collection in collections {
            guard let earlier, let known = earlier.boxed[collection.name]?.value, known.isTable(of: collection) else {
                continue
            }
            for shard in collection.shards {
                guard shards.indices.contains(shard),
                    let before = earlier.shards.firstIndex(where: { $0.isSame(as: shards[shard]) })
                else { continue }
                let (place, old) = (
                    Place(collection: collection.name, shard: shard), Place(collection: known.name, shard: before)
                )
                estimates[place] = earlier.estimates[old] ?? estimates[place]
                notes[place] = earlier.notes[old] ?? notes[place]
            }
        }
        self.estimates = estimates
        self.notes = notes
    }

    /// The backends that serve anything.
    public var backends: Set<Int> { Set(shards.flatMap { $0.replicas.map(\.backend) }) }

    /// Whether a search has the same answers in both, as far as the configuration goes.
    func serves(as other: Catalogue) -> Bool {
        guard numbered == other.numbered, shards.count == other.shards.count else { return false }
        return zip(shards, other.shards).allSatisfy { one, other in
            one.name == other.name && Set(one.replicas.map(\.backend)) == Set(other.replicas.map(\.backend))
        }
    }

    /// A collection that rows can be written to.
    func writable(_ name: String) throws(SearchError) -> Collection {
        guard let collection = boxed[name]?.value else {
            throw SearchError(.unknownCollection, "no collection \"\(name)\"")
        }
        try collection.checkServed()
        guard collection.placement == .hash || collection.shards.count == 1 else {
            throw SearchError(
                .notSupported,
                "\(collection.name): its placement is `any`, so there is no telling which shard a row belongs to")
        }
        return collection
    }

    /// Kinds of legs whose latencies are not comparable.
    public var latencyClasses: Int { SearchShape.latencyKinds * max(1, boxed.count) }

    /// How many rows of a collection a shard has, as far as is known.
    func estimate(of collection: String, shard: Int) -> RowEstimate {
        estimates[Place(collection: collection, shard: shard)] ?? RowEstimate()
    }

    /// Which ways to another search's answer are open; nil if none is. All its collections must have opted in.
    func use(of search: Search) -> AnswerUse? {
        if let extras = search.extras?.value, extras.bypassesCache || extras.freshness != nil { return nil }
        var use = AnswerUse(shares: true, caches: true)
        for name in search.collections {
            // Another search's answer is older than one's own.
            guard let collection = boxed[name], collection.value.maxStaleness == nil else { return nil }
            use.shares = use.shares && collection.value.sharesSearches
            use.caches = use.caches && collection.value.isCached
            guard use.shares || use.caches else { return nil }
        }
        return use
    }

    /// Which index searches of a collection use on a shard, as far as is known.
    public func index(of collection: String, shard: Int) -> IndexNote {
        notes[Place(collection: collection, shard: shard)] ?? IndexNote()
    }

    /// The tables that a backend holds a part of.
    func tables(of backend: Int) -> [(table: TableName, estimate: RowEstimate)] {
        let shards = Set(served(by: backend).map(\.shard))
        return listed.flatMap { collection in
            collection.shards.filter(shards.contains).map { shard in
                (
                    TableName(schema: collection.schema, table: collection.table),
                    estimate(of: collection.name, shard: shard)
                )
            }
        }
    }

    /// The replicas that are one backend: several if the same server has several names.
    public func served(by backend: Int) -> [ServedReplica] {
        shards.enumerated().flatMap { shard, value in
            value.replicas.enumerated().compactMap { replica, value in
                value.backend == backend ? ServedReplica(shard: shard, replica: replica) : nil
            }
        }
    }
}

/// A named set of vectors: where they lie and how they are compared.
public struct Collection: Hashable, Sendable {
    public var name: String
    public var schema: String
    public var table: String
    public var idColumn: String
    public var vectorColumn: String
    public var metric: Metric
    public var form = VectorForm.vector
    public var dimensions: Int
    public var columns: [String]
    /// What filters may name.
    public var filterable: [String: FilterColumnType] = [:]
    /// What a request does not say, and the most that it may ask for.
    public var defaults = ScanSettings()
    public var caps = ScanSettings()
    /// The model that its vectors are made with, if that is declared.
    public var model: String?
    /// What hybrid searches look at.
    public var text: TextColumn?
    /// The coarse forms that there are expression indexes over.
    public var coarse: [CoarseForm] = []
    public var placement = Placement.hash
    /// Equal searches at the same time share one execution.
    public var sharesSearches = false
    /// Answers may come from the cache.
    public var isCached = false
    /// Indices into the catalogue's shards.
    public var shards: [Int]
    /// Of the layout that this is; it changes when the rows move to other shards.
    public var epoch = 1
    /// Nobody is served: it is not known yet which layout is the true one.
    public var isHeld = false
    /// The most that a search of it may take.
    public var timeout: Duration?
    /// What a replica gives must not be older.
    public var maxStaleness: Duration?
    /// Its place in the configuration.
    var number = 0
    /// Its place in the order of all names, which equal distances are ordered by.
    var rank = 0

    public init(
        name: String, schema: String, table: String, idColumn: String, vectorColumn: String, metric: Metric,
        dimensions: Int, columns: [String], shards: [Int], timeout: Duration? = nil
    ) {
        self.name = name
        self.schema = schema
        self.table = table
        self.idColumn = idColumn
        self.vectorColumn = vectorColumn
        self.metric = metric
        self.dimensions = dimensions
        self.columns = columns
        self.shards = shards
        self.timeout = timeout
    }
}

extension Collection {
    func checkServed() throws(SearchError) {
        guard isHeld else { return }
        throw SearchError(
            .unavailable, "\(name): it is being moved, and no database has said which of its layouts is the true one",
            retryAfter: .milliseconds(500))
    }

    /// The same column of the same table, compared by the same metric.
    fileprivate func isTable(of other: Collection) -> Bool {
        schema == other.schema && table == other.table && vectorColumn == other.vectorColumn && form == other.form
            && metric == other.metric && dimensions == other.dimensions
    }
}

/// A tsvector column, and the text search configuration that reads what is looked for in it.
public struct TextColumn: Hashable, Sendable {
    public var column: String
    public var language: String

    public init(column: String, language: String) {
        self.column = column
        self.language = language
    }
}

/// About how many rows a (collection, shard) has, by the planner's statistics of one of its replicas.
final class RowEstimate: Sendable {
    private let bits = Atomic<UInt64>(Double.nan.bitPattern)

    /// Nil until known.
    var rows: Double? {
        let rows = Double(bitPattern: bits.load(ordering: .relaxed))
        return rows.isNaN ? nil : rows
    }

    func update(_ rows: Double) { bits.store(max(1, rows).bitPattern, ordering: .relaxed) }
}
