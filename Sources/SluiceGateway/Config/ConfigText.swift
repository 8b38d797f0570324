internal import SluicePostgres
internal import Yams

/// What can be said of a connection string without connecting.
enum DSN {
    /// What is wrong with it, without quoting it.
    static func complaint(_ dsn: String) -> String? {
        do throws(PostgresFailure) {
            _ = try ConnectionString(dsn)
            return nil
        } catch {
            return error.detail
        }
    }

    static func hasPassword(_ dsn: String) -> Bool { (try? ConnectionString(dsn))?.hasPassword ?? false }
}

/// Yams' errors in one line.
enum YAMLComplaint {
    static func line(_ error: any Error) -> Int? {
        switch error as? YamlError {
        case .scanner(_, _, let mark, _), .parser(_, _, let mark, _), .composer(_, _, let mark, _): mark.line
        case .duplicatedKeysInMapping(_, let context): context.mark.line
        default: nil
        }
    }

    static func text(_ error: any Error) -> String {
        switch error as? YamlError {
        case .scanner(_, let problem, _, _), .parser(_, let problem, _, _), .composer(_, let problem, _, _): problem
        case .duplicatedKeysInMapping(let keys, _):
            "the key \(keys.map { "\"\($0)\"" }.joined(separator: ", ")) is there twice"
        default: "it cannot be parsed"
        }
    }
}
