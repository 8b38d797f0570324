import SluiceClient
import Testing

extension PostgreSQL {
    /// Coarse candidates over all shards, then exact distances, held against the same over all rows at once.
    @Suite(.serialized) struct TwoPhases {
        private let both = ["programs", "libraries"]

        private struct Measures {
            var exact: Int
            var coarse: [SearchQuery.TwoPhase.Coarse: Int]
        }

        private func rows(_ replicas: Replicas, _ vectors: [[Float]]) throws -> ([SampleRow], [Measures]) {
            let expressions = vectors.indices.flatMap { place in
                [
                    "embedding <=> v\(place)",
                    "binary_quantize(embedding)::bit(384) <~> binary_quantize(v\(place))",
                    "embedding::halfvec(384) <=> v\(place)::halfvec(384)",
                ]
            }
            let measures = vectors.indices.map { place in
                Measures(exact: 3 * place, coarse: [.binary: 3 * place + 1, .half: 3 * place + 2])
            }
            return (try replicas.sampleRows(vectors, expressions), measures)
        }

        /// Of the rows as far away as the last candidate either may have gone on. What is nearer must have, and what is
        /// farther must not.
        private func check(
            _ hits: [SearchReply.Hit], _ rows: [SampleRow], candidates: Int, k: Int, _ measures: Measures,
            _ coarse: SearchQuery.TwoPhase.Coarse, sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let by = try #require(measures.coarse[coarse])
            let ordered = rows.ordered(by: by)
            let cut = ordered.prefix(candidates).last?.measures[by] ?? nil
            let sure = ordered.prefix(candidates).filter { $0.measures[by] != cut }
            let eligible = ordered.filter { ($0.measures[by] ?? .nan) <= (cut ?? .nan) }
            let known = Dictionary(uniqueKeysWithValues: eligible.map { ($0.key, $0.measures[measures.exact]) })
            #expect(hits.count == min(k, candidates, ordered.count), sourceLocation: sourceLocation)
            let areCandidates = hits.allSatisfy { known[$0.key] == $0.distance }
            #expect(areCandidates, sourceLocation: sourceLocation)
            let order = hits.map { ($0.distance, $0.key) }
            #expect(zip(order, order.dropFirst()).allSatisfy { $0 < $1 }, sourceLocation: sourceLocation)
            let last = hits.count < k ? .infinity : hits.last?.distance ?? .infinity
            let keys = Set(hits.map(\.key))
            for row in sure where (row.measures[measures.exact] ?? .nan) < last {
                #expect(keys.contains(row.key), "\(row.key) was lost", sourceLocation: sourceLocation)
            }
        }

        @Test(arguments: SearchQuery.TwoPhase.Coarse.allCases)
        func equalsOneDatabase(coarse: SearchQuery.TwoPhase.Coarse) async throws {
            let replicas = try Replicas()
            let vectors = Array(try Samples().queries.prefix(6))
            let (rows, measures) = try rows(replicas, vectors)
            try await withGateway(replicas.config()) { client, _ in
                var differ = 0
                for (vector, measures) in zip(vectors, measures) {
                    for candidates in [nil, 40, 200] as [Int?] {
                        var query = SearchQuery(collections: both, vector: vector, k: 10, efSearch: 1_000)
                        query.twoPhase = .init(coarse, candidates: candidates)
                        let reply = try await client.search(query)
                        try check(reply.hits, rows, candidates: candidates ?? 100, k: 10, measures, coarse)
                        #expect(reply.isComplete && reply.coverage == 1)
                        // Statements have room for a power of two.
                        let room = (candidates ?? 100)..<2 * (candidates ?? 100)
                        #expect(reply.legs.count == 4 && reply.legs.allSatisfy { room.contains($0.asked) })
                        // Few candidates by a sign a component are not the nearest.
                        let best = rows.ordered(by: measures.exact).prefix(10).map(\.key)
                        if reply.hits.map(\.key) != best { differ += 1 }
                    }
                }
                if coarse == .binary { #expect(differ > 0, "the candidates were never asked for") }
            }
        }

        @Test func theSecondPhaseAsksOnlyWhereSurvivorsLive() async throws {
            let replicas = try Replicas()
            let vectors = Array(try Samples().queries.prefix(8))
            let (rows, measures) = try rows(replicas, vectors)
            try await withGateway(replicas.config()) { client, _ in
                for (vector, measures) in zip(vectors, measures) {
                    let by = try #require(measures.coarse[.half])
                    let survivors = rows.ordered(by: by).prefix(3)
                    var query = SearchQuery(collections: both, vector: vector, k: 3, efSearch: 400)
                    query.twoPhase = .init(.half, candidates: 1)
                    query.allowHedges = false
                    let reply = try await client.search(query)
                    try check(reply.hits, rows, candidates: 3, k: 3, measures, .half)
                    for leg in reply.legs {
                        let own = survivors.count { $0.collection == leg.collection && $0.shard == leg.shard }
                        #expect(leg.attempts == (own > 0 ? 2 : 1) && leg.rows == own)
                    }
                }
            }
        }

        /// An index that thins out under a filter leaves too few candidates, and the reply says so.
        @Test(arguments: SearchQuery.TwoPhase.Coarse.allCases)
        func filtersAndDistances(coarse: SearchQuery.TwoPhase.Coarse) async throws {
            let replicas = try Replicas()
            let vector = try Samples().queries[3]
            let (rows, _) = try rows(replicas, [vector])
            try await withGateway(replicas.primaries(prefersIndexes: true)) { client, _ in
                // There are fewer such rows, so that nothing but all of them is complete.
                var query = SearchQuery(collections: both, vector: vector, k: 60)
                query.twoPhase = .init(coarse, candidates: 80)
                query.filter = .column("section") == "vcs"
                let few = try await client.search(query)
                #expect(few.hits.count < 20 && !few.isComplete, "\(few.hits.count)")
                query.complete = true
                let all = try await client.search(query)
                let passing = rows.filter { $0.section == "vcs" }
                expectSame(all.hits, passing.ordered(by: 0), by: 0)
                #expect(all.isComplete && all.rung != .asAsked)

                let limit = try #require(passing.ordered(by: 0)[4].measures[0])
                query.maxDistance = limit
                expectSame(try await client.search(query).hits, passing.ordered(by: 0).prefix(5), by: 0)

                var separate = query
                separate.maxDistance = nil
                // Often enough that the servers have planned the statements for good.
                for _ in 0..<12 {
                    let each = try await client.searchEach(separate)
                    for name in both {
                        let own = passing.filter { $0.collection == name }.ordered(by: 0)
                        expectSame(try #require(each[name]).hits, own, by: 0)
                    }
                }
            }
        }

        @Test func collectionsWithoutTheCoarseFormRefuse() async throws {
            let replicas = try Replicas()
            let plain = "{name: plain, table: programs, metric: cosine, dimensions: 384, coarse: [half]}"
            try await withGateway(replicas.config(extraCollections: "  - \(plain)")) { client, _ in
                var query = SearchQuery(collections: ["plain"], vector: Slow.vector, k: 3)
                query.twoPhase = .init(.half)
                let found = try await client.search(query)
                #expect(found.hits.count == 3)
                query.twoPhase = .init(.binary)
                await expectError(.notSupported, saying: "plain") { _ = try await client.search(query) }
                query.exact = true
                await expectError(.invalidArgument) { _ = try await client.search(query) }
            }
        }
    }
}
