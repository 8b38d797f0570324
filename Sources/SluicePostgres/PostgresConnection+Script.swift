internal import CLibpq

/// A script of the operator's failed; the server has kept none of it, unless the failure is of the connection.
public struct ScriptFailure: Error, Hashable, Sendable, CustomStringConvertible {
    public var failure: PostgresFailure
    /// The place in the script of the statement that the server refused; nil if it was none of them.
    public var statement: Int?
    /// The server's own words about that statement; nil where they may quote rows.
    public var words: String?

    public init(_ failure: PostgresFailure, statement: Int? = nil, words: String? = nil) {
        self.failure = failure
        self.statement = statement
        self.words = words
    }

    public var description: String {
        guard let words else { return failure.description }
        return words + (failure.sqlState.map { " (SQLSTATE \($0))" } ?? "")
    }
}

extension PostgresConnection {
    /// Runs statements without parameters in one pipeline with one Sync: one implicit transaction, all or nothing.
    ///
    /// After a failure of kind `timedOut`, `cancelled` or `connectionLost` it is not known whether it was committed.
    /// - Parameter deadline: an instant of `Reactor.now()`.
    public func run(script: [String], deadline: Int64) async throws(ScriptFailure) {
        let operation = newOperation()
        operation.keepsWords = true
        do throws(PostgresFailure) {
            _ = try await perform(operation, deadline: deadline) { () throws(PostgresFailure) in
                for sql in script {
                    try sent(PQsendQueryParams(handle, sql, 0, nil, nil, nil, nil, 0))
                    operation.expect(.command)
                }
            }
        } catch {
            // The Sync comes after the last statement: an error there is one of the commit.
            let place = error.place.flatMap { $0.command < script.count ? $0.command : nil }
            throw ScriptFailure(error, statement: place, words: operation.words)
        }
    }

    /// All rows of one query, each value as text.
    /// - Parameters:
    ///   - texts: its parameters.
    ///   - subject: the type of the first parameter; nil for a text, as the others are.
    ///   - deadline: an instant of `Reactor.now()`.
    public func rows(
        _ sql: String, _ texts: [String] = [], subject: SubjectType? = nil, deadline: Int64
    ) async throws(PostgresFailure) -> [[String?]] {
        let operation = newOperation()
        _ = try await perform(operation, deadline: deadline) { () throws(PostgresFailure) in
            try ask(sql, texts, subject: subject, operation)
        }
        guard let result = operation.commands.first else {
            throw violation("no rows")
        }
        return result.rows
    }

    /// What the server says of a statement that it refused, short and on one line. Nil for the classes whose messages
    /// may quote rows: data exceptions and violated constraints.
    static func words(of result: OpaquePointer) -> String? {
        guard let code = PQresultErrorField(result, Int32(UInt8(ascii: "C"))).map({ String(cString: $0) }),
            !code.hasPrefix("22"), !code.hasPrefix("23"),
            let words = PQresultErrorField(result, Int32(UInt8(ascii: "M")))
        else { return nil }
        return oneLine(words)
    }
}
