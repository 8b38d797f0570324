internal import SluiceCore

/// The statements that loads and writes are made of. Names come from the configuration, and are quoted; what a client
/// says is a parameter or in a COPY.
struct IngestStatements: Sendable {
    let collection: Collection

    var table: String {
        "\(SearchShape.quoted(collection.schema)).\(SearchShape.quoted(collection.table))"
    }
    private var id: String { SearchShape.quoted(collection.idColumn) }
    private var vector: String { SearchShape.quoted(collection.vectorColumn) }

    func list(_ columns: [String]) -> String {
        ([id, vector] + columns.map(SearchShape.quoted)).joined(separator: ", ")
    }

    // MARK: The server

    static let begin = WriteCommand("BEGIN")
    static let commit = WriteCommand("COMMIT")
    static let rollback = WriteCommand("ROLLBACK")
    static let savepoint = WriteCommand("SAVEPOINT sluice_batch")
    static let rollbackToSavepoint = WriteCommand("ROLLBACK TO SAVEPOINT sluice_batch")

    /// Fails where the server is no primary (55000), or one of another timeline (22012): it has been replaced, and what
    /// is written to it would be lost. Nothing that follows in its transaction happens then.
    static func guardPrimary(timeline: UInt32) -> WriteCommand {
        let digits = String(timeline, radix: 16, uppercase: true)
        let padded = String(repeating: "0", count: max(0, 8 - digits.count)) + digits
        return WriteCommand(
            """
            SELECT 1 OPERATOR(pg_catalog./) CASE WHEN pg_catalog.substr(pg_catalog.pg_walfile_name(
            pg_catalog.pg_current_wal_lsn()), 1, 8) OPERATOR(pg_catalog.=) $1::pg_catalog.text THEN 1 ELSE 0 END
            """, [padded])
    }

    /// Gone with the transaction. A server that lacks one of them does without.
    static func settings(_ settings: [(name: String, value: String)]) -> WriteCommand {
        let pairs = settings.indices.map { "($\(2 * $0 + 1)::pg_catalog.text, $\(2 * $0 + 2)::pg_catalog.text)" }
        return WriteCommand(
            """
            SELECT pg_catalog.set_config(s.name, v.value, true) FROM (VALUES \(pairs.joined(separator: ", ")))
            AS v(name, value) JOIN pg_catalog.pg_settings s ON s.name OPERATOR(pg_catalog.=) v.name
            """, settings.flatMap { [$0.name, $0.value] })
    }

    /// For a transaction that lasts as long as its client sends rows. The server looks whether we are still there, so
    /// that a gateway that dies leaves no lock behind, whatever the server is at.
    static let loadSettings = settings([
        ("statement_timeout", "0"), ("idle_in_transaction_session_timeout", "0"), ("lock_timeout", "10000"),
        ("client_connection_check_interval", "1000"),
    ])

    static func writeSettings(timeout: Duration) -> WriteCommand {
        settings([
            ("statement_timeout", String(max(1, timeout.microseconds / 1_000))),
            ("client_connection_check_interval", "1000"),
        ])
    }

    /// A position, as a number, that a standby has reached once it has replayed all that is committed here by now. What
    /// has been flushed is enough, unless commits do not wait for that.
    static let position = WriteCommand(
        """
        SELECT pg_catalog.pg_wal_lsn_diff(
        CASE WHEN pg_catalog.current_setting('synchronous_commit') OPERATOR(pg_catalog.=) 'off'
        THEN pg_catalog.pg_current_wal_insert_lsn() ELSE pg_catalog.pg_current_wal_flush_lsn() END, '0/0')
        """)

    // MARK: The journal

    static func enter(_ key: WriteKey, _ collection: Collection, kind: String, orSkip: Bool) -> WriteCommand {
        WriteCommand(
            "INSERT INTO sluice_gateway.journal (id, collection, kind) VALUES ($1::pg_catalog.uuid, $2, $3)"
                + (orSkip ? " ON CONFLICT (id) DO NOTHING RETURNING id" : ""), [key.text, collection.name, kind])
    }

