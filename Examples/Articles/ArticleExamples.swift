internal import SluiceClient

/// The code of the articles in Sources/SluiceClient/SluiceClient.docc, so that it compiles. A test in SluiceHouseTests
/// finds each of their blocks here, word for word; nothing here is run.
enum ArticleExamples {
    // MARK: Getting started

    static func connecting() async throws {
        let client = try await SluiceClient.connect("sluice://127.0.0.1:7411")
        for collection in try await client.collections() {
            print("\(collection.name): \(collection.dimensions) dimensions, \(collection.metric)")
        }

        _ = client
    }

    static func connectingSafely(secret: String) async throws {
        var options = SluiceClient.Options()
        options.name = "shop"
        options.connections = 2
        options.token = SluiceClient.Token(secret)
        options.tls.authorities = "/etc/shop/ca.pem"
        let client = try await SluiceClient.connect("sluice+tls://gateway.example.com", options: options)

        _ = client
    }

    static func connectingToSeveral() async throws {
        let client = try await SluiceClient.connect(["sluice://a.example.com", "sluice://b.example.com"])

        _ = client
    }

    static func connectingByName() async throws {
        let client = try await SluiceClient.connect("sluice+srv://_sluice._tcp.example.com")

        _ = client
    }

    static func firstSearch(client: SluiceClient, vector: [Float]) async throws {
        let query = SearchQuery(
            collections: ["programs", "libraries"], vector: vector, k: 5, columns: ["name"],
            deadline: .milliseconds(100))
        let reply = try await client.search(query)
        for hit in reply.hits {
            print(hit.distance, hit.collection, hit.id, hit.columns["name"] ?? .null)
        }

        await client.close()
    }

    // MARK: Searching

    static func filters() throws {
        let built: Filter = .column("section") == "net" && .column("installed_kib") < 5000
        let parsed = try Filter(parsing: "section = 'net' and installed_kib < 5000")

        _ = (built, parsed)
    }

    static func filtered(client: SluiceClient, vector: [Float], filter: Filter) async throws {
        var query = SearchQuery(collections: ["programs"], vector: vector, k: 20, deadline: .milliseconds(200))
        query.filter = filter
        query.complete = true
        let reply = try await client.search(query)
        if !reply.isComplete { print("only \(reply.hits.count) rows in time, searched by \(reply.rung)") }
    }

    static func partial(client: SluiceClient, query: SearchQuery) async throws {
        var query = query
        query.minCoverage = 0.75
        let reply = try await client.search(query)
        if reply.coverage < 1 {
            for leg in reply.legs where leg.status != .ok {
                print("\(leg.shard) is missing: \(leg.status.rawValue)")
            }
        }
    }

    static func similar(client: SluiceClient) async throws {
        let reply = try await client.similar(to: 17, in: "programs", k: 5, deadline: .milliseconds(100))

        _ = reply
    }

    static func batch(client: SluiceClient, queries: [[Float]]) async throws {
        let template = SearchQuery(collections: ["programs"], target: .overrides, k: 5, deadline: .milliseconds(300))
        let replies = try await client.searchBatch(queries.map { .float($0) }, template)
        print(replies.map { $0.hits.first?.id ?? 0 })
    }

    static func hybrid(client: SluiceClient, vector: [Float]) async throws {
        var query = SearchQuery(collections: ["programs"], vector: vector, k: 10, deadline: .milliseconds(200))
        query.text = SearchQuery.TextSearch("\"full text\" search -mail")
        let reply = try await client.search(query)
        for (hit, ranks) in zip(reply.hits, reply.ranks) {
            print(hit.id, ranks.score, ranks.vector ?? 0, ranks.text ?? 0)
        }
    }

    static func grouped(client: SluiceClient, vector: [Float]) async throws {
        var query = SearchQuery(collections: ["programs"], vector: vector, k: 5, columns: ["section"])
        query.group = SearchQuery.Grouping(by: "section", size: 3)
        let reply = try await client.search(query)
        for group in reply.groups { print(reply.hits[group].map(\.id)) }
    }

    // MARK: Streams and pages

    static func stream(client: SluiceClient, query: SearchQuery) async throws {
        for try await part in client.stream(query) {
            for hit in part.hits { print(hit.id, hit.distance) }
            if let summary = part.summary { print("coverage \(summary.coverage)") }
        }
    }

    static func separateStream(client: SluiceClient, query: SearchQuery) async throws {
        for try await part in client.stream(query, separately: true) {
            print(query.collections[part.list], part.hits.count)
        }
    }

    static func pages(client: SluiceClient, query: SearchQuery) async throws {
        for try await page in client.pages(query, size: 20) {
            print(page.hits.map(\.id))
        }
    }

    // MARK: Loading and writing

    static func loading(client: SluiceClient, vectors: [[Float]], names: [String]) async throws {
        let rows = AsyncStream { continuation in
            for (index, vector) in vectors.enumerated() {
                continuation.yield(LoadRow(id: Int64(index), vector: vector, values: [.text(names[index])]))
            }
            continuation.finish()
        }
        var options = LoadOptions()
        options.mode = .upsert
        let report = try await client.load("programs", columns: ["name"], rows: rows, options: options) { progress in
            print(progress.phase, progress.done)
        }
        print("\(report.rows) rows on \(report.shards.count) shards")
    }

    static func loadingAgain<Rows: AsyncSequence & Sendable>(
        client: SluiceClient, rows: @Sendable () -> Rows
    ) async throws -> LoadReport where Rows.Element == LoadRow {
        let options = LoadOptions()
        do {
            return try await client.load("programs", columns: ["name"], rows: rows(), options: options)
        } catch {
            guard error.code == .outcomeUnknown else { throw error }
            return try await client.load("programs", columns: ["name"], rows: rows(), options: options)
        }
    }

    static func writing(client: SluiceClient, embedding: [Float]) async throws {
        let report = try await client.upsert(
            "programs", columns: ["name"], rows: [LoadRow(id: 17, vector: embedding, values: ["gzip"])], key: .random())
        for (row, outcome) in report.rows.enumerated() where !outcome.isDone {
            print("row \(row): \(outcome.rawValue)")
        }
        var query = SearchQuery(collections: ["programs"], vector: embedding, k: 1)
        query.after = report.token
        let reply = try await client.search(query)
        print(reply.hits.first?.id ?? 0)
    }

    // MARK: Errors

    static func retrying(
        client: SluiceClient, query: SearchQuery
    ) async throws -> SearchReply {
        for attempt in 0..<2 {
            do {
                return try await client.search(query)
            } catch {
                guard error.isRetryable else { throw error }
                let wait = error.retryAfter ?? .milliseconds(20 << attempt)
                try await Task.sleep(for: wait * Double.random(in: 0.5...1.5))
            }
        }
        return try await client.search(query)
    }

    static func telling(client: SluiceClient, query: SearchQuery) async {
        do {
            let reply = try await client.search(query)
            print(reply.hits.count)
        } catch {
            switch error.code {
            case .deadlineExceeded, .noAnswer: print("too slow")
            case .busy: print("too much at a time")
            case .unavailable: print("no replica of a shard: \(error.legs.filter { $0.status != .ok }.map(\.shard))")
            default: print(error)
            }
        }
    }
}
