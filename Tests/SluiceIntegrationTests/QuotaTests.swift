import SluiceClient
import Testing

import struct SluiceCore.SplitMix64

extension PostgreSQL {
    /// Shards that are asked for their share of k, on eight of them.
    @Suite(.serialized) struct Quotas {
        private static let k = 100

        private func query(_ table: String, _ vector: [Int], k: Int = k, exact: Bool = true) -> SearchQuery {
            SearchQuery(collections: [table], vector: vector.map(Float.init), k: k, efSearch: 400, exact: exact)
        }

        /// The same rows; without an order of ties on the shards, those at the very end may be others as far away.
        private func expect(
            _ hits: [SearchReply.Hit], _ right: [(id: Int64, distance: Double)], exact: Bool,
            sourceLocation: SourceLocation = #_sourceLocation
        ) {
            #expect(hits.map(\.distance) == right.map(\.distance), sourceLocation: sourceLocation)
            let end = exact ? .infinity : right.last?.distance ?? 0
            #expect(
                hits.filter { $0.distance < end }.map(\.id) == right.filter { $0.distance < end }.map(\.id),
                sourceLocation: sourceLocation)
        }

        @Test func sharesAreEnoughAndAllThatIsAskedForWhenTheyAreNot() async throws {
            let shards = try EightShards.shared()
            var random = SplitMix64(seed: 2)
            try await withGateway(shards.config(prefersIndexes: true)) { client, _ in
                var repaired = 0
                for round in 0..<60 {
                    let vector = (0..<4).map { _ in Int.random(in: -45...45, using: &random) }
                    let exact = round.isMultiple(of: 2)
                    var query = query("spread", vector, exact: exact)
                    query.allowHedges = false
                    // Daring every third time, so that there is something to repair.
                    let isDaring = round % 3 == 2
                    if isDaring { query.probability = 0.3 }
                    let reply = try await client.search(query)
                    expect(reply.hits, shards.nearest("spread", to: vector, Self.k), exact: exact)
                    #expect(reply.legs.count == 8 && reply.isComplete && reply.coverage == 1)
                    #expect(reply.repaired == reply.legs.contains { $0.attempts == 2 })
                    if isDaring {
                        repaired += reply.repaired ? 1 : 0
                    } else if !reply.repaired {
                        let asked = reply.legs.reduce(0) { $0 + $1.asked }
                        #expect(asked <= 8 * Self.k * 45 / 100, "\(asked) rows were asked for")
                    }
                    // Whoever was asked again was asked for all k.
                    #expect(reply.legs.allSatisfy { ($0.asked == Self.k) == ($0.attempts == 2) })
                }
                #expect(repaired > 0)

                var sure = query("spread", [1, 2, 3, 4])
                sure.probability = 1
                let all = try await client.search(sure)
                #expect(all.legs.allSatisfy { $0.asked == Self.k } && !all.repaired)
                let anywhere = try await client.search(query("anywhere", [1, 2, 3, 4]))
                #expect(anywhere.legs.count == 8 && anywhere.legs.allSatisfy { $0.asked == Self.k })
                #expect(all.hits.map(\.id) == anywhere.hits.map(\.id))
            }
        }

        @Test func aCrowdedShardIsAskedAgain() async throws {
            let shards = try EightShards.shared()
            try await withGateway(shards.config(prefersIndexes: true)) { client, _ in
                for exact in [true, false] {
                    let vector = [1, -2, 3, 0]
                    var query = query("skewed", vector, exact: exact)
                    query.allowHedges = false
                    let reply = try await client.search(query)
                    expect(reply.hits, shards.nearest("skewed", to: vector, Self.k), exact: exact)
                    #expect(reply.repaired && reply.hits.allSatisfy { $0.shard == "e\(EightShards.crowded)" })
                    #expect(reply.legs.map(\.attempts) == (0..<8).map { $0 == EightShards.crowded ? 2 : 1 })

                    // Near enough are more than the share, and fewer than k.
                    let near = shards.nearest("skewed", to: vector, 70)
                    query.maxDistance = near[69].distance
                    let within = try await client.search(query)
                    let right = shards.nearest("skewed", to: vector, Self.k).filter {
                        $0.distance <= near[69].distance
                    }
                    expect(within.hits, right, exact: true)
                    #expect(right.count < Self.k && within.repaired && within.isComplete)

                    // Of several vectors, one is of the crowd and one is not.
                    query.maxDistance = nil
                    let far = [1_200, 1_200, 1_200, 1_200]
                    let batch = try await client.searchBatch(
                        [far, vector].map { .float($0.map(Float.init)) }, query)
                    expect(batch[0].hits, shards.nearest("skewed", to: far, Self.k), exact: exact)
                    expect(batch[1].hits, shards.nearest("skewed", to: vector, Self.k), exact: exact)
                }
            }
        }

        /// The share is too small, the index gives too few for the filter, and the search wants them all. There are
        /// fewer of the near ones than it wants, so that nothing but all of them is complete.
        @Test func aCrowdedShardIsSearchedHarderForAllThatIsAskedOfIt() async throws {
            let shards = try EightShards.shared()
            try await withGateway(shards.config(prefersIndexes: true)) { client, _ in
                let vector = [0, 0, 0, 0]
                for kind in 0..<7 {
                    var query = SearchQuery(collections: ["skewed"], vector: vector.map(Float.init), k: Self.k)
                    query.filter = .column("kind") == .int(kind)
                    query.complete = true
                    let near = shards.nearest("skewed", to: vector, Self.k) { $0.kind == kind && $0.vector[0] < 1_000 }
                    let reply = try await client.search(query)
                    #expect((40..<Self.k).contains(near.count) && reply.hits.count == Self.k)
                    expect(Array(reply.hits.prefix(near.count)), near, exact: true)
                    #expect(reply.isComplete && reply.rung != .asAsked && reply.repaired, "kind \(kind)")
                }
            }
        }

        /// The row that is left out does not cost another its place.
        @Test func theNeighboursOfARowOfTheCrowd() async throws {
            let shards = try EightShards.shared()
            let crowd = try #require(
                shards.tables["skewed"]?.first { row in row.vector.allSatisfy { (-10...10).contains($0) } })
            try await withGateway(shards.config(prefersIndexes: false)) { client, _ in
                var query = SearchQuery(
                    collections: ["skewed"], target: .row(id: crowd.id, collection: "skewed"), k: Self.k, exact: true)
                query.allowHedges = false
                let reply = try await client.search(query)
                let right = shards.nearest("skewed", to: crowd.vector, Self.k) { $0.id != crowd.id }
                expect(reply.hits, right, exact: true)
                #expect(reply.repaired)
            }
        }
    }
}
