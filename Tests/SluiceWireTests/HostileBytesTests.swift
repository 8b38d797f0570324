import NIOCore
import SluiceWire
import Testing

/// A small seeded generator, so that a failing case can be run again.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    mutating func next8() -> UInt8 { UInt8(truncatingIfNeeded: next()) }
}

@Suite struct HostileBytesTests {
    private static let limit = 1_048_576

    /// Everything a peer's bytes can reach; what it throws does not matter, that it ends does.
    private func decodeEverything(_ bytes: ByteBuffer, lz4: Bool) {
        var buffer = bytes
        var decoder = FrameDecoder(maximumFrameLength: Self.limit, lz4: lz4)
        while let frame = try? decoder.next(&buffer) { decodeMessages(frame.payload) }
    }

    private func decodeMessages(_ payload: ByteBuffer) {
        _ = try? Hello(decoding: payload)
        _ = try? Welcome(decoding: payload)
        _ = try? GoAway(decoding: payload)
        _ = try? ErrorReply(decoding: payload)
        _ = try? CollectionList(decoding: payload)
        if let request = try? SearchRequest(decoding: payload) {
            try? request.validate()
            for vector in request.vectors + request.overrides.compactMap(\.vector) { readAsEveryForm(vector.bytes) }
        }
        if let result = try? SearchResult(decoding: payload) {
            for list in result.lists { _ = try? list.hits(of: result.legs) }
        }
        _ = try? GetRequest(decoding: payload)
        _ = try? CountRequest(decoding: payload)
        _ = try? CountResult(decoding: payload)
        _ = try? CursorRequest(decoding: payload)
        try? (try? LoadRequest(decoding: payload))?.validate()
        _ = try? LoadReady(decoding: payload)
        _ = try? LoadCredit(decoding: payload)
        _ = try? LoadEnd(decoding: payload)
        _ = try? LoadProgress(decoding: payload)
        _ = try? LoadResult(decoding: payload)
        try? (try? WriteRequest(decoding: payload))?.validate()
        _ = try? WriteResult(decoding: payload)
    }

    /// Also of those that are not valid.
    private func readAsEveryForm(_ bytes: ByteBuffer) {
        for form in VectorForm.allCases {
            let vector = VectorBytes(unchecked: bytes, form: form)
            _ = (vector.dimensions, vector.floats(), vector.nonZero(), vector.bits())
            try? vector.validate()
        }
    }

    @Test(arguments: GoldenVector.good)
    func aFrameCutAtEveryByteIsNotYetOne(vector: GoldenVector) throws {
        for length in 0..<vector.bytes.readableBytes {
            var part = try #require(vector.bytes.getSlice(at: 0, length: length))
            var decoder = FrameDecoder(maximumFrameLength: Self.limit, lz4: false)
            let frame = try decoder.next(&part)
            #expect(frame == nil)
        }
    }

    @Test(arguments: GoldenVector.good)
    func aPayloadCutAtEveryByteNeverTraps(vector: GoldenVector) throws {
        for length in 12..<max(13, vector.bytes.readableBytes) {
            decodeMessages(
                try #require(vector.bytes.getSlice(at: 12, length: min(length, vector.bytes.readableBytes) - 12)))
        }
    }

    @Test(arguments: GoldenVector.good)
    func everyByteChangedToEveryValueNeverTraps(vector: GoldenVector) {
        for place in 0..<vector.bytes.readableBytes {
            for value in [0, 1, 0x7F, 0x80, 0xFE, 0xFF] as [UInt8] {
                var changed = vector.bytes
                changed.setInteger(value, at: place)
                decodeEverything(changed, lz4: true)
            }
        }
    }

    /// Several bytes at once, which can make two lengths that fit each other.
    @Test(arguments: GoldenVector.good)
    func mutatedFramesNeverTrap(vector: GoldenVector) {
        var random = SplitMix64(seed: 20_261_125)
        for _ in 0..<2_000 {
            var changed = vector.bytes
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                let place = Int.random(in: 0..<changed.readableBytes, using: &random)
                let value = Bool.random(using: &random) ? UInt8.random(in: 0...30, using: &random) : random.next8()
                changed.setInteger(value, at: place)
            }
            decodeEverything(changed, lz4: true)
            decodeMessages(changed.getSlice(at: 12, length: changed.readableBytes - 12) ?? changed)
        }
    }

    @Test func randomVectorsNeverTrap() {
        var random = SplitMix64(seed: 20_261_126)
        for _ in 0..<100_000 {
            var bytes = ByteBuffer()
            // Plausible headers, then anything.
            let header = Int.random(in: 0...3, using: &random)
            if header & 1 == 0 { bytes.writeInteger(Int32.random(in: -2...40, using: &random)) }
            if header & 2 == 0 {
                bytes.writeMultipleIntegers(Int32.random(in: -2...9, using: &random), Int32(0))
            }
            bytes.writeBytes((0..<Int.random(in: 0...40, using: &random)).map { _ in random.next8() })
            readAsEveryForm(bytes)
        }
    }

    @Test func randomBytesNeverTrap() {
        var random = SplitMix64(seed: 20_261_123)
        for _ in 0..<100_000 {
            let count = Int.random(in: 0...120, using: &random)
            let bytes = (0..<count).map { _ in
                // Small numbers are likelier to be plausible lengths and tags.
                Bool.random(using: &random)
                    ? UInt8.random(in: 0...12, using: &random) : UInt8.random(in: 0...255, using: &random)
            }
            decodeMessages(ByteBuffer(bytes: bytes))
            decodeEverything(ByteBuffer(bytes: bytes), lz4: true)
        }
    }

    @Test func compressedFramesComeBackWhole() throws {
        var random = SplitMix64(seed: 3)
        for size in [4_095, 4_096, 50_000, 1_000_000] {
            let plain = ByteBuffer(bytes: (0..<size).map { _ in UInt8.random(in: 0...3, using: &random) })
            var buffer = ByteBuffer()
            FrameEncoder(lz4: true).write(.ping, requestID: 9, into: &buffer) { $0.writeImmutableBuffer(plain) }
            #expect((buffer.readableBytes < size) == (size >= 4_096))
            var decoder = FrameDecoder(maximumFrameLength: Self.limit, lz4: true)
            let frame = try decoder.next(&buffer)
            #expect(frame?.payload == plain && frame?.requestID == 9)
        }
    }

    @Test(arguments: [
        (UInt32(1_048_577), ErrorCode.frameTooLarge), (.max, .frameTooLarge), (400_000, .malformed), (7, .malformed),
    ])
    func aCompressedFrameThatLies(declared: UInt32, code: ErrorCode) throws {
        var honest = ByteBuffer()
        FrameEncoder(lz4: true).write(.ping, requestID: 9, into: &honest) { $0.writeRepeatingByte(1, count: 100_000) }
        honest.setInteger(declared, at: 12)
        var decoder = FrameDecoder(maximumFrameLength: Self.limit, lz4: true)
        #expect { try decoder.next(&honest) } throws: { ($0 as? WireError)?.code == code }
    }

    @Test func thePrefaceIsRefusedAtItsFirstWrongByte() throws {
        for place in 0..<6 {
            var bytes = Array(Preface.bytes.prefix(place + 1))
            bytes[place] ^= 0x20
            var buffer = ByteBuffer(bytes: bytes)
            #expect { try Preface.check(&buffer) } throws: { ($0 as? WireError)?.code == .protocolViolation }
            var right = ByteBuffer(bytes: Preface.bytes.prefix(place + 1))
            let isWhole = try Preface.check(&right)
            #expect(!isWhole)
        }
    }
}
