import DNSTestKit
import NIOCore
import SluiceClient
import SluiceDNS
import SluiceWire
import Synchronization
import Testing

/// A client that knows a name with SRV records, and no address.
@Suite(.timeLimit(.minutes(1))) struct ServiceFleetTests {
    private static let text = "_sluice._tcp.example.org"
    private let query = SearchQuery(collections: ["a"], vector: [1, 2, 3], deadline: .seconds(20))

    /// What the name server lists: ports of this machine.
    private final class Listing: Sendable {
        private let ports = Mutex<[(port: Int, priority: UInt16)]>([])

        func set(_ ports: [(port: Int, priority: UInt16)]) { self.ports.withLock { $0 = ports } }

        func answer(_ id: UInt16) -> [UInt8] {
            let ports = ports.withLock { $0 }
            var writer = DNSAnswerWriter(id: id, name: ServiceFleetTests.text, answers: ports.count)
            for (port, priority) in ports { writer.service(ttl: 0, priority, 1, UInt16(port), "localhost") }
            return writer.bytes
        }
    }

    private func gateway(_ id: Int64, port: Int = 0) async throws -> ScriptedGateway {
        try await ScriptedGateway.start(
            port: port, ScriptedGateway.welcoming { session, frame in session.answer(frame.requestID, id: id) })
    }

    private func client(_ server: ScriptedNameServer) async throws -> SluiceClient {
        var options = SluiceClient.Options()
        options.nameServers = NameServers(servers: [server.address])
        return try await SluiceClient.connect("sluice+srv://\(Self.text)", options: options)
    }

    @Test func theGatewaysThatANameListsAreUsedByTheirPriority() async throws {
        let (first, spare) = (try await gateway(1), try await gateway(2))
        let listing = Listing()
        listing.set([(first.port, 0), (spare.port, 1)])
        let server = try await ScriptedNameServer { id, _ in [listing.answer(id)] }
        let client = try await client(server)
        for _ in 0..<20 { #expect(try await client.search(query).hits[0].id == 1) }
        let port = first.port
        try await first.kill()
        #expect(try await client.search(query).hits[0].id == 2)
        let back = try await gateway(1, port: port)
        while try await client.search(query).hits[0].id != 1 {}
        await client.close()
        for gateway in [spare, back] { try await gateway.stop() }
        try await server.stop()
    }

    @Test func aChangeOfTheListIsFollowed() async throws {
        let (old, new) = (try await gateway(1), try await gateway(2))
        let listing = Listing()
        listing.set([(old.port, 0)])
        let server = try await ScriptedNameServer { id, _ in [listing.answer(id)] }
        let client = try await client(server)
        #expect(try await client.search(query).hits[0].id == 1)
        listing.set([(new.port, 0)])
        while try await client.search(query).hits[0].id != 2 {}
        await old.end(of: 1)
        // What it knew stays while the name server says nothing of use.
        listing.set([])
        for _ in 0..<50 { #expect(try await client.search(query).hits[0].id == 2) }
        await client.close()
        for gateway in [old, new] { try await gateway.stop() }
        try await server.stop()
    }

    @Test func aNameThatCannotBeLookedUpIsSaidSo() async throws {
        let server = try await ScriptedNameServer { id, _ in
            [DNSAnswerWriter(id: id, flags: 0x8183, name: Self.text, answers: 0).bytes]
        }
        let problem = await failure { _ = try await client(server) }
        #expect(problem?.code == .notConnected && problem?.message.contains("no such name") == true)
        try await server.stop()
    }
}
