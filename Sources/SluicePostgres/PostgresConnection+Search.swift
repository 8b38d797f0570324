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
        let calls = settings.indices.map { "pg_catalog.set_config($\(2 * $0 + 1), $\(2 * $0 + 2), true)" }
        var parameters: [[UInt8]] = []
        for (name, value) in settings {
            parameters.append(Array(name.utf8) + [0])
            parameters.append(Array(value.utf8) + [0])
        }
        try send(
            "SELECT " + calls.joined(separator: ", "),
            Parameters(types: parameters.map { _ in Self.textType }, values: parameters, areBinary: false), .ignored,
            &steps)
    }

    private func sendQuery(
        _ sql: String, vector: [UInt8], reader: RowReader, _ steps: inout [Operation.Step]
    ) throws(PostgresFailure) {
        try send(
            sql, Parameters(types: [facts.vectorType], values: [vector], areBinary: true), .rows(reader), &steps)
    }

    /// Prepares the statement if it is new here, and runs it; behind a pooler it stays unnamed.
    private func send(
        _ sql: String, _ parameters: Parameters, _ step: Operation.Step, _ steps: inout [Operation.Step]
    ) throws(PostgresFailure) {
        let count = Int32(parameters.values.count)
        let known = settings.isPooled ? nil : statements.name(of: sql)
        let name = known ?? (settings.isPooled ? "" : statements.newName())
        if known == nil {
            try sent(
                parameters.types.withUnsafeBufferPointer { PQsendPrepare(handle, name, sql, count, $0.baseAddress) })
            steps.append(.prepare(sql: sql, name: name))
        }
        try sent(
            parameters.withPointers { values, lengths, formats in
                PQsendQueryPrepared(handle, name, count, values, lengths, formats, 1)
            })
        steps.append(step)
    }

    private func sent(_ result: Int32) throws(PostgresFailure) {
        guard result == 1 else { throw PostgresFailure(.connectionLost, Self.oneLine(PQerrorMessage(handle))) }
    }
}

/// The parameters of one statement, as libpq wants to be shown them.
private struct Parameters {
    var types: [UInt32]
    var values: [[UInt8]]
    var areBinary: Bool

    func withPointers<Result>(
        _ body: (UnsafePointer<UnsafePointer<CChar>?>?, UnsafePointer<Int32>?, UnsafePointer<Int32>?) -> Result
    ) -> Result {
        let joined = values.flatMap(\.self)
        let lengths = values.map { Int32(clamping: $0.count) }
        let formats = values.map { _ in Int32(areBinary ? 1 : 0) }
        return joined.withUnsafeBytes { bytes in
            var offset = 0
            var pointers: [UnsafePointer<CChar>?] = []
            for value in values {
                pointers.append(bytes.baseAddress?.advanced(by: offset).assumingMemoryBound(to: CChar.self))
                offset += value.count
            }
            return body(pointers, lengths, formats)
        }
    }
}

extension PostgresFailure {
    var mayBeStalePlan: Bool { sqlState == "0A000" || sqlState == "26000" }
}
