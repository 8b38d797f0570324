internal import CLibpq
internal import SluiceReactor

/// What a statement's first parameter is: the OIDs of pgvector's types differ between servers.
public enum SubjectType: Hashable, Sendable {
    case vector
    case halfvec
    case sparsevec
    case bit
    case text
    /// `bigint[]`.
    case ids
}

/// A parameter in PostgreSQL's binary form.
public struct BinaryParameter: Sendable {
    public var typeOID: UInt32
    public var bytes: [UInt8]

    public init(typeOID: UInt32, bytes: [UInt8]) {
        self.typeOID = typeOID
        self.bytes = bytes
    }
}

/// A search as one connection runs it.
public struct SearchStatement: Sendable {
    /// What a statement's rows are.
    public enum Reading: Hashable, Sendable {
        /// Token, id, distance and the columns.
        case rows
        /// `EXPLAIN`'s, in JSON: one row comes of it, whose id is the planner's estimate.
        case plan
    }

    /// `$1` is the subject; `$2` is the token, which is each row's first column, before id and distance; `parameters`
    /// follow.
    public var query: any StatementText
    /// Makes settings that are gone when the transaction ends: `$1` is the statement time-out, the others follow.
    public var settings: any StatementText
    /// At least 1: 0 would mean no time-out at all.
    public var timeoutMilliseconds: Int32
    /// The settings' values from `$2` on.
    public var settingValues: [String]
    /// In binary form, as a rule the vector to search for.
    public var subject: [UInt8]
    public var subjectType = SubjectType.vector
    /// Further subjects, for each of which the same is asked, in the same round trip.
    public var furtherSubjects: [[UInt8]] = []
    public var reading = Reading.rows
    /// `$3` and on; their types are always the same for a `query`.
    public var parameters: [BinaryParameter] = []
    /// Rows that do not carry it belong to another request.
    public var token: Int64
    /// How many columns follow id and distance.
    public var columnCount: Int
    public var maximumRows: Int
    public var maximumBytes: Int

    public init(
        query: any StatementText, settings: any StatementText, timeoutMilliseconds: Int32, settingValues: [String],
        subject: [UInt8], token: Int64, columnCount: Int, maximumRows: Int, maximumBytes: Int
    ) {
        self.query = query
        self.settings = settings
        self.timeoutMilliseconds = max(1, timeoutMilliseconds)
        self.settingValues = settingValues
        self.subject = subject
        self.token = token
        self.columnCount = columnCount
        self.maximumRows = maximumRows
        self.maximumBytes = maximumBytes
    }

    /// All columns of all rows, with what the protocol adds to each row, and some for notices and for what comes too
    /// much: a statement that brings a little more than it may costs nobody a connection.
    var mostBytesRead: Int {
        maximumBytes + maximumRows * (1 + furtherSubjects.count) * Self.rowBytes + Self.spareBytes
    }

    /// A row's header, and its token, id and distance.
    private static let rowBytes = 64
    private static let spareBytes = 1_048_576
}

extension PostgresConnection {
    /// Settings and query in one pipeline with one Sync: one round trip, one implicit transaction, and the settings are
    /// gone with it; this holds behind a pooler in transaction mode too.
    ///
    /// Cancelling the task stops the server's work. After a failure of kind `timedOut` or `cancelled` the connection is
    /// behind its fence until `settle()` returns.
    /// - Parameter deadline: an instant of `Reactor.now()`.
    public func search(_ statement: SearchStatement, deadline: Int64) async throws(PostgresFailure) -> RowBatch {
        do {
            return try await run(statement, deadline: deadline)
        } catch  where error.mayBeStalePlan {
            forgetPlans(error, statement)
            return try await run(statement, deadline: deadline)
        }
    }

    /// "Cached plan must not change result type": that one is prepared anew. A statement that is gone: somebody else
    /// has deallocated, and none can be relied on.
    private func forgetPlans(_ failure: PostgresFailure, _ statement: SearchStatement) {
        if failure.sqlState == "26000" {
            statements.forgetAll()
            obsoleteStatements.removeAll()
        } else {
            if let name = statements.name(of: statement.query) { obsoleteStatements.append(name) }
            statements.forget(statement.query)
        }
    }

