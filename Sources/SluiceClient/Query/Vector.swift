package import NIOCore
package import SluiceWire

extension SearchQuery {
    /// A vector of one of pgvector's types; a collection has vectors of one type.
    public enum Vector: Hashable, Sendable {
        /// `vector`: 1 to 16,000 components, all finite.
        case float([Float])
        /// `halfvec`: 1 to 16,000 components, each sent as the nearest 16-bit number, of two equally near ones the
        /// even. Within ±65,504; what rounds to infinity is refused.
        case half([Float])
        /// `sparsevec`: 1 to 1,000,000,000 dimensions.
        /// - indices: where components are not zero, ascending, from 0 to dimensions − 1; at most 16,000.
        /// - values: the component of each index; finite, not zero.
        case sparse(dimensions: Int, indices: [Int], values: [Float])
        /// `bit`: 1 to 64,000.
        case bits([Bool])

        /// A sparse vector of its components by index. Those that are zero are left out.
        public static func sparse(dimensions: Int, _ components: [Int: Float]) -> Vector {
            let sorted = components.filter { $0.value != 0 }.sorted { $0.key < $1.key }
            return .sparse(dimensions: dimensions, indices: sorted.map(\.key), values: sorted.map(\.value))
        }

        public var dimensions: Int {
            switch self {
            case .float(let components), .half(let components): components.count
            case .sparse(let dimensions, _, _): dimensions
            case .bits(let bits): bits.count
            }
        }
    }
}

extension SearchQuery.Vector {
    /// - Throws: `invalidArgument` for what its form's own lengths cannot say.
    func bytes() throws(SluiceError) -> VectorBytes {
        guard dimensions <= form.maximumDimensions else {
            throw SluiceError(
                .invalidArgument, "the vector has \(dimensions) dimensions; \(form.maximumDimensions) is the most")
        }
        switch self {
        case .float(let components): return VectorBytes(components)
        case .half(let components): return VectorBytes(half: components)
        case .bits(let bits): return VectorBytes(bits: bits)
        case .sparse(let dimensions, let indices, let values):
            guard indices.count == values.count, indices.count <= VectorForm.maximumNonZero else {
                throw SluiceError(
                    .invalidArgument,
                    "the sparse vector has \(indices.count) indices and \(values.count) values; it must be as many, "
                        + "and at most \(VectorForm.maximumNonZero)")
            }
            return VectorBytes(sparse: dimensions, indices: indices, values: values)
        }
    }

    private var form: VectorForm {
        switch self {
        case .float: .vector
        case .half: .halfvec
        case .sparse: .sparsevec
        case .bits: .bit
        }
    }

    /// Nil if the bytes are not a vector of the form.
    package init?(_ cell: ByteBuffer, form: VectorForm) {
        let vector = VectorBytes(unchecked: cell, form: form)
        guard (try? vector.validate()) != nil else { return nil }
        switch form {
        case .vector: self = .float(vector.floats())
        case .halfvec: self = .half(vector.floats())
        case .sparsevec:
            guard let (indices, values) = vector.nonZero() else { return nil }
            self = .sparse(dimensions: vector.dimensions, indices: indices, values: values)
        case .bit:
            guard let bits = vector.bits() else { return nil }
            self = .bits(bits)
        }
    }
}
