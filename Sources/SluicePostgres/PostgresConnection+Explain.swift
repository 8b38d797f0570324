internal import CLibpq

extension PostgresConnection {
    /// How the server would run a search's statement, with the same settings and parameters; it does not run it. One
    /// round trip and one transaction, as a search is; nothing stays prepared.
    /// - Parameter deadline: an instant of `Reactor.now()`.
    public func explain(_ statement: SearchStatement, deadline: Int64) async throws(PostgresFailure) -> QueryPlan {
        let operation = newOperation()
        operation.budget = ReadBudget(limit: statement.mostBytesRead)
        let outcome = try await perform(operation, deadline: deadline) { () throws(PostgresFailure) in
            try sendObsolete(operation)
            try sendSettings(statement, operation)
            try sendExplain(statement, operation)
        }
        guard case .plan(let plan) = outcome else { throw violation("no plan") }
        return plan
    }

    private func sendExplain(_ statement: SearchStatement, _ operation: Operation) throws(PostgresFailure) {
        let types = parameterTypes(of: statement)
        let sql = "EXPLAIN (FORMAT JSON) " + statement.query.sql(for: facts)
        try sent(PQsendPrepare(handle, "", sql, Int32(clamping: types.count), types))
        operation.expect(.ignored)
        try sent(sendBinary("", statement.subject, statement))
        operation.expect(.outline)
    }
}