    static func note(_ key: WriteKey, rows: Int) -> WriteCommand {
        WriteCommand(
            "UPDATE sluice_gateway.journal SET rows = $2::pg_catalog.int8 "
                + "WHERE id OPERATOR(pg_catalog.=) $1::pg_catalog.uuid",
            [key.text, String(rows)])
    }

    static func find(_ key: WriteKey) -> WriteCommand {
        WriteCommand(
            "SELECT rows FROM sluice_gateway.journal WHERE id OPERATOR(pg_catalog.=) $1::pg_catalog.uuid", [key.text])
    }

    /// Keys that nobody repeats any more. Those that a running load may be deleting too are left to it.
    static func purge(olderThan age: Duration) -> WriteCommand {
        WriteCommand(
            """
            DELETE FROM sluice_gateway.journal WHERE id OPERATOR(pg_catalog.=) ANY (ARRAY(
            SELECT id FROM sluice_gateway.journal WHERE at OPERATOR(pg_catalog.<)
            pg_catalog.now() OPERATOR(pg_catalog.-)
            pg_catalog.make_interval(secs => $1::pg_catalog.float8) LIMIT 1000 FOR UPDATE SKIP LOCKED))
            """, [String(age.microseconds / 1_000_000)])
    }

    static let createJournal = JournalTable.statements.map { WriteCommand($0) }

    /// What the server knows of a transaction whose connection was lost.
    static let transactionID = WriteCommand("SELECT pg_catalog.pg_current_xact_id()")

    static func status(ofTransaction id: String) -> WriteCommand {
        WriteCommand("SELECT pg_catalog.pg_xact_status($1::pg_catalog.xid8)", [id])
    }

    // MARK: Rows

    func copy(into target: String, _ columns: [String]) -> String {
        "COPY \(target) (\(list(columns))) FROM STDIN (FORMAT binary)"
    }

    /// Tells by the row's xmax whether it is new: only an updated one has been locked.
    /// - Parameter filter: what the row must be like, the new one and the one that it replaces; its values follow the
    ///   row's. One that is not fails (22012) and its transaction with it.
    func upsert(_ columns: [String], tellsNew: Bool, _ filter: FilterShape? = nil) -> WriteStatement {
        let values = (1...columns.count + 2).map { "$\($0)" }.joined(separator: ", ")
        let isNew = tellsNew ? "t.xmax OPERATOR(pg_catalog.=) 0" : "true"
        let insert = "INSERT INTO \(table) AS t (\(list(columns))) VALUES (\(values)) "
        guard let condition = filter?.sql(alias: "t", firstParameter: columns.count + 3) else {
            return WriteStatement(insert + "\(onConflict(columns)) RETURNING \(isNew)")
        }
        return WriteStatement(
            """
            WITH stored AS (\(insert)\(onConflict(columns)) WHERE \(condition)
            RETURNING \(isNew) AS is_new, \(condition) AS is_inside)
            SELECT (SELECT is_new FROM stored),
            1 OPERATOR(pg_catalog./) (SELECT pg_catalog.count(*) FROM stored WHERE is_inside)
            """)
    }

    /// What a row fails with that is outside of the filter: division by zero, the shortest way to fail a statement that
    /// is neither a function nor a block of its own.
    static let outsideState = "22012"

    private func onConflict(_ columns: [String]) -> String {
        let changes = ([vector] + columns.map(SearchShape.quoted)).map { "\($0) = EXCLUDED.\($0)" }
        return "ON CONFLICT (\(id)) DO UPDATE SET \(changes.joined(separator: ", "))"
    }

    func delete(_ ids: [Int64], _ filter: FilterPlan? = nil) -> WriteCommand {
        let condition = filter.map { " AND \($0.shape.sql(alias: "t", firstParameter: 2))" } ?? ""
        let list = ParameterValue(arrayOf: .int8, ids.map { .int($0) })
        return WriteCommand(
            WriteStatement(
                """
                DELETE FROM \(table) AS t WHERE t.\(id) OPERATOR(pg_catalog.=) ANY ($1)\(condition) RETURNING t.\(id)
                """),
            types: [.oid(list.typeOID)] + (filter?.shape.commandTypes ?? []),
            values: .cells((list.cell + (filter?.cells ?? []))[...]))
    }

