import SluiceClient
import SluiceCore
import Testing

extension PostgreSQL {
    @Suite struct Searches {
        private let both = ["programs", "libraries"]

        /// Float32 sums differ in their last digits with the order of summation, so distances closer than this are one.
        private static let rounding = 2e-6

        @Test(arguments: [10, 100])
        func exactAnswersEqualBruteForce(k: Int) async throws {
            let samples = try Samples()
            #expect(samples.rows.count == 8_000 && samples.queries.count == 50)
            try await withGateway(Replicas().config()) { client, _ in
                for (number, query) in samples.queries.enumerated() {
                    let reply = try await client.search(
                        SearchQuery(collections: both, vector: query, k: k, columns: ["name"], exact: true))
                    let expected = samples.nearest(query, k + 20)
                    try #require(reply.hits.count == k)
                    for (place, hit) in reply.hits.enumerated() {
                        let right = expected[place]
                        #expect(abs(hit.distance - right.distance) < Self.rounding, "query \(number), place \(place)")
                        // The same row, or one that float32 rounding cannot tell from it.
                        let isSame = expected.contains {
                            $0.row.id == hit.id && $0.row.collection == hit.collection
                                && abs($0.distance - right.distance) < Self.rounding
                        }
                        #expect(isSame, "query \(number), place \(place): \(hit.collection) \(hit.id)")
                    }
                    #expect(Set(reply.hits.map { "\($0.collection) \($0.id)" }).count == k)
                    #expect(reply.coverage == 1 && reply.legs.count == 4)
                }
            }
        }

        @Test func theIndexFindsNearlyAll() async throws {
            let samples = try Samples()
            try await withGateway(Replicas().config()) { client, _ in
                var found = 0
                for query in samples.queries {
                    let reply = try await client.search(
                        SearchQuery(collections: both, vector: query, k: 10, efSearch: 100))
                    let right = Set(samples.nearest(query, 10).map { "\($0.row.collection) \($0.row.id)" })
                    found += right.intersection(reply.hits.map { "\($0.collection) \($0.id)" }).count
                }
                let recall = Double(found) / Double(10 * samples.queries.count)
                #expect(recall >= 0.97, "recall@10 was \(recall)")
            }
        }

        @Test func hitsCarryTheirColumnsAndWhereTheyWereFound() async throws {
            let samples = try Samples()
            try await withGateway(Replicas().config()) { client, _ in
                let reply = try await client.search(
                    SearchQuery(
                        collections: both, vector: samples.queries[0], k: 20,
                        columns: ["name", "installed_kib", "section", "priority"]))
                for hit in reply.hits {
                    let placement = try #require(HashPlacement(shardCount: 2))
                    #expect(hit.shard == "s\(placement.shard(of: hit.id))")
                    #expect(hit.replica.hasPrefix(hit.shard))
                    guard case .string(let name) = hit.columns["name"], case .int = hit.columns["installed_kib"] else {
                        Issue.record("columns are \(hit.columns)")
                        continue
                    }
                    #expect(!name.isEmpty)
                }
                #expect(reply.legs.allSatisfy { $0.status == .ok && $0.attempts >= 1 && $0.execute > .zero })
            }
        }

        @Test func manySearchesAtOnceGetTheirOwnAnswers() async throws {
            let samples = try Samples()
            let expected = samples.queries.map { samples.nearest($0, 1)[0].row.id }
            let config = try Replicas().config(
                pool: "{max_size: 4, max_waiting: 2000}", extra: "admission: {enabled: false}")
            try await withGateway(config) { client, _ in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for round in 0..<400 {
                        let place = round % samples.queries.count
                        group.addTask {
                            let reply = try await client.search(
                                SearchQuery(
                                    collections: ["programs", "libraries"], vector: samples.queries[place], k: 1,
                                    exact: round.isMultiple(of: 3), allowPartial: false))
                            if round.isMultiple(of: 3) { #expect(reply.hits.first?.id == expected[place]) }
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }

        @Test func placementIsPostgreSQLsOwn() throws {
            let replicas = try Replicas()
            try replicas.query(
                "s0-a",
                "create table if not exists public.placement_check (id bigint) partition by hash (id)")
            var ids: [Int64] = [0, 1, -1, .max, .min, 1 << 32, -(1 << 32), 4_294_967_295, -2_147_483_648]
            var random = SystemRandomNumberGenerator()
            ids += (0..<2_000).map { _ in Int64.random(in: .min ... .max, using: &random) }
            for modulus in [1, 2, 3, 7, 16] {
                let placement = try #require(HashPlacement(shardCount: modulus))
                let rows = ids.map { "('\($0)'::bigint, \(placement.shard(of: $0)))" }.joined(separator: ",")
                let wrong = try replicas.query(
                    "s0-a",
                    "select count(*) from (values \(rows)) v (id, shard) where not satisfies_hash_partition("
                        + "'public.placement_check'::regclass, \(modulus), shard, id) "
                        + "or \(placement.shardSQL(of: "id")) <> shard")
                #expect(wrong == "0", "modulus \(modulus)")
            }
        }
    }
}
