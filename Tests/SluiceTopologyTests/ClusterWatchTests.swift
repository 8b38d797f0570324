import Foundation
import Glibc
import SluiceCore
import SluiceTopology
import Testing

/// Which cluster a source describes, and what is kept of it.
@Suite(.timeLimit(.minutes(1))) struct ClusterWatchTests {
    private typealias Followed = ShardWatchTests.Followed

    /// Patroni, whose server says that it is of this cluster.
    private static func patroni(
        of cluster: UInt64?, leader: String = "n1", timeline: Int
    ) -> @Sendable (ScriptedServer.Request) -> ScriptedServer.Reply {
        { request in
            guard request.path == "/patroni" else {
                return .text(200, ShardWatchTests.cluster(leader: leader, timeline: timeline))
            }
            guard let cluster else { return .silence }
            return .text(200, #"{"state":"running","database_system_identifier":"\#(cluster)"}"#)
        }
    }

    private static func withStateFile(_ body: (String) async throws -> Void) async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "cluster-\(UUID()).json").path
        defer { for path in [path, path + ".new"] { try? FileManager.default.removeItem(atPath: path) } }
        try await body(path)
    }

    @Test func anotherClustersTimelineLocksNothingAlsoOverARestart() async throws {
        try await Self.withStateFile { path in
            try await ShardWatchTests.with([Self.patroni(of: 7, timeline: 3)]) { servers in
                var settings = try ShardWatchTests.settings(servers)
                settings.stateFile = path
                let followed = Followed(settings)
                await followed.wait { $0.systemIdentifier == 7 }
                followed.task.cancel()
                await followed.task.value
            }
            let file = StateFile(path: path, shard: "s0")
            let kept = try #require(try file.read())
            #expect(kept.timeline == 3 && kept.systemIdentifier == 7)
            try await ShardWatchTests.with([Self.patroni(of: 9, leader: "n2", timeline: 900)]) { servers in
                var settings = try ShardWatchTests.settings(servers)
                settings.stateFile = path
                let followed = Followed(settings)
                await followed.wait { $0.verdict == .refused(.otherCluster) }
                #expect(followed.report.highestTimeline == 3 && followed.report.systemIdentifier == 7)
                #expect(
                    followed.report.complaints.contains {
                        $0.hasPrefix("endpoints[0]: is of another cluster") && $0.contains("9, the shard's is 7")
                    })
                followed.task.cancel()
                await followed.task.value
            }
            #expect(try file.read() == kept)
        }
    }

    /// Its server does not answer any more: what it said before is what its agent is of.
    @Test func anAgentThatCannotAskItsServerIsOfTheClusterThatItWasOf() async throws {
        try await Self.withStateFile { path in
            try StateFile(path: path, shard: "s0").write(.init(timeline: 3, systemIdentifier: 7))
            try await ShardWatchTests.with([
                { request in
                    let script = Self.patroni(of: request.number == 0 ? 9 : nil, timeline: 900)
                    return script(request)
                }
            ]) { servers in
                var settings = try ShardWatchTests.settings(servers, timeout: .milliseconds(400))
                settings.stateFile = path
                let followed = Followed(settings)
                defer { followed.task.cancel() }
                await followed.wait { $0.verdict == .refused(.otherCluster) }
                let asked = servers[0].count(of: "/patroni")
                await followed.wait { _ in servers[0].count(of: "/patroni") > asked + 2 }
                #expect(followed.report.verdict == .refused(.otherCluster) && followed.report.highestTimeline == 3)
            }
        }
    }

    /// The draft is a pipe that nobody reads: whoever opens it to write waits.
    @Test func aDiskThatHangsHoldsUpNothing() async throws {
        try await Self.withStateFile { path in
            #expect(mkfifo(path + ".new", 0o600) == 0)
            try await ShardWatchTests.with([
                { request in .text(200, ShardWatchTests.cluster(leader: "n1", timeline: request.number + 1)) }
            ]) { servers in
                var settings = try ShardWatchTests.settings(servers)
                settings.stateFile = path
                let followed = Followed(settings)
                await followed.wait { $0.highestTimeline > 4 }
                #expect(followed.report.verdict == .writable(.init(name: "n1", host: "127.0.0.1", port: 5_431)))
                let file = StateFile(path: path, shard: "s0")
                #expect(try file.read() == nil)
                let reader = open(path + ".new", O_RDONLY | O_NONBLOCK)
                #expect(unlink(path + ".new") == 0)
                while (try file.read()?.timeline ?? 0) < 5 { await followed.round() }
                close(reader)
                followed.task.cancel()
                await followed.task.value
                #expect(try file.read()?.timeline == followed.report.highestTimeline)
            }
        }
    }

    /// What a server says of itself is kept as well.
    @Test func theLeadersOwnWordIsWrittenDown() async throws {
        try await Self.withStateFile { path in
            try await ShardWatchTests.with([Self.patroni(of: 7, timeline: 3)]) { servers in
                var settings = try ShardWatchTests.settings(servers)
                settings.stateFile = path
                let followed = Followed(settings)
                let leader = MemberPlace(name: "n1", host: "127.0.0.1", port: 5_431)
                await followed.wait { $0.verdict == .writable(leader) && $0.systemIdentifier == 7 }
                let now = ShardWatchTests.now
                #expect(
                    followed.watch.refusal(of: leader, on: 900, systemIdentifier: 9, now: now) == .otherCluster)
                #expect(followed.watch.refusal(of: leader, on: 4, systemIdentifier: 7, now: now) == nil)
                followed.task.cancel()
                await followed.task.value
            }
            #expect(try StateFile(path: path, shard: "s0").read()?.timeline == 4)
        }
    }
}
