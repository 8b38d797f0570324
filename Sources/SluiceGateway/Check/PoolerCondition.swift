internal import SluiceCore
internal import SluicePostgres
internal import SluiceReactor

/// How a PgBouncer is set up, for one database and role.
package struct PoolerCondition: Hashable, Sendable {
    /// `transaction`, `session` or `statement`.
    package var mode: String
    /// Connections that it makes to the server for them.
    package var serverConnections: Int
    /// What is to be changed for more of those.
    package var serverSetting: String
    /// Of all clients.
    package var maxClients: Int
    /// Those of other databases and roles, now.
    package var otherClients: Int
    /// After which it closes a client that waits for a connection to the server; nil: never.
    package var waitTimeout: Duration?

    package init(
        mode: String = "transaction", serverConnections: Int = 20, serverSetting: String = "default_pool_size",
        maxClients: Int = 100, otherClients: Int = 0, waitTimeout: Duration? = .seconds(120)
    ) {
        self.mode = mode
        self.serverConnections = serverConnections
        self.serverSetting = serverSetting
        self.maxClients = maxClients
        self.otherClients = otherClients
        self.waitTimeout = waitTimeout
    }

    /// - Parameters:
    ///   - config, databases, pools: what the console shows by these names.
    ///   - database, role: those that the gateway's connections name.
    /// - Returns: nil if a limit is not among it.
    package init?(
        config: [[String: String]], databases: [[String: String]], pools: [[String: String]], database: String,
        role: String
    ) {
        let settings = Dictionary(
            config.compactMap { row in row["key"].flatMap { key in row["value"].map { (key, $0) } } }
        ) { first, _ in first }
        // PgBouncer's own limits are C ints: what it says is not trusted to be small.
        func count(_ text: String?) -> Int? { text.flatMap { Int32($0) }.flatMap { $0 >= 0 ? Int($0) : nil } }
        let entry = databases.first { $0["name"] == database } ?? [:]
        guard let maxClients = count(settings["max_client_conn"]),
            let poolSize = count(entry["pool_size"]) ?? count(settings["default_pool_size"])
        else { return nil }
        // 0 is no limit but for the pool's own size.
        let limits = [
            (poolSize, poolSize == count(settings["default_pool_size"]) ? "default_pool_size" : "its pool_size"),
            (count(entry["max_connections"]) ?? count(settings["max_db_connections"]) ?? 0, "max_db_connections"),
            (count(settings["max_user_connections"]) ?? 0, "max_user_connections"),
        ].enumerated().filter { $0.offset == 0 || $0.element.0 > 0 }.map(\.element)
        let least = limits.min { $0.0 < $1.0 } ?? (poolSize, "default_pool_size")
        let mode = entry["pool_mode"].flatMap { $0.isEmpty ? nil : $0 } ?? settings["pool_mode"]
        let others = pools.filter { $0["database"] != database || $0["user"] != role }
        self.init(
            mode: mode ?? "", serverConnections: least.0, serverSetting: least.1, maxClients: maxClients,
            otherClients: others.filter { $0["database"] != "pgbouncer" }.reduce(0) {
                $0 + (count($1["cl_active"]) ?? 0) + (count($1["cl_waiting"]) ?? 0)
            },
            waitTimeout: settings["query_wait_timeout"].flatMap { Double($0) }.flatMap {
                $0 > 0 ? .milliseconds(Int64(min($0, 1e9) * 1_000)) : nil
            })
    }
}

/// Judges how a PgBouncer is set up. Pure.
package struct PoolerJudge: Sendable {
    /// What the gateway does with it.
    package struct Use: Hashable, Sendable {
        /// The most connections for this database and role.
        package var pool: Int
        /// Those of all pools that lead to it.
        package var clients: Int
        /// They are of a budget that gateways share.
        package var isShared: Bool
        /// How long a search may take.
        package var patience: Duration

        package init(pool: Int, clients: Int, isShared: Bool = false, patience: Duration) {
            self.pool = pool
            self.clients = clients
            self.isShared = isShared
            self.patience = patience
        }

        fileprivate var setting: String { isShared ? "pool.connection_budget" : "pool.max_size" }
    }

    let shard: String
    let replica: String

    package init(shard: String, replica: String) {
        self.shard = shard
        self.replica = replica
    }

    package func findings(_ condition: PoolerCondition, _ use: Use) -> [Finding] {
        [mode(condition), clients(condition, use), servers(condition, use), waits(condition, use)].compactMap(\.self)
    }

    private func mode(_ condition: PoolerCondition) -> Finding? {
        guard condition.mode == "statement" else { return nil }
        return Finding(
            .error, shard: shard, replica: replica,
            "its PgBouncer has pool_mode statement, which allows no transactions; set transaction")
    }

    private func clients(_ condition: PoolerCondition, _ use: Use) -> Finding? {
        guard use.clients + condition.otherClients > condition.maxClients else { return nil }
        let others = condition.otherClients > 0 ? " and other programs have \(condition.otherClients) now" : ""
        return warning(
            "up to \(use.clients) connections lead to its PgBouncer\(others), whose max_client_conn is "
                + "\(condition.maxClients); raise that to at least \(use.clients + condition.otherClients), or lower "
                + use.setting)
    }

    private func servers(_ condition: PoolerCondition, _ use: Use) -> Finding? {
        guard use.pool > condition.serverConnections else { return nil }
        return warning(
            "its PgBouncer has up to \(condition.serverConnections) connections to the server for \(use.pool) of "
                + "\(use.setting): the other searches wait in PgBouncer, where neither admission nor replica choice "
                + "sees them; raise \(condition.serverSetting) or lower \(use.setting)")
    }

    private func waits(_ condition: PoolerCondition, _ use: Use) -> Finding? {
        guard let timeout = condition.waitTimeout, timeout < use.patience else { return nil }
        return warning(
            "its PgBouncer closes a connection that has waited for the server for "
                + "\(Quantity.text(timeout)) (query_wait_timeout), and a search may take "
                + "\(Quantity.text(use.patience)) (limits.default_deadline): that counts as the replica's "
                + "failure; raise query_wait_timeout")
    }

    /// It does not show its settings to this role.
    /// - Parameter failure: as it said it.
    package func unknown(_ failure: String, _ use: Use) -> Finding {
        warning(
            "its PgBouncer does not show its settings to this role (\(failure)): add the role to stats_users and run "
                + "doctor again, or see yourself that default_pool_size is at least \(use.pool), max_client_conn at "
                + "least \(use.clients), and query_wait_timeout at least \(Quantity.text(use.patience))")
    }

    private func warning(_ message: String) -> Finding { Finding(.warning, shard: shard, replica: replica, message) }
}

/// Asks a PgBouncer how it is set up.
struct PoolerProbe: Sendable {
    let connection: PostgresConnection
    let patience: Duration

    func condition(database: String, role: String) async throws(PostgresFailure) -> PoolerCondition? {
        PoolerCondition(
            config: try await show("CONFIG"), databases: try await show("DATABASES"), pools: try await show("POOLS"),
            database: database, role: role)
    }

    private func show(_ what: String) async throws(PostgresFailure) -> [[String: String]] {
        let deadline = Instant(nanoseconds: Reactor.now()).advanced(by: patience)
        return try await connection.show(what, deadline: deadline.nanoseconds)
    }
}
