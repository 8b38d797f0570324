import SluiceClient
import Testing

extension PostgreSQL {
    /// A list for each collection, and what single collections are asked instead.
    @Suite(.serialized) struct SeparateLists {
        private let both = ["programs", "libraries"]

        @Test func metricsMayDiffer() async throws {
            let replicas = try Replicas()
            let vector = try Samples().queries[4]
            let rows = try replicas.sampleRows(
                [vector], ["embedding <=> v0", "embedding <-> v0", "embedding <#> v0", "embedding <+> v0"])
            let metrics = ["cosine", "l2", "inner_product", "l1"]
            let extra = metrics.dropFirst().map {
                "  - {name: by_\($0), table: programs, metric: \($0), dimensions: 384, columns: [name]}\n"
            }
            try await withGateway(replicas.config(extraCollections: extra.joined())) { client, _ in
                let names = ["libraries", "by_l2", "by_inner_product", "by_l1"]
                let query = SearchQuery(collections: names, vector: vector, k: 15, exact: true)
                let each = try await client.searchEach(query)
                #expect(each.count == 4)
                for (measure, name) in names.enumerated() {
                    let reply = try #require(each[name])
                    let own = rows.filter { $0.collection == (measure == 0 ? "libraries" : "programs") }
                    let right = own.ordered(by: measure).prefix(15)
                    #expect(reply.hits.map(\.id) == right.map(\.id), "\(name)")
                    #expect(reply.hits.map(\.distance) == right.map { $0.measures[measure] }, "\(name)")
                    #expect(reply.legs.count == 2 && reply.hits.allSatisfy { $0.collection == name })
                }
                await expectError(.invalidArgument, saying: "list each") { _ = try await client.search(query) }
            }
        }

        @Test func overridesHoldForTheirCollectionAlone() async throws {
            let replicas = try Replicas()
            let vectors = Array(try Samples().queries.prefix(2))
            let rows = try replicas.sampleRows(to: vectors)
            try await withGateway(replicas.config()) { client, _ in
                var query = SearchQuery(
                    collections: both, vector: vectors[0], k: 30, columns: ["name", "section"], exact: true)
                query.filter = .column("installed_kib") > 50
                query.overrides["libraries"] = .init(
                    vector: .float(vectors[1]), k: 4, columns: ["priority"], filter: .column("section") != "libs")
                let programs = rows.filter { $0.collection == "programs" && $0.installedKiB > 50 }.ordered(by: 0)
                let libraries = rows.filter { $0.collection == "libraries" && $0.section != "libs" }.ordered(by: 1)

                let each = try await client.searchEach(query)
                expectSame(try #require(each["programs"]).hits, programs.prefix(30), by: 0)
                expectSame(try #require(each["libraries"]).hits, libraries.prefix(4), by: 1)

                // Merged, a collection brings at most its own k.
                let merged = try await client.search(query)
                var right = programs.prefix(30).map { ($0.measures[0] ?? 0, $0) }
                right += libraries.prefix(4).map { ($0.measures[1] ?? 0, $0) }
                right = Array(right.sorted { ($0.0, $0.1.key) < ($1.0, $1.1.key) }.prefix(30))
                #expect(merged.hits.map(\.key) == right.map(\.1.key))
                #expect(merged.hits.map(\.distance) == right.map(\.0))
                for hit in merged.hits {
                    let names = hit.collection == "programs" ? ["name", "section"] : ["priority"]
                    #expect(hit.columns.keys.sorted() == names)
                }

                // Each its own vector, and none of the request's.
                query.target = .overrides
                query.overrides["programs"] = .init(vector: .float(vectors[1]), columns: [])
                query.overrides["libraries"] = .init(vector: .float(vectors[0]))
                query.filter = nil
                let own = try await client.searchEach(query)
                let (first, second) = (try #require(own["programs"]), try #require(own["libraries"]))
                expectSame(
                    first.hits, rows.filter { $0.collection == "programs" }.ordered(by: 1).prefix(30), by: 1)
                expectSame(
                    second.hits, rows.filter { $0.collection == "libraries" }.ordered(by: 0).prefix(30), by: 0)
                #expect(first.hits.allSatisfy(\.columns.isEmpty) && second.hits.allSatisfy { $0.columns.count == 2 })

                query.overrides["libraries"] = .init(k: 0)
                await expectError(.invalidArgument) { _ = try await client.searchEach(query) }
                query.overrides = ["nothing": .init(k: 3)]
                query.target = .vector(.float(vectors[0]))
                await expectError(.invalidArgument) { _ = try await client.searchEach(query) }
            }
        }

        /// A small k of its own must hold in every way to search.
        @Test func aSmallKOfItsOwn() async throws {
            let replicas = try Replicas()
            let vector = try Samples().queries[0]
            let rows = try replicas.sampleRows(to: [vector])
            try await withGateway(replicas.config()) { client, _ in
                for k in 1...6 {
                    var query = SearchQuery(collections: both, vector: vector, k: 20, exact: true)
                    query.overrides["programs"] = .init(k: k)
                    query.allowHedges = false
                    let ordered = rows.ordered(by: 0)
                    let own = ordered.filter { $0.collection == "programs" }.prefix(k).map(\.key)
                    let right = ordered.filter { $0.collection == "libraries" || own.contains($0.key) }
                    expectSame(try await client.search(query).hits, right.prefix(20), by: 0)
                    let batch = try await client.searchBatch([.float(vector), .float(vector)], query)
                    for reply in batch { expectSame(reply.hits, right.prefix(20), by: 0) }
                }
            }
        }
    }
}
