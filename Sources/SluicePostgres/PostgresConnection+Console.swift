internal import CLibpq
internal import SluiceReactor

extension PostgresConnection {
    /// What a pooler's console shows, as one table for each `SHOW`: rows of values by the columns' names. Without
    /// those that are null.
    ///
    /// Consoles speak the simple protocol only.
    /// - Parameter deadline: an instant of `Reactor.now()`.
    public func show(_ what: String, deadline: Int64) async throws(PostgresFailure) -> [[String: String]] {
        guard settings.isConsole, state == .idle else {
            throw PostgresFailure(.connectionLost, "the connection is not ready")
        }
        let operation = newOperation()
        do throws(PostgresFailure) {
            try sent(PQsendQuery(handle, "SHOW \(what)"))
        } catch {
            close(error)
            throw error
        }
        operation.expect(.table)
        begin(operation, deadline: deadline)
        _ = try await outcome(of: operation)
        guard let rows = operation.commands.first?.rows, let names = rows.first else {
            throw violation("no table")
        }
        return rows.dropFirst().map { row in
            Dictionary(zip(names, row).compactMap { name, value in name.flatMap { name in value.map { (name, $0) } } })
            {
                first, _ in first
            }
        }
    }
}
