internal import SluiceCore
internal import SluicePostgres
internal import SluiceReactor
internal import Synchronization

/// Where gateways that share one server's budget show their claims and find the others': over one connection.
struct FleetLedger: Sendable {
    /// In the list of the server's own connections, or in a table of some database.
    enum Place: Sendable {
        case activity
        /// - Parameters:
        ///   - replica: what the rows are about.
        ///   - lifetime: after which a row that was not written again shows no claim. Its gateway may have its floor
        ///     still, so the row is there for a while longer.
        case table(replica: String, lifetime: Duration)
    }

    let id: String
    let place: Place
    var settings: ConnectionSettings
    let reactor: Reactor

    /// A table's rows end by themselves: each look writes this gateway's anew, so it must not be another's by then.
    var alwaysLocks: Bool { if case .table = place { true } else { false } }

    /// - Parameters:
    ///   - claim: shown as soon as the connection is there, where connections show claims.
    ///   - onClose: the connection has ended.
    func open(
        claim: Int, want: Int, _ onClose: @escaping @Sendable () -> Void
    ) async throws(PostgresFailure) -> Session {
        var settings = settings
        if case .activity = place { settings.applicationName = FleetName.claim(id, claim: claim, want: want) }
        let end = Flag()
        let connection = try await PostgresConnection.connect(settings, on: reactor, deadline: deadline) {
            end.raise()
            onClose()
        }
        let session = Session(ledger: self, connection: connection, end: end)
        do throws(ScriptFailure) {
            if !setUp.isEmpty { try await connection.run(script: setUp, deadline: deadline) }
        } catch {
            await connection.close()
            throw error.failure
        }
        return session
    }

    /// For each step.
    private static let patience: Duration = .seconds(2)
    fileprivate var deadline: Int64 { Instant(nanoseconds: Reactor.now()).advanced(by: Self.patience).nanoseconds }

    // MARK: Statements

    private var setUp: [String] {
        if case .table = place { [LeaseTable.creation] } else { [] }
    }

    /// A gateway that is stopped under the lock must not keep the others from growing for ever.
    fileprivate static let limits = [
        "SET LOCAL statement_timeout = 2000", "SET LOCAL lock_timeout = 1000",
        "SET LOCAL idle_in_transaction_session_timeout = 5000",
    ]

    /// Under which claims grow. A server's own database has one, "sluice" in ASCII, as gateways may call the server by
    /// different names; a table's database has one for each replica, so that one does not wait for another.
    fileprivate var lock: Command {
        switch place {
        case .activity: Self.plain("SELECT pg_catalog.pg_advisory_xact_lock(127045566293349)")
        case .table(let replica, _):
            Command(
                text: "SELECT pg_catalog.pg_advisory_xact_lock(1936483692, pg_catalog.hashtext($1))", [replica])
        }
    }

    fileprivate var look: Command {
        switch place {
        case .activity:
            Command(
                text: """
                    SELECT a.application_name, pg_catalog.count(*),
                        a.pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()
                    FROM pg_catalog.pg_stat_activity a
                    WHERE a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
                        AND a.backend_type OPERATOR(pg_catalog.=) 'client backend'
                        AND pg_catalog.starts_with(a.application_name, 'sluice/')
                    GROUP BY 1, 3
                    """)
        case .table(let replica, _):
            Command(
                text: """
                    SELECT CASE WHEN l.expires OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()
                            THEN pg_catalog.format('sluice/%s/%s/%s', l.instance, l.claim, l.want)
                            ELSE pg_catalog.format('sluice/%s', l.instance) END,
                        0, l.instance OPERATOR(pg_catalog.=) $2
                    FROM \(LeaseTable.name) l
                    WHERE l.replica OPERATOR(pg_catalog.=) $1
                        AND l.expires OPERATOR(pg_catalog.>) \(LeaseTable.forgotten)
                    """, [replica, id])
        }
    }

    fileprivate func show(claim: Int, want: Int) -> Command {
        switch place {
        case .activity:
            Command(
                text: "SELECT pg_catalog.set_config('application_name', $1, false)",
                [FleetName.claim(id, claim: claim, want: want)])
        case .table(let replica, let lifetime):
            Command(
                text: """
                    WITH gone AS (
                        DELETE FROM \(LeaseTable.name) WHERE replica OPERATOR(pg_catalog.=) $1
                            AND instance OPERATOR(pg_catalog.<>) $2
                            AND expires OPERATOR(pg_catalog.<=) \(LeaseTable.forgotten)
                    )
                    INSERT INTO \(LeaseTable.name) (replica, instance, claim, want, expires)
                    VALUES ($1, $2, $3::pg_catalog.int4, $4::pg_catalog.int4,
                        pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) $5::pg_catalog.interval)
                    ON CONFLICT (replica, instance) DO UPDATE
                    SET claim = excluded.claim, want = excluded.want, expires = excluded.expires
                    """,
                [replica, id, String(claim), String(want), "\(lifetime.nanoseconds / 1_000) microseconds"])
        }
    }

