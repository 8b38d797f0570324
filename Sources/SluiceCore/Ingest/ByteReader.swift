/// Reads big-endian numbers and runs of bytes from a buffer that it does not own, and says so when they are not there.
struct ByteReader {
    private let bytes: UnsafeRawBufferPointer
    private(set) var position: Int
    private let end: Int

    init(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) {
        self.bytes = bytes
        position = max(0, min(range.lowerBound, bytes.count))
        end = max(position, min(range.upperBound, bytes.count))
    }

    init(_ bytes: UnsafeRawBufferPointer) { self.init(bytes, 0..<bytes.count) }

    var left: Int { end - position }

    mutating func integer<Integer: FixedWidthInteger>(_: Integer.Type = Integer.self) -> Integer? {
        guard left >= MemoryLayout<Integer>.size else { return nil }
        defer { position += MemoryLayout<Integer>.size }
        return Integer(bigEndian: bytes.loadUnaligned(fromByteOffset: position, as: Integer.self))
    }

    mutating func run(_ count: Int) -> UnsafeRawBufferPointer? {
        guard count >= 0, left >= count else { return nil }
        defer { position += count }
        return UnsafeRawBufferPointer(rebasing: bytes[position..<position + count])
    }
}

extension [UInt8] {
    package mutating func append<Integer: FixedWidthInteger>(bigEndian integer: Integer) {
        Swift.withUnsafeBytes(of: integer.bigEndian) { append(contentsOf: $0) }
    }

    /// Overwrites bytes that are there already.
    mutating func replace(at offset: Int, withBigEndian integer: Int32) {
        guard offset >= 0, offset + 4 <= count else { return }
        Swift.withUnsafeBytes(of: integer.bigEndian) { bytes in
            for place in 0..<4 { self[offset + place] = bytes[place] }
        }
    }
}
