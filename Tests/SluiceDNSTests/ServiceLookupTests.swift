import DNSTestKit
import NIOCore
import SluiceDNS
import Testing

@Suite(.timeLimit(.minutes(1))) struct ServiceLookupTests {
    private static let text = "_sluice._tcp.example.org"

    private static func answer(_ id: UInt16, hosts: Int, flags: UInt16 = 0x8180) -> [UInt8] {
        var writer = DNSAnswerWriter(id: id, flags: flags, name: text, answers: hosts)
        for host in 0..<hosts { writer.service(0, 1, 7_411, "g\(host).example.org") }
        return writer.bytes
    }

    private func hosts(
        _ servers: [SocketAddress], timeout: TimeAmount = .seconds(10), within time: TimeAmount = .seconds(30)
    ) async throws -> Int {
        let lookup = ServiceLookup(NameServers(servers: servers, timeout: timeout, attempts: 1))
        let name = try #require(ServiceName(Self.text))
        return try await lookup.answer(for: name, within: time).records.count
    }

    private func failure(_ body: () async throws -> Void) async -> String? {
        do {
            try await body()
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test func aNameServerIsAsked() async throws {
        let server = try await ScriptedNameServer { id, _ in [Self.answer(id, hosts: 2)] }
        #expect(try await hosts([server.address]) == 2)
        try await server.stop()
    }

    @Test func whatDoesNotFitIsAskedForByTCP() async throws {
        let server = try await ScriptedNameServer { id, way in
            [way == .stream ? Self.answer(id, hosts: 300) : Self.answer(id, hosts: 0, flags: 0x8380)]
        }
        #expect(try await hosts([server.address]) == 300)
        try await server.stop()
    }

    @Test func whatNobodyAskedForIsPassedOver() async throws {
        let server = try await ScriptedNameServer { id, _ in
            [[], [1, 2, 3], Self.answer(id &+ 1, hosts: 9), Self.answer(id, hosts: 1)]
        }
        #expect(try await hosts([server.address]) == 1)
        let flood = try await ScriptedNameServer { id, _ in Array(repeating: Self.answer(id &+ 1, hosts: 9), count: 70)
        }
        let problem = await failure { _ = try await hosts([flood.address]) }
        #expect(problem?.contains("nobody asked for") == true)
        try await server.stop()
        try await flood.stop()
    }

    @Test func aServerThatFailsIsFollowedByTheNext() async throws {
        let silent = try await ScriptedNameServer { _, _ in [] }
        let broken = try await ScriptedNameServer { id, _ in
            [[UInt8(id >> 8), UInt8(id & 0xFF)] + Array(repeating: 0xFF, count: 20)]
        }
        let refusing = try await ScriptedNameServer { id, _ in [Self.answer(id, hosts: 0, flags: 0x8185)] }
        let good = try await ScriptedNameServer { id, _ in [Self.answer(id, hosts: 3)] }
        let all = [silent, broken, refusing, good]
        #expect(try await hosts(all.map(\.address), timeout: .seconds(2)) == 3)
        for server in all { try await server.stop() }
    }

    /// The first has no more than its part of the time.
    @Test func aServerThatSaysNothingLeavesTimeForTheNext() async throws {
        let silent = try await ScriptedNameServer { _, _ in [] }
        let good = try await ScriptedNameServer { id, _ in [Self.answer(id, hosts: 3)] }
        #expect(try await hosts([silent.address, good.address], timeout: .hours(1), within: .seconds(4)) == 3)
        try await silent.stop()
        try await good.stop()
    }

    @Test func namesWithoutAServiceAreNamesOnlyWhereTheyMayBe() {
        #expect(ServiceName("db.service.consul") == nil)
        #expect(ServiceName("db.service.consul.", anyLabels: true)?.text == "db.service.consul")
        let long = [String(repeating: "x", count: 64), String(repeating: "a.", count: 200)]
        for bad in ["", ".", "a..b", "a b", "a:1"] + long {
            #expect(ServiceName(bad, anyLabels: true) == nil, "\(bad)")
        }
    }

    @Test func thatThereIsNothingIsSaidInTime() async throws {
        let silent = try await ScriptedNameServer { _, _ in [] }
        let problem = await failure { _ = try await hosts([silent.address], within: .milliseconds(50)) }
        #expect(problem?.contains(Self.text) == true && problem?.contains("in time") == true)
        let none = try await ScriptedNameServer { id, _ in [Self.answer(id, hosts: 0, flags: 0x8183)] }
        let absent = await failure { _ = try await hosts([none.address]) }
        #expect(absent?.contains("there is no such name") == true)
        try await silent.stop()
        try await none.stop()
    }
}
