import SluiceClient
import SluiceGateway
import Testing

extension PostgreSQL {
    @Suite(.serialized) struct Failures {
        private let vector = Slow.vector

        @Test func cancellingTheTaskStopsTheBackendsQuery() async throws {
            let replicas = try Replicas()
            try Slow.make(replicas)
            try await withGateway(replicas.config(extraCollections: Slow.collection)) { client, _ in
                let search = Task { try await client.search(SearchQuery(collections: ["slow"], vector: vector)) }
                let hasBegun = try Slow.waitUntil { try Slow.running(replicas) == 1 }
                #expect(hasBegun)
                search.cancel()
                await #expect { try await search.value } throws: { ($0 as? SluiceError)?.code == .cancelled }
                let hasEnded = try Slow.waitUntil { try Slow.running(replicas) == 0 }
                #expect(hasEnded)
                // The connection is clean behind its fence, and others were never in the way.
                let reply = try await client.search(SearchQuery(collections: ["programs"], vector: vector, k: 3))
                #expect(reply.hits.count == 3)
            }
        }

        @Test func theDeadlineEndsASearchOnTimeAndTheServersWork() async throws {
            let replicas = try Replicas()
            try Slow.make(replicas)
            try await withGateway(replicas.config(extraCollections: Slow.collection)) { client, _ in
                let clock = ContinuousClock()
                let began = clock.now
                await #expect {
                    try await client.search(
                        SearchQuery(collections: ["slow"], vector: vector, deadline: .milliseconds(300)))
                } throws: { ($0 as? SluiceError)?.code == .deadlineExceeded }
                #expect(began.duration(to: clock.now) < .seconds(2))
                let hasEnded = try Slow.waitUntil { try Slow.running(replicas) == 0 }
                #expect(hasEnded)
            }
        }

        @Test func aFrozenServerDoesNotHoldASearchPastItsDeadline() async throws {
            let replicas = try Replicas()
            try await withGateway(replicas.config(replicas: { $0.name != "s0-b" })) { client, _ in
                try replicas.script("stop", "s0-a")
                defer { _ = try? replicas.script("cont", "s0-a") }
                let clock = ContinuousClock()
                let began = clock.now
                let reply = try await client.search(
                    SearchQuery(
                        collections: ["programs"], vector: vector, k: 3, deadline: .milliseconds(400),
                        allowPartial: true))
                #expect(began.duration(to: clock.now) < .seconds(2))
                #expect(abs(reply.coverage - 0.5) < 0.03, "by estimated rows")
                #expect(reply.legs.contains { $0.shard == "s0" && $0.status == .timeout })
            }
        }

        @Test func oneReplicaDownAtStartIsServedAround() async throws {
            let replicas = try Replicas()
            let config = try replicas.config(dsn: {
                "host=127.0.0.1 port=\($0.name == "s1-a" ? 1 : $0.port) dbname=sluice user=sluice"
            })
            try await withGateway(config) { client, gateway in
                let reply = try await client.search(SearchQuery(collections: ["programs"], vector: vector, k: 3))
                #expect(reply.coverage == 1)
                #expect(reply.legs.first { $0.shard == "s1" }?.replica == "s1-b")
                let down = await gateway.unreachableReplicas()
                #expect(down == ["s1/s1-a"])
            }
        }

        @Test func aShardWithoutAReplicaIsNamed() async throws {
            let config = try Replicas().config(dsn: {
                "host=127.0.0.1 port=\($0.name.hasPrefix("s1") ? 1 : $0.port) dbname=sluice user=sluice"
            })
            try await withGateway(config) { client, _ in
                let query = SearchQuery(collections: ["programs"], vector: vector, k: 3)
                await #expect {
                    try await client.search(query)
                } throws: { error in
                    guard let error = error as? SluiceError else { return false }
                    return error.code == .unavailable && error.message.contains("shard s1") && error.isRetryable
                }
                var partial = query
                partial.allowPartial = true
                let reply = try await client.search(partial)
                #expect(reply.coverage == 0.5 && reply.hits.count == 3)
                #expect(reply.legs.first { $0.shard == "s1" }?.status == .unavailable)
            }
        }

        @Test func aKilledReplicaIsReplacedWithoutAFailedSearch() async throws {
            let replicas = try Replicas()
            try await withGateway(replicas.config()) { client, gateway in
                for round in 0..<60 {
                    if round == 20 { try replicas.script("kill", "s1-b") }
                    if round == 40 { try replicas.script("start", "s1-b") }
                    let reply = try await client.search(SearchQuery(collections: ["programs"], vector: vector, k: 3))
                    #expect(reply.coverage == 1 && reply.hits.count == 3)
                }
                let clock = ContinuousClock()
                let limit = clock.now.advanced(by: .seconds(15))
                while await gateway.unreachableReplicas() != [], clock.now < limit { try await client.ping() }
                let down = await gateway.unreachableReplicas()
                #expect(down == [])
            }
        }

        @Test func shuttingDownFinishesWhatIsInFlight() async throws {
            let replicas = try Replicas()
            let samples = try Samples()
            try await withGateway(replicas.config()) { client, gateway in
                let searches = (0..<50).map { place in
                    Task {
                        try await client.search(SearchQuery(collections: ["programs"], vector: samples.queries[place]))
                    }
                }
                _ = try await searches[0].value
                await gateway.shutDown()
                for search in searches {
                    let result = await search.result
                    if case .failure(let error as SluiceError) = result {
                        // Those that had not been sent when GOAWAY came find nobody to connect to.
                        #expect([.notConnected, .shuttingDown].contains(error.code), "\(error)")
                    }
                }
            }
        }
    }
}
