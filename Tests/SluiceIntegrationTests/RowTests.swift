import ReferenceTestKit
import SluiceClient
import SluiceWire
import Testing

import struct SluiceCore.HashPlacement
import struct SluiceCore.SplitMix64

extension PostgreSQL {
    /// Rows by their ids, rows like a row, and how many there are.
    @Suite(.serialized) struct RowsAndCounts {
        private let both = ["programs", "libraries"]

        @Test func rowsComeInTheOrderOfTheirIDs() async throws {
            let replicas = try Replicas()
            let samples = try Samples()
            let rows = Dictionary(
                uniqueKeysWithValues: try replicas.sampleRows().filter { $0.collection == "programs" }
                    .map { ($0.id, $0) })
            let vectors = Dictionary(
                uniqueKeysWithValues: samples.rows.filter { $0.collection == "programs" }.map { ($0.id, $0.vector) })
            let placement = try #require(HashPlacement(shardCount: 2))
            let anywhere = "  - {name: anywhere, table: programs, metric: cosine, dimensions: 384, placement: any}"
            try await withGateway(replicas.config(extraCollections: anywhere)) { client, _ in
                var random = SplitMix64(seed: 8)
                for _ in 0..<10 {
                    var ids = (0..<30).map { _ in Int64.random(in: -10...4_200, using: &random) }
                    ids += ids.prefix(5)
                    let reply = try await client.get(
                        "programs", ids: ids, columns: ["section", "name"], withVectors: true)
                    var seen: Set<Int64> = []
                    let unique = ids.filter { seen.insert($0).inserted }
                    #expect(reply.rows.map(\.id) == unique.filter { rows[$0] != nil })
                    #expect(reply.missing == unique.filter { rows[$0] == nil })
                    for row in reply.rows {
                        let right = try #require(rows[row.id])
                        #expect(row.columns == ["name": .string(right.name), "section": .string(right.section)])
                        #expect(row.vector == vectors[row.id].map { .float($0) })
                        #expect(row.shard == right.shard)
                    }
                    #expect(reply.coverage == 1)
                }
                // Only the shards that can hold the ids, unless rows are placed anyhow.
                for id in Int64(1)...20 {
                    let reply = try await client.get("programs", ids: [id, id])
                    #expect(reply.legs.map(\.shard) == ["s\(placement.shard(of: id))"])
                    #expect(reply.rows.map(\.vector) == [nil])
                }
                let everywhere = try await client.get("anywhere", ids: [3, 999_999, 1, 2])
                #expect(everywhere.legs.count == 2 && everywhere.rows.map(\.id) == [3, 1, 2])
                #expect(everywhere.missing == [999_999])
                let all = try await client.get("libraries", ids: Array(100_001...110_000))
                #expect(all.rows.count == 4_000 && all.missing.count == 6_000)
                await expectError(.unknownColumn) { _ = try await client.get("programs", ids: [1], columns: ["words"]) }
                await expectError(.unknownCollection) { _ = try await client.get("nothing", ids: [1]) }
                await expectError(.invalidArgument) { _ = try await client.get("programs", ids: []) }
            }
        }

        /// Every type of pgvector, and rows without a vector.
        @Test func vectorsOfEachTypeComeBack() async throws {
            let replicas = try Replicas()
            struct Kind {
                var name: String
                var metric = "l2"
                var texts: [String]
                var vectors: [SearchQuery.Vector]
            }
            let types = [
                Kind(
                    name: "vector", texts: ["[1,-2.5,0]", "[0,0,0.1]"],
                    vectors: [.float([1, -2.5, 0]), .float([0, 0, 0.1])]),
                Kind(
                    name: "halfvec", texts: ["[1,-2.5,0]", "[4,0,0]"],
                    vectors: [.half([1, -2.5, 0]), .half([4, 0, 0])]),
                Kind(
                    name: "sparsevec", texts: ["{1:1,100:-2}/100", "{}/100"],
                    vectors: [.sparse(dimensions: 100, [0: 1, 99: -2]), .sparse(dimensions: 100, [:])]),
                Kind(
                    name: "bit", metric: "hamming", texts: ["101010101", "000000001"],
                    vectors: ["101010101", "000000001"].map { .bits($0.map { $0 == "1" }) }),
            ]
            let placement = try #require(HashPlacement(shardCount: 2))
            try replicas.onPrimaries { shard in
                types.map { type in
                    let rows = ([nil] + type.texts).enumerated()
                        .filter { placement.shard(of: Int64($0.offset)) == shard }
                        .map { "(\($0.offset), \($0.element.map { "'\($0)'" } ?? "null"))" }
                    return "drop table if exists public.got_\(type.name); create table public.got_\(type.name) "
                        + "(id bigint primary key, embedding \(type.name)(\(type.vectors[0].dimensions))); "
                        + (rows.isEmpty
                            ? "" : "insert into public.got_\(type.name) values \(rows.joined(separator: ","))")
                }.joined(separator: ";")
            }
            let collections = types.map { type in
                "  - {name: got_\(type.name), table: got_\(type.name), type: \(type.name), metric: \(type.metric), "
                    + "dimensions: \(type.vectors[0].dimensions)}\n"
            }
            try await withGateway(replicas.primaries(extraCollections: collections.joined())) { client, _ in
                for type in types {
                    let name = "got_\(type.name)"
                    let reply = try await client.get(name, ids: [2, 0, 1], withVectors: true)
                    #expect(reply.rows.map(\.id) == [2, 0, 1])
                    #expect(reply.rows.map(\.vector) == [type.vectors[1], nil, type.vectors[0]], "\(type.name)")
                    let like = try await client.similar(to: 1, in: name)
                    #expect(like.hits.map(\.id) == [2])
                    await expectError(.invalidArgument, saying: "no vector") {
                        _ = try await client.similar(to: 0, in: name)
                    }
                    await expectError(.invalidArgument, saying: "no such row") {
                        _ = try await client.similar(to: 77, in: name)
                    }
                }
            }
        }

