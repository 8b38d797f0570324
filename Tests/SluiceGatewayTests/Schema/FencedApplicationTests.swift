import SluiceCore
import SluiceEngine
import SluiceGateway
import Testing

/// A collection's table on a shard whose source says who may be written to.
@Suite struct FencedApplicationTests {
    private struct Fence: WriteFence {
        let word: ShardTopology.Verdict

        func verdict(now: Instant) -> ShardTopology.Verdict { word }
        var named: MemberPlace? { nil }
        var systemIdentifier: UInt64? { nil }
        func refusal(
            of place: MemberPlace, on timeline: UInt32, systemIdentifier: UInt64?, now: Instant
        ) -> WriteRefusal? { .notLeader }
        func noteRefusal(_ refusal: WriteRefusal) {}
    }

    private static func report(_ word: ShardTopology.Verdict) async throws -> SchemaApplication.Report {
        let config = try GatewayConfig.parse(
            """
            shards:
              - name: s0
                replicas: [{name: a, dsn: "host=127.0.0.1 port=1 dbname=v user=u"}]
            \(ConfigErrorTests.collections)
            """, file: "folder/f", environment: [:])
        let collection = try #require(config.collections.first)
        let reports = try await SchemaApplication.run(
            collection, config, acceptsExisting: false, fences: ["s0": Fence(word: word)])
        return try #require(reports.first)
    }

    @Test func withoutALeaderNothingIsDone() async throws {
        let report = try await Self.report(.refused(.noLeader))
        #expect(report.outcome == .refused)
        #expect(report.messages == ["nothing is written: its topology source names no leader"])
    }

    /// No server is asked that is not the named one: there would be a word on why it cannot be used.
    @Test func othersThanTheNamedLeaderAreNotAsked() async throws {
        let report = try await Self.report(.writable(MemberPlace(name: "b", host: "h", port: 1)))
        #expect(report.outcome == .unreachable)
        #expect(report.messages == ["no replica that was reached is a primary"])
    }
}
