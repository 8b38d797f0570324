import DNSTestKit
import SluiceCore
import SluiceDNS
import SluiceTopology
import Synchronization
import Testing

/// Members that a name has.
@Suite(.timeLimit(.minutes(1))) struct DNSWatchTests {
    @Test func addressesOfANameAreMembersAndTheLastOnesAreKept() async throws {
        let count = Mutex(0)
        var settings = TopologySettings(.dns(name: "db.example", port: 5_432))
        settings.interval = .milliseconds(100)
        let followed = ShardWatchTests.Followed(settings) { _, _ in
            count.withLock { count in
                count += 1
                return count == 1 ? ["10.0.0.1", "fd00::1"] : []
            }
        }
        defer { followed.task.cancel() }
        await followed.wait { !$0.members.isEmpty }
        #expect(followed.report.members.map(\.name) == ["10.0.0.1-5432", "fd00--1-5432"])
        #expect(!followed.report.isFenced)
        await followed.wait { $0.complaints.contains { $0.contains("no addresses") } }
        #expect(followed.report.members.count == 2)
    }

    private func names(of hosts: [String]) async -> [String] {
        let followed = ShardWatchTests.Followed(TopologySettings(.dns(name: "db.example", port: 5_432))) { _, _ in
            hosts
        }
        defer { followed.task.cancel() }
        await followed.wait { !$0.members.isEmpty }
        return followed.report.members.map(\.name)
    }

    /// Whatever else is there, and in whatever order.
    @Test func eachPlaceHasANameOfItsOwnAndKeepsIt() async {
        let long = String(repeating: "a", count: 70)
        let hosts = ["fe80::1%eth0", "fe80::1%eth-0", "fe80::1", "x\(long)", "y\(long)", "10.0.0.1"]
        let names = await names(of: hosts)
        #expect(Set(names).count == hosts.count)
        #expect(names.allSatisfy { $0.utf8.count <= 63 })
        #expect(names.contains("10.0.0.1-5432") && names.contains("fe80--1-5432"))
        for host in hosts {
            let alone = await self.names(of: [host])
            #expect(alone.count == 1 && names.contains(alone[0]), "\(host)")
        }
        let twice = await self.names(of: hosts.reversed() + hosts)
        #expect(Set(twice) == Set(names) && twice.count == names.count)
    }

    /// More than fits into a datagram.
    @Test func servicesAreAskedForByTCPWhereTheyDoNotFit() async throws {
        let text = "_postgresql._tcp.db.example"
        let server = try await ScriptedNameServer { id, way in
            guard way == .stream else { return [DNSAnswerWriter(id: id, flags: 0x8380, name: text, answers: 0).bytes] }
            var writer = DNSAnswerWriter(id: id, name: text, answers: 41)
            for host in 0..<40 { writer.service(0, 1, 5_432, "db\(host).example") }
            // There is no such service, says a root.
            writer.service(0, 1, 5_432, "")
            return [writer.bytes]
        }
        var settings = TopologySettings(.srv(name: text))
        settings.timeout = .seconds(10)
        settings.nameServers = NameServers(servers: [server.address])
        let followed = ShardWatchTests.Followed(settings)
        await followed.wait { !$0.members.isEmpty }
        #expect(followed.report.members.count == 40)
        let place = MemberPlace(name: "db7.example-5432", host: "db7.example", port: 5_432)
        #expect(followed.report.members.contains { $0.place == place })
        followed.task.cancel()
        try await server.stop()
    }

    @Test func thatANameHasNoServicesIsSaid() async throws {
        let server = try await ScriptedNameServer { id, _ in
            [DNSAnswerWriter(id: id, flags: 0x8183, name: "db.example", answers: 0).bytes]
        }
        var settings = TopologySettings(.srv(name: "db.example"))
        settings.nameServers = NameServers(servers: [server.address], attempts: 1)
        let followed = ShardWatchTests.Followed(settings)
        await followed.wait { $0.complaints.contains { $0.contains("there is no such name") } }
        followed.task.cancel()
        try await server.stop()
    }
}
