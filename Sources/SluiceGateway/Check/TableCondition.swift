internal import SluiceCore
internal import SluiceEngine
package import SluicePostgres
internal import SluiceReactor

/// How a collection's table is doing on a shard, as a look at its rows and at the planner shows it.
package struct TableCondition: Hashable, Sendable {
    /// In bytes, by their names: those of the methods that order by distance.
    package var indexSizes: [String: Int64] = [:]
    /// By the server's own estimate.
    package var rows = 0.0
    /// The planner reads the collection's own query from an index; nil if it was not asked.
    package var usesIndex: Bool?
    /// Some id stands in several rows; nil if nobody looked, as an index rules it out.
    package var hasDuplicates: Bool?
    /// A row whose vector has another number of dimensions; nil as before.
    package var hasOtherDimensions: Bool?
    /// How many ids were looked at, and how many of them are not where their hash would put them.
    package var sampled = 0
    package var misplaced = 0

    package init() {}
}

/// Judges a table's condition. Pure.
package enum TableJudge {
    /// Below, reading the whole table may well be the better plan.
    private static let manyRows = 10_000.0

    /// - Parameters:
    ///   - hasIndex: one that serves the metric.
    ///   - sharedBuffers: the server's, in bytes.
    package static func findings(
        _ condition: TableCondition, of collection: GatewayConfig.Collection, _ table: TableFacts, hasIndex: Bool,
        sharedBuffers: Int64, shard: String, replica: String
    ) -> [Finding] {
        var findings: [Finding] = []
        func note(_ severity: Finding.Severity, about topic: Finding.Topic = .schema, _ message: String) {
            findings.append(
                Finding(severity, topic, collection: collection.name, shard: shard, replica: replica, message))
        }
        if condition.hasDuplicates == true {
            note(
                .error,
                "`id`: several rows have the same id: answers may name it twice, and get finds one of them; "
                    + "remove the others"
                    + (table.kind == .table ? " and run ALTER TABLE \(table.quoted) ADD PRIMARY KEY (...)" : ""))
        }
        if condition.hasOtherDimensions == true {
            note(
                .error,
                "`dimensions`: some row's vector has not \(collection.dimensions), and makes searches fail; remove it, "
                    + "and give the column its dimensions")
        }
        if condition.misplaced > 0 {
            note(
                .error,
                "`placement`: \(condition.misplaced) of \(condition.sampled) sampled ids are not on the shard that "
                    + "their hash names: get, write and delete miss them; move those rows, or say placement: any")
        }
        if hasIndex, condition.usesIndex == false, condition.rows >= manyRows {
            note(
                .warning, about: .index,
                "the planner reads the whole table for this collection's query, although an index serves it; "
                    + "run ANALYZE \(table.quoted), and look at enable_indexscan and random_page_cost of this role")
        }
        for (index, size) in condition.indexSizes.sorted(by: { $0.key < $1.key }) where size > sharedBuffers {
            note(
                .warning, about: .index,
                "index \(index) has \(mebibytes(size)), and shared_buffers \(mebibytes(sharedBuffers)): searches wait "
                    + "for the disk, or the system's cache; raise shared_buffers, or search a smaller form (`coarse`)")
        }
        return findings
    }

    private static func mebibytes(_ bytes: Int64) -> String { "\(bytes / 1_048_576) MiB" }
}

/// Looks at a table's rows. A statement that takes too long is stopped, and what it would have said stays unknown.
struct TableProbe: Sendable {
    let collection: GatewayConfig.Collection
    let facts: TableFacts
    let server: ServerFacts
    let connection: PostgresConnection
    /// Each statement's time.
    let patience: Duration

