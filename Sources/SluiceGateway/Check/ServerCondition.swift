internal import SluiceCore
internal import SluicePostgres
internal import SluiceReactor

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
    /// A standby without, and without an archive to read from, does not follow its primary.
    package var hasWalReceiver = true
    /// How old the newest row is that a standby shows, if there are newer ones that it has received.
    package var lag: Duration?
    /// How much of its primary's log a standby has received and replayed, in bytes since the log's beginning.
    package var received: Int64?
    package var replayed: Int64?

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
        // No server has more of anything: what it says is not trusted to be small.
        func count(_ place: Int) -> Int? { row[place].flatMap { Int32($0) }.flatMap { $0 >= 0 ? Int($0) : nil } }
        guard row.count == 12, let most = count(0), let reserved = count(1), let others = count(4),
            let buffers = row[5].flatMap({ Int64($0) })
        else { return nil }
        self.init(
            maxConnections: most, reservedConnections: reserved, otherConnections: others, sharedBuffers: buffers,
            isStandby: row[6] == "t")
        ownLimit = [count(2), count(3)].compactMap(\.self).min()
        isReplayPaused = row[7] == "t"
        hasWalReceiver = !isStandby || row[9] == "t"
        lag = row[8].flatMap { Int64($0) }.map { .milliseconds(min(max(0, $0), 1 << 40)) }
        received = row[10].flatMap { Int64($0) }
        replayed = row[11].flatMap { Int64($0) }
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
                WHERE a.datid IS NOT NULL AND a.application_name OPERATOR(pg_catalog.<>)
                        pg_catalog.current_setting('application_name')
                    AND NOT pg_catalog.starts_with(a.application_name, 'sluice/')
                    AND coalesce(a.backend_type OPERATOR(pg_catalog.=) 'client backend', true)),
            pg_catalog.pg_size_bytes(pg_catalog.current_setting('shared_buffers')),
            s.is_standby,
            CASE WHEN s.is_standby THEN pg_catalog.pg_is_wal_replay_paused() END,
            CASE WHEN s.is_standby AND pg_catalog.pg_last_wal_receive_lsn() OPERATOR(pg_catalog.>)
                pg_catalog.pg_last_wal_replay_lsn()
            THEN pg_catalog.ceil(1000 OPERATOR(pg_catalog.*) pg_catalog.date_part('epoch',
                pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) pg_catalog.pg_last_xact_replay_timestamp())
            )::pg_catalog.int8 END,
            EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver)
                OR coalesce(pg_catalog.current_setting('restore_command', true), '') OPERATOR(pg_catalog.<>) '',
            pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_receive_lsn(), '0/0'),
            pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_last_wal_replay_lsn(), '0/0')
        FROM pg_catalog.pg_roles r
        CROSS JOIN (SELECT pg_catalog.pg_is_in_recovery() AS is_standby) s
        JOIN pg_catalog.pg_database d ON d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
        WHERE r.rolname OPERATOR(pg_catalog.=) current_user
        """
}

/// Asks a server how it is doing.
struct ServerProbe: Sendable {
    private static let looks = 5
    private static let pause = Duration.milliseconds(200)

    let connection: PostgresConnection
    /// For each question.
    let patience: Duration

    /// Nil if the server does not say.
    func condition() async throws(PostgresFailure) -> ServerCondition? {
        guard var condition = try await ask() else { return nil }
        guard condition.lag != nil, let received = condition.received else { return condition }
        // The last commit is old after a silence, and in a long transaction: a standby lags if it does not come to show
        // what it had received.
        for _ in 0..<Self.looks where !condition.isReplayPaused {
            try? await Task.sleep(for: Self.pause)
            guard let replayed = try await ask()?.replayed, replayed >= received else { continue }
            condition.lag = nil
            break
        }
        return condition
    }

    private func ask() async throws(PostgresFailure) -> ServerCondition? {
        let deadline = Instant(nanoseconds: Reactor.now()).advanced(by: patience)
        do throws(PostgresFailure) {
            let rows = try await connection.rows(ServerCondition.query, deadline: deadline.nanoseconds)
            return rows.first.flatMap(ServerCondition.init(row:))
        } catch {
            // What is asked next waits for the end of this.
            _ = await connection.settle()
            throw error
        }
    }
}
