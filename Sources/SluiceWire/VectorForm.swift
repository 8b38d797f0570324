/// Which of pgvector's types a vector is of. The raw values are the protocol's.
public enum VectorForm: UInt8, Hashable, Sendable, CaseIterable {
    /// `vector`: Float32 components.
    case vector = 0
    /// `halfvec`: 16-bit floating-point components.
    case halfvec = 1
    /// `sparsevec`: the components that are not zero, by their index.
    case sparsevec = 2
    /// `bit`, PostgreSQL's own bit string.
    case bit = 3

    /// As PostgreSQL calls it.
    public var name: String {
        switch self {
        case .vector: "vector"
        case .halfvec: "halfvec"
        case .sparsevec: "sparsevec"
        case .bit: "bit"
        }
    }

    /// pgvector's own limits (VECTOR_MAX_DIM, HALFVEC_MAX_DIM and SPARSEVEC_MAX_DIM in its headers, 64,000 bits in an
    /// index).
    public var maximumDimensions: Int {
        switch self {
        case .vector, .halfvec: 16_000
        case .sparsevec: 1_000_000_000
        case .bit: 64_000
        }
    }

    /// The components of a `sparsevec` that are not zero (SPARSEVEC_MAX_NNZ in sparsevec.h).
    public static let maximumNonZero = 16_000

    /// The bytes before the components.
    var headerLength: Int {
        switch self {
        case .vector, .halfvec, .bit: 4
        case .sparsevec: 12
        }
    }
}
