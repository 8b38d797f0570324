import SluiceClient
import SluiceGateway
import Testing

import struct SluiceCore.SplitMix64

extension PostgreSQL {
    /// pgvector's types and metrics through the gateway, held against what PostgreSQL itself says of the same rows.
    @Suite(.serialized) struct VectorTypes {
        struct Kind: Sendable, CustomTestStringConvertible {
            var type: String
            var metric: String
            var sign: String
            var testDescription: String { "\(type) by \(metric)" }
        }

        static let kinds =
            ["vector", "halfvec", "sparsevec"].flatMap { type in
                [("l2", "<->"), ("inner_product", "<#>"), ("cosine", "<=>"), ("l1", "<+>")].map {
                    Kind(type: type, metric: $0.0, sign: $0.1)
                }
            } + [("hamming", "<~>"), ("jaccard", "<%>")].map { Kind(type: "bit", metric: $0.0, sign: $0.1) }

        private static let dimensions = 8

        /// What the two servers themselves say of each vector, merged; rows without a distance are left out.
        private static func right(
            _ replicas: Replicas, _ kind: Kind, _ vectors: [String]
        ) throws -> [[(id: Int64, distance: Double)]] {
            let questions = vectors.enumerated().map { place, vector in
                let distance = "embedding \(kind.sign) \(vector)"
                return "select \(place), id, \(distance) from public.typed where \(distance) <> 'nan'"
            }
            var rows: [[(id: Int64, distance: Double)]] = Array(repeating: [], count: vectors.count)
            for name in ["s0-a", "s1-a"] {
                let table = try replicas.query(name, questions.joined(separator: " union all "))
                for line in table.split(separator: "\n") {
                    let cells = line.split(separator: "|")
                    rows[try #require(Int(cells[0]))].append(
                        (try #require(Int64(cells[1])), try #require(Double(cells[2]))))
                }
            }
            return rows.map { $0.sorted { ($0.distance, $0.id) < ($1.distance, $1.id) } }
        }

        @Test(arguments: kinds) func answersAreThoseOfTheServer(kind: Kind) async throws {
            let replicas = try Replicas()
            var random = SplitMix64(seed: 9)
            func some() -> [Float] { (0..<Self.dimensions).map { _ in Float(Int.random(in: -3...3, using: &random)) } }
            let column = kind.type == "bit" ? "bit(\(Self.dimensions))" : "\(kind.type)(\(Self.dimensions))"
            var literals: [[String]] = [[], []]
            for id in 1...60 { literals[id % 2].append("(\(id), '\(TypedVector.literal(some(), kind.type))')") }
            for (shard, rows) in literals.enumerated() {
                try replicas.query(
                    "s\(shard)-a",
                    "drop table if exists public.typed; create table public.typed (id bigint primary key, "
                        + "embedding \(column)); insert into public.typed values \(rows.joined(separator: ","))")
            }
            let config = try replicas.config(
                extraCollections: "  - {name: typed, table: typed, type: \(kind.type), metric: \(kind.metric), "
                    + "dimensions: \(Self.dimensions)}", replicas: { $0.name.hasSuffix("-a") })
            try await withGateway(config) { client, _ in
                let asked = (0..<8).map { _ in some() }
                let texts = asked.map { "'\(TypedVector.literal($0, kind.type))'::\(column)" }
                for (values, right) in zip(asked, try Self.right(replicas, kind, texts)) {
                    let vector = TypedVector.query(values, kind.type)
                    var query = SearchQuery(collections: ["typed"], target: .vector(vector), k: 20, exact: true)
                    let hits = try await client.search(query).hits
                    #expect(hits.map(\.id) == right.prefix(20).map(\.id))
                    #expect(zip(hits, right).allSatisfy { abs($0.distance - $1.distance) < 1e-9 })
                    query.maxDistance = right[5].distance
                    let near = try await client.search(query).hits
                    #expect(near.count == min(20, right.count { $0.distance <= right[5].distance }))
                }
            }
        }

        @Test func aVectorOfAnotherTypeIsRefused() async throws {
            try await withGateway(Replicas().config()) { client, _ in
                let query = SearchQuery(
                    collections: ["programs"], target: .vector(.half(Array(repeating: 1, count: 384))), k: 3)
                await #expect { try await client.search(query) } throws: { error in
                    guard let error = error as? SluiceError else { return false }
                    return error.code == .invalidArgument && error.message.contains("halfvec")
                }
            }
        }

        /// Two clients' settings on the same connections never meet: each reads back its own.
        @Test(arguments: [false, true]) func settingsNeverLeak(throughPoolers: Bool) async throws {
            let replicas = try Replicas()
            try replicas.query(
                "s0-a",
                """
                create or replace view public.told as select
                coalesce(nullif(current_setting('hnsw.ef_search', true), ''), '40')::bigint as id,
                '[1,0]'::vector(2) as embedding
                """)
            let config = try replicas.config(
                pool: "{min_size: 4, max_size: 4}",
                extraCollections: "  - {name: told, table: told, metric: l2, dimensions: 2, shards: [s0]}",
                throughPoolers: throughPoolers, replicas: { $0.name.hasSuffix("-a") })
            try await withGateway(config) { client, _ in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for worker in 0..<8 {
                        group.addTask {
                            var random = SplitMix64(seed: UInt64(worker))
                            for _ in 0..<1_250 {
                                let asked =
                                    Bool.random(using: &random) ? Int.random(in: 41...1_000, using: &random) : nil
                                let query = SearchQuery(
                                    collections: ["told"], vector: [1, 0], k: 1, efSearch: asked)
                                let told = try await client.search(query).hits.first?.id
                                #expect(told == Int64(asked ?? 40))
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }
    }
}
