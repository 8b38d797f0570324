internal import NIOCore
internal import SluiceWire

/// Messages from their bytes and to them, each with its frame.
let messageBenchmarks =
    [384, 1_536].map { dimensions in
        Benchmark("decode-search-\(dimensions)", "a SEARCH of \(dimensions) dimensions, decoded and checked") {
            let frame = Samples.frame(.search) { Samples.request(dimensions: dimensions).encode(into: &$0) }
            return { count in
                var sum = 0
                for _ in 0..<count {
                    let payload = try Messages.payload(of: frame, FrameDecoder(maximumFrameLength: 1 << 20, lz4: false))
                    let request = try SearchRequest(decoding: payload)
                    try request.validate()
                    sum &+= request.vector.dimensions
                }
                return sum
            }
        }
    }
    + [384, 1_536].map { dimensions in
        Benchmark("encode-search-\(dimensions)", "a SEARCH of \(dimensions) dimensions, as a client encodes it") {
            let request = Samples.request(dimensions: dimensions)
            return { count in
                var sum = 0
                for _ in 0..<count {
                    sum &+= Samples.frame(.search) { request.encode(into: &$0) }.readableBytes
                }
                return sum
            }
        }
    }
    + [10, 100].flatMap { rows in
        [
            Benchmark("encode-result-\(rows)", "a RESULT of \(rows) rows with two texts each, from the legs' cells") {
                let cells = (0..<rows).map(Samples.cells(row:))
                let legs = Samples.legs(rows: rows)
                return { count in
                    var sum = 0
                    for _ in 0..<count {
                        let result = SearchResult(
                            legs: legs, hits: Samples.hits(of: cells), coverage: 1, elapsed: .microseconds(1_100))
                        sum &+= Samples.frame(.result) { result.encode(into: &$0) }.readableBytes
                    }
                    return sum
                }
            },
            Benchmark("decode-result-\(rows)", "a RESULT of \(rows) rows with two texts each, as a client reads it") {
                let frame = Samples.frame(.result) { Samples.result(rows: rows).encode(into: &$0) }
                return { count in
                    var sum = 0
                    for _ in 0..<count {
                        let payload = try Messages.payload(
                            of: frame, FrameDecoder(maximumFrameLength: 1 << 20, lz4: false))
                        let result = try SearchResult(decoding: payload)
                        sum &+= try result.hits.hits(of: result.legs).count
                    }
                    return sum
                }
            },
        ]
    }
    + [
        Benchmark("lz4-compress", "the frame of a RESULT of 100 rows, with LZ4") {
            var payload = ByteBuffer()
            Samples.result(rows: 100).encode(into: &payload)
            let encoder = FrameEncoder(lz4: true, compressionThreshold: 0)
            return { [payload] count in
                var sum = 0
                for _ in 0..<count {
                    sum &+= Samples.frame(.result, with: encoder) { $0.writeImmutableBuffer(payload) }.readableBytes
                }
                return sum
            }
        },
        Benchmark("lz4-decompress", "that frame, read") {
            let encoder = FrameEncoder(lz4: true, compressionThreshold: 0)
            let frame = Samples.frame(.result, with: encoder) { Samples.result(rows: 100).encode(into: &$0) }
            return { count in
                var sum = 0
                for _ in 0..<count {
                    let decoder = FrameDecoder(maximumFrameLength: 1 << 20, lz4: true)
                    sum &+= try Messages.payload(of: frame, decoder).readableBytes
                }
                return sum
            }
        },
    ]

private enum Messages {
    static func payload(of bytes: ByteBuffer, _ decoder: FrameDecoder) throws -> ByteBuffer {
        var (decoder, bytes) = (decoder, bytes)
        guard let frame = try decoder.next(&bytes) else { throw Unexpected("the frame is not whole") }
        return frame.payload
    }
}
