import SluiceClient
import SluiceGateway
import Testing

extension PostgreSQL {
    /// Through a real PgBouncer in transaction mode before each server.
    @Suite(.serialized) struct Poolers {
        private func config(_ replicas: Replicas, extraCollections: String = "") throws -> GatewayConfig {
            // More connections than PgBouncer has to the server (8), so that it deals them out anew all the time.
            try replicas.config(
                pool: "{min_size: 16, max_size: 16}", extraCollections: extraCollections, throughPoolers: true)
        }

        @Test func answersAreThoseOfTheServers() async throws {
            let replicas = try Replicas()
            let samples = try Samples()
            let queries = samples.queries.enumerated().map { number, vector in
                SearchQuery(
                    collections: ["programs", "libraries"], vector: vector, k: 10, columns: ["name"],
                    efSearch: 40 + number, exact: number.isMultiple(of: 5))
            }
            var direct: [[Int64]] = []
            try await withGateway(replicas.config()) { client, _ in
                for query in queries { direct.append(try await client.search(query).hits.map(\.id)) }
            }
            try await withGateway(config(replicas)) { [direct] client, _ in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for worker in 0..<16 {
                        group.addTask {
                            for turn in 0..<100 {
                                let place = (worker * 7 + turn) % queries.count
                                let reply = try await client.search(queries[place])
                                #expect(reply.hits.map(\.id) == direct[place] && reply.coverage == 1)
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }

        @Test func cancellingStopsTheServersWorkThroughThePooler() async throws {
            let replicas = try Replicas()
            try Slow.make(replicas)
            try await withGateway(config(replicas, extraCollections: Slow.collection)) { client, _ in
                let search = Task { try await client.search(SearchQuery(collections: ["slow"], vector: Slow.vector)) }
                let hasBegun = try Slow.waitUntil { try Slow.running(replicas) == 1 }
                #expect(hasBegun)
                search.cancel()
                await #expect { try await search.value } throws: { ($0 as? SluiceError)?.code == .cancelled }
                let hasEnded = try Slow.waitUntil { try Slow.running(replicas) == 0 }
                #expect(hasEnded)
                let reply = try await client.search(
                    SearchQuery(collections: ["programs"], vector: Slow.vector, k: 3))
                #expect(reply.hits.count == 3)
            }
        }

        @Test func theDeadlineEndsTheServersWorkThroughThePooler() async throws {
            let replicas = try Replicas()
            try Slow.make(replicas)
            try await withGateway(config(replicas, extraCollections: Slow.collection)) { client, _ in
                await #expect {
                    try await client.search(
                        SearchQuery(collections: ["slow"], vector: Slow.vector, deadline: .milliseconds(300)))
                } throws: { ($0 as? SluiceError)?.code == .deadlineExceeded }
                let hasEnded = try Slow.waitUntil { try Slow.running(replicas) == 0 }
                #expect(hasEnded)
            }
        }
    }
}
