public import SluiceCore

/// What the gateway serves: its shards with their replicas, and the collections on them. Made from the configuration,
/// never changed.
public struct Catalogue: Sendable {
    public struct Replica: Hashable, Sendable {
        public var name: String
        /// Which backend serves it: an index into the list that a lane is made with.
        public var backend: Int

        public init(name: String, backend: Int) {
            self.name = name
            self.backend = backend
        }
    }

    public struct Shard: Hashable, Sendable {
        public var name: String
        public var replicas: [Replica]

        public init(name: String, replicas: [Replica]) {
            self.name = name
            self.replicas = replicas
        }
    }

    public let shards: [Shard]
    public let collections: [String: Collection]
    /// Sorted by name.
    public var listed: [Collection] { collections.values.sorted { $0.name < $1.name } }

    /// A collection's `shards` are indices into `shards`.
    public init(shards: [Shard], collections: [Collection]) {
        self.shards = shards
        self.collections = Dictionary(collections.map { ($0.name, $0) }) { first, _ in first }
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
    public var dimensions: Int
    public var columns: [String]
    /// Indices into the catalogue's shards.
    public var shards: [Int]

    public init(
        name: String, schema: String, table: String, idColumn: String, vectorColumn: String, metric: Metric,
        dimensions: Int, columns: [String], shards: [Int]
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
    }
}