    @inline(__always)
    private func run(_ statement: SearchStatement, deadline: Int64) async throws(PostgresFailure) -> RowBatch {
        let operation = newOperation()
        operation.reader = RowReader(
            token: statement.token, maximumRows: statement.maximumRows, maximumBytes: statement.maximumBytes,
            columnCount: statement.columnCount)
        operation.budget = ReadBudget(limit: statement.mostBytesRead)
        let outcome = try await perform(operation, deadline: deadline) { () throws(PostgresFailure) in
            try sendObsolete(operation)
            try sendSettings(statement, operation)
            try sendQuery(statement, operation)
        }
        guard case .rows(let batch) = outcome else {
            throw violation("no rows")
        }
        return batch
    }

    /// The schema and OID of `vector`, and the role. Text in and out; no user data is in it.
    func readFacts(deadline: Int64) async throws(PostgresFailure) -> ServerFacts {
        let sql = """
            SELECT n.nspname, t.oid, e.extversion, pg_catalog.pg_is_in_recovery(),
                coalesce(h.oid, 0), coalesce(s.oid, 0),
                pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time())
            FROM (SELECT 1) one
            LEFT JOIN pg_catalog.pg_extension e ON e.extname OPERATOR(pg_catalog.=) 'vector'
            LEFT JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace
            LEFT JOIN pg_catalog.pg_type t ON t.typnamespace OPERATOR(pg_catalog.=) n.oid
                AND t.typname OPERATOR(pg_catalog.=) 'vector'
            LEFT JOIN pg_catalog.pg_type h ON h.typnamespace OPERATOR(pg_catalog.=) n.oid
                AND h.typname OPERATOR(pg_catalog.=) 'halfvec'
            LEFT JOIN pg_catalog.pg_type s ON s.typnamespace OPERATOR(pg_catalog.=) n.oid
                AND s.typname OPERATOR(pg_catalog.=) 'sparsevec'
            """
        let operation = newOperation()
        operation.budget = ReadBudget(limit: ReadBudget.greetingBytes)
        let outcome = try await perform(operation, deadline: deadline) { () throws(PostgresFailure) in
            try sent(PQsendQueryParams(handle, sql, 0, nil, nil, nil, nil, 0))
            operation.expect(.texts)
        }
        guard case .texts(let values) = outcome, values.count == 7 else {
            throw violation("another number of values")
        }
        let type = UInt32(values[1]) ?? 0
        if type == 0, settings.needsVector { throw .noVectorExtension }
        var facts = ServerFacts(
            vectorSchema: values[0], vectorType: type, halfvecType: UInt32(values[4]) ?? 0,
            sparsevecType: UInt32(values[5]) ?? 0, vectorVersion: values[2], isStandby: values[3] == "t",
            incarnation: Self.incarnation(values[6]))
        facts.serverVersion = Self.oneLine(PQparameterStatus(handle, "server_version"))
        return facts
    }

    /// From when the server was started, to the microsecond: no two servers share it.
    private static func incarnation(_ epoch: String) -> UInt64? { Double(epoch)?.bitPattern }

    /// Asks the server what it is, how far it has got, and the planner's estimate of its tables' rows (nil where it has
    /// none).
    ///
    /// At most 100 tables are asked for; those after them get nil.
    public func inspect(
        _ tables: [(schema: String, table: String)], deadline: Int64
    ) async throws(PostgresFailure) -> ServerState {
        do throws(PostgresFailure) {
            return try await inspectOnce(tables, deadline: deadline)
        } catch {
            // Who may not ask which cluster it is, is still told the rest.
            guard mayAskForCluster, error.sqlState == "42501" || error.sqlState == "42883" else { throw error }
            mayAskForCluster = false
            return try await inspectOnce(tables, deadline: deadline)
        }
    }

