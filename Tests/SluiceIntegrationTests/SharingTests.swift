import SluiceClient
import Testing

extension PostgreSQL {
    /// Answers that were another search's, and what a search is refused for before it is executed.
    @Suite(.serialized) struct Sharing {
        private static let counted = "table: counted, metric: cosine, dimensions: 384, shards: [s0], columns: [name]"
        private static let collections = """
              - {name: shared, \(counted), single_flight: true}
              - {name: cached, \(counted), cache: true}
              - {name: plain, \(counted)}
              - {name: halves, table: counted_half, metric: cosine, dimensions: 384, cache: true}
            """

        /// A view that counts its executions, and takes a while.
        private func make(_ replicas: Replicas) throws {
            try replicas.query(
                "s0-a",
                """
                create sequence if not exists public.executions;
                select setval('public.executions', 1);
                create or replace view public.counted as select id, embedding, name from public.programs
                where (select nextval('public.executions')) > 0 and (select pg_sleep(0.5))::text = ''
                """)
            try replicas.onPrimaries { shard in
                "create or replace view public.counted_half as select id, embedding from public.programs"
                    + (shard == 0 ? "" : " where (select pg_sleep(1))::text = ''")
            }
        }

        private func executions(_ replicas: Replicas) throws -> Int {
            try #require(Int(try replicas.query("s0-a", "select last_value from public.executions")))
        }

        @Test func equalSearchesAtOnceAreExecutedOnce() async throws {
            let replicas = try Replicas()
            try make(replicas)
            try await withGateway(replicas.primaries(extraCollections: Self.collections)) { client, _ in
                func run(_ name: String, bypass: Bool = false) async throws -> (executed: Int, sources: [String]) {
                    let before = try executions(replicas)
                    let replies = try await withThrowingTaskGroup(of: SearchReply.self) { group in
                        for place in 0..<4 {
                            group.addTask {
                                var query = SearchQuery(
                                    collections: [name], vector: Slow.vector, k: 3, columns: ["name"],
                                    deadline: .seconds(5 + place))
                                query.bypassCache = bypass
                                query.allowHedges = false
                                return try await client.search(query)
                            }
                        }
                        return try await group.reduce(into: [SearchReply]()) { $0.append($1) }
                    }
                    #expect(replies.allSatisfy { $0.hits == replies[0].hits && $0.hits.count == 3 })
                    return (try executions(replicas) - before, replies.map(\.source.rawValue).sorted())
                }
                let shared = try await run("shared")
                #expect(shared.executed == 1 && shared.sources == ["executed", "shared", "shared", "shared"])
                let own = try await run("shared", bypass: true)
                #expect(own.executed == 4 && Set(own.sources) == ["executed"])
                let plain = try await run("plain")
                #expect(plain.executed == 4 && Set(plain.sources) == ["executed"])
                // Whoever leaves does not take the others' answer along.
                let query = SearchQuery(collections: ["shared"], vector: Slow.vector, k: 3, columns: ["name"])
                let before = try executions(replicas)
                let leader = Task { try await client.search(query) }
                #expect(try Slow.waitUntil { try executions(replicas) > before })
                let follower = Task { try await client.search(query) }
                try await client.ping()
                leader.cancel()
                let hits = try await follower.value.hits
                let executed = try executions(replicas) - before
                #expect(hits.count == 3 && executed == 2)
            }
        }

        @Test func answersAreKeptForAWhile() async throws {
            let replicas = try Replicas()
            try make(replicas)
            let config = try replicas.primaries(
                extraCollections: Self.collections, extra: "cache: {ttl: 1200ms}")
            try await withGateway(config) { client, _ in
                var query = SearchQuery(collections: ["cached"], vector: Slow.vector, k: 3, columns: ["name"])
                query.allowHedges = false
                let before = try executions(replicas)
                let first = try await client.search(query)
                let clock = ContinuousClock()
                let stored = clock.now
                let second = try await client.search(query)
                #expect(first.source == .executed && second.source == .cache && second.hits == first.hits)
                #expect(second.legs.map(\.rows) == first.legs.map(\.rows))

                // Another search is another answer.
                var other = query
                other.k = 4
                let four = try await client.search(other)
                #expect(four.source == .executed && four.hits.count == 4)
                var bypass = query
                bypass.bypassCache = true
                let fresh = try await client.search(bypass)
                #expect(fresh.source == .executed)
                while stored.duration(to: clock.now) < .milliseconds(1_300) { try await client.ping() }
                let late = try await client.search(query)
                #expect(late.source == .executed)
                let executed = try executions(replicas) - before
                #expect(executed == 4)

                // Pages of a stored answer are pages like others.
                var pages: [SearchReply] = []
                for try await page in client.pages(query, size: 2) { pages.append(page) }
                #expect(pages.flatMap(\.hits) == late.hits && pages.map(\.hits.count) == [2, 1])
            }
        }

