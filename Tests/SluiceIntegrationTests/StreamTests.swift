import SluiceClient
import SluiceGateway
import Testing

extension PostgreSQL {
    /// Answers that come in parts.
    @Suite(.serialized) struct Streams {
        private let both = ["programs", "libraries"]
        private let wide = "  - {name: wide, table: wide, metric: l2, dimensions: 2, columns: [filler]}"

        /// 10,000 rows of two kilobytes that do not compress: more than all buffers on the way hold.
        private func makeWide(_ replicas: Replicas) throws {
            try replicas.onPrimaries { shard in
                """
                create table if not exists public.wide (id bigint primary key, embedding vector(2), filler text);
                insert into public.wide
                select i, format('[%s,0]', i)::vector, (select string_agg(md5((i * 100 + j)::text), '')
                from generate_series(1, 64) j) from generate_series(1, 10000) i
                where i % 2 = \(shard) and not exists (select from public.wide)
                """
            }
        }

        /// The collection that is asleep for half a minute does not hold up the other, and leaving the loop wakes it.
        @Test func aSlowCollectionDoesNotHoldUpOthers() async throws {
            let replicas = try Replicas()
            try Slow.make(replicas)
            let vector = try Samples().queries[2]
            let rows = try replicas.sampleRows(to: [vector]).filter { $0.collection == "programs" }
            try await withGateway(replicas.primaries(extraCollections: Slow.collection)) { client, _ in
                let query = SearchQuery(
                    collections: ["slow", "programs"], vector: vector, k: 20, deadline: .seconds(25), exact: true)
                var hits: [SearchReply.Hit] = []
                for try await part in client.stream(query, separately: true) {
                    #expect(part.list == 1 && part.summary == nil)
                    hits += part.hits
                    if hits.count == 20 { break }
                }
                expectSame(hits, rows.ordered(by: 0).prefix(20), by: 0)
                #expect(try Slow.waitUntil { try Slow.running(replicas) == 0 }, "the slow statement still runs")

                // With a deadline that the slow one does not meet: what came stays, and the end is told.
                var short = query
                short.deadline = .milliseconds(700)
                short.allowPartial = true
                var parts: [SearchPart] = []
                for try await part in client.stream(short, separately: true) { parts.append(part) }
                let last = try #require(parts.last?.summary)
                #expect(parts.filter { $0.list == 1 }.flatMap(\.hits).count == 20)
                #expect(parts.filter { $0.list == 0 }.flatMap(\.hits).isEmpty)
                #expect(last.coverage < 1 && last.legs.contains { $0.collection == "slow" && $0.status == .timeout })
                short.allowPartial = false
                await expectError(.deadlineExceeded) {
                    for try await part in client.stream(short, separately: true) { #expect(part.list == 1) }
                }
                #expect(try Slow.waitUntil { try Slow.running(replicas) == 0 }, "the slow statement still runs")
            }
        }

        @Test func partsAreTheWholeAnswer() async throws {
            let replicas = try Replicas()
            let vectors = Array(try Samples().queries.prefix(2))
            let rows = try replicas.sampleRows(to: vectors)
            try await withGateway(replicas.config(limits: "{max_k: 10000}")) { client, _ in
                // All rows there are, and fewer than asked for.
                let query = SearchQuery(
                    collections: both, vector: vectors[0], k: 10_000, columns: ["name"], exact: true)
                var parts: [SearchPart] = []
                for try await part in client.stream(query) { parts.append(part) }
                #expect(parts.count > 5 && parts.dropLast().allSatisfy { $0.summary == nil && $0.list == 0 })
                let hits = parts.flatMap(\.hits)
                expectSame(hits, rows.ordered(by: 0), by: 0)
                let whole = try await client.search(query)
                #expect(whole.hits.map(\.key) == hits.map(\.key))
                #expect(whole.hits.map(\.columns) == hits.map(\.columns))
                let summary = try #require(parts.last?.summary)
                #expect(summary.coverage == 1 && summary.isComplete == whole.isComplete)
                #expect(summary.legs.map(\.rows) == whole.legs.map(\.rows))

                // Separate lists, each in its own order.
                var separate: [[SearchReply.Hit]] = [[], []]
                for try await part in client.stream(query, separately: true) { separate[part.list] += part.hits }
                for (place, name) in both.enumerated() {
                    expectSame(separate[place], rows.filter { $0.collection == name }.ordered(by: 0), by: 0)
                }

                var few = query
                few.k = 3
                few.twoPhase = .init(.half)
                few.exact = false
                var found: [SearchReply.Hit] = []
                for try await part in client.stream(few) { found += part.hits }
                let unstreamed = try await client.search(few)
                #expect(found.map(\.key) == unstreamed.hits.map(\.key) && found.count == 3)
                few.collections = ["nothing"]
                await expectError(.unknownCollection) { for try await _ in client.stream(few) {} }
            }
        }

        /// The gateway would close a session for which more than three megabytes wait; the answer has twenty.
        @Test func aReaderThatPausesStopsTheGateway() async throws {
            let replicas = try Replicas()
            try makeWide(replicas)
            let config = try replicas.primaries(
                limits: "{max_k: 10000, max_reply: 1MiB, max_unsent: 3MiB}", extraCollections: wide)
            try await withGateway(config) { client, _ in
                let query = SearchQuery(
                    collections: ["wide"], vector: [0, 0], k: 10_000, columns: ["filler"], deadline: .seconds(30),
                    exact: true)
                var iterator = client.stream(query).makeAsyncIterator()
                let first = try #require(try await iterator.next())
                // The client's buffer is full, and the network's behind it; others are served all the same.
                let isFull = Slow.waitUntil { iterator.bytesHeld >= 1_000_000 }
                #expect(isFull)
                let clock = ContinuousClock()
                let end = clock.now.advanced(by: .milliseconds(300))
                while clock.now < end {
                    let reply = try await client.search(SearchQuery(collections: both, vector: Slow.vector, k: 3))
                    #expect(reply.hits.count == 3 && iterator.bytesHeld < 4_000_000)
                }
                var ids = first.hits.map(\.id)
                var bytes = first.hits.count * 2_048
                while let part = try await iterator.next() {
                    ids += part.hits.map(\.id)
                    bytes += part.hits.reduce(0) {
                        guard case .string(let text) = $1.columns["filler"] else { return $0 }
                        return $0 + text.utf8.count
                    }
                }
                #expect(ids == Array(1...10_000) && bytes == 10_000 * 2_048)
                // In one piece it would be too much for this gateway.
                await expectError(.invalidArgument, saying: "smaller k") { _ = try await client.search(query) }
            }
        }

        /// That is the request's fault: no other replica is asked, none is blamed, and the connections stay.
        @Test func rowsLargerThanAReplyAreRefused() async throws {
            let replicas = try Replicas()
            try makeWide(replicas)
            let config = try replicas.primaries(
                limits: "{max_reply: 64KiB}", pool: "{min_size: 1, max_size: 1}", extraCollections: wide)
            try await withGateway(config) { client, gateway in
                func backends() throws -> [String] {
                    try ["s0-a", "s1-a"].map {
                        try replicas.query(
                            $0,
                            "select string_agg(pid::text, ' ' order by pid) from pg_stat_activity "
                                + "where usename = 'sluice' and pid <> pg_backend_pid()")
                    }
                }
                var query = SearchQuery(collections: ["wide"], vector: [0, 0], k: 200, columns: ["filler"])
                _ = try await client.search(SearchQuery(collections: ["wide"], vector: [0, 0], k: 1))
                let before = try backends()
                for _ in 0..<30 {
                    do {
                        _ = try await client.search(query)
                        Issue.record("it was answered")
                    } catch let error as SluiceError {
                        #expect(error.code == .invalidArgument && error.message.contains("smaller k"), "\(error)")
                        #expect(!error.isRetryable && error.legs.allSatisfy { $0.attempts <= 1 })
                    }
                }
                query.k = 20
                await expectError(.invalidArgument, saying: "smaller k") {
                    _ = try await client.searchBatch([.float([0, 0]), .float([9, 0]), .float([20, 0])], query)
                }
                let reply = try await client.search(query)
                #expect(reply.hits.map(\.id) == Array(1...20) && gateway.integrityFailures == 0)
                let after = try backends()
                #expect(after == before)
            }
        }

        @Test func aReaderThatComesTooLateIsTold() async throws {
            let replicas = try Replicas()
            try makeWide(replicas)
            let config = try replicas.primaries(limits: "{max_k: 10000}", extraCollections: wide)
            try await withGateway(config) { client, _ in
                let query = SearchQuery(
                    collections: ["wide"], vector: [0, 0], k: 10_000, columns: ["filler"],
                    deadline: .milliseconds(1_000), exact: true)
                let clock = ContinuousClock()
                let end = clock.now.advanced(by: .milliseconds(1_200))
                var iterator = client.stream(query).makeAsyncIterator()
                var count = try #require(try await iterator.next()).hits.count
                while clock.now < end { try await client.ping() }
                await expectError(.deadlineExceeded) {
                    while let part = try await iterator.next() { count += part.hits.count }
                }
                #expect(count > 0 && count < 10_000)
            }
        }
    }
}
