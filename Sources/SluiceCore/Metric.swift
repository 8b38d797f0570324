/// How two vectors are compared. Smaller is always nearer, because inner product is asked for as its negative, as
/// pgvector's own `<#>` gives it; so the merge has one direction for all of them.
public enum Metric: String, Hashable, Sendable, CaseIterable {
    case l2
    case innerProduct = "inner_product"
    case cosine
    case l1
    case hamming
    case jaccard

    /// pgvector's distance operator, without its schema.
    public var distanceOperator: String {
        switch self {
        case .l2: "<->"
        case .innerProduct: "<#>"
        case .cosine: "<=>"
        case .l1: "<+>"
        case .hamming: "<~>"
        case .jaccard: "<%>"
        }
    }

    /// How pgvector's operator classes name it: `vector_ip_ops`.
    package var classInfix: String { self == .innerProduct ? "ip" : rawValue }
}

/// Which of the types that pgvector can compare a column has.
public enum VectorForm: String, Hashable, Sendable, CaseIterable {
    case vector
    case halfvec
    case sparsevec
    case bit

    /// Bit strings are compared by metrics of their own.
    public func fits(_ metric: Metric) -> Bool { (self == .bit) == (metric == .hamming || metric == .jaccard) }

    /// pgvector's operator class for indexes over this form, without its schema.
    package func operatorClass(_ metric: Metric) -> String { "\(rawValue)_\(metric.classInfix)_ops" }

    /// pgvector's own limits (VECTOR_MAX_DIM, HALFVEC_MAX_DIM and SPARSEVEC_MAX_DIM in its headers; 64,000 bits in an
    /// index).
    public var maximumDimensions: Int {
        switch self {
        case .vector, .halfvec: 16_000
        case .sparsevec: 1_000_000_000
        case .bit: 64_000
        }
    }
}

/// A smaller form of a vector that an expression index can have: its distances are approximate, and found sooner.
public enum CoarseForm: String, Hashable, Sendable, CaseIterable {
    /// pgvector's `binary_quantize`: a bit for each dimension, compared by Hamming distance.
    case binary
    /// Half precision, compared by the collection's own metric.
    case half

    public func fits(_ form: VectorForm) -> Bool {
        switch self {
        case .binary: form == .vector || form == .halfvec
        case .half: form == .vector
        }
    }
}

/// How a collection's rows are spread over its shards.
public enum Placement: String, Hashable, Sendable, CaseIterable {
    /// By the hash of the id, as PostgreSQL's hash partitioning does it.
    case hash
    /// In whatever way: any shard may hold any row.
    case any
}