    // MARK: Upserts of a load

    static let stageName = "sluice_rows"
    static let stage = "pg_temp.\(stageName)"

    /// Its key finds an id that comes twice, by the row.
    func makeStage(_ columns: [String]) -> [WriteCommand] {
        [
            WriteCommand(
                "CREATE TEMPORARY TABLE \(Self.stageName) ON COMMIT DROP AS "
                    + "SELECT \(list(columns)) FROM \(table) WITH NO DATA"),
            WriteCommand("ALTER TABLE \(Self.stage) ADD PRIMARY KEY (\(id))"),
        ]
    }

    /// - Parameter filter: what every row must be like, as for `upsert`.
    func mergeStage(_ columns: [String], _ filter: FilterPlan? = nil) -> WriteCommand {
        let merge =
            "INSERT INTO \(table) AS t (\(list(columns))) SELECT \(list(columns)) FROM \(Self.stage) "
            + onConflict(columns)
        guard let filter else { return WriteCommand(merge) }
        let condition = filter.shape.sql(alias: "t", firstParameter: 1)
        return WriteCommand(
            WriteStatement(
                """
                WITH stored AS (\(merge) WHERE \(condition) RETURNING \(condition) AS is_inside)
                SELECT 1 OPERATOR(pg_catalog./) CASE
                WHEN (SELECT pg_catalog.count(*) FROM stored WHERE is_inside) OPERATOR(pg_catalog.=)
                (SELECT pg_catalog.count(*) FROM \(Self.stage)) THEN 1 ELSE 0 END
                """),
            types: filter.shape.commandTypes,
            values: filter.values.isEmpty ? .texts([]) : .cells(filter.cells[...]))
    }

    // MARK: The index

    var indexName: String {
        // Names are cut at 63 bytes by the server; what is left must still be unlike the table's.
        String("\(collection.table)_\(collection.vectorColumn)".prefix(50)) + "_hnsw"
    }

    func createIndex(concurrently: Bool) -> WriteCommand {
        let (form, metric) = (collection.form, collection.metric)
        let name = SearchShape.quoted(indexName)
        let head = "CREATE INDEX \(concurrently ? "CONCURRENTLY " : "")\(name) ON \(table) USING hnsw "
        let column = vector
        return WriteCommand(
            WriteStatement { schema in
                head + "(\(column) \(SearchShape.quoted(schema)).\(form.operatorClass(metric)))"
            })
    }

    /// What is known of an index of this name: whether it is valid; and whether any serves the metric.
    var findIndex: WriteCommand {
        WriteCommand(
            """
            SELECT x.relname, i.indisvalid, o.opcname
            FROM pg_catalog.pg_index i
            JOIN pg_catalog.pg_class x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
            JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indrelid
            JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
            JOIN pg_catalog.pg_opclass o ON o.oid OPERATOR(pg_catalog.=) i.indclass[0]
            JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
                AND a.attnum OPERATOR(pg_catalog.=) i.indkey[0]
            WHERE n.nspname::pg_catalog.text OPERATOR(pg_catalog.=) $1::pg_catalog.text
                AND c.relname::pg_catalog.text OPERATOR(pg_catalog.=) $2::pg_catalog.text
                AND a.attname::pg_catalog.text OPERATOR(pg_catalog.=) $3::pg_catalog.text
                AND i.indpred IS NULL
            """, [collection.schema, collection.table, collection.vectorColumn])
    }

    func dropIndex(_ name: String) -> WriteCommand {
        WriteCommand("DROP INDEX \(SearchShape.quoted(collection.schema)).\(SearchShape.quoted(name))")
    }

    static func indexProgress(pid: String) -> WriteCommand {
        WriteCommand(
            """
            SELECT greatest(tuples_done, blocks_done), greatest(tuples_total, blocks_total)
            FROM pg_catalog.pg_stat_progress_create_index WHERE pid OPERATOR(pg_catalog.=) $1::pg_catalog.int4
            """, [pid])
    }

    static let backendID = WriteCommand("SELECT pg_catalog.pg_backend_pid()")
}
