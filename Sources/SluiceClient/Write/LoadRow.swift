internal import NIOCore
internal import SluiceWire

/// A row to be loaded or written.
public struct LoadRow: Hashable, Sendable {
    public enum Vector: Hashable, Sendable {
        case vector(SearchQuery.Vector)
        /// As pgvector and PostgreSQL send and receive the type, which is what COPY's binary format has. They go to the
        /// database as they are.
        case bytes([UInt8])

        public static func float(_ components: [Float]) -> Vector { .vector(.float(components)) }

        public static func half(_ components: [Float]) -> Vector { .vector(.half(components)) }
    }

    public var id: Int64
    /// Nil is null.
    public var vector: Vector?
    /// One for each column, in the order in which the call names them; nil is null. A text suits a column of any type
    /// if PostgreSQL can read it as one.
    public var values: [Filter.Value?]

    public init(id: Int64, vector: Vector?, values: [Filter.Value?] = []) {
        self.id = id
        self.vector = vector
        self.values = values
    }

    public init(id: Int64, vector: [Float], values: [Filter.Value?] = []) {
        self.init(id: id, vector: .float(vector), values: values)
    }
}

/// Rows packed for sending: the fast way to hand over many, because no row is an object of its own.
public struct LoadBlock: Sendable {
    var writer: RowWriter

    /// - Parameter capacity: the room to make at once, in bytes. Blocks of 64 to 256 KiB suit loads best.
    public init(capacity: Int = 0) { writer = RowWriter(capacity: capacity) }

    public var rowCount: Int { writer.rowCount }
    /// The memory that the rows take.
    public var byteCount: Int { writer.bytes.readableBytes }
    /// The rows as they are sent.
    package var packed: [UInt8] { Array(writer.bytes.readableBytesView) }

    /// - Throws: `invalidArgument` for a vector or a list too long to be sent; the block is as before.
    public mutating func append(_ row: LoadRow) throws(SluiceError) {
        writer.beginRow(id: row.id)
        do throws(SluiceError) {
            try write(row.vector)
            for value in row.values { try write(value) }
        } catch {
            writer.undoRow()
            throw error
        }
        writer.endRow()
    }

    /// A row whose vector is a `vector` of these components.
    /// - Throws: as `append(_:)`.
    public mutating func append(
        id: Int64, floats: UnsafeBufferPointer<Float>, values: some Collection<Filter.Value?>
    ) throws(SluiceError) {
        writer.beginRow(id: id)
        do throws(SluiceError) {
            try check(floats.count)
            writer.writeVector(floats: floats)
            for value in values { try write(value) }
        } catch {
            writer.undoRow()
            throw error
        }
        writer.endRow()
    }

    private mutating func write(_ vector: LoadRow.Vector?) throws(SluiceError) {
        switch vector {
        case nil: writer.writeNoVector()
        case .bytes(let bytes): writer.writeVector(bytes: bytes)
        case .vector(.float(let floats)):
            try check(floats.count)
            floats.withUnsafeBufferPointer { writer.writeVector(floats: $0) }
        case .vector(.half(let floats)):
            try check(floats.count)
            floats.withUnsafeBufferPointer { writer.writeVector(halves: $0) }
        case .vector(let vector): writer.writeVector(bytes: try vector.bytes().bytes)
        }
    }

    private func check(_ dimensions: Int) throws(SluiceError) {
        guard dimensions <= VectorForm.vector.maximumDimensions else {
            throw SluiceError(
                .invalidArgument,
                "the vector has \(dimensions) dimensions; \(VectorForm.vector.maximumDimensions) is the most")
        }
    }

    private mutating func write(_ value: Filter.Value?) throws(SluiceError) {
        do throws(WireError) { try writer.write(value?.value) } catch { throw SluiceError(error) }
    }

    /// The rows as payloads of frames of at most so many bytes each, or of one row.
    func payloads(of size: Int) -> [(bytes: ByteBuffer, rows: Int)] {
        var rest = writer.bytes
        guard rest.readableBytes > size else { return rowCount == 0 ? [] : [(rest, rowCount)] }
        var payloads: [(ByteBuffer, Int)] = []
        var (length, rows) = (0, 0)
        func row(at offset: Int) -> Int? {
            rest.getInteger(at: rest.readerIndex + offset, as: UInt32.self).map { Int($0) + 4 }
        }
        while let next = row(at: length) {
            if rows > 0, length + next > size, let payload = rest.readSlice(length: length) {
                payloads.append((payload, rows))
                (length, rows) = (0, 0)
            }
            (length, rows) = (length + next, rows + 1)
        }
        if rows > 0 { payloads.append((rest, rows)) }
        return payloads
    }
}
