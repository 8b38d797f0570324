public import NIOCore

/// A vector in pgvector's binary form: Int16 dimensions, Int16 zero, then the components as Float32, all big-endian.
/// It goes to PostgreSQL as it is.
public struct VectorBytes: Hashable, Sendable {
    public let bytes: ByteBuffer

    private static let headerLength = 4
    /// pgvector's own limit of the type `vector` (VECTOR_MAX_DIM in vector.h).
    public static let maximumDimensions = 16_000

    /// As it arrived; `validate()` says whether it is one.
    public init(unchecked bytes: ByteBuffer) { self.bytes = bytes }

    /// More components than `Int16.max` cannot be a vector; `validate()` then fails.
    public init(_ floats: [Float]) {
        var buffer = ByteBufferAllocator().buffer(capacity: Self.headerLength + 4 * floats.count)
        buffer.writeMultipleIntegers(Int16(clamping: floats.count), Int16(0))
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 4 * floats.count) { target in
            for (index, float) in floats.enumerated() {
                target.storeBytes(of: float.bitPattern.bigEndian, toByteOffset: 4 * index, as: UInt32.self)
            }
            return 4 * floats.count
        }
        bytes = buffer
    }

    /// What the header says; 0 if there is none.
    public var dimensions: Int { Int(bytes.getInteger(at: bytes.readerIndex, as: Int16.self) ?? 0) }

    public func floats() -> [Float] {
        bytes.withUnsafeReadableBytes { source in
            stride(from: Self.headerLength, to: source.count - 3, by: 4).map {
                Float(bitPattern: UInt32(bigEndian: source.loadUnaligned(fromByteOffset: $0, as: UInt32.self)))
            }
        }
    }

    /// - Throws: `invalidArgument` if it is not a vector, or a component is not a finite number.
    public func validate() throws(WireError) {
        let dimensions = dimensions
        guard bytes.readableBytes >= Self.headerLength, (1...Self.maximumDimensions).contains(dimensions) else {
            throw WireError(.invalidArgument, "the vector has \(dimensions) dimensions; it must have 1 to 16000")
        }
        guard bytes.getInteger(at: bytes.readerIndex + 2, as: Int16.self) == 0 else {
            throw WireError(.invalidArgument, "the vector's second field must be 0")
        }
        guard bytes.readableBytes == Self.headerLength + 4 * dimensions else {
            throw WireError(
                .invalidArgument,
                "the vector declares \(dimensions) dimensions but has \(bytes.readableBytes - Self.headerLength) bytes")
        }
        if let place = firstNotFinite() {
            throw WireError(.invalidArgument, "component \(place) of the vector is NaN or infinite")
        }
    }

    /// Only of a vector whose length fits its dimensions.
    private func firstNotFinite() -> Int? {
        bytes.withUnsafeReadableBytes { source in
            let count = (source.count - Self.headerLength) / 4
            // Without a way out of the loop the compiler turns it into SIMD; where it was is asked only if it was.
            var found: UInt32 = 0
            for index in 0..<count { found |= Self.isNotFinite(source, index) ? 1 : 0 }
            return found == 0 ? nil : (0..<count).first { Self.isNotFinite(source, $0) }
        }
    }

    @inline(__always)
    private static func isNotFinite(_ source: UnsafeRawBufferPointer, _ index: Int) -> Bool {
        let exponent = UInt32(0x7F80_0000).bigEndian
        return source.loadUnaligned(fromByteOffset: headerLength + 4 * index, as: UInt32.self) & exponent == exponent
    }
}

/// The nearest neighbours of one vector in some collections, please.
public struct SearchRequest: Hashable, Sendable {
    public var collections: [String]
    public var vector: VectorBytes
    public var k: Int
    public var columns: [String]
    /// The time left; nil for the gateway's default.
    public var deadline: Duration?
    public var efSearch: Int?
    public var exact: Bool
    public var allowPartial: Bool
    /// The share of the rows, 0...1, that an answer must cover; nil for all, or as `allowPartial` says.
    public var minCoverage: Double?
    /// False to never ask a second replica while the first is still at it.
    public var allowHedges = true
    /// 0 interactive, 1 batch: which is shed first.
    public var priority: UInt8 = 0

