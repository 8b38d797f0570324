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

    init(_ state: ServerState) {
        self.init(
            isStandby: state.isStandby, timeline: state.timeline, systemIdentifier: state.systemIdentifier)
    }

    /// Nil if it does not answer.
    static func ask(_ connection: PostgresConnection, patience: Duration) async -> ServerIdentity? {
        let deadline = Instant(nanoseconds: Reactor.now()).advanced(by: patience)
        do throws(PostgresFailure) {
            return ServerIdentity(try await connection.inspect([], deadline: deadline.nanoseconds))
        } catch {
            // What is asked next waits for the end of this.
            _ = await connection.settle()
            return nil
        }
    }
}