        @Test func partialAnswersAreNotKept() async throws {
            let replicas = try Replicas()
            try make(replicas)
            let config = try replicas.primaries(
                extraCollections: Self.collections, extra: "cache: {ttl: 60s}")
            try await withGateway(config) { client, _ in
                var query = SearchQuery(
                    collections: ["halves"], vector: Slow.vector, k: 5, deadline: .milliseconds(400),
                    allowPartial: true)
                for _ in 0..<2 {
                    let reply = try await client.search(query)
                    #expect(reply.source == .executed && reply.coverage < 1 && reply.coverage > 0)
                }
                query.deadline = .seconds(5)
                let whole = try await client.search(query)
                #expect(whole.source == .executed && whole.coverage == 1)
                query.deadline = .milliseconds(400)
                let again = try await client.search(query)
                #expect(again.source == .cache && again.coverage == 1 && again.hits == whole.hits)
            }
        }

        /// What was found in a hurry is not what one with more time gets.
        @Test func answersThatCouldBeMoreCompleteAreNotKept() async throws {
            let replicas = try Replicas()
            try Sluggish.make(replicas, milliseconds: 300)
            let config = try replicas.primaries(
                extraCollections: Sluggish.collection + ", cache: true}", extra: "cache: {ttl: 60s}")
            try await withGateway(config) { client, _ in
                var query = Sluggish.query(deadline: .milliseconds(500))
                let hasty = try await client.search(query)
                #expect(hasty.source == .executed && !hasty.isComplete)
                query.deadline = .seconds(5)
                let whole = try await client.search(query)
                #expect(whole.source == .executed && whole.isComplete && whole.rung == .exact)
                let again = try await client.search(query)
                #expect(again.source == .cache && again.isComplete && again.hits == whole.hits)
            }
        }

        @Test func vectorsOfAnotherModelAreRefused() async throws {
            let replicas = try Replicas()
            let modelled = "  - {name: modelled, table: programs, metric: cosine, dimensions: 384, model: \"small:2\"}"
            try await withGateway(replicas.config(extraCollections: modelled)) { client, _ in
                var query = SearchQuery(collections: ["modelled", "programs"], vector: Slow.vector, k: 3)
                for model in [nil, "small:2"] {
                    query.model = model
                    let reply = try await client.search(query)
                    #expect(reply.hits.count == 3)
                }
                query.model = "small:3"
                await expectError(.modelMismatch, saying: "small:2") { _ = try await client.search(query) }
                await expectError(.modelMismatch, saying: "small:3") { _ = try await client.searchEach(query) }
                await expectError(.modelMismatch) { for try await _ in client.stream(query) {} }
                query.target = .row(id: 1, collection: "programs")
                await expectError(.modelMismatch) { _ = try await client.search(query) }
                query.collections = ["programs"]
                let undeclared = try await client.search(query)
                #expect(undeclared.hits.count == 3)
            }
        }

        @Test func onlyRowsThatAreNearEnough() async throws {
            let replicas = try Replicas()
            let vectors = Array(try Samples().queries.prefix(5))
            let rows = try replicas.sampleRows(to: vectors)
            try await withGateway(replicas.config()) { client, _ in
                for (place, vector) in vectors.enumerated() {
                    let ordered = rows.ordered(by: place)
                    for count in [1, 9, 40, 100, 150] {
                        for exact in [true, false] {
                            var query = SearchQuery(
                                collections: ["libraries", "programs"], vector: vector, k: 100, efSearch: 400,
                                exact: exact)
                            let limit = ordered[count - 1].measures[place] ?? 0
                            query.maxDistance = limit
                            let reply = try await client.search(query)
                            let right = ordered.prefix { ($0.measures[place] ?? .nan) <= limit }.prefix(100)
                            if exact { expectSame(reply.hits, right, by: place) }
                            #expect(reply.hits.allSatisfy { $0.distance <= limit } && reply.isComplete)
                            #expect(reply.hits.count >= right.count - 2)
                        }
                    }
                    var none = SearchQuery(collections: ["programs"], vector: vector, k: 10)
                    none.maxDistance = -0.5
                    let reply = try await client.search(none)
                    #expect(reply.hits.isEmpty && reply.isComplete && reply.coverage == 1)
                }
            }
        }
    }
}
