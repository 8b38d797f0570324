internal import NIOCore
internal import SluiceCore
internal import SluiceWire

/// What the benchmarks are made of, the same in every run.
enum Samples {
    static func floats(_ count: Int, seed: UInt64 = 1) -> [Float] {
        var random = SplitMix64(seed: seed)
        return (0..<count).map { _ in Float.random(in: -1...1, using: &random) }
    }

    static func request(dimensions: Int) -> SearchRequest {
        SearchRequest(
            collections: ["programs"], vector: VectorBytes(floats(dimensions)), k: 10, columns: ["name", "section"],
            deadline: .milliseconds(40), efSearch: 100)
    }

    /// A row's two cells in their wire form: a name of 24 bytes and a section of 8.
    static func cells(row: Int) -> [UInt8] {
        let number = String(row % 1_000)
        let texts = ["package-of-programs-" + String(repeating: "0", count: 4 - number.count) + number, "database"]
        return texts.flatMap { text in
            withUnsafeBytes(of: Int32(text.utf8.count).bigEndian) { Array($0) } + Array(text.utf8)
        }
    }

    /// Two legs, as of a collection on two shards.
    static func legs(rows: Int) -> [LegReport] {
        (0..<2).map { shard in
            LegReport(
                collection: "programs", shard: "s\(shard)", replica: "s\(shard)-a", status: .ok, rows: rows,
                wait: .zero, execute: .microseconds(900),
                columns: [ColumnType(name: "name", typeOID: 25), ColumnType(name: "section", typeOID: 25)], asked: rows)
        }
    }

    static func result(rows: Int) -> SearchResult {
        let cells = (0..<rows).map(cells(row:))
        return SearchResult(
            legs: legs(rows: rows), hits: hits(of: cells), coverage: 1, elapsed: .microseconds(1_100))
    }

    static func hits(of cells: [[UInt8]]) -> PackedHits {
        var writer = HitWriter(capacity: cells.count)
        for (row, cells) in cells.enumerated() {
            writer.append(leg: row % 2, id: Int64(row), distance: Double(row) / 1_000, cells: cells)
        }
        return writer.finish()
    }

    static func frame(
        _ kind: FrameKind, with encoder: FrameEncoder = FrameEncoder(lz4: false),
        payload: (inout ByteBuffer) -> Void
    ) -> ByteBuffer {
        var buffer = ByteBuffer()
        encoder.write(kind, requestID: 7, into: &buffer, payload: payload)
        return buffer
    }

    /// What legs found, in the order in which their rows come: each leg's own are sorted.
    static func candidates(legs: Int, rows: Int) -> [[Candidate]] {
        var random = SplitMix64(seed: 3)
        return (0..<legs).map { leg in
            let distances = (0..<rows).map { _ in Double.random(in: 0..<1, using: &random) }.sorted()
            return distances.enumerated().map { row, distance in
                Candidate(distance: distance, collection: 0, id: Int64(row * legs + leg), leg: leg, row: row)
            }
        }
    }
}
