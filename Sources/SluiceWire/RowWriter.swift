public import NIOCore

/// Packs rows as LOAD_ROWS and WRITE have them: u32 length of what follows, i64 id, u32 length of the vector and its
/// bytes, then a value for each column. Whether they suit a collection is for the gateway to say.
public struct RowWriter: Sendable {
    /// The rows so far, whole ones between calls of `append` or after `endRow()`.
    public private(set) var bytes: ByteBuffer
    public private(set) var rowCount = 0
    private var rowStart = 0

    /// What a value begins with that is null.
    public static let null: UInt8 = 0
    /// The length of a vector that is null.
    public static let noVector = UInt32.max

    public init(capacity: Int = 0) { bytes = ByteBufferAllocator().buffer(capacity: max(0, capacity)) }

    /// Takes the rows so far out of the writer.
    /// - Parameter capacity: the room to make for those to come, in bytes.
    public mutating func take(capacity: Int = 0) -> ByteBuffer {
        let taken = bytes
        self = RowWriter(capacity: capacity)
        return taken
    }

    /// - Parameters:
    ///   - vector: nil is null.
    ///   - values: one for each column, in the order of the request's columns; nil is null.
    /// - Throws: `invalidArgument` for a list too long to be written; the rows before are as they were.
    public mutating func append(
        id: Int64, vector: VectorBytes?, values: some Collection<FilterValue?>
    ) throws(WireError) {
        beginRow(id: id)
        writeVector(bytes: vector?.bytes)
        do throws(WireError) {
            for value in values { try write(value) }
        } catch {
            undoRow()
            throw error
        }
        endRow()
    }

    // MARK: Part by part

    /// To be followed by a vector, the values and `endRow()`.
    public mutating func beginRow(id: Int64) {
        rowStart = bytes.writerIndex
        bytes.writeMultipleIntegers(UInt32(0), id)
    }

    public mutating func endRow() {
        let length = bytes.writerIndex - rowStart - MemoryLayout<UInt32>.size
        bytes.setInteger(UInt32(clamping: length), at: rowStart)
        rowCount += 1
    }

    /// Leaves the row that has begun out.
    public mutating func undoRow() { bytes.moveWriterIndex(to: rowStart) }

    /// A vector in the binary form of its type; nil is null.
    public mutating func writeVector(bytes vector: ByteBuffer?) {
        guard let vector else { return writeNoVector() }
        bytes.writeInteger(UInt32(clamping: vector.readableBytes))
        bytes.writeImmutableBuffer(vector)
    }

    public mutating func writeVector(bytes vector: some Sequence<UInt8>) {
        bytes.writeInteger(UInt32(0))
        let count = bytes.writeBytes(vector)
        bytes.setInteger(UInt32(clamping: count), at: bytes.writerIndex - count - MemoryLayout<UInt32>.size)
    }

    public mutating func writeNoVector() { bytes.writeInteger(Self.noVector) }

    /// A `vector`.
    public mutating func writeVector(floats: UnsafeBufferPointer<Float>) {
        writeHeader(count: floats.count, size: 4)
        bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: 4 * floats.count) { target in
            for index in 0..<floats.count {
                target.storeBytes(of: floats[index].bitPattern.bigEndian, toByteOffset: 4 * index, as: UInt32.self)
            }
            return 4 * floats.count
        }
    }

    /// A `halfvec`, each component rounded to the nearest half.
    public mutating func writeVector(halves floats: UnsafeBufferPointer<Float>) {
        writeHeader(count: floats.count, size: 2)
        bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: 2 * floats.count) { target in
            for index in 0..<floats.count {
                let bits = HalfFloat.bits(of: floats[index])
                target.storeBytes(of: bits.bigEndian, toByteOffset: 2 * index, as: UInt16.self)
            }
            return 2 * floats.count
        }
    }

    /// The length and the header of a `vector` or a `halfvec`.
    private mutating func writeHeader(count: Int, size: Int) {
        bytes.writeMultipleIntegers(UInt32(clamping: 4 + size * count), Int16(clamping: count), Int16(0))
    }

    /// - Throws: `invalidArgument` for a list too long to be written.
    public mutating func write(_ value: FilterValue?) throws(WireError) {
        switch value {
        case nil: bytes.writeInteger(Self.null)
        case .bool(let flag): bytes.writeMultipleIntegers(FilterValueKind.bool.rawValue, UInt8(flag ? 1 : 0))
        case .int(let integer): bytes.writeMultipleIntegers(FilterValueKind.int.rawValue, integer)
        case .double(let number): bytes.writeMultipleIntegers(FilterValueKind.double.rawValue, number.bitPattern)
        case .text(let text): writeText(text.utf8)
        case .timestamp(let time): bytes.writeMultipleIntegers(FilterValueKind.timestamp.rawValue, time)
        case .uuid(let high, let low): bytes.writeMultipleIntegers(FilterValueKind.uuid.rawValue, high, low)
        case .textArray(let texts):
            guard texts.count <= FilterExpression.maximumListValues else {
                throw Rules.wrong(
                    "a list has \(texts.count) values; at most \(FilterExpression.maximumListValues) may be")
            }
            bytes.writeMultipleIntegers(FilterValueKind.textArray.rawValue, UInt16(clamping: texts.count))
            for text in texts { writeBytes(text.utf8) }
        }
    }

    /// A text of these bytes of UTF-8.
    public mutating func writeText(_ text: some Collection<UInt8>) {
        bytes.writeInteger(FilterValueKind.text.rawValue)
        writeBytes(text)
    }

    private mutating func writeBytes(_ text: some Collection<UInt8>) {
        bytes.writeInteger(UInt32(clamping: text.count))
        bytes.writeBytes(text)
    }
}
