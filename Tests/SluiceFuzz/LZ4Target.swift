import NIOCore
import SluiceWire

/// The first two bytes are the limit; the rest is a compressed frame's payload, and data to be compressed.
enum LZ4Target {
    static func run(_ input: UnsafeRawBufferPointer) throws(FuzzFinding) {
        var control = FuzzControl(input)
        let limit = 16 + Int(control.byte()) << 8 + Int(control.byte())
        try decompress(control.rest, limit)
        try compress(ByteBuffer(bytes: control.rest))
    }

    /// As a frame with the flag.
    private static func decompress(_ payload: UnsafeRawBufferPointer, _ limit: Int) throws(FuzzFinding) {
        var frame = ByteBuffer()
        frame.writeMultipleIntegers(
            UInt32(clamping: payload.count + 8), FrameKind.ping.rawValue, UInt8(1), UInt16(0), UInt32(7))
        frame.writeBytes(payload)
        var decoder = FrameDecoder(maximumFrameLength: limit, lz4: true)
        guard let whole = try? decoder.next(&frame) else { return }
        let count = whole.payload.readableBytes
        try expect(count <= limit, "\(count) bytes came out where \(limit) are the most")
        try expect(count <= 255 * max(1, payload.count), "\(count) bytes out of \(payload.count)")
        let declared = ByteBuffer(bytes: payload.prefix(4)).getInteger(at: 0, as: UInt32.self)
        try expect(declared.map { Int($0) } == count, "other than was declared came out")
    }

    private static func compress(_ plain: ByteBuffer) throws(FuzzFinding) {
        var buffer = ByteBuffer()
        FrameEncoder(lz4: true, compressionThreshold: 1).write(.ping, requestID: 9, into: &buffer) {
            $0.writeImmutableBuffer(plain)
        }
        try expect(buffer.readableBytes <= plain.readableBytes + 12, "compressed, it is larger")
        var decoder = FrameDecoder(maximumFrameLength: plain.readableBytes + 16, lz4: true)
        let frame: Frame?
        do { frame = try decoder.next(&buffer) } catch {
            throw FuzzFinding("what was compressed is refused: \(error)")
        }
        try expect(frame?.payload == plain && buffer.readableBytes == 0, "other bytes came back")
    }

    static var seeds: [FuzzSeed] {
        let plain: [[UInt8]] = [
            [], [1, 2, 3], [UInt8](repeating: 7, count: 4_000), (0..<600).map { UInt8(truncatingIfNeeded: $0 / 3) },
        ]
        return plain.enumerated().map { place, bytes in
            var buffer = ByteBuffer()
            FrameEncoder(lz4: true, compressionThreshold: 1).write(.ping, requestID: 1, into: &buffer) {
                $0.writeBytes(bytes)
            }
            return FuzzSeed("compressed-\(place)", [0x20, 0] + buffer.readableBytesView.dropFirst(12))
        }
    }
}
