import PostgresTestKit
import SluicePostgres
import SluiceReactor
import Testing

/// What a server says of itself.
@Suite(.serialized, .timeLimit(.minutes(1))) struct InspectionTests {
    private func states(_ systemIdentifier: String?) async throws -> [ServerState] {
        var script = FakePostgres.Script()
        script.systemIdentifier = systemIdentifier
        let server = try FakePostgres(script)
        defer { server.stop() }
        let reactor = try Reactor(name: "inspection")
        defer { reactor.stop() }
        let connection = try await PostgresConnection.connect(
            server.settings(), on: reactor, deadline: Reactor.now() + 5_000_000_000, onClose: {})
        var states: [ServerState] = []
        for _ in 0..<2 {
            states.append(
                try await connection.inspect(
                    [("public", "a"), ("public", "b")], deadline: Reactor.now() + 5_000_000_000))
        }
        await connection.close()
        return states
    }

    @Test(arguments: [("7268616322854375442", 7_268_616_322_854_375_442), ("-1", .max)])
    func theClustersIdentifierIsRead(_ text: String, _ identifier: UInt64) async throws {
        for state in try await states(text) {
            #expect(state.systemIdentifier == identifier && state.timeline == 1 && !state.isStandby)
            #expect(state.estimatedRows == [100, 100])
        }
    }

    /// A role that may not ask which cluster it is, is told the rest, on the same connection.
    @Test func whoMayNotAskForTheClusterIsToldTheRest() async throws {
        for state in try await states(nil) {
            #expect(state.systemIdentifier == nil && state.timeline == 1 && state.estimatedRows == [100, 100])
        }
    }
}