    private func inspectOnce(
        _ tables: [(schema: String, table: String)], deadline: Int64
    ) async throws(PostgresFailure) -> ServerState {
        let asked = tables.prefix(100)
        let estimates = asked.indices.map { place in
            """
            , (SELECT c.reltuples FROM pg_catalog.pg_class c
            JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
            WHERE n.nspname OPERATOR(pg_catalog.=) $\(2 * place + 1)
            AND c.relname OPERATOR(pg_catalog.=) $\(2 * place + 2))
            """
        }
        // A primary's timeline is in the name of the file that it writes to. The role comes first: a standby that is
        // promoted meanwhile has at least what it says.
        let sql =
            """
            SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery()
            THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END, '0/0'),
            CASE WHEN NOT pg_catalog.pg_is_in_recovery()
            THEN pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) END,
            pg_catalog.date_part('epoch', pg_catalog.pg_postmaster_start_time()),
            \(mayAskForCluster ? "(SELECT c.system_identifier FROM pg_catalog.pg_control_system() c)" : "NULL")
            """ + estimates.joined()
        let texts = asked.flatMap { [$0.schema, $0.table] }
        let types = Array(repeating: Self.textType, count: texts.count)
        let operation = newOperation()
        let outcome = try await perform(operation, deadline: deadline) { () throws(PostgresFailure) in
            try sent(
                ParameterTexts.with(texts) { values in
                    PQsendQueryParams(handle, sql, Int32(clamping: texts.count), types, values, nil, nil, 0)
                })
            operation.expect(.texts)
        }
        guard case .texts(let values) = outcome, values.count == asked.count + 5 else {
            throw violation("another number of values")
        }
        // A table that was never analyzed has -1.
        let rows = values.dropFirst(5).map { Double($0).flatMap { $0 >= 0 ? $0 : nil } }
        return ServerState(
            isStandby: values[0] == "t", timeline: UInt32(values[2].prefix(8), radix: 16),
            position: UInt64(values[1]), incarnation: Self.incarnation(values[3]),
            systemIdentifier: Self.systemIdentifier(values[4]),
            estimatedRows: rows + Array(repeating: nil, count: tables.count - asked.count))
    }

    /// PostgreSQL has it as a signed number.
    private static func systemIdentifier(_ text: String) -> UInt64? { Int64(text).map(UInt64.init(bitPattern:)) }

    // MARK: Sending

    /// The OIDs of `text` and `bigint`, the same in every server (pg_type.dat).
    static var textType: UInt32 { 25 }
    private static var bigintType: UInt32 { 20 }

    func sendObsolete(_ operation: Operation) throws(PostgresFailure) {
        if obsoleteStatements.isEmpty { return }
        for name in obsoleteStatements {
            try sent(PQsendQueryParams(handle, "DEALLOCATE \(name)", 0, nil, nil, nil, nil, 1))
            operation.expect(.ignored)
        }
        obsoleteStatements.removeAll()
    }

    func sendSettings(_ statement: SearchStatement, _ operation: Operation) throws(PostgresFailure) {
        let count = 1 + statement.settingValues.count
        let name = try prepare(
            statement.settings, types: { Array(repeating: Self.textType, count: count) }, operation)
        let result = ParameterTexts.with(String(statement.timeoutMilliseconds), statement.settingValues) { values in
            PQsendQueryPrepared(handle, name, Int32(clamping: count), values, nil, nil, 1)
        }
        try sent(result)
        operation.expect(.ignored)
    }

    func parameterTypes(of statement: SearchStatement) -> [UInt32] {
        [facts.oid(of: statement.subjectType), Self.bigintType] + statement.parameters.map(\.typeOID)
    }

    private func sendQuery(_ statement: SearchStatement, _ operation: Operation) throws(PostgresFailure) {
        let name = try prepare(
            statement.query, types: { parameterTypes(of: statement) }, operation)
        try sendQuery(name, statement.subject, statement, operation)
        for subject in statement.furtherSubjects { try sendQuery(name, subject, statement, operation) }
    }

    private func sendQuery(
        _ name: String, _ subject: [UInt8], _ statement: SearchStatement, _ operation: Operation
    ) throws(PostgresFailure) {
        if statement.parameters.isEmpty {
            try sent(
                subject.withUnsafeBytes { subject in
                    withUnsafeBytes(of: statement.token.bigEndian) { sendBinary(name, subject, $0) }
                })
        } else {
            try sent(sendBinary(name, subject, statement))
        }
        operation.expect(statement.reading == .rows ? .rows : .plan)
    }

