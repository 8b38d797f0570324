import Foundation
import SluiceCore
import SluiceGateway
import Testing

/// Eight shards: four databases on each of the two primaries, with rows on each as PostgreSQL's hash places them.
///
/// The vectors' components are small whole numbers, so every squared distance is exact in Float32, and a computation in
/// Swift gives the very same distances as pgvector. Equal distances are frequent.
struct EightShards: Sendable {
    struct Row: Sendable {
        var id: Int64
        var vector: [Int]
        var kind: Int
    }

    static let count = 8
    private static let made = Result { try EightShards() }

    /// Made once for all tests; `replicas down --purge` removes it.
    static func shared() throws -> EightShards { try made.get() }

    static let crowded = 3
    /// By the table.
    let tables: [String: [Row]]
    private let replicas: Replicas

    private init() throws {
        replicas = try Replicas()
        let placement = try #require(HashPlacement(shardCount: Self.count))
        var random = SplitMix64(seed: 41)
        func vector(_ range: ClosedRange<Int>) -> [Int] { (0..<4).map { _ in Int.random(in: range, using: &random) } }
        let spread = (Int64(1)...3_000).map { Row(id: $0, vector: vector(-40...40), kind: Int($0 % 7)) }
        // All that is near lies on one shard.
        let skewed = (Int64(1)...4_000).map { id in
            let isNear = placement.shard(of: id) == Self.crowded
            return Row(id: id, vector: vector(isNear ? -10...10 : 1_000...1_400), kind: Int(id % 7))
        }
        tables = ["spread": spread, "skewed": skewed]
        try make(placement)
    }

    private func make(_ placement: HashPlacement) throws {
        for primary in 0..<2 {
            var commands: [String] = []
            let own = (0..<Self.count).filter { $0 % 2 == primary }
            for shard in own {
                commands += [
                    "drop database if exists eight\(shard) with (force)",
                    "create database eight\(shard) owner sluice",
                ]
            }
            for shard in own {
                commands += ["\\c eight\(shard)", "create extension vector", "set role sluice"]
                for (table, rows) in tables {
                    let values = rows.filter { placement.shard(of: $0.id) == shard }
                        .map { "(\($0.id), '\($0.vector)', \($0.kind))" }
                    commands += [
                        "create table public.\(table) (id bigint primary key, embedding vector(4), kind int)",
                        "insert into public.\(table) values \(values.joined(separator: ","))",
                        "create index on public.\(table) using hnsw (embedding vector_l2_ops)",
                        "analyze public.\(table)",
                    ]
                }
            }
            try replicas.script(["psql", "--superuser", "s\(primary)-a", "-qAt"] + commands.flatMap { ["-c", $0] })
        }
    }

    /// - Parameter prefersIndexes: sessions take an index rather than read a whole table.
    func config(prefersIndexes: Bool) throws -> GatewayConfig {
        let options = prefersIndexes ? " options=-cseq_page_cost=10000" : ""
        let shards = (0..<Self.count).map { shard in
            let port = replicas.topology.shards[shard % 2].replicas[0].port
            return "  - {name: e\(shard), replicas: [{dsn: host=127.0.0.1 port=\(port) dbname=eight\(shard) "
                + "user=sluice\(options), password_file: \(replicas.topology.passwordFile)}]}\n"
        }
        let common = "metric: l2, dimensions: 4, columns: [kind], filterable: {kind: int}"
        return try GatewayConfig.parse(
            """
            listen: {tcp: "127.0.0.1:0"}
            pool: {min_size: 1, max_size: 2}
            admission: {enabled: false}
            shards:
            \(shards.joined())
            collections:
              - {name: spread, table: spread, \(common)}
              - {name: skewed, table: skewed, \(common)}
              - {name: anywhere, table: spread, placement: any, \(common)}
            """, file: "eight.yaml", environment: [:])
    }

    /// The k nearest by comparing with every row, those of equal distance by id.
    func nearest(
        _ table: String, to query: [Int], _ k: Int, where condition: (Row) -> Bool = { _ in true }
    ) -> [(id: Int64, distance: Double)] {
        let all = (tables[table] ?? []).filter(condition).map { row in
            let squares = zip(row.vector, query).map { ($0 - $1) * ($0 - $1) }
            return (id: row.id, distance: Double(squares.reduce(0, +)).squareRoot())
        }
        return Array(all.sorted { ($0.distance, $0.id) < ($1.distance, $1.id) }.prefix(k))
    }
}
