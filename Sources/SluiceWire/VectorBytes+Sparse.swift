internal import NIOCore

// The form `sparsevec`.
extension VectorBytes {
    /// - Parameters:
    ///   - indices: ascending, from 0.
    ///   - values: one for each index, none of them zero. Anything else fails `validate()`.
    public init(sparse dimensions: Int, indices: [Int], values: [Float]) {
        let header = VectorForm.sparsevec.headerLength
        var buffer = ByteBufferAllocator().buffer(capacity: header + 4 * (indices.count + values.count))
        buffer.writeMultipleIntegers(Int32(clamping: dimensions), Int32(clamping: indices.count), Int32(0))
        for index in indices { buffer.writeInteger(Int32(clamping: index)) }
        Self.write(values, into: &buffer)
        self.init(unchecked: buffer, form: .sparsevec)
    }

    /// The components that are not zero, in order; nil if it is not a valid `sparsevec`.
    public func nonZero() -> (indices: [Int], values: [Float])? {
        guard form == .sparsevec, (try? validateSparse()) != nil else { return nil }
        return (indices(), floats(from: form.headerLength + 4 * count))
    }

    private var count: Int { Int(integer(at: 4, as: Int32.self) ?? 0) }

    private func indices() -> [Int] {
        bytes.withUnsafeReadableBytes { source in
            (0..<count).map {
                Int(Int32(bigEndian: source.loadUnaligned(fromByteOffset: 12 + 4 * $0, as: Int32.self)))
            }
        }
    }

    func validateSparse() throws(WireError) {
        try checkDimensions()
        let most = min(VectorForm.maximumNonZero, dimensions)
        guard (0...most).contains(count) else {
            throw wrong("has \(count) components that are not zero; of \(dimensions) dimensions 0 to \(most) may be")
        }
        guard integer(at: 8, as: Int32.self) == 0 else { throw wrong("must have 0 in its third field") }
        try checkLength(8 * count)
        if let problem = problemOfComponents() { throw WireError(.invalidArgument, problem) }
    }

    /// Only of a vector whose length fits its count.
    private func problemOfComponents() -> String? {
        let (count, dimensions) = (count, dimensions)
        return bytes.withUnsafeReadableBytes { source in
            var last: Int32 = -1
            for place in 0..<count {
                let index = Int32(bigEndian: source.loadUnaligned(fromByteOffset: 12 + 4 * place, as: Int32.self))
                guard index > last, index < dimensions else {
                    return "index \(place) of the vector is \(index); indices ascend, from 0 to \(dimensions - 1)"
                }
                last = index
                let offset = 12 + 4 * (count + place)
                let bits = UInt32(bigEndian: source.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
                guard bits & 0x7F80_0000 != 0x7F80_0000 else {
                    return "component \(place) of the vector is NaN or infinite"
                }
                guard bits << 1 != 0 else { return "component \(place) of the sparse vector is zero" }
            }
            return nil
        }
    }
}

// The form `bit`.
extension VectorBytes {
    public init(bits: [Bool]) {
        var buffer = ByteBufferAllocator().buffer(capacity: VectorForm.bit.headerLength + bits.count / 8 + 1)
        buffer.writeInteger(Int32(clamping: bits.count))
        for start in stride(from: 0, to: bits.count, by: 8) {
            var byte: UInt8 = 0
            for (place, bit) in bits[start..<min(start + 8, bits.count)].enumerated() where bit {
                byte |= 0x80 >> UInt8(place)
            }
            buffer.writeInteger(byte)
        }
        self.init(unchecked: buffer, form: .bit)
    }

    /// Nil if it is not a valid `bit`.
    public func bits() -> [Bool]? {
        guard form == .bit, (try? validateBits()) != nil else { return nil }
        let packed = bytes.readableBytesView.dropFirst(form.headerLength)
        return Array(packed.flatMap { byte in (0..<8).map { byte & (0x80 >> UInt8($0)) != 0 } }.prefix(dimensions))
    }

    func validateBits() throws(WireError) {
        try checkDimensions()
        try checkLength((dimensions + 7) / 8)
        let padding = UInt8(truncatingIfNeeded: 0xFF >> ((dimensions - 1) % 8 + 1))
        guard let last = bytes.readableBytesView.last, last & padding == 0 else {
            throw wrong("must have zeros after its last bit")
        }
    }
}
