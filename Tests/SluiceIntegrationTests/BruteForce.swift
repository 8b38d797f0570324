import SluiceClient
import SluiceWire

import struct SluiceCore.HashPlacement
import enum SluiceCore.Metric
import struct SluiceCore.SplitMix64

extension Metric {
    /// As pgvector computes it: Float32 sums, the rest in Float64 (vector.c, halfutils.c, sparsevec.c, bitutils.c). Of
    /// bits, components above 0 are ones. NaN where pgvector's is.
    func distance(_ left: [Float], _ right: [Float]) -> Double {
        func sum(_ term: (Float, Float) -> Float) -> Float { zip(left, right).reduce(0) { $0 + term($1.0, $1.1) } }
        func count(_ isCounted: (Bool, Bool) -> Bool) -> Double {
            Double(zip(left, right).count { isCounted($0.0 > 0, $0.1 > 0) })
        }
        switch self {
        case .l2: return Double(sum { ($0 - $1) * ($0 - $1) }).squareRoot()
        case .l1: return Double(sum { abs($0 - $1) })
        case .innerProduct: return -Double(sum(*))
        case .cosine:
            let norms = Double(sum { left, _ in left * left }) * Double(sum { _, right in right * right })
            let similarity = Double(sum(*)) / norms.squareRoot()
            return similarity.isNaN ? .nan : 1 - min(1, max(-1, similarity))
        case .hamming: return count(!=)
        case .jaccard:
            let both = count { $0 && $1 }
            return both == 0 ? 1 : 1 - both / count { $0 || $1 }
        }
    }
}

/// Components as a vector of one of pgvector's types; of `bit`, those above 0 are ones.
enum TypedVector {
    static func literal(_ values: [Float], _ type: String) -> String {
        switch type {
        case "bit": values.map { $0 > 0 ? "1" : "0" }.joined()
        case "sparsevec":
            "{"
                + values.enumerated().filter { $0.element != 0 }.map { "\($0.offset + 1):\($0.element)" }
                .joined(separator: ",") + "}/\(values.count)"
        default: "\(values)"
        }
    }

    static func query(_ values: [Float], _ type: String) -> SearchQuery.Vector {
        switch type {
        case "halfvec": .half(values)
        case "sparsevec":
            .sparse(
                dimensions: values.count,
                Dictionary(uniqueKeysWithValues: values.enumerated().filter { $0.element != 0 }.map { ($0, $1) }))
        case "bit": .bits(values.map { $0 > 0 })
        default: .float(values)
        }
    }
}

/// Small tables over two shards in which ties abound: few different vectors, many times each, zero vectors and nulls
/// among them. Components are small and dyadic, so sums and products of them are exact in whatever order.
struct TiedTables: Sendable {
    struct Row: Sendable {
        var id: Int64
        var shard: Int
        /// Nil for a null.
        var values: [Float]?
        var columns: [String: FilterValue?]
    }

    /// One of them as clients search it.
    struct Collection: Sendable {
        var name: String
        var table: Int
        var shards: [Int]
    }

    static let dimensions = 5
    static let types = ["vector", "halfvec", "sparsevec", "bit"]
    private static let components: [Float] = [-2, -1, -0.5, 0, 0, 0, 0.5, 1, 1, 2]

    /// In their order by name. The first two see the same rows of one shard.
    static let collections = [
        Collection(name: "B", table: 0, shards: [0, 1]), Collection(name: "a", table: 0, shards: [0]),
        Collection(name: "b", table: 1, shards: [0, 1]), Collection(name: "c", table: 2, shards: [1]),
    ]
    /// Over the table whose vectors are all the same.
    static let level = ["A", "B", "a"].map { Collection(name: $0, table: 3, shards: [0, 1]) }
    static let levelVector: [Float] = [1, 0, -0.5, 2, 1]

    let replicas: Replicas
    let tables: [[Row]]
    /// The vectors that come again and again.
    let common: [[Float]]

