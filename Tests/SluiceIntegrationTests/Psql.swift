import CLibpq
import Foundation

extension Replicas {
    struct QueryFailed: Error, CustomStringConvertible {
        var description: String
    }

    /// Asks one server as the gateway's own role.
    /// - Returns: what `psql -qAtc` prints: rows in lines, columns between bars, without white space at the ends. By
    ///   libpq in this process, as psql and the script before it take a quarter of a second.
    @discardableResult
    func query(_ replica: String, _ sql: String) throws -> String {
        try ask(replica, sql, user: "sluice", passwordFile: topology.passwordFile)
    }

    @discardableResult
    func superuser(_ replica: String, _ sql: String) throws -> String {
        try ask(replica, sql, user: "postgres", passwordFile: home.appending(path: "superuser-password").path)
    }

    private func ask(_ name: String, _ sql: String, user: String, passwordFile: String) throws -> String {
        let password = try String(contentsOfFile: passwordFile, encoding: .utf8)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        let connection = PQsetdbLogin(
            "127.0.0.1", "\(try replica(name).port)", nil, nil, "dbname=sluice connect_timeout=3", user, password)
        defer { PQfinish(connection) }
        guard PQstatus(connection) == CONNECTION_OK, PQsendQuery(connection, sql) == 1 else {
            throw QueryFailed(description: "\(name): \(String(cString: PQerrorMessage(connection)))")
        }
        _ = PQsetNoticeProcessor(connection, { _, _ in }, nil)
        var lines: [String] = []
        var failure: QueryFailed?
        while let result = PQgetResult(connection) {
            defer { PQclear(result) }
            switch PQresultStatus(result) {
            case PGRES_TUPLES_OK: lines += Self.lines(of: result)
            case PGRES_COMMAND_OK, PGRES_EMPTY_QUERY: break
            default:
                failure = QueryFailed(description: "\(name): \(String(cString: PQresultErrorMessage(result)))")
            }
        }
        if let failure { throw failure }
        return lines.joined(separator: "\n").trimmingCharacters(in: .whitespacesAndNewlines)
    }

    private static func lines(of result: OpaquePointer) -> [String] {
        (0..<PQntuples(result)).map { row in
            (0..<PQnfields(result)).map { column in
                PQgetvalue(result, row, column).map { String(cString: $0) } ?? ""
            }.joined(separator: "|")
        }
    }
}
