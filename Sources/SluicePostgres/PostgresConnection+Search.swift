internal import CLibpq
internal import SluiceReactor

/// A search as one connection runs it.
public struct SearchStatement: Sendable {
    /// The statement's text; `$1` is the vector. Made from the server's `ServerFacts`, so that operators are qualified.
    public var sql: @Sendable (ServerFacts) -> String
    /// Settings for this search only: names and values, in force until its transaction ends.
    public var settings: [(name: String, value: String)]
    /// The query vector in pgvector's binary form.
    public var vector: [UInt8]
    /// How many columns follow id and distance.
    public var columnCount: Int
    public var maximumRows: Int
    public var maximumBytes: Int

    public init(
        sql: @escaping @Sendable (ServerFacts) -> String, settings: [(name: String, value: String)], vector: [UInt8],
        columnCount: Int, maximumRows: Int, maximumBytes: Int
    ) {
        self.sql = sql
        self.settings = settings
        self.vector = vector
        self.columnCount = columnCount
        self.maximumRows = maximumRows
        self.maximumBytes = maximumBytes
    }
}

extension PostgresConnection {
    /// Settings and query in one pipeline with one Sync: one round trip, one implicit transaction, and the settings are
    /// gone with it; this holds behind a pooler in transaction mode too.
    ///
    /// Cancelling the task stops the server's work. After a failure of kind `timedOut` or `cancelled` the connection is
    /// behind its fence until `settle()` returns.
    /// - Parameter deadline: an instant of `Reactor.now()`.
    public func search(_ statement: SearchStatement, deadline: Int64) async throws(PostgresFailure) -> RowBatch {
        let sql = statement.sql(facts)
        do {
            return try await run(statement, sql: sql, deadline: deadline)
        } catch  where error.mayBeStalePlan {
            // "cached plan must not change result type", or the statement is gone: prepared anew, once.
            if let name = statements.name(of: sql) { obsoleteStatements.append(name) }
            statements.forget(sql)
            return try await run(statement, sql: sql, deadline: deadline)
        }
    }

    private func run(
        _ statement: SearchStatement, sql: String, deadline: Int64
    ) async throws(PostgresFailure) -> RowBatch {
        let reader = RowReader(
            maximumRows: statement.maximumRows, maximumBytes: statement.maximumBytes,
            columnCount: statement.columnCount)
        let outcome = try await perform(deadline: deadline) { () throws(PostgresFailure) in
            var steps: [Operation.Step] = []
            try sendObsolete(&steps)
            if !statement.settings.isEmpty { try sendSettings(statement.settings, &steps) }
            try sendQuery(sql, vector: statement.vector, reader: reader, &steps)
            return steps
        }
        guard case .rows(let batch) = outcome else {
            throw PostgresFailure(.protocolViolation, "the server sent no rows")
        }
        return batch
    }

    /// The schema and OID of `vector`, and the role. Text in and out; no user data is in it.
    func readFacts(deadline: Int64) async throws(PostgresFailure) -> ServerFacts {
        let sql = """
            SELECT n.nspname, t.oid, e.extversion, pg_catalog.pg_is_in_recovery()
            FROM pg_catalog.pg_extension e
            JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
            JOIN pg_catalog.pg_type t ON t.typnamespace OPERATOR(pg_catalog.=) n.oid
                AND t.typname OPERATOR(pg_catalog.=) 'vector'
            WHERE e.extname OPERATOR(pg_catalog.=) 'vector'
            """
        let outcome = try await perform(deadline: deadline) { () throws(PostgresFailure) in
            try sent(PQsendQueryParams(handle, sql, 0, nil, nil, nil, nil, 0))
            return [.texts]
        }
        guard case .texts(let values) = outcome, values.count == 4, let type = UInt32(values[1]) else {
            throw PostgresFailure(.unusable, "the extension vector is not created in this database")
        }
        return ServerFacts(
            vectorSchema: values[0], vectorType: type, vectorVersion: values[2], isStandby: values[3] == "t")
    }