    /// - Parameters:
    ///   - place: the shard's among the collection's own.
    /// - Throws: what ended the connection.
    func condition(place: Int) async throws(PostgresFailure) -> TableCondition {
        var condition = TableCondition()
        for row in try await answer(Self.indexes, [collection.schema, collection.table]) ?? [] {
            guard row.count == 3 else { continue }
            condition.rows = row[2].flatMap { Double($0) } ?? 0
            if let name = row[0], vectorIndexes.contains(name) {
                condition.indexSizes[name] = row[1].flatMap { Int64($0) }
            }
        }
        condition.usesIndex = try await usesIndex()
        let queries = SampleQueries(collection, vectorSchema: server.vectorSchema)
        if !facts.isUnique(collection.idColumn) {
            condition.hasDuplicates = try await answer(queries.duplicates).map { !$0.isEmpty }
        }
        if facts.columns[collection.vectorColumn]?.modifier == nil {
            condition.hasOtherDimensions = try await answer(queries.otherDimensions).map { !$0.isEmpty }
        }
        guard collection.placement == .hash, let placement = HashPlacement(shardCount: collection.shards.count) else {
            return condition
        }
        let ids = try await answer(queries.ids) ?? []
        for id in ids.compactMap({ $0.first.flatMap(\.self).flatMap { Int64($0) } }) {
            condition.sampled += 1
            if placement.shard(of: id) != place { condition.misplaced += 1 }
        }
        return condition
    }

    /// Those of the column that are used, and those over a form of it.
    private var vectorIndexes: Set<String> {
        let indexes = facts.indexes.filter { index in
            index.isValid && index.keys.contains { $0.column == nil || $0.column == collection.vectorColumn }
        }
        return Set(indexes.map(\.name))
    }

    /// As the planner says of the very statement that searches use.
    private func usesIndex() async throws(PostgresFailure) -> Bool? {
        let shape = SearchShape.nearest(of: Collection(collection, shards: []), limit: 10)
        let sql = "EXPLAIN (FORMAT JSON) " + shape.sql(vectorSchema: server.vectorSchema)
        let example = collection.form.example(dimensions: collection.dimensions)
        let rows = try await answer(sql, [example, ""], subject: SubjectType(.vector(collection.form)))
        return rows?.first?.first.flatMap(\.self).flatMap { QueryPlan(json: $0.utf8)?.isOrderedByIndex }
    }

    /// Nil if it took too long, or the server refused it.
    private func answer(
        _ sql: String, _ texts: [String] = [], subject: SubjectType? = nil
    ) async throws(PostgresFailure) -> [[String?]]? {
        let deadline = Instant(nanoseconds: Reactor.now()).advanced(by: patience).nanoseconds
        do throws(PostgresFailure) {
            return try await connection.rows(sql, texts, subject: subject, deadline: deadline)
        } catch {
            // The next statement waits for the end of this one.
            guard await connection.settle() else { throw error }
            return nil
        }
    }

    private static let indexes = """
        SELECT x.relname, coalesce(
            (SELECT pg_catalog.sum(pg_catalog.pg_relation_size(p.relid))
                FROM pg_catalog.pg_partition_tree(x.oid) AS p), pg_catalog.pg_relation_size(x.oid)
            )::pg_catalog.int8, c.reltuples
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
        LEFT JOIN (pg_catalog.pg_index i
            JOIN pg_catalog.pg_class x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
            JOIN pg_catalog.pg_am m ON m.oid OPERATOR(pg_catalog.=) x.relam
                AND m.amname OPERATOR(pg_catalog.=) ANY ('{hnsw,ivfflat}'::pg_catalog.name[])
        ) ON i.indrelid OPERATOR(pg_catalog.=) c.oid
        WHERE n.nspname OPERATOR(pg_catalog.=) $1 AND c.relname OPERATOR(pg_catalog.=) $2
        """
}

extension VectorForm {
    /// One of the type's values as text: not zero, which has no direction.
    fileprivate func example(dimensions: Int) -> String {
        switch self {
        case .vector, .halfvec: "[" + Array(repeating: "1", count: dimensions).joined(separator: ",") + "]"
        case .sparsevec: "{1:1}/\(dimensions)"
        case .bit: String(repeating: "1", count: dimensions)
        }
    }
}
