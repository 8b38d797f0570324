/// A vector's bytes in pgvector's binary form, looked at before they are sent to a server, so that a bad one is found
/// with its row and not with a batch of thousands.
enum VectorCell {
    /// Nil if a column of this form and these dimensions takes it.
    static func problem(_ bytes: UnsafeRawBufferPointer, form: VectorForm, dimensions: Int) -> RowProblem? {
        var reader = ByteReader(bytes)
        switch form {
        case .vector, .halfvec:
            let width = form == .vector ? 4 : 2
            guard let found = reader.integer(Int16.self), reader.integer(Int16.self) == 0 else { return .notAVector }
            guard Int(found) == dimensions else { return .dimensions(found: Int(found), expected: dimensions) }
            guard reader.left == dimensions * width, let numbers = reader.run(reader.left) else { return .notAVector }
            let isFinite =
                form == .vector
                ? isFinite(numbers, exponent: UInt32(0x7F80_0000)) : isFinite(numbers, exponent: UInt16(0x7C00))
            return isFinite ? nil : .notFinite
        case .sparsevec: return sparse(&reader, dimensions)
        case .bit:
            guard let found = reader.integer(Int32.self), found >= 0 else { return .notAVector }
            guard Int(found) == dimensions else { return .dimensions(found: Int(found), expected: dimensions) }
            return reader.left == (dimensions + 7) / 8 ? nil : .notAVector
        }
    }

    private static func sparse(_ reader: inout ByteReader, _ dimensions: Int) -> RowProblem? {
        guard let found = reader.integer(Int32.self), let count = reader.integer(Int32.self),
            reader.integer(Int32.self) == 0, (0...16_000).contains(count), reader.left == Int(count) * 8
        else { return .notAVector }
        guard Int(found) == dimensions else { return .dimensions(found: Int(found), expected: dimensions) }
        var last: Int32 = -1
        for _ in 0..<count {
            guard let index = reader.integer(Int32.self), index > last, Int(index) < dimensions else {
                return .notAVector
            }
            last = index
        }
        for _ in 0..<count {
            guard let bits = reader.integer(UInt32.self) else { return .notAVector }
            let number = Float(bitPattern: bits)
            guard number.isFinite else { return .notFinite }
            guard number != 0 else { return .notAVector }
        }
        return nil
    }

    /// All exponent bits set is infinity or NaN. No branch in the loop, so that the compiler makes vectors of it.
    @inline(__always)
    private static func isFinite<Word: FixedWidthInteger>(_ bytes: UnsafeRawBufferPointer, exponent: Word) -> Bool {
        let (exponent, size) = (exponent.bigEndian, MemoryLayout<Word>.size)
        var bad: Word = 0
        for offset in stride(from: 0, to: bytes.count / size * size, by: size) {
            let bits = bytes.loadUnaligned(fromByteOffset: offset, as: Word.self)
            bad |= bits & exponent == exponent ? 1 : 0
        }
        return bad == 0
    }
}
