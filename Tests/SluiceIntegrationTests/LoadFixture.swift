import Foundation
import SluiceClient
import SluiceCore
import SluiceGateway
import Testing

/// A table on both shards' primaries that a test loads into, empty before it and gone after it.
struct LoadTable: Sendable {
    static let dimensions = 8
    static let columns = ["name", "size"]

    let name: String
    let replicas: Replicas

    var text: String {
        "  - {name: \(name), table: \(name), metric: l2, dimensions: \(Self.dimensions), columns: [name, size]}"
    }

    static func with(
        _ name: String, _ replicas: Replicas, _ body: (LoadTable) async throws -> Void
    ) async throws {
        let table = LoadTable(name: name, replicas: replicas)
        for shard in replicas.topology.shards {
            _ = try replicas.query(
                shard.replicas[0].name,
                """
                drop table if exists public.\(name); create table public.\(name) (id bigint primary key,
                embedding vector(\(dimensions)) not null, name text, size int check (size < 1000000))
                """)
        }
        defer {
            for shard in replicas.topology.shards {
                _ = try? replicas.query(shard.replicas[0].name, "drop table if exists public.\(name)")
            }
        }
        try await body(table)
    }

    static func row(_ id: Int64) -> LoadRow {
        let vector = (0..<Int64(dimensions)).map { Float((id &+ $0) % 1_000) }
        return LoadRow(id: id, vector: vector, values: [.text("row \(id)"), .int(Int(id % 1_000))])
    }

    static func rows(_ ids: Range<Int64>) -> Listed<LoadRow> { Listed(ids.map(row)) }

    /// On each shard, among these ids.
    func counts(_ ids: Range<Int64>? = nil) throws -> [Int] {
        let condition = ids.map { " where id >= \($0.lowerBound) and id < \($0.upperBound)" } ?? ""
        return try replicas.topology.shards.map {
            let text = try replicas.query($0.replicas[0].name, "select count(*) from public.\(name)\(condition)")
            return try #require(Int(text))
        }
    }

    /// Of the two that there are.
    static func shard(of id: Int64) -> Int { HashPlacement(shardCount: 2)?.shard(of: id) ?? 0 }

    /// How the ids lie on the shards by PostgreSQL's own rule.
    func expected(_ ids: Range<Int64>) throws -> [Int] {
        let placement = try #require(HashPlacement(shardCount: replicas.topology.shards.count))
        var counts = Array(repeating: 0, count: placement.shardCount)
        for id in ids { counts[placement.shard(of: id)] += 1 }
        return counts
    }

    /// Sessions of the gateway's role that hold a lock on the table, or a transaction that writes.
    func lockHolders() throws -> Int {
        try replicas.topology.shards.reduce(0) { sum, shard in
            let text = try replicas.query(
                shard.replicas[0].name,
                """
                select count(distinct l.pid) from pg_locks l where l.pid <> pg_backend_pid()
                and (l.relation = to_regclass('public.\(name)') and l.mode <> 'AccessShareLock'
                or l.relation = to_regclass('sluice_gateway.journal') and l.mode = 'RowExclusiveLock')
                """)
            return sum + (Int(text) ?? 0)
        }
    }
}

/// A list as a sequence to load.
struct Listed<Element: Sendable>: AsyncSequence, Sendable {
    struct Iterator: AsyncIteratorProtocol {
        var elements: IndexingIterator<[Element]>

        mutating func next() async throws -> Element? { elements.next() }
    }

    let elements: [Element]

    init(_ elements: [Element]) { self.elements = elements }

    func makeAsyncIterator() -> Iterator { Iterator(elements: elements.makeIterator()) }
}
