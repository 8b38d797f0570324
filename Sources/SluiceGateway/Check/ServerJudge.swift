/// Judges how a server is set up. Pure.
package struct ServerJudge: Sendable {
    /// Rows that are older than that surprise people.
    private static let longLag = Duration.seconds(10)

    let shard: String
    let replica: String

    package init(shard: String, replica: String) {
        self.shard = shard
        self.replica = replica
    }

    /// The most connections that this gateway opens, or all those that share a budget.
    package struct Pools: Hashable, Sendable {
        /// To the server.
        package var toServer: Int
        /// Those of them that are one role's in one database.
        package var ofRole: Int
        /// Some of them are of a budget.
        package var isShared: Bool

        package init(toServer: Int, ofRole: Int, isShared: Bool = false) {
            self.toServer = toServer
            self.ofRole = ofRole
            self.isShared = isShared
        }

        fileprivate var subject: String {
            isShared ? "this gateway, and those that share its budget," : "this gateway's pools to it"
        }

        fileprivate var setting: String { isShared ? "pool.connection_budget" : "pool.max_size" }
    }

    /// - Parameter pools: nil if a pooler has the connections to the server.
    package func findings(_ condition: ServerCondition, pools: Pools?) -> [Finding] {
        (pools.map { connections(condition, $0) } ?? []) + (condition.isStandby ? replication(condition) : [])
    }

    private func connections(_ condition: ServerCondition, _ pools: Pools) -> [Finding] {
        let pool = pools.toServer
        let most = condition.maxConnections - condition.reservedConnections
        if pool > most {
            return [
                warning(
                    "\(pools.subject) have up to \(pool) connections, and max_connections "
                        + "\(condition.maxConnections) less \(condition.reservedConnections) reserved are \(most); "
                        + "lower \(pools.setting) (`sluice pool-plan` reckons), or raise max_connections")
            ]
        }
        if let limit = condition.ownLimit, pools.ofRole > limit {
            return [
                warning(
                    "\(pools.subject) have up to \(pools.ofRole) connections, and its role or database may "
                        + "have \(limit); lower \(pools.setting), or run ALTER ROLE, or ALTER DATABASE, ... "
                        + "CONNECTION LIMIT \(pools.ofRole)")
            ]
        }
        guard pool + condition.otherConnections > most else { return [] }
        return [
            warning(
                "\(pools.subject) have up to \(pool) connections, other programs have "
                    + "\(condition.otherConnections) now, and there are \(most); lower \(pools.setting) "
                    + "(`sluice pool-plan` reckons), or raise max_connections")
        ]
    }

    private func replication(_ condition: ServerCondition) -> [Finding] {
        if condition.isReplayPaused {
            return [
                warning(
                    "its replay is paused: it shows the rows of the moment when that began; "
                        + "run SELECT pg_wal_replay_resume()")
            ]
        }
        guard condition.hasWalReceiver else {
            return [
                warning(
                    "it does not follow a primary: no WAL receiver runs, and there is no restore_command; look at "
                        + "primary_conninfo, its slot and its log"
                )
            ]
        }
        guard let lag = condition.lag, lag > Self.longLag else { return [] }
        return [
            warning(
                "it is \(lag.components.seconds) s behind its primary; look for long statements on it "
                    + "(max_standby_streaming_delay) and at its disk")
        ]
    }

    /// - Parameters:
    ///   - parameters: what the gateway dials with.
    ///   - isLocal: no network is between.
    package func keepalives(_ parameters: [(String, String)], isLocal: Bool) -> Finding? {
        let off = parameters.filter { ["keepalives", "tcp_user_timeout"].contains($0.0) && $0.1 == "0" }.map(\.0)
        guard !isLocal, !off.isEmpty else { return nil }
        return warning(
            "the dsn turns \(off.joined(separator: " and ")) off: a connection into a network that swallows packets "
                + "would be noticed late; leave it out")
    }

    /// - Returns: nil if pgvector has no fault that is known.
    package func advice(vectorVersion: String) -> Finding? {
        let numbers = vectorVersion.split(separator: ".").map { Int($0) ?? 0 }
        func isOlder(than other: [Int]) -> Bool { numbers.lexicographicallyPrecedes(other) }
        // What is older than 0.8.0 is told so anyway.
        guard !numbers.isEmpty, !isOlder(than: [0, 8]), isOlder(than: [0, 8, 7]) else { return nil }
        let faults = [
            isOlder(than: [0, 8, 2])
                ? "building an HNSW index in parallel can read other tables' data (CVE-2026-3172)" : nil,
            isOlder(than: [0, 8, 3]) ? "vacuum can damage an HNSW index" : nil,
            "building an IVFFlat index can overflow",
        ].compactMap(\.self)
        return warning(
            "pgvector is \(vectorVersion), and \(faults.joined(separator: "; ")); install 0.8.7 or newer and run "
                + "ALTER EXTENSION vector UPDATE")
    }

    private func warning(_ message: String) -> Finding { Finding(.warning, shard: shard, replica: replica, message) }
}