    /// Makes and fills them on the shards' primaries.
    init(_ replicas: Replicas) throws {
        self.replicas = replicas
        var random = SplitMix64(seed: 77)
        var common = [[Float](repeating: 0, count: Self.dimensions)]
        for _ in 0..<10 { common.append(Self.vector(using: &random)) }
        var tables: [[Row]] = []
        for number in 0..<4 {
            var ids = Set((0..<44).map { _ in Int64.random(in: -9...90, using: &random) })
            if number != 1 { ids.formUnion([.min, .max, 1 << 40, -1]) }
            var rows: [Row] = []
            for id in ids.sorted().shuffled(using: &random) {
                rows.append(Self.row(id, number, common, using: &random))
            }
            tables.append(rows)
        }
        self.common = common
        self.tables = tables
        for shard in 0...1 {
            let statements = tables.enumerated().map { Self.sql($0, $1.filter { $0.shard == shard }) }
            try replicas.query("s\(shard)-a", statements.joined(separator: ";"))
        }
    }

    func someVector(using random: inout SplitMix64) -> [Float] { Self.vector(mostlyOf: common, using: &random) }

    func rows(of collection: Collection) -> [Row] {
        tables[collection.table].filter { collection.shards.contains($0.shard) }
    }

    /// For a gateway's configuration.
    static func configuration(_ collections: [Collection], type: String, metric: Metric) -> String {
        collections.map {
            "  - {name: \($0.name), table: tied_\($0.table), vector: as_\(type), type: \(type), "
                + "metric: \(metric.rawValue), dimensions: \(dimensions), filterable: {size: int, label: text}, "
                + "shards: [\($0.shards.map { "s\($0)" }.joined(separator: ", "))]}\n"
        }.joined()
    }

    // MARK: Rows

    private static func vector(using random: inout SplitMix64) -> [Float] {
        (0..<dimensions).map { _ in components[Int.random(in: components.indices, using: &random)] }
    }

    /// One of the common ones, or any.
    private static func vector(mostlyOf common: [[Float]], using random: inout SplitMix64) -> [Float] {
        let isCommon = Int.random(in: 0..<3, using: &random) > 0
        return isCommon ? common[Int.random(in: common.indices, using: &random)] : vector(using: &random)
    }

    private static func row(
        _ id: Int64, _ table: Int, _ common: [[Float]], using random: inout SplitMix64
    ) -> Row {
        let shard = HashPlacement(shardCount: 2)?.shard(of: id) ?? 0
        var row = Row(id: id, shard: shard, values: levelVector, columns: [:])
        guard table < 3 else { return row }
        // All of the third lie on one shard.
        if table == 2 { row.shard = 1 }
        let isNull = Int.random(in: 0..<10, using: &random) == 0
        row.values = isNull ? nil : vector(mostlyOf: common, using: &random)
        let size = Int64.random(in: 0...4, using: &random)
        let label = ["", "a", "ab", "b"][Int.random(in: 0...3, using: &random)]
        row.columns = ["size": size == 4 ? nil : .int(size), "label": size == 0 ? nil : .text(label)]
        return row
    }

    private static func literal(_ value: FilterValue?) -> String {
        switch value {
        case .int(let integer): "\(integer)"
        case .text(let text): "'\(text)'"
        default: "null"
        }
    }

    private static func sql(_ number: Int, _ rows: [Row]) -> String {
        let vectors = types.map { "as_\($0) \($0)(\(dimensions))" }.joined(separator: ", ")
        let tuples = rows.map { row in
            let cells = types.map { type in row.values.map { "'\(TypedVector.literal($0, type))'" } ?? "null" }
            let facts = ["size", "label"].map { literal(row.columns[$0] ?? nil) }
            return "('\(row.id)', \((facts + cells).joined(separator: ", ")))"
        }
        let insert = "insert into public.tied_\(number) values \(tuples.joined(separator: ", "))"
        return "set client_min_messages = warning; drop table if exists public.tied_\(number); "
            + "create table public.tied_\(number) "
            + "(id bigint primary key, size int, label text collate \"C\", \(vectors))"
            + (rows.isEmpty ? "" : "; " + insert)
    }
}
