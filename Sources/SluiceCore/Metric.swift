/// How two vectors are compared. Smaller is always nearer, because inner product is asked for as its negative, as
/// pgvector's own `<#>` gives it; so the merge has one direction for all of them.
public enum Metric: String, Hashable, Sendable, CaseIterable {
    case l2
    case innerProduct = "inner_product"
    case cosine
    case l1

    /// pgvector's distance operator, without its schema.
    public var distanceOperator: String {
        switch self {
        case .l2: "<->"
        case .innerProduct: "<#>"
        case .cosine: "<=>"
        case .l1: "<+>"
        }
    }
}
