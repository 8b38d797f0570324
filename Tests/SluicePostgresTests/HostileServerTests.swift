import PostgresTestKit
import SluicePostgres
import SluiceReactor
import Synchronization
import Testing

/// Servers that do not keep to the protocol. Each costs its own connection and nothing else: the failure comes in
/// bounded time, the connection is closed, and a good server on the same reactor goes on answering.
@Suite(.serialized) struct HostileServerTests {
    /// How long a search may take here.
    private static let patience: Duration = .milliseconds(400)
    /// Until its failure is known.
    private static let bound: Duration = .seconds(1)
    /// What a server can make the gateway read that is refused for its bytes, sockets' buffers included.
    private static let mostFlooded = 1 << 26

    @Test(.timeLimit(.minutes(1)), arguments: Mischief.all)
    func aLegEndsWithAFailureAndItsConnectionIsClosed(_ mischief: Mischief) async throws {
        let server = try FakePostgres(.init(leg: mischief.leg))
        defer { server.stop() }
        let reactor = try Reactor(name: "hostile")
        defer { reactor.stop() }
        let isClosed = Mutex(false)
        try await Companion.beside(on: reactor) {
            let connection = try await PostgresConnection.connect(
                server.settings(), on: reactor, deadline: Reactor.now() + 5_000_000_000
            ) { isClosed.withLock { $0 = true } }
            let started = Reactor.now()
            do throws(PostgresFailure) {
                let rows = try await connection.search(
                    FakeSearch.statement(), deadline: started + Self.patience.nanoseconds)
                Issue.record("\(rows.count) rows")
            } catch {
                #expect(mischief.kinds.contains(error.kind), "\(error.kind): \(error)")
            }
            let took = Duration.nanoseconds(Reactor.now() - started)
            #expect(took < Self.bound, "the failure took \(took)")
            #expect(await connection.settle() == false)
            await server.wait { $0.open == 0 }
            #expect(server.counts.flooded < Self.mostFlooded, "\(server.counts.flooded) bytes were taken")
        }
        #expect(isClosed.withLock { $0 })
    }

    /// What comes without being asked for, while nothing is under way.
    @Test(
        .timeLimit(.minutes(1)),
        arguments: [
            ("notices", Message.notice("hello")), ("parameters", .parameter("p", "v")),
            ("notifications", Message("A", Message.joined(Message.int32(1), Message.text("c"), Message.text("p")))),
            ("rows", .row([[1]])), ("half a row", Message("D", [], length: 1_000_000_000)),
        ])
    func anIdleConnectionThatIsTalkedToIsClosed(_ name: String, _ message: Message) async throws {
        var script = FakePostgres.Script()
        script.facts = { peer in
            try peer.sendFacts()
            peer.write(.ready)
            try peer.flood(message)
        }
        let server = try FakePostgres(script)
        defer { server.stop() }
        let reactor = try Reactor(name: "hostile")
        defer { reactor.stop() }
        let closed = AsyncStream.makeStream(of: Void.self)
        try await Companion.beside(on: reactor) {
            _ = try? await PostgresConnection.connect(
                server.settings(), on: reactor, deadline: Reactor.now() + 5_000_000_000
            ) { closed.continuation.finish() }
            await server.wait { $0.open == 0 }
            #expect(server.counts.flooded < Self.mostFlooded, "\(server.counts.flooded) bytes were taken")
        }
    }

    /// A server that was ordinary once must stay in use.
    @Test(.timeLimit(.minutes(1))) func noticesAndChangedParametersDoNoHarm() async throws {
        let server = try FakePostgres(
            .init { peer, question in
                peer.write(.notice("a notice"), .parameter("application_name", "other"))
                try peer.answer(question)
                peer.write(.notice("another"))
            })
        defer { server.stop() }
        let reactor = try Reactor(name: "hostile")
        defer { reactor.stop() }
        let connection = try await PostgresConnection.connect(
            server.settings(), on: reactor, deadline: Reactor.now() + 5_000_000_000, onClose: {})
        for _ in 0..<100 {
            let rows = try await connection.search(FakeSearch.statement(), deadline: Reactor.now() + 5_000_000_000)
            #expect(rows.ids == [1, 2, 3])
        }
        #expect(server.counts.open == 1)
        await connection.close()
    }

    /// libpq drops what comes between a command's end and the Sync's answer.
    @Test(.timeLimit(.minutes(1))) func rowsAfterAnAnswerAreNobodys() async throws {
        let server = try FakePostgres(
            .init { peer, question in
                try peer.answer(question)
                peer.write(.description(Peer.fields), Peer.row(question, id: 9, distance: 0))
            })
        defer { server.stop() }
        let reactor = try Reactor(name: "hostile")
        defer { reactor.stop() }
        let connection = try await PostgresConnection.connect(
            server.settings(), on: reactor, deadline: Reactor.now() + 5_000_000_000, onClose: {})
        for _ in 0..<10 {
            let rows = try await connection.search(FakeSearch.statement(), deadline: Reactor.now() + 5_000_000_000)
            #expect(rows.ids == [1, 2, 3])
        }
        await connection.close()
    }

    /// Rows that are a little more than may come cost the request, and many more the connection.
    @Test(.timeLimit(.minutes(1)), arguments: [(100_000, true), (4_000_000, false)])
    func rowsThatAreTooLargeAreRefused(bytes: Int, isConnectionKept: Bool) async throws {
        let server = try FakePostgres(
            .init { peer, question in
                peer.write(.description(Peer.fields))
                for id in 1...3 {
                    let name = String(repeating: "x", count: bytes)
                    peer.write(Peer.row(question, id: Int64(id), distance: 0, name: name))
                }
                peer.write(.complete("SELECT 3"))
            })
        defer { server.stop() }
        let reactor = try Reactor(name: "hostile")
        defer { reactor.stop() }
        let connection = try await PostgresConnection.connect(
            server.settings(), on: reactor, deadline: Reactor.now() + 5_000_000_000, onClose: {})
        await #expect {
            _ = try await connection.search(FakeSearch.statement(), deadline: Reactor.now() + 5_000_000_000)
        } throws: { ($0 as? PostgresFailure)?.kind == .tooLarge }
        let rows = try? await connection.search(
            FakeSearch.statement(bytes: 1 << 30), deadline: Reactor.now() + 5_000_000_000)
        #expect((rows?.count == 3) == isConnectionKept)
        await connection.close()
    }
}