    private func sendBinary(
        _ name: String, _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer
    ) -> Int32 {
        let values: InlineArray<2, UnsafePointer<CChar>?> = [
            first.baseAddress?.assumingMemoryBound(to: CChar.self),
            second.baseAddress?.assumingMemoryBound(to: CChar.self),
        ]
        let lengths: InlineArray<2, Int32> = [Int32(clamping: first.count), Int32(clamping: second.count)]
        let formats: InlineArray<2, Int32> = [1, 1]
        return values.span.withUnsafeBufferPointer { values in
            lengths.span.withUnsafeBufferPointer { lengths in
                formats.span.withUnsafeBufferPointer { formats in
                    PQsendQueryPrepared(
                        handle, name, 2, values.baseAddress, lengths.baseAddress, formats.baseAddress, 1)
                }
            }
        }
    }

    /// With any number of parameters, whose bytes are laid one after another.
    func sendBinary(_ name: String, _ subject: [UInt8], _ statement: SearchStatement) -> Int32 {
        let token = withUnsafeBytes(of: statement.token.bigEndian) { Array($0) }
        let values = [subject, token] + statement.parameters.map(\.bytes)
        let lengths = values.map { Int32(clamping: $0.count) }
        let formats = [Int32](repeating: 1, count: values.count)
        // An empty value still needs an address: a null pointer would be a null.
        let bytes = values.flatMap(\.self) + [0]
        return bytes.withUnsafeBytes { bytes in
            var offset = 0
            let pointers = values.map { value in
                defer { offset += value.count }
                return bytes.baseAddress.map { $0.advanced(by: offset).assumingMemoryBound(to: CChar.self) }
            }
            return PQsendQueryPrepared(handle, name, Int32(clamping: values.count), pointers, lengths, formats, 1)
        }
    }

    /// The name that the statement has here, prepared just now if it is new; behind a pooler it stays unnamed.
    func prepare(
        _ text: any StatementText, types: () -> [UInt32], _ operation: Operation
    ) throws(PostgresFailure) -> String {
        if !settings.isPooled, let known = statements.name(of: text) { return known }
        let name = settings.isPooled ? "" : statements.newName()
        let types = types()
        try sent(PQsendPrepare(handle, name, text.sql(for: facts), Int32(clamping: types.count), types))
        operation.expect(.prepare(text, name: name))
        return name
    }

    func sent(_ result: Int32) throws(PostgresFailure) {
        guard result == 1 else { throw PostgresFailure(.connectionLost, Self.oneLine(PQerrorMessage(handle))) }
    }
}

extension PostgresFailure {
    var mayBeStalePlan: Bool { sqlState == "0A000" || sqlState == "26000" }
}

/// Parameters as libpq wants texts: pointers to bytes that a NUL ends, all on the stack.
enum ParameterTexts {
    static func with(_ texts: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Int32) -> Int32 {
        guard let first = texts.first else { return body(nil) }
        return with(first, Array(texts.dropFirst()), body)
    }

    static func with(
        _ first: String, _ texts: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>?) -> Int32
    ) -> Int32 {
        let size = texts.reduce(first.utf8.count + 1) { $0 + $1.utf8.count + 1 }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: size) { bytes in
            withUnsafeTemporaryAllocation(of: UnsafePointer<CChar>?.self, capacity: 1 + texts.count) { pointers in
                var end = 0
                pointers.initializeElement(at: 0, to: copy(first, to: bytes, &end))
                for (index, text) in texts.enumerated() {
                    pointers.initializeElement(at: index + 1, to: copy(text, to: bytes, &end))
                }
                return body(UnsafePointer(pointers.baseAddress))
            }
        }
    }

    private static func copy(
        _ text: String, to bytes: UnsafeMutableBufferPointer<CChar>, _ end: inout Int
    ) -> UnsafePointer<CChar>? {
        let start = end
        for byte in text.utf8 {
            bytes.initializeElement(at: end, to: CChar(bitPattern: byte))
            end += 1
        }
        bytes.initializeElement(at: end, to: 0)
        end += 1
        return bytes.baseAddress.map { UnsafePointer($0 + start) }
    }
}
