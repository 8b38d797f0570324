import NIOCore
import SluiceClient
import SluiceGateway
import SluiceWire
import Testing

extension PostgreSQL {
    /// Answers page by page.
    @Suite(.serialized) struct Pages {
        private let both = ["programs", "libraries"]

        private func hits(_ pages: SearchPages) async throws -> [[SearchReply.Hit]] {
            var all: [[SearchReply.Hit]] = []
            for try await page in pages { all.append(page.hits) }
            return all
        }

        @Test func areTheWholeAnswer() async throws {
            let replicas = try Replicas()
            let vector = try Samples().queries[5]
            let rows = try replicas.sampleRows(to: [vector]).ordered(by: 0)
            // Pages are asked for on four sessions in turn.
            var options = SluiceClient.Options()
            options.connections = 4
            try await withGateway(replicas.config()) { first, gateway in
                let client = try await SluiceClient.connect(
                    "sluice://127.0.0.1:\(gateway.tcpAddress?.port ?? 0)", options: options)
                for (k, size) in [(100, 7), (100, 100), (100, 50), (40, 1), (10, 1_000)] {
                    let query = SearchQuery(
                        collections: both, vector: vector, k: k, columns: ["name"], exact: true)
                    let pages = try await hits(client.pages(query, size: size))
                    expectSame(pages.flatMap(\.self), rows.prefix(k), by: 0)
                    #expect(pages.dropLast().allSatisfy { $0.count == size })
                    #expect(pages.count == (k + size - 1) / size)
                    #expect(pages.flatMap(\.self).allSatisfy { $0.columns["name"] != nil })
                }

                // Ranks go with their hits, and what a search says of the row itself holds on every page.
                var hybrid = SearchQuery(collections: both, vector: vector, k: 30, exact: true)
                hybrid.text = .init("net or python")
                let whole = try await client.search(hybrid)
                var ranks: [SearchReply.Ranks] = []
                for try await page in client.pages(hybrid, size: 8) {
                    #expect(page.hits.count == page.ranks.count)
                    ranks += page.ranks
                }
                #expect(ranks == whole.ranks)

                var none = SearchQuery(collections: both, vector: vector, k: 10)
                none.filter = .column("section") == "nowhere"
                let empty = try await hits(client.pages(none, size: 3))
                #expect(empty.map(\.count) == [0])
                await client.close()
            }
        }

        /// Whoever asks at the same time gets another page.
        @Test func severalSessionsShareACursor() async throws {
            let replicas = try Replicas()
            let vector = try Samples().queries[6]
            let rows = try replicas.sampleRows(to: [vector]).ordered(by: 0).prefix(500).map(\.key)
            try await withGateway(replicas.config()) { _, gateway in
                let opener = try await RawSession(gateway)
                func keys(_ answer: SearchResult) throws -> [RowKey] {
                    try answer.hits.hits(of: answer.legs).map {
                        RowKey(collection: answer.legs[$0.leg].collection, id: $0.id)
                    }
                }
                let first = try await opener.search { request in
                    request.collections = both
                    request.vectors = [.init(vector)]
                    request.k = 500
                    request.pageSize = 20
                    request.exact = true
                }
                let cursor = try #require(first.cursor)
                #expect(first.hasMore)
                let pages = try await withThrowingTaskGroup(of: [[RowKey]].self) { group in
                    for _ in 0..<5 {
                        group.addTask {
                            let session = try await RawSession(gateway)
                            var pages: [[RowKey]] = []
                            while true {
                                do {
                                    let page = try await session.next(cursor, size: 9)
                                    pages.append(try keys(page))
                                    #expect(page.hasMore == (page.cursor != nil))
                                } catch let error as ErrorReply {
                                    #expect(error.code == .unknownCursor)
                                    try await session.close()
                                    return pages
                                }
                            }
                        }
                    }
                    return try await group.reduce(into: []) { $0 += $1 }
                }
                let all = try keys(first) + pages.flatMap(\.self)
                #expect(all.count == 500 && Set(all) == Set(rows))
                // Each page is a piece of the list, in its order.
                let places = Dictionary(uniqueKeysWithValues: rows.enumerated().map { ($1, $0) })
                for page in pages {
                    let own = page.compactMap { places[$0] }
                    #expect(zip(own, own.dropFirst()).allSatisfy { $0 + 1 == $1 })
                }
                try await opener.close()
            }
        }

        @Test func cursorsEnd() async throws {
            let replicas = try Replicas()
            let config = try replicas.config(extra: "cursors: {ttl: 200ms, max_bytes_each: 128KiB}")
            try await withGateway(config) { client, gateway in
                let session = try await RawSession(gateway)
                func open(k: Int = 20, columns: [String] = []) async throws -> WireCursor {
                    let answer = try await session.search { request in
                        request.collections = both
                        request.vectors = [.init(Slow.vector)]
                        request.k = k
                        request.columns = columns
                        request.pageSize = 2
                    }
                    return try #require(answer.cursor)
                }
                func expectNone(_ cursor: WireCursor) async throws {
                    do {
                        let page = try await session.next(cursor, size: 1)
                        Issue.record("a page of \(page.hits.count) hits")
                    } catch let error as ErrorReply {
                        #expect(error.code == .unknownCursor && !error.isRetryable)
                    }
                }
                // Closed early.
                let closed = try await open()
                let goodbye = try await session.next(closed, size: 0)
                #expect(goodbye.hits.count == 0 && !goodbye.hasMore && goodbye.cursor == nil)
                try await expectNone(closed)

                // Left alone, while others are used.
                let left = try await open()
                let kept = try await open(k: 1_000)
                let clock = ContinuousClock()
                let end = clock.now.advanced(by: .milliseconds(400))
                while clock.now < end {
                    // Its 1,000 rows must not end before the other's time does.
                    for _ in 0..<100 { try await client.ping() }
                    _ = try await session.next(kept, size: 1)
                }
                try await expectNone(left)
                _ = try await session.next(kept, size: 1)

                // Too large to be held.
                await expectError(.invalidArgument, saying: "smaller k") {
                    let large = SearchQuery(
                        collections: both, vector: Slow.vector, k: 1_000, columns: ["name", "section", "priority"])
                    for try await _ in client.pages(large, size: 10) {}
                }
                await expectError(.invalidArgument) {
                    let query = SearchQuery(collections: both, vector: Slow.vector)
                    for try await _ in client.pages(query, size: 0) {}
                }
                try await session.close()
            }
        }
    }
}