    // MARK: Sending

    /// The OID of `text`, the same in every server (pg_type.dat).
    private static var textType: UInt32 { 25 }

    private func sendObsolete(_ steps: inout [Operation.Step]) throws(PostgresFailure) {
        for name in obsoleteStatements {
            try sent(PQsendQueryParams(handle, "DEALLOCATE \(name)", 0, nil, nil, nil, nil, 1))
            steps.append(.ignored)
        }
        obsoleteStatements.removeAll()
    }

    private func sendSettings(
        _ settings: [(name: String, value: String)], _ steps: inout [Operation.Step]
    ) throws(PostgresFailure) {
        var texts: [UInt8] = []
        for (_, value) in settings {
            texts.append(contentsOf: value.utf8)
            texts.append(0)
        }
        let types = Array(repeating: Self.textType, count: settings.count)
        try send(settingsStatement(settings.map(\.name)), types: types, .ignored, &steps) { name in
            Self.withPointers(toTexts: texts, count: settings.count) { values in
                PQsendQueryPrepared(handle, name, Int32(settings.count), values, nil, nil, 1)
            }
        }
    }

    /// The names are the planner's own words, so they may stand in the text; only the values are parameters.
    private func settingsStatement(_ names: [String]) -> String {
        if let known = settingsStatements.first(where: { $0.names == names }) { return known.sql }
        let calls = names.enumerated().map { "pg_catalog.set_config('\($1)', $\($0 + 1), true)" }
        let sql = "SELECT " + calls.joined(separator: ", ")
        if settingsStatements.count < 32 { settingsStatements.append((names, sql)) }
        return sql
    }

    private func sendQuery(
        _ sql: String, vector: [UInt8], reader: RowReader, _ steps: inout [Operation.Step]
    ) throws(PostgresFailure) {
        try send(sql, types: [facts.vectorType], .rows(reader), &steps) { name in
            vector.withUnsafeBytes { bytes in
                var value = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
                var length = Int32(clamping: bytes.count)
                var format: Int32 = 1
                return PQsendQueryPrepared(handle, name, 1, &value, &length, &format, 1)
            }
        }
    }

    /// Prepares the statement if it is new here, and runs it; behind a pooler it stays unnamed.
    private func send(
        _ sql: String, types: [UInt32], _ step: Operation.Step, _ steps: inout [Operation.Step],
        execute: (_ name: String) -> Int32
    ) throws(PostgresFailure) {
        let known = settings.isPooled ? nil : statements.name(of: sql)
        let name = known ?? (settings.isPooled ? "" : statements.newName())
        if known == nil {
            try sent(
                types.withUnsafeBufferPointer {
                    PQsendPrepare(handle, name, sql, Int32($0.count), $0.baseAddress)
                })
            steps.append(.prepare(sql: sql, name: name))
        }
        try sent(execute(name))
        steps.append(step)
    }

    /// Pointers to texts that follow each other, each with its NUL.
    private static func withPointers(
        toTexts texts: [UInt8], count: Int, _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Int32
    ) -> Int32 {
        texts.withUnsafeBytes { bytes in
            withUnsafeTemporaryAllocation(of: UnsafePointer<CChar>?.self, capacity: count) { pointers in
                var start = 0
                for index in 0..<count {
                    pointers.initializeElement(
                        at: index, to: bytes.baseAddress?.advanced(by: start).assumingMemoryBound(to: CChar.self))
                    while start < bytes.count, bytes[start] != 0 { start += 1 }
                    start += 1
                }
                return body(UnsafePointer(pointers.baseAddress))
            }
        }
    }

    private func sent(_ result: Int32) throws(PostgresFailure) {
        guard result == 1 else { throw PostgresFailure(.connectionLost, Self.oneLine(PQerrorMessage(handle))) }
    }
}

extension PostgresFailure {
    var mayBeStalePlan: Bool { sqlState == "0A000" || sqlState == "26000" }
}