    public static let maximumCollections = 64
    public static let maximumColumns = 256

    public init(
        collections: [String], vector: VectorBytes, k: Int, columns: [String] = [], deadline: Duration? = nil,
        efSearch: Int? = nil, exact: Bool = false, allowPartial: Bool = false
    ) {
        self.collections = collections
        self.vector = vector
        self.k = k
        self.columns = columns
        self.deadline = deadline
        self.efSearch = efSearch
        self.exact = exact
        self.allowPartial = allowPartial
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        self.init(collections: [], vector: VectorBytes(unchecked: ByteBuffer()), k: 0)
        var reader = FieldReader(payload, of: "SEARCH", once: [2, 3, 5, 6, 7, 8, 9, 10, 11])
        var hasVector = false
        var hasK = false
        while let field = try reader.next() {
            switch field.tag {
            case 1:
                guard collections.count < Self.maximumCollections else {
                    throw WireError(.invalidArgument, "a search names at most \(Self.maximumCollections) collections")
                }
                collections.append(try field.text("SEARCH"))
            case 2:
                vector = VectorBytes(unchecked: field.value)
                hasVector = true
            case 3:
                k = Int(try field.integer(as: UInt32.self, "SEARCH"))
                hasK = true
            case 4:
                guard columns.count < Self.maximumColumns else {
                    throw WireError(.invalidArgument, "a search asks for at most \(Self.maximumColumns) columns")
                }
                columns.append(try field.text("SEARCH"))
            case 5: deadline = try field.microseconds("SEARCH")
            case 6: efSearch = Int(try field.integer(as: UInt32.self, "SEARCH"))
            case 7: exact = try field.flag("SEARCH")
            case 8: allowPartial = try field.flag("SEARCH")
            case 9: minCoverage = try Self.share(field)
            case 10: allowHedges = try field.flag("SEARCH")
            case 11:
                priority = try field.integer(as: UInt8.self, "SEARCH")
                guard priority <= 1 else { throw WireError(.malformed, "SEARCH: field 11 must be 0 or 1") }
            default: break
            }
        }
        guard !collections.isEmpty else { throw WireError(.malformed, "SEARCH: without a collection") }
        guard hasVector else { throw WireError(.malformed, "SEARCH: without a vector") }
        guard hasK else { throw WireError(.malformed, "SEARCH: without k") }
    }

    private static func share(_ field: FieldReader.Field) throws(WireError) -> Double {
        let share = Double(bitPattern: try field.integer(as: UInt64.self, "SEARCH"))
        guard share >= 0, share <= 1 else {
            throw WireError(.invalidArgument, "the coverage asked for must be from 0 to 1")
        }
        return share
    }

    public func encode(into buffer: inout ByteBuffer) {
        for collection in collections { buffer.writeField(1, collection) }
        buffer.writeField(2) { $0.writeImmutableBuffer(vector.bytes) }
        buffer.writeField(3, UInt32(clamping: k))
        for column in columns { buffer.writeField(4, column) }
        if let deadline { Self.write(deadline: deadline, into: &buffer) }
        if let efSearch { buffer.writeField(6, UInt32(clamping: efSearch)) }
        if exact { buffer.writeField(7, UInt8(1)) }
        if allowPartial { buffer.writeField(8, UInt8(1)) }
        if let minCoverage { buffer.writeField(9, minCoverage.bitPattern) }
        if !allowHedges { buffer.writeField(10, UInt8(0)) }
        if priority != 0 { buffer.writeField(11, priority) }
    }

    /// What `write(deadline:into:)` adds to a request.
    public static let deadlineFieldLength = 14

    /// The field of the time left, for a request that was encoded without: fields come in any order, so it can be added
    /// in the moment the request is sent.
    public static func write(deadline: Duration, into buffer: inout ByteBuffer) {
        buffer.writeField(5, microsecondsOf: max(.zero, deadline))
    }
}
