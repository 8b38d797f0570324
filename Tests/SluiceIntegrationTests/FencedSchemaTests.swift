import SluiceCore
import SluiceEngine
import SluiceGateway
import Testing

extension PostgreSQL {
    /// A collection's table on a shard whose source names a leader, which says itself what it is.
    @Suite(.serialized) struct FencedSchemata {
        private struct Fence: WriteFence {
            let leader: MemberPlace
            let highestTimeline: UInt32

            func verdict(now: Instant) -> ShardTopology.Verdict { .writable(leader) }
            var named: MemberPlace? { leader }
            var systemIdentifier: UInt64? { nil }
            func refusal(
                of place: MemberPlace, on timeline: UInt32, systemIdentifier: UInt64?, now: Instant
            ) -> WriteRefusal? {
                place != leader ? .notLeader : timeline < highestTimeline ? .timelineBack : nil
            }
            func noteRefusal(_ refusal: WriteRefusal) {}
        }

        private static let collection =
            "  - {name: fenced, table: schemata.fenced, metric: cosine, dimensions: 3}\n"

        private let replicas: Replicas

        init() throws {
            replicas = try Replicas()
            try clear()
        }

        private func clear() throws {
            for name in ["s0-a", "s1-a"] {
                try replicas.query(
                    name,
                    "set client_min_messages = error; drop schema if exists schemata cascade")
            }
        }

        private func reports(highestTimeline: UInt32) async throws -> [SchemaApplication.Report] {
            var config = try replicas.config(
                extraCollections: Self.collection, replicas: { $0.name.hasSuffix("-a") })
            let leader = MemberPlace(name: "s0-a", host: "h", port: 1)
            config.shards[0].replicas[0].member = leader
            let collection = try #require(config.collections.first { $0.name == "fenced" })
            return try await SchemaApplication.run(
                collection, config, acceptsExisting: false,
                fences: ["s0": Fence(leader: leader, highestTimeline: highestTimeline)])
        }

        @Test func aLeaderThatIsLeftBehindByItsOwnWordIsNotWrittenTo() async throws {
            let refused = try await reports(highestTimeline: .max)
            #expect(refused.map(\.outcome) == [.refused, .notApplied])
            #expect(refused.first?.messages == ["nothing is written: \(WriteRefusal.timelineBack.words)"])
            let taken = try await reports(highestTimeline: 1)
            #expect(taken.map(\.outcome) == [.created, .created])
            try clear()
        }
    }
}
