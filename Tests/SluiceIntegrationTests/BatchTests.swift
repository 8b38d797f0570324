import SluiceClient
import SluiceWire
import Testing

extension PostgreSQL {
    /// Several vectors in one request.
    @Suite(.serialized) struct Batches {
        private let both = ["programs", "libraries"]

        @Test(arguments: [true, false]) func areTheSingleSearches(exact: Bool) async throws {
            let replicas = try Replicas()
            let vectors = Array(try Samples().queries.prefix(16))
            let rows = try replicas.sampleRows(to: Array(vectors.prefix(6)))
            try await withGateway(replicas.config()) { client, _ in
                for (section, k) in [(nil, 10), ("net", 30), ("embedded", 5)] as [(String?, Int)] {
                    var query = SearchQuery(
                        collections: both, vector: [], k: k, columns: ["name", "section"], efSearch: 200, exact: exact)
                    query.allowHedges = false
                    query.filter = section.map { .column("section") == .text($0) }
                    let replies = try await client.searchBatch(vectors.map { .float($0) }, query)
                    try #require(replies.count == 16)
                    // One attempt a shard, unless some list needed more of one.
                    let repaired = replies[0].repaired
                    #expect(replies[0].legs.count == 4)
                    #expect(replies[0].legs.allSatisfy { $0.attempts == 1 || repaired && $0.attempts == 2 })
                    for (place, (vector, reply)) in zip(vectors, replies).enumerated() {
                        query.target = .vector(.float(vector))
                        let single = try await client.search(query)
                        #expect(reply.hits.map(\.key) == single.hits.map(\.key))
                        #expect(reply.hits.map(\.distance) == single.hits.map(\.distance))
                        #expect(reply.hits.map(\.columns) == single.hits.map(\.columns))
                        guard exact, place < 6 else { continue }
                        let passing = rows.filter { section == nil || $0.section == section }
                        expectSame(reply.hits, passing.ordered(by: place).prefix(k), by: place)
                    }
                }
            }
        }

        @Test func withListsForEachCollection() async throws {
            let replicas = try Replicas()
            let vectors = Array(try Samples().queries.prefix(3))
            let rows = try replicas.sampleRows(to: vectors)
            try await withGateway(replicas.config()) { _, gateway in
                let session = try await RawSession(gateway)
                let answer = try await session.search { request in
                    request.collections = both
                    request.vectors = vectors.map { .init($0) }
                    request.k = 20
                    request.exact = true
                    request.separate = true
                }
                try #require(answer.lists.count == 6)
                for (place, list) in answer.lists.enumerated() {
                    let own = rows.filter { $0.collection == both[place % 2] }.ordered(by: place / 2).prefix(20)
                    #expect(try list.hits(of: answer.legs).map(\.id) == own.map(\.id))
                    #expect(try list.hits(of: answer.legs).map(\.distance) == own.map { $0.measures[place / 2] })
                }
                try await session.close()
            }
        }

        @Test func oneWrongVectorRefusesTheWholeBatch() async throws {
            let replicas = try Replicas()
            try await withGateway(replicas.config()) { client, _ in
                let query = SearchQuery(collections: both, vector: [], k: 3)
                let good = SearchQuery.Vector.float(Slow.vector)
                for place in 0..<3 {
                    var vectors = [good, good, good]
                    vectors[place] = .float([1, 2, 3])
                    await expectError(.dimensionMismatch, saying: "384") {
                        _ = try await client.searchBatch(vectors, query)
                    }
                    vectors[place] = .half(Slow.vector)
                    await expectError(.invalidArgument) { _ = try await client.searchBatch(vectors, query) }
                    vectors[place] = .float([.nan] + Slow.vector.dropFirst())
                    await expectError(.invalidArgument) { _ = try await client.searchBatch(vectors, query) }
                }
                let replies = try await client.searchBatch([good, good], query)
                #expect(replies[0].hits.count == 3 && replies[0].hits == replies[1].hits)
            }
        }
    }
}
