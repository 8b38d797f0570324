internal import SluicePostgres

/// How a server is set up, and how it is doing.
package struct ServerCondition: Hashable, Sendable {
    package var maxConnections: Int
    /// Those that only privileged roles get.
    package var reservedConnections: Int
    /// Of the role and of the database; nil for as many as the server has.
    package var ownLimit: Int?
    /// Those of other programs, now.
    package var otherConnections: Int
    /// In bytes.
    package var sharedBuffers: Int64
    package var isStandby: Bool
    /// Of a standby.
    package var isReplayPaused = false
    /// A standby without: it does not follow its primary.
    package var hasWalReceiver = true
    /// How old the newest row is that a standby shows, if there are newer ones that it has received.
    package var lag: Duration?

    package init(
        maxConnections: Int = 100, reservedConnections: Int = 3, otherConnections: Int = 0,
        sharedBuffers: Int64 = 134_217_728, isStandby: Bool = false
    ) {
        self.maxConnections = maxConnections
        self.reservedConnections = reservedConnections
        self.otherConnections = otherConnections
        self.sharedBuffers = sharedBuffers
        self.isStandby = isStandby
    }

    /// - Parameter row: as `query` has it; nil if it is not so.
    init?(row: [String?]) {
        guard row.count == 10, let most = row[0].flatMap({ Int($0) }), let reserved = row[1].flatMap({ Int($0) }),
            let others = row[4].flatMap({ Int($0) }), let buffers = row[5].flatMap({ Int64($0) })
        else { return nil }
        self.init(
            maxConnections: most, reservedConnections: reserved, otherConnections: others, sharedBuffers: buffers,
            isStandby: row[6] == "t")
        ownLimit = [row[2], row[3]].compactMap { $0.flatMap { Int($0) } }.filter { $0 >= 0 }.min()
        isReplayPaused = row[7] == "t"
        hasWalReceiver = !isStandby || row[9] != "0"
        lag = row[8].flatMap { Int64($0) }.map { .milliseconds(max(0, $0)) }
    }

    /// Limits of roles and databases do not hold for superusers. A role that may not see what others do still sees
    /// that they are there.
    static let query = """
        SELECT pg_catalog.current_setting('max_connections'),
            pg_catalog.current_setting('superuser_reserved_connections')::pg_catalog.int4 OPERATOR(pg_catalog.+)
                coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::pg_catalog.int4,
            CASE WHEN r.rolsuper THEN -1 ELSE r.rolconnlimit END,
            CASE WHEN r.rolsuper THEN -1 ELSE d.datconnlimit END,
            (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity a
                WHERE a.datid IS NOT NULL AND a.application_name OPERATOR(pg_catalog.<>) 'sluice'
                    AND coalesce(a.backend_type OPERATOR(pg_catalog.=) 'client backend', true)),
            pg_catalog.pg_size_bytes(pg_catalog.current_setting('shared_buffers')),
            s.is_standby,
            CASE WHEN s.is_standby THEN pg_catalog.pg_is_wal_replay_paused() END,
            CASE WHEN s.is_standby AND pg_catalog.pg_last_wal_receive_lsn() OPERATOR(pg_catalog.>)
                pg_catalog.pg_last_wal_replay_lsn()
            THEN pg_catalog.ceil(1000 OPERATOR(pg_catalog.*) pg_catalog.date_part('epoch',
                pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.pg_last_xact_replay_timestamp())
            )::pg_catalog.int8 END,
            (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_wal_receiver)
        FROM pg_catalog.pg_roles r
        CROSS JOIN (SELECT pg_catalog.pg_is_in_recovery() AS is_standby) s
        JOIN pg_catalog.pg_database d ON d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
        WHERE r.rolname OPERATOR(pg_catalog.=) current_user
        """
}

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

    /// - Parameters:
    ///   - pool: the most connections that this gateway opens to the server.
    ///   - isPooled: through a pooler, which has the connections to the server.
    package func findings(_ condition: ServerCondition, pool: Int, isPooled: Bool) -> [Finding] {
        (isPooled ? [] : connections(condition, pool)) + (condition.isStandby ? replication(condition) : [])
    }

    private func connections(_ condition: ServerCondition, _ pool: Int) -> [Finding] {
        let most = condition.maxConnections - condition.reservedConnections
        if pool > most {
            return [
                warning(
                    "this gateway's pools to it have up to \(pool) connections, and max_connections "
                        + "\(condition.maxConnections) less \(condition.reservedConnections) reserved are \(most); "
                        + "lower pool.max_size (`sluice pool-plan` reckons), or raise max_connections")
            ]
        }
        if let limit = condition.ownLimit, pool > limit {
            return [
                warning(
                    "this gateway's pools to it have up to \(pool) connections, and the role, or the database, may "
                        + "have \(limit); lower pool.max_size, or run ALTER ROLE, or ALTER DATABASE, ... "
                        + "CONNECTION LIMIT \(pool)")
            ]
        }
        guard pool + condition.otherConnections > most else { return [] }
        return [
            warning(
                "this gateway's pools to it have up to \(pool) connections, other programs have "
                    + "\(condition.otherConnections) now, and there are \(most); lower pool.max_size "
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
                    "it does not follow a primary: no WAL receiver runs; look at primary_conninfo, its slot and its log"
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
