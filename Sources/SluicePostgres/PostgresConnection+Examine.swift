internal import CLibpq

extension PostgresConnection {
    /// Reads what the catalogue says of these tables; no row of theirs is read, and no lock is waited for.
    ///
    /// One round trip for each 200 tables.
    /// - Parameter deadline: an instant of `Reactor.now()`.
    public func examine(_ questions: [TableQuestion], deadline: Int64) async throws(PostgresFailure) -> SchemaFacts {
        var facts = SchemaFacts(role: "", tables: [])
        var asked = 0
        repeat {
            let batch = questions.dropFirst(asked).prefix(Self.tablesAtATime)
            let operation = newOperation()
            _ = try await perform(operation, deadline: deadline) { () throws(PostgresFailure) in
                try ask(CatalogueQueries.session, [], operation)
                for question in batch {
                    try ask(CatalogueQueries.columns, [question.schema, question.table], operation)
                    try ask(CatalogueQueries.indexes, [question.schema, question.table], operation)
                    try ask(CatalogueQueries.textConfiguration, [question.textConfiguration ?? ""], operation)
                }
            }
            let tables = operation.commands.map(\.rows)
            guard tables.count == 1 + 3 * batch.count, let role = tables.first?.first?.last ?? nil else {
                throw violation("another number of tables")
            }
            facts.role = role
            do throws(PostgresFailure) {
                for place in stride(from: 1, to: tables.count, by: 3) {
                    facts.tables.append(
                        try TableFacts(
                            columns: tables[place], indexes: tables[place + 1],
                            hasTextConfiguration: !tables[place + 2].isEmpty))
                }
            } catch {
                close(error)
                throw error
            }
            asked += batch.count
        } while asked < questions.count
        return facts
    }

    private static var tablesAtATime: Int { 200 }

    /// Its rows come into the operation's tables.
    func ask(
        _ sql: String, _ texts: [String], subject: SubjectType? = nil, _ operation: Operation
    ) throws(PostgresFailure) {
        var types = Array(repeating: Self.textType, count: texts.count)
        if let subject, !types.isEmpty { types[0] = facts.oid(of: subject) }
        try sent(
            ParameterTexts.with(texts) { values in
                PQsendQueryParams(handle, sql, Int32(clamping: texts.count), types, values, nil, nil, 0)
            })
        operation.expect(.command)
    }
}

private enum CatalogueQueries {
    /// The path decides how the server writes expressions; it is gone when the pipeline ends. A pooler would refuse it
    /// as a start-up option.
    static let session = """
        SELECT pg_catalog.set_config('search_path', 'pg_catalog', true), pg_catalog.quote_ident(current_user)
        """

    /// A row for each column; one with nulls for a relation without any.
    static let columns = """
        SELECT c.relkind, pg_catalog.format('%I.%I', n.nspname, c.relname),
            pg_catalog.has_schema_privilege(n.oid, 'USAGE'), a.attname, pg_catalog.quote_ident(a.attname),
            pg_catalog.format_type(a.atttypid, a.atttypmod), b.nspname, b.typname, b.modifier,
            pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
        LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
            AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
        LEFT JOIN LATERAL (
            WITH RECURSIVE based AS (
                SELECT a.atttypid AS type, a.atttypmod AS modifier
                UNION ALL
                SELECT d.typbasetype,
                    CASE WHEN based.modifier OPERATOR(pg_catalog.>=) 0 THEN based.modifier ELSE d.typtypmod END
                FROM based
                JOIN pg_catalog.pg_type d ON d.oid OPERATOR(pg_catalog.=) based.type
                WHERE d.typtype OPERATOR(pg_catalog.=) 'd'
            )
            SELECT s.nspname, t.typname, based.modifier
            FROM based
            JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) based.type
            JOIN pg_catalog.pg_namespace s ON s.oid OPERATOR(pg_catalog.=) t.typnamespace
            WHERE t.typtype OPERATOR(pg_catalog.<>) 'd'
        ) b ON true
        WHERE n.nspname OPERATOR(pg_catalog.=) $1 AND c.relname OPERATOR(pg_catalog.=) $2
        ORDER BY a.attnum
        """

    /// A row for each key of each index.
    static let indexes = """
        SELECT i.indexrelid, x.relname, m.amname, i.indisunique, i.indisvalid AND i.indisready,
            i.indpred IS NOT NULL, a.attname,
            pg_catalog.pg_get_indexdef(i.indexrelid, k.place OPERATOR(pg_catalog.+) 1, false), o.opcname
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
        JOIN pg_catalog.pg_index i ON i.indrelid OPERATOR(pg_catalog.=) c.oid
        JOIN pg_catalog.pg_class x ON x.oid OPERATOR(pg_catalog.=) i.indexrelid
        JOIN pg_catalog.pg_am m ON m.oid OPERATOR(pg_catalog.=) x.relam
        CROSS JOIN LATERAL pg_catalog.generate_series(0, i.indnkeyatts OPERATOR(pg_catalog.-) 1) AS k(place)
        JOIN pg_catalog.pg_opclass o ON o.oid OPERATOR(pg_catalog.=) i.indclass[k.place]
        LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) c.oid
            AND a.attnum OPERATOR(pg_catalog.=) i.indkey[k.place]
        WHERE n.nspname OPERATOR(pg_catalog.=) $1 AND c.relname OPERATOR(pg_catalog.=) $2
        ORDER BY x.relname, k.place
        """

    static let textConfiguration = """
        SELECT n.nspname FROM pg_catalog.pg_ts_config c
        JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.cfgnamespace
        WHERE c.cfgname OPERATOR(pg_catalog.=) $1
            OR pg_catalog.concat(n.nspname, '.', c.cfgname) OPERATOR(pg_catalog.=) $1
        """
}

extension TableFacts {
    /// From the rows of `CatalogueQueries`; nil if there is no such relation.
    fileprivate init?(
        columns: [[String?]], indexes: [[String?]], hasTextConfiguration: Bool
    ) throws(PostgresFailure) {
        guard let first = columns.first else { return nil }
        guard columns.allSatisfy({ $0.count == 10 }), indexes.allSatisfy({ $0.count == 9 }) else {
            throw PostgresFailure(.protocolViolation, "the server sent another number of columns")
        }
        self.init(
            kind: first[0].flatMap(Kind.init) ?? .other, quoted: first[1] ?? "", isSchemaUsable: first[2] == "t",
            columns: columns.compactMap(Column.init(row:)), indexes: Self.indexes(indexes),
            hasTextConfiguration: hasTextConfiguration)
    }

    /// The rows of one index follow one another.
    private static func indexes(_ rows: [[String?]]) -> [Index] {
        var indexes: [Index] = []
        var last: String?
        for row in rows {
            let key = Index.Key(column: row[6], expression: row[7] ?? "", operatorClass: row[8] ?? "")
            if let place = indexes.indices.last, row[0] == last {
                indexes[place].keys.append(key)
            } else {
                indexes.append(
                    Index(
                        name: row[1] ?? "", method: row[2] ?? "", isUnique: row[3] == "t", isValid: row[4] == "t",
                        isPartial: row[5] == "t", keys: [key]))
                last = row[0]
            }
        }
        return indexes
    }
}

extension TableFacts.Column {
    fileprivate init?(row: [String?]) {
        guard let name = row[3] else { return nil }
        self.init(
            name: name, quoted: row[4], typeText: row[5] ?? "", typeSchema: row[6] ?? "", typeName: row[7] ?? "",
            modifier: row[8].flatMap { Int($0) }.flatMap { $0 >= 0 ? $0 : nil }, isReadable: row[9] == "t")
    }
}