        @Test func rowsLikeARow() async throws {
            let replicas = try Replicas()
            let samples = try Samples()
            let some = [0, 1_234, 4_321, 7_999].map { samples.rows[$0] }
            let rows = try replicas.sampleRows(to: some.map(\.vector))
            try await withGateway(replicas.config()) { client, _ in
                for (place, row) in some.enumerated() {
                    let ordered = rows.ordered(by: place)
                    for collections in [[row.collection], both, both.filter { $0 != row.collection }] {
                        var query = SearchQuery(
                            collections: collections, target: .row(id: row.id, collection: row.collection), k: 25,
                            columns: ["name"], exact: true)
                        let right = ordered.filter { other in
                            collections.contains(other.collection)
                                && other.key != RowKey(collection: row.collection, id: row.id)
                        }
                        expectSame(try await client.search(query).hits, right.prefix(25), by: place)
                        query.filter = .column("section") == "net"
                        let net = right.filter { $0.section == "net" }
                        expectSame(try await client.search(query).hits, net.prefix(25), by: place)
                        query.filter = nil

                        // In groups, with words and in two phases it is left out as well.
                        query.group = .init(by: "section", size: 2)
                        let grouped = try await client.search(query)
                        #expect(grouped.hits.first?.key == right.first?.key)
                        query.group = nil
                        query.text = .init("net")
                        let hybrid = try await client.search(query)
                        query.text = nil
                        query.exact = false
                        query.twoPhase = .init(.half)
                        let coarse = try await client.search(query)
                        #expect(coarse.hits.count == 25 && coarse.hits.first?.key == right.first?.key)
                        for hit in hybrid.hits + grouped.hits + coarse.hits {
                            #expect(hit.id != row.id || hit.collection != row.collection)
                        }
                    }
                    let short = try await client.similar(to: row.id, in: row.collection, k: 1)
                    #expect(short.hits.count == 1 && short.hits[0].id != row.id)
                }
                await expectError(.unknownCollection) { _ = try await client.similar(to: 1, in: "nothing") }
            }
        }

        @Test func countsAreThoseOfSQL() async throws {
            let replicas = try Replicas()
            let rows = try replicas.sampleRows()
            var generator = FilterGenerator(ofSamples: SplitMix64(seed: 23))
            try await withGateway(replicas.config()) { client, _ in
                for round in 0..<60 {
                    let filter = generator.filter()
                    let name = both[round % 2]
                    let right = rows.count { row in
                        row.collection == name
                            && FilterEvaluation(row: [
                                "section": .text(row.section), "name": .text(row.name),
                                "priority": .text(row.priority), "installed_kib": .int(Int64(row.installedKiB)),
                            ]).matches(filter)
                    }
                    let counted = try await client.count(name, filter: filter, exact: true)
                    #expect(counted.rows == Double(right) && counted.isExact, "\(filter)")
                    let estimated = try await client.count(name, filter: filter)
                    #expect(!estimated.isExact && estimated.rows >= 0 && estimated.rows <= 4_100, "\(filter)")
                }
                let some: Filter = .column("section") == "libs"
                for (filter, text) in [(some, "libs"), (nil, "all")] as [(Filter?, String)] {
                    let exact = try await client.count("libraries", filter: filter, exact: true)
                    let estimate = try await client.count("libraries", filter: filter)
                    let right = rows.count { $0.collection == "libraries" && (filter == nil || $0.section == "libs") }
                    #expect(exact.rows == Double(right), "\(text)")
                    #expect(abs(estimate.rows - exact.rows) <= 0.1 * exact.rows, "\(text): \(estimate.rows)")
                    #expect(estimate.legs.count == 2)
                }
                await expectError(.unknownColumn, saying: "words") {
                    _ = try await client.count("programs", filter: .column("words") == "x", exact: true)
                }
            }
        }
    }
}
