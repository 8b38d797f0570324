import SluiceClient
import Testing

extension PostgreSQL {
    /// The best of each group, held against grouping all rows at once.
    @Suite(.serialized) struct Groups {
        private let both = ["programs", "libraries"]

        /// Groups in the order of their best rows, the best of each in order.
        private func right(
            _ ordered: [SampleRow], _ k: Int, _ size: Int, _ key: (SampleRow) -> String
        ) -> [[SampleRow]] {
            var groups: [[SampleRow]] = []
            var places: [String: Int] = [:]
            for row in ordered {
                let place = places[key(row), default: groups.count]
                places[key(row)] = place
                if place == groups.count { groups.append([]) }
                if groups[place].count < size { groups[place].append(row) }
            }
            return Array(groups.prefix(k))
        }

        private func expectSame(
            _ reply: SearchReply, _ groups: [[SampleRow]], by measure: Int, _ comment: Comment,
            sourceLocation: SourceLocation = #_sourceLocation
        ) {
            SluiceIntegrationTests.expectSame(
                reply.hits, groups.flatMap(\.self), by: measure, comment, sourceLocation: sourceLocation)
            #expect(reply.groups.map(\.count) == groups.map(\.count), comment, sourceLocation: sourceLocation)
        }

        @Test func equalGroupingAllRows() async throws {
            let replicas = try Replicas()
            let vectors = Array(try Samples().queries.prefix(4))
            let rows = try replicas.sampleRows(to: vectors)
            try await withGateway(replicas.config()) { client, _ in
                for (place, vector) in vectors.enumerated() {
                    for (k, size) in [(5, 3), (40, 1), (12, 10), (1, 200)] {
                        var query = SearchQuery(collections: both, vector: vector, k: k, exact: true)
                        query.group = .init(by: "section", size: size)
                        let ordered = rows.ordered(by: place)
                        let all = try await client.search(query)
                        let comment: Comment = "\(k) × \(size)"
                        expectSame(all, right(ordered, k, size, \.section), by: place, comment)
                        #expect(all.isComplete && all.coverage == 1 && all.legs.count == 4, comment)
                        #expect(
                            zip(all.groups, right(ordered, k, size, \.section)).allSatisfy { range, group in
                                all.hits[range].allSatisfy { $0.columns["section"] == .string(group[0].section) }
                            })

                        query.filter = .column("installed_kib") < 300
                        let small = ordered.filter { $0.installedKiB < 300 }
                        expectSame(
                            try await client.search(query), right(small, k, size, \.section), by: place, comment)
                        let limit = small[60].measures[place] ?? 0
                        query.maxDistance = limit
                        let near = small.filter { ($0.measures[place] ?? .nan) <= limit }
                        expectSame(
                            try await client.search(query), right(near, k, size, \.section), by: place, comment)
                    }
                }
            }
        }

        /// Nearly all rows are in one group, so that the shards must be asked for more than at first, also through an
        /// index, and then harder.
        @Test func fewLargeGroupsTakeWiderRounds() async throws {
            let replicas = try Replicas()
            let vectors = Array(try Samples().queries.prefix(2))
            let rows = try replicas.sampleRows(to: vectors)
            try await withGateway(replicas.primaries(prefersIndexes: true)) { client, _ in
                for (place, vector) in vectors.enumerated() {
                    for exact in [true, false] {
                        var query = SearchQuery(collections: both, vector: vector, k: 10, exact: exact)
                        query.group = .init(by: "priority", size: 3)
                        query.complete = true
                        query.allowHedges = false
                        let reply = try await client.search(query)
                        expectSame(reply, right(rows.ordered(by: place), 10, 3, \.priority), by: place, "\(exact)")
                        #expect(reply.isComplete && reply.groups.count == 5, "\(reply.groups.count)")
                        #expect(reply.legs.allSatisfy { $0.attempts > 1 })
                    }
                }
            }
        }

        @Test func nullIsAGroup() async throws {
            let replicas = try Replicas()
            try replicas.onPrimaries { shard in
                let rows = (0..<20).filter { $0 % 2 == shard }.map { id in
                    "(\(id), '[\(id),0]', \(id % 3 == 0 ? "null" : "'k\(id % 3)'"))"
                }
                return "drop table if exists public.kinds3; create table public.kinds3 (id bigint primary key, "
                    + "embedding vector(2), kind text); insert into public.kinds3 values "
                    + rows.joined(separator: ",")
            }
            let config = try replicas.primaries(
                extraCollections: "  - {name: kinds3, table: kinds3, metric: l2, dimensions: 2, columns: [kind]}")
            try await withGateway(config) { client, _ in
                var query = SearchQuery(collections: ["kinds3"], vector: [7, 0], k: 5)
                query.group = .init(by: "kind", size: 2)
                let reply = try await client.search(query)
                #expect(reply.hits.map(\.id) == [7, 4, 6, 9, 8, 5])
                #expect(reply.groups == [0..<2, 2..<4, 4..<6])
                #expect(reply.hits[2...3].allSatisfy { $0.columns["kind"] == .null })
                query.group = .init(by: "size")
                await expectError(.unknownColumn, saying: "size") { _ = try await client.search(query) }
            }
        }
    }
}
