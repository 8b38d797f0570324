internal import SluiceCore
internal import SluicePostgres
internal import SluiceReactor

/// Which cluster a server is of, and what it is there, as it says itself.
package struct ServerIdentity: Hashable, Sendable {
    package var isStandby: Bool
    /// Of a primary.
    package var timeline: UInt32?
    /// All servers of a cluster have the same; nil if it does not say.
    package var systemIdentifier: UInt64?

    package init(isStandby: Bool, timeline: UInt32? = nil, systemIdentifier: UInt64? = nil) {
        self.isStandby = isStandby
        self.timeline = timeline
        self.systemIdentifier = systemIdentifier
    }

    /// - Parameter row: as `query` has it; nil if it is not so.
    init?(row: [String?]) {
        guard row.count == 3, let isStandby = row[0] else { return nil }
        self.init(
            isStandby: isStandby == "t", timeline: row[1].flatMap { UInt32($0.prefix(8), radix: 16) },
            systemIdentifier: row[2].flatMap { UInt64($0) })
    }

    /// A primary's timeline is in the name of the file that it writes to.
    private static let query = """
        SELECT s.is_standby,
            CASE WHEN NOT s.is_standby THEN pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) END,
            c.system_identifier
        FROM (SELECT pg_catalog.pg_is_in_recovery() AS is_standby) s
        CROSS JOIN pg_catalog.pg_control_system() c
        """

    /// Nil if it does not answer, or its role may not ask for this.
    static func ask(_ connection: PostgresConnection, patience: Duration) async -> ServerIdentity? {
        let deadline = Instant(nanoseconds: Reactor.now()).advanced(by: patience)
        do throws(PostgresFailure) {
            let rows = try await connection.rows(query, deadline: deadline.nanoseconds)
            return rows.first.flatMap(ServerIdentity.init(row:))
        } catch {
            // What is asked next waits for the end of this.
            _ = await connection.settle()
            return nil
        }
    }
}
