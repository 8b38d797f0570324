import PostgresTestKit
import SluicePostgres
import SluiceReactor
import Testing

@Suite(.serialized) struct ConnectionStressTests {
    /// An answer may come while its task is still on the way to waiting for it, on whatever thread the task is.
    @Test(.timeLimit(.minutes(5))) func searchesFromPlainTasksAllEnd() async throws {
        let server = try FakePostgres()
        defer { server.stop() }
        let reactor = try Reactor(name: "stress")
        defer { reactor.stop() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<16 {
                group.addTask {
                    let connection = try await PostgresConnection.connect(
                        server.settings(), on: reactor, deadline: Reactor.now() + 30_000_000_000, onClose: {})
                    for _ in 0..<20_000 {
                        let rows = try await connection.search(
                            FakeSearch.statement(), deadline: Reactor.now() + 30_000_000_000)
                        #expect(rows.ids == [1, 2, 3])
                    }
                    await connection.close()
                }
            }
            try await group.waitForAll()
        }
    }
}
