/// A table to be looked at.
public struct TableQuestion: Hashable, Sendable {
    public var schema: String
    public var table: String
    /// A text search configuration to look for, as `NAME` or `SCHEMA.NAME`.
    public var textConfiguration: String?

    public init(schema: String, table: String, textConfiguration: String? = nil) {
        self.schema = schema
        self.table = table
        self.textConfiguration = textConfiguration
    }
}

/// What a server's catalogue says of some tables.
public struct SchemaFacts: Hashable, Sendable {
    /// The role that asked, as SQL writes it.
    public var role: String
    /// In the order of the questions; nil where there is no relation of that name.
    public var tables: [TableFacts?]

    public init(role: String, tables: [TableFacts?]) {
        self.role = role
        self.tables = tables
    }
}

/// A relation with its columns and indexes, as the catalogue has them.
public struct TableFacts: Hashable, Sendable {
    /// The raw values are `pg_class.relkind`'s.
    public enum Kind: String, Hashable, Sendable {
        case table = "r"
        case partitionedTable = "p"
        case view = "v"
        case materializedView = "m"
        case foreignTable = "f"
        /// A sequence, an index and the like.
        case other = ""
    }

    public struct Column: Hashable, Sendable {
        public var name: String
        /// As SQL writes it.
        public var quoted: String
        /// With its modifier, for messages: `vector(384)`.
        public var typeText: String
        /// Of a domain, what it is based on.
        public var typeSchema: String
        public var typeName: String
        /// Nil if the type has none. Of pgvector's types and of `bit`: the dimensions.
        public var modifier: Int?
        /// The role may select it.
        public var isReadable: Bool

        public init(
            name: String, quoted: String? = nil, typeText: String, typeSchema: String, typeName: String,
            modifier: Int? = nil, isReadable: Bool = true
        ) {
            self.name = name
            self.quoted = quoted ?? name
            self.typeText = typeText
            self.typeSchema = typeSchema
            self.typeName = typeName
            self.modifier = modifier
            self.isReadable = isReadable
        }
    }

    public struct Index: Hashable, Sendable {
        public struct Key: Hashable, Sendable {
            /// Nil of an expression.
            public var column: String?
            /// The server's own text of it, with every name qualified that is not in `pg_catalog`.
            public var expression: String
            public var operatorClass: String

            public init(column: String? = nil, expression: String, operatorClass: String) {
                self.column = column
                self.expression = expression
                self.operatorClass = operatorClass
            }
        }

        public var name: String
        /// The access method: `btree`, `hnsw` and so on.
        public var method: String
        public var isUnique: Bool
        /// False while it is built, and if that has failed.
        public var isValid: Bool
        /// It has a `WHERE`.
        public var isPartial: Bool
        public var keys: [Key]

        public init(
            name: String, method: String, isUnique: Bool = false, isValid: Bool = true, isPartial: Bool = false,
            keys: [Key]
        ) {
            self.name = name
            self.method = method
            self.isUnique = isUnique
            self.isValid = isValid
            self.isPartial = isPartial
            self.keys = keys
        }
    }

    public var kind: Kind
    /// `SCHEMA.TABLE` as SQL writes it.
    public var quoted: String
    /// The role may use what is in its schema.
    public var isSchemaUsable: Bool
    public var columns: [String: Column]
    /// Their names in the table's order.
    public var columnOrder: [String]
    public var indexes: [Index]
    /// The text search configuration that was asked for exists.
    public var hasTextConfiguration: Bool

    public init(
        kind: Kind, quoted: String, isSchemaUsable: Bool = true, columns: [Column], indexes: [Index],
        hasTextConfiguration: Bool = false
    ) {
        self.kind = kind
        self.quoted = quoted
        self.isSchemaUsable = isSchemaUsable
        columnOrder = columns.map(\.name)
        self.columns = Dictionary(columns.map { ($0.name, $0) }) { first, _ in first }
        self.indexes = indexes
        self.hasTextConfiguration = hasTextConfiguration
    }
}
