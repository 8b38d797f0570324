public import NIOCore

/// A vector in the binary form of its type, as pgvector and PostgreSQL send and receive it. It goes to PostgreSQL as it
/// is. All numbers are big-endian:
///
/// - `vector`: Int16 dimensions, Int16 zero, Float32 components
/// - `halfvec`: Int16 dimensions, Int16 zero, Float16 components
/// - `sparsevec`: Int32 dimensions, Int32 count, Int32 zero, so many Int32 indices from 0, so many Float32 components
/// - `bit`: Int32 length in bits, then the bytes, the first bit highest
public struct VectorBytes: Hashable, Sendable {
    public let bytes: ByteBuffer
    public let form: VectorForm

    /// pgvector's own limit of the type `vector` (VECTOR_MAX_DIM in vector.h).
    public static let maximumDimensions = VectorForm.vector.maximumDimensions

    /// As it arrived; `validate()` says whether it is one.
    public init(unchecked bytes: ByteBuffer, form: VectorForm = .vector) {
        self.bytes = bytes
        self.form = form
    }

    /// More components than `Int16.max` cannot be a vector; `validate()` then fails.
    public init(_ floats: [Float]) {
        var buffer = Self.buffer(.vector, dimensions: Int16(clamping: floats.count), bytes: 4 * floats.count)
        Self.write(floats, into: &buffer)
        self.init(unchecked: buffer)
    }

    /// A `halfvec`, each component rounded to the nearest half; one that becomes infinite fails `validate()`.
    public init(half floats: [Float]) {
        var buffer = Self.buffer(.halfvec, dimensions: Int16(clamping: floats.count), bytes: 2 * floats.count)
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 2 * floats.count) { target in
            for (index, float) in floats.enumerated() {
                target.storeBytes(of: HalfFloat.bits(of: float).bigEndian, toByteOffset: 2 * index, as: UInt16.self)
            }
            return 2 * floats.count
        }
        self.init(unchecked: buffer, form: .halfvec)
    }

    static func write(_ floats: [Float], into buffer: inout ByteBuffer) {
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: 4 * floats.count) { target in
            for (index, float) in floats.enumerated() {
                target.storeBytes(of: float.bitPattern.bigEndian, toByteOffset: 4 * index, as: UInt32.self)
            }
            return 4 * floats.count
        }
    }

    private static func buffer(_ form: VectorForm, dimensions: Int16, bytes: Int) -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: form.headerLength + bytes)
        buffer.writeMultipleIntegers(dimensions, Int16(0))
        return buffer
    }

    /// What the header says; 0 if there is none.
    public var dimensions: Int {
        switch form {
        case .vector, .halfvec: Int(integer(at: 0, as: Int16.self) ?? 0)
        case .sparsevec, .bit: Int(integer(at: 0, as: Int32.self) ?? 0)
        }
    }

    func integer<Integer: FixedWidthInteger>(at offset: Int, as: Integer.Type) -> Integer? {
        bytes.getInteger(at: bytes.readerIndex + offset, as: Integer.self)
    }

    /// The components of a `vector` or a `halfvec`; none of other forms.
    public func floats() -> [Float] {
        switch form {
        case .vector: floats(from: form.headerLength)
        case .halfvec: halves()
        case .sparsevec, .bit: []
        }
    }

    /// All Float32 from an offset on.
    func floats(from start: Int) -> [Float] {
        bytes.withUnsafeReadableBytes { source in
            stride(from: start, to: source.count - 3, by: 4).map {
                Float(bitPattern: UInt32(bigEndian: source.loadUnaligned(fromByteOffset: $0, as: UInt32.self)))
            }
        }
    }

    private func halves() -> [Float] {
        bytes.withUnsafeReadableBytes { source in
            stride(from: form.headerLength, to: source.count - 1, by: 2).map {
                HalfFloat.float(ofBits: UInt16(bigEndian: source.loadUnaligned(fromByteOffset: $0, as: UInt16.self)))
            }
        }
    }
}

extension VectorBytes {
    /// - Throws: `invalidArgument` if it is not a vector of its form, or a component is not a finite number.
    public func validate() throws(WireError) {
        switch form {
        case .vector: try validateDense(of: UInt32.self, exponent: 0x7F80_0000)
        case .halfvec: try validateDense(of: UInt16.self, exponent: 0x7C00)
        case .sparsevec: try validateSparse()
        case .bit: try validateBits()
        }
    }

    func wrong(_ what: String) -> WireError { WireError(.invalidArgument, "the vector \(what)") }

    func checkDimensions() throws(WireError) {
        let dimensions = dimensions
        guard bytes.readableBytes >= form.headerLength, (1...form.maximumDimensions).contains(dimensions) else {
            throw wrong("has \(dimensions) dimensions; it must have 1 to \(form.maximumDimensions)")
        }
    }

    func checkLength(_ count: Int) throws(WireError) {
        guard bytes.readableBytes == form.headerLength + count else {
            throw wrong("declares \(dimensions) dimensions but has \(bytes.readableBytes - form.headerLength) bytes")
        }
    }

    /// - Parameters:
    ///   - of: a component's bits.
    ///   - exponent: those that are all set in what is not finite.
    private func validateDense<Bits: FixedWidthInteger & BitwiseCopyable>(
        of: Bits.Type, exponent: Bits
    ) throws(WireError) {
        try checkDimensions()
        guard integer(at: 2, as: Int16.self) == 0 else { throw wrong("must have 0 in its second field") }
        try checkLength(MemoryLayout<Bits>.size * dimensions)
        if let place = firstNotFinite(of: Bits.self, exponent: exponent.bigEndian) {
            throw WireError(.invalidArgument, "component \(place) of the vector is NaN or infinite")
        }
    }

    /// Only of a vector whose length fits its dimensions.
    @inline(__always)
    private func firstNotFinite<Bits: FixedWidthInteger & BitwiseCopyable>(of: Bits.Type, exponent: Bits) -> Int? {
        let (start, size) = (form.headerLength, MemoryLayout<Bits>.size)
        return bytes.withUnsafeReadableBytes { source in
            func isNotFinite(_ index: Int) -> Bool {
                source.loadUnaligned(fromByteOffset: start + size * index, as: Bits.self) & exponent == exponent
            }
            let count = (source.count - start) / size
            // Without a way out of the loop the compiler turns it into SIMD; where it was is asked only if it was.
            var found: UInt32 = 0
            for index in 0..<count { found |= isNotFinite(index) ? 1 : 0 }
            return found == 0 ? nil : (0..<count).first(where: isNotFinite)
        }
    }
}