    fileprivate var leave: Command? {
        guard case .table(let replica, _) = place else { return nil }
        return Command(
            text: """
                DELETE FROM \(LeaseTable.name)
                WHERE replica OPERATOR(pg_catalog.=) $1 AND instance OPERATOR(pg_catalog.=) $2
                """, [replica, id])
    }

    fileprivate static func plain(_ sql: String) -> Command { Command(text: sql) }

    // MARK: One connection

    struct Session: Sendable {
        private let ledger: FleetLedger
        private let connection: PostgresConnection
        private let end: Flag

        fileprivate init(ledger: FleetLedger, connection: PostgresConnection, end: Flag) {
            self.ledger = ledger
            self.connection = connection
            self.end = end
        }

        /// Nothing shows this gateway's claim any more.
        var isOver: Bool { end.isRaised }

        func look() async throws(PostgresFailure) -> [FleetShare.Sighting] {
            try await sightings([ledger.look])
        }

        /// The same, and nobody's claim grows until `unlock`.
        func lookLocked() async throws(PostgresFailure) -> [FleetShare.Sighting] {
            // The look comes after the lock: a transaction sees the list of connections as it was when it first looked.
            // One that is not "read committed", as a default may be, would see a table as it was before the lock.
            try await sightings(
                (["BEGIN ISOLATION LEVEL READ COMMITTED"] + FleetLedger.limits).map(plain) + [ledger.lock, ledger.look])
        }

        func show(claim: Int, want: Int) async throws(PostgresFailure) {
            _ = try await connection.run([ledger.show(claim: claim, want: want)], deadline: ledger.deadline)
        }

        /// - Parameter claim: shown before; nil if it is shown already.
        func unlock(showing claim: Int?, want: Int) async throws(PostgresFailure) {
            let show = claim.map { [ledger.show(claim: $0, want: want)] } ?? []
            _ = try await connection.run(show + [plain("COMMIT")], deadline: ledger.deadline)
        }

        /// After a failure: whether the connection can be used again. No transaction is open then.
        func recovered() async -> Bool {
            guard await connection.settle() else { return false }
            return (try? await connection.run([plain("ROLLBACK")], deadline: ledger.deadline)) != nil
        }

        /// Takes the claim away. The pool is empty by now.
        func leave() async {
            if let leave = ledger.leave { _ = try? await connection.run([leave], deadline: ledger.deadline) }
            await close()
        }

        func close() async { await connection.close() }

        private func sightings(_ commands: [Command]) async throws(PostgresFailure) -> [FleetShare.Sighting] {
            let results = try await connection.run(commands, deadline: ledger.deadline)
            return FleetName.sightings(results.last?.rows ?? [], own: ledger.id)
        }

        private func plain(_ sql: String) -> Command { FleetLedger.plain(sql) }
    }
}

/// The table in which gateways show their claims where the servers' lists do not tell.
enum LeaseTable {
    static let name = "\(JournalTable.schema).leases"

    /// Rows that had expired by then are nobody's any more. Others say that there is a gateway, which cannot be seen.
    static let forgotten =
        "(pg_catalog.clock_timestamp() OPERATOR(pg_catalog.-) '60 seconds'::pg_catalog.interval)"

    /// Changes nothing where it is already, and needs no privileges then.
    static let creation = """
        DO $do$ BEGIN
            IF pg_catalog.to_regclass('\(name)') IS NULL THEN
                PERFORM pg_catalog.pg_advisory_xact_lock(127045566293349);
                CREATE SCHEMA IF NOT EXISTS \(JournalTable.schema);
                CREATE TABLE IF NOT EXISTS \(name) (
                    replica text NOT NULL,
                    instance text NOT NULL,
                    claim integer NOT NULL,
                    want integer NOT NULL,
                    expires timestamptz NOT NULL,
                    PRIMARY KEY (replica, instance)
                );
            END IF;
        END $do$
        """
}

/// Raised once.
private final class Flag: Sendable {
    private let state = Atomic(false)

    var isRaised: Bool { state.load(ordering: .acquiring) }

    func raise() { state.store(true, ordering: .releasing) }
}

/// A statement that is sent as it stands.
private final class PlainText: StatementText {
    private let text: String

    init(_ text: String) { self.text = text }

    func sql(for facts: ServerFacts) -> String { text }
}

extension Command {
    fileprivate init(text: String, _ texts: [String] = []) {
        self.init(
            PlainText(text), types: texts.map { _ in .oid(25) }, values: .texts(texts.map(Optional.some)))
    }
}
