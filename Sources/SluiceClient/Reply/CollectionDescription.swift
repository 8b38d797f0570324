package import SluiceWire

/// A collection as the gateway describes it.
public struct CollectionDescription: Hashable, Sendable {
    public var name: String
    /// l2, inner_product, cosine, l1, hamming or jaccard.
    public var metric: String
    public var dimensions: Int
    /// What a search may ask for.
    public var columns: [String]
    public var shards: [String]
    public var vectorType: VectorType
    /// What a filter may name.
    public var filterable: [FilterableColumn]
    /// The model that made its vectors, if the configuration says.
    public var model: String?
    /// It can be searched for words, too.
    public var hasText: Bool

    public enum VectorType: String, Hashable, Sendable {
        case vector
        case halfvec
        case sparsevec
        case bit
        /// A newer gateway said something that this version has no name for.
        case unknown
    }

    public struct FilterableColumn: Hashable, Sendable {
        public var name: String
        /// bool, int, float, text, timestamp, uuid or text[].
        public var type: String
    }

    package init(_ description: SluiceWire.CollectionDescription) {
        name = description.name
        metric = description.metric
        dimensions = description.dimensions
        columns = description.columns
        shards = description.shards
        vectorType = description.vectorForm.flatMap { VectorType(rawValue: $0.name) } ?? .unknown
        filterable = description.filterable.map { FilterableColumn(name: $0.name, type: $0.type) }
        model = description.model
        hasText = description.hasText
    }
}
