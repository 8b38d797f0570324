import SluiceClient
import Testing

extension PostgreSQL {
    /// Filters that few rows pass, and how hard is searched for those.
    @Suite(.serialized) struct Completeness {
        private let both = ["programs", "libraries"]

        @Test func theReplyTellsWhatAnIndexMissed() async throws {
            let replicas = try Replicas()
            let vectors = Array(try Samples().queries.prefix(5))
            let rows = try replicas.sampleRows(to: vectors)
            try await withGateway(replicas.primaries(prefersIndexes: true)) { client, _ in
                var rungs: Set<SearchReply.Rung> = []
                for (place, vector) in vectors.enumerated() {
                    for section in ["vcs", "embedded", "net", "perl", "nowhere"] {
                        var query = SearchQuery(collections: both, vector: vector, k: 10)
                        query.filter = .column("section") == .text(section)
                        let right = rows.filter { $0.section == section }.ordered(by: place)
                        let quick = try await client.search(query)
                        #expect(quick.rung == .asAsked && quick.hits.count <= 10)
                        // Nobody claims to have found what was not found.
                        if quick.hits.count < min(10, right.count) { #expect(!quick.isComplete) }
                        if section == "vcs" { #expect(quick.hits.count < 10 && right.count >= 10) }

                        query.complete = true
                        let whole = try await client.search(query)
                        #expect(whole.isComplete, "\(section)")
                        rungs.insert(whole.rung)
                        if right.count < 10 || whole.legs.allSatisfy({ $0.rung == .exact }) {
                            expectSame(whole.hits, right.prefix(10), by: place, "\(section)")
                        } else {
                            #expect(whole.hits.count == 10)
                        }
                        #expect(whole.legs.contains { $0.rung == whole.rung })

                        let limit = right.isEmpty ? 0.5 : right[min(6, right.count - 1)].measures[place] ?? 0.5
                        query.maxDistance = limit
                        let near = right.prefix { $0.measures[place] ?? .nan <= limit }
                        let within = try await client.search(query)
                        #expect(within.isComplete && within.hits.allSatisfy { $0.distance <= limit })
                        if within.legs.allSatisfy({ $0.rung == .exact }) {
                            expectSame(within.hits, near, by: place, "\(section)")
                        }
                    }
                }
                #expect(rungs.contains(.exact), "\(rungs)")
            }
        }

        /// Every list of a batch, and every collection of a separate search, is completed.
        @Test func batchesAndSeparateListsAreCompleted() async throws {
            let replicas = try Replicas()
            let vectors = Array(try Samples().queries.prefix(4))
            let rows = try replicas.sampleRows(to: vectors).filter { $0.section == "vcs" }
            try await withGateway(replicas.primaries(prefersIndexes: true)) { client, _ in
                // There are fewer such rows, so that nothing but all of them is complete.
                var query = SearchQuery(collections: both, vector: [], k: 60)
                query.filter = .column("section") == "vcs"
                query.complete = true
                let replies = try await client.searchBatch(vectors.map { .float($0) }, query)
                for (place, reply) in replies.enumerated() {
                    expectSame(reply.hits, rows.ordered(by: place), by: place)
                    #expect(reply.isComplete && reply.rung == .exact)
                }
                query.target = .vector(.float(vectors[1]))
                for (name, reply) in try await client.searchEach(query) {
                    expectSame(
                        reply.hits, rows.filter { $0.collection == name }.ordered(by: 1), by: 1)
                }
            }
        }

        /// What there is comes in time: a climb that cannot be ready is not tried, and one that turns out not to be
        /// ready does not take the answer with it.
        @Test(arguments: [150, 300]) func aShortDeadlineIsKept(sleep: Int) async throws {
            let replicas = try Replicas()
            try Sluggish.make(replicas, milliseconds: sleep)
            try await withGateway(replicas.primaries(extraCollections: Sluggish.collection + "}")) { client, _ in
                var query = Sluggish.query(deadline: .milliseconds(500))
                let whole = try await client.search(query)
                #expect(!whole.hits.isEmpty && whole.hits.count < 50 && whole.coverage == 1)
                #expect(whole.isComplete == (whole.rung == .exact))
                #expect((whole.rung == .exact) == (sleep == 150))

                // Twice as long would be too late for two groups of 50.
                query.k = 2
                query.group = .init(by: "section", size: 50)
                let grouped = try await client.search(query)
                #expect(grouped.groups.count == 1 && grouped.hits.map(\.id) == whole.hits.map(\.id))
            }
        }
    }
}

/// A small table, each reading of which takes a while: a policy sees to that.
enum Sluggish {
    /// All but the closing brace.
    static let collection =
        "  - {name: sluggish, table: sluggish, metric: cosine, dimensions: 384, shards: [s0], "
        + "columns: [section], filterable: {section: text}"

    static func make(_ replicas: Replicas, milliseconds: Int) throws {
        try replicas.query(
            "s0-a",
            """
            drop table if exists public.sluggish;
            create table public.sluggish as select id, embedding, section from public.programs limit 200;
            create index on public.sluggish using hnsw (embedding public.vector_cosine_ops);
            analyze public.sluggish;
            alter table public.sluggish enable row level security, force row level security;
            create policy slow on public.sluggish using ((select pg_sleep(\(milliseconds)e-3))::text = '')
            """)
    }

    /// There are fewer such rows than it asks for, so that it looks again.
    static func query(deadline: Duration) -> SearchQuery {
        var query = SearchQuery(collections: ["sluggish"], vector: Slow.vector, k: 50, deadline: deadline)
        query.filter = .column("section") == "net"
        query.complete = true
        return query
    }
}
