internal import SluiceCore
package import SluiceEngine
package import SluicePostgres

/// Compares what a server's catalogue says with what the configuration says of a collection there. Pure.
package struct CollectionJudge {
    let collection: GatewayConfig.Collection
    let server: ServerFacts
    let shard: String
    let replica: String
    let role: String
    private(set) package var findings: [Finding] = []
    /// Of the index that serves the collection's metric.
    package var index = IndexKind.unknown

    /// - Parameters:
    ///   - facts: nil if there is no such table.
    ///   - role: who has looked, as SQL writes it.
    package init(
        _ collection: GatewayConfig.Collection, _ facts: TableFacts?, server: ServerFacts, role: String, shard: String,
        replica: String
    ) {
        self.collection = collection
        self.server = server
        self.shard = shard
        self.replica = replica
        self.role = role
        judge(facts)
    }

    private mutating func judge(_ facts: TableFacts?) {
        guard let facts else {
            return error(
                "there is no table \(collection.schema).\(collection.table); create it, or correct `table`")
        }
        guard facts.kind != .other else {
            return error("\(facts.quoted) is neither a table nor a view; correct `table`")
        }
        judgeId(facts)
        let vector = facts.columns[collection.vectorColumn]
        judgeVector(vector, facts)
        for column in collection.columns where facts.columns[column] == nil {
            error("`columns`: \(facts.quoted) has no column \"\(column)\"")
        }
        for (column, type) in collection.filterable.sorted(by: { $0.key < $1.key }) {
            judgeFilterable(column, type, facts)
        }
        if let text = collection.text { judgeText(text, facts) }
        judgePrivileges(facts)
        if let vector { judgeIndexes(vector, facts) }
    }

    mutating func error(_ message: String) { note(.error, .schema, message) }

    mutating func warn(_ message: String) { note(.warning, .schema, message) }

    mutating func note(_ severity: Finding.Severity, _ topic: Finding.Topic, _ message: String) {
        findings.append(
            Finding(severity, topic, collection: collection.name, shard: shard, replica: replica, message))
    }

    // MARK: Columns

    private mutating func judgeId(_ facts: TableFacts) {
        guard let id = facts.columns[collection.idColumn] else {
            return error("`id`: \(facts.quoted) has no column \"\(collection.idColumn)\"")
        }
        guard id.isOf(["int8", "int4", "int2"]) else {
            return error("`id`: column \(id.quoted) is \(id.typeText); it must be bigint, integer or smallint")
        }
        if !facts.isUnique(id.name), facts.kind.hasIndexes {
            warn(
                "`id`: nothing keeps two rows from having the same \(id.quoted); "
                    + "run ALTER TABLE \(facts.quoted) ADD PRIMARY KEY (\(id.quoted))")
        }
    }

    private mutating func judgeVector(_ vector: TableFacts.Column?, _ facts: TableFacts) {
        guard let vector else {
            return error("`vector`: \(facts.quoted) has no column \"\(collection.vectorColumn)\"")
        }
        let schema = collection.form == .bit ? "pg_catalog" : server.vectorSchema
        guard vector.typeName == collection.form.rawValue, vector.typeSchema == schema else {
            return error(
                "`type`: column \(vector.quoted) is \(vector.typeText), not \(collection.form.rawValue); "
                    + "correct `vector` or `type`")
        }
        guard let dimensions = vector.modifier else {
            return warn(
                "`dimensions`: column \(vector.quoted) does not say how many it has, and one row of another number "
                    + "makes searches fail; run ALTER TABLE \(facts.quoted) ALTER COLUMN \(vector.quoted) "
                    + "TYPE \(vector.typeText)(\(collection.dimensions))")
        }
        if dimensions != collection.dimensions {
            error(
                "`dimensions`: column \(vector.quoted) has \(dimensions), the configuration says "
                    + "\(collection.dimensions); correct `vector` or `dimensions`")
        }
    }

    private mutating func judgeFilterable(_ name: String, _ type: FilterColumnType, _ facts: TableFacts) {
        guard let column = facts.columns[name] else {
            return error("`filterable`: \(facts.quoted) has no column \"\(name)\"")
        }
        if column.isOf(type.fittingTypes) { return }
        switch type {
        // Values are sent as timestamptz: PostgreSQL converts the column by the session's time zone.
        case .timestamp where column.isOf(["timestamp", "date"]):
            warn(
                "`filterable`: column \(column.quoted) is \(column.typeText): which instant its values are depends on "
                    + "the server's TimeZone; make it timestamp with time zone")
        case .textArray where column.isOf(["_varchar"]):
            warn(
                "`filterable`: column \(column.quoted) is \(column.typeText): filters can ask whether it overlaps, "
                    + "but = and != fail; make it text[]")
        default:
            error(
                "`filterable`: column \(column.quoted) is \(column.typeText), which cannot be compared with "
                    + "\(type.rawValue); correct its type")
        }
    }

    private mutating func judgeText(_ text: GatewayConfig.TextColumn, _ facts: TableFacts) {
        if !facts.hasTextConfiguration {
            error(
                "`text.language`: there is no text search configuration \"\(text.language)\"; \\dF in psql lists them")
        }
        guard let column = facts.columns[text.column] else {
            return error("`text.column`: \(facts.quoted) has no column \"\(text.column)\"")
        }
        guard column.isOf(["tsvector"]) else {
            return error("`text.column`: column \(column.quoted) is \(column.typeText); it must be tsvector")
        }
        let isIndexed = facts.indexes.contains { index in
            ["gin", "gist", "rum"].contains(index.method) && index.isValid && !index.isPartial
                && index.keys.contains { $0.column == column.name }
        }
        if !isIndexed, facts.kind.hasIndexes {
            warn(
                "`text.column`: no GIN index on column \(column.quoted): searches for words read the whole table; "
                    + "run \(createIndex(on: facts, "gin", column.quoted))")
        }
    }

    private mutating func judgePrivileges(_ facts: TableFacts) {
        guard facts.isSchemaUsable else {
            return error(
                "role \(role) may not use schema \(collection.schema); "
                    + "run GRANT USAGE ON SCHEMA \(collection.schema) TO \(role)")
        }
        var names = [collection.idColumn, collection.vectorColumn] + collection.columns
        names += collection.filterable.keys
        if let text = collection.text { names.append(text.column) }
        let hidden = Set(names).sorted().compactMap { facts.columns[$0] }.filter { !$0.isReadable }
        if hidden.isEmpty { return }
        error(
            "role \(role) may not read \(hidden.map(\.quoted).joined(separator: ", ")) of \(facts.quoted); "
                + "run GRANT SELECT ON \(facts.quoted) TO \(role)")
    }

    /// The statement that makes an index; `CONCURRENTLY` leaves writers undisturbed, which PostgreSQL does not offer
    /// for a partitioned table.
    func createIndex(on facts: TableFacts, _ method: String, _ key: String) -> String {
        let way = facts.kind == .partitionedTable ? "" : " CONCURRENTLY"
        return "CREATE INDEX\(way) ON \(facts.quoted) USING \(method) (\(key))"
    }
}

extension TableFacts {
    /// An index keeps two rows from having the same value.
    func isUnique(_ column: String) -> Bool {
        indexes.contains { $0.isUnique && $0.isValid && !$0.isPartial && $0.keys.map(\.column) == [column] }
    }
}

extension TableFacts.Column {
    /// - Parameter names: of PostgreSQL's own types.
    func isOf(_ names: [String]) -> Bool { typeSchema == "pg_catalog" && names.contains(typeName) }
}

extension FilterColumnType {
    /// PostgreSQL's own types that filters compare without a conversion.
    var fittingTypes: [String] {
        switch self {
        case .bool: ["bool"]
        case .int: ["int2", "int4", "int8"]
        case .float: ["float4", "float8", "numeric"]
        case .text: ["text", "varchar", "bpchar", "name"]
        case .timestamp: ["timestamptz"]
        case .uuid: ["uuid"]
        case .textArray: ["_text"]
        }
    }
}

extension TableFacts.Kind {
    /// Those of a view are its tables', and of a foreign table another server's.
    var hasIndexes: Bool { self == .table || self == .partitionedTable || self == .materializedView }
}
