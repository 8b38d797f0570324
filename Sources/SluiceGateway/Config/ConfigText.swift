internal import SluicePostgres

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
