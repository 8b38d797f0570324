import Foundation
import SluiceClient
import SluiceGateway
import Testing

/// A row of the sample data with what its server says of it.
struct SampleRow {
    var collection: String
    var id: Int64
    var shard: String
    var name: String
    var section: String
    var priority: String
    var installedKiB: Int
    /// One for each measure asked for; nil for null.
    var measures: [Double?]

    var key: RowKey { RowKey(collection: collection, id: id) }
}

struct RowKey: Hashable, Comparable, CustomStringConvertible {
    var collection: String
    var id: Int64

    var description: String { "\(collection) \(id)" }

    static func < (left: RowKey, right: RowKey) -> Bool {
        (left.collection, left.id) < (right.collection, right.id)
    }
}

extension SearchReply.Hit {
    var key: RowKey { RowKey(collection: collection, id: id) }
}

extension Replicas {
    /// Every row of both sample collections, with the value that each SQL expression has for it. There is no ORDER BY,
    /// so no index is asked: a distance is that of every row.
    /// - Parameter vectors: the expressions know them as `v0`, `v1` and so on.
    func sampleRows(_ vectors: [[Float]], _ measures: [String]) throws -> [SampleRow] {
        let cells = (["id", "name", "section", "priority", "installed_kib"] + measures).joined(separator: ", ")
        let literals = vectors.enumerated().map { "'\($0.element)'::vector as v\($0.offset)" } + ["0 as zero"]
        let sql =
            "with v as materialized (select \(literals.joined(separator: ", "))) "
            + ["libraries", "programs"].map { "select '\($0)', \(cells) from public.\($0), v" }
            .joined(separator: " union all ")
        return try topology.shards.flatMap { shard in
            try query("\(shard.name)-a", sql).split(separator: "\n").map { line in
                let cells = line.split(separator: "|", omittingEmptySubsequences: false)
                try #require(cells.count == 6 + measures.count)
                return SampleRow(
                    collection: String(cells[0]), id: try #require(Int64(cells[1])), shard: shard.name,
                    name: String(cells[2]), section: String(cells[3]), priority: String(cells[4]),
                    installedKiB: try #require(Int(cells[5])), measures: cells.dropFirst(6).map { Double($0) })
            }
        }
    }

    /// The same with the distances to the vectors.
    func sampleRows(to vectors: [[Float]] = []) throws -> [SampleRow] {
        try sampleRows(vectors, vectors.indices.map { "embedding <=> v\($0)" })
    }

    /// Runs statements on the primaries of both shards; the same on each, or by the shard's place.
    func onPrimaries(_ sql: (Int) -> String) throws {
        for (place, shard) in topology.shards.enumerated() { _ = try query("\(shard.name)-a", sql(place)) }
    }

    /// A gateway before the primaries alone, for rows that no standby has yet. Its sessions take any index rather than
    /// read a whole table, as they would if the table were large.
    func primaries(
        limits: String = "{}", pool: String = "{max_size: 4}", extraCollections: String = "", extra: String = "",
        prefersIndexes: Bool = false
    ) throws -> GatewayConfig {
        let options = prefersIndexes ? " options=-cseq_page_cost=10000" : ""
        return try config(
            limits: limits, pool: pool, extraCollections: extraCollections, extra: extra,
            dsn: { "host=127.0.0.1 port=\($0.port) dbname=sluice user=sluice\(options)" },
            replicas: { $0.name.hasSuffix("-a") })
    }
}

extension [SampleRow] {
    /// Those that have the measure, the least first, as an answer is ordered.
    func ordered(by measure: Int) -> [SampleRow] {
        filter { $0.measures[measure] != nil }.sorted {
            let (left, right) = ($0.measures[measure] ?? 0, $1.measures[measure] ?? 0)
            return left != right ? left < right : $0.key < $1.key
        }
    }
}

/// That hits are these rows in this order, with the distances that the servers gave.
func expectSame(
    _ hits: [SearchReply.Hit], _ rows: some Collection<SampleRow>, by measure: Int, _ comment: Comment? = nil,
    sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(hits.map(\.key) == rows.map(\.key), comment, sourceLocation: sourceLocation)
    #expect(hits.map(\.distance) == rows.map { $0.measures[measure] }, comment, sourceLocation: sourceLocation)
}

/// That a call is refused with this code.
func expectError(
    _ code: SluiceError.Code, saying word: String = "", sourceLocation: SourceLocation = #_sourceLocation,
    _ body: () async throws -> Void
) async {
    await #expect(sourceLocation: sourceLocation) {
        try await body()
    } throws: { error in
        guard let error = error as? SluiceError else { return false }
        return error.code == code && (word.isEmpty || error.message.contains(word))
    }
}
