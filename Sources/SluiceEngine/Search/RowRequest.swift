public import SluiceCore

/// The rows of some ids, please.
public struct RowRequest: Sendable {
    public var collection: String
    /// Each is answered once, at its first place.
    public var ids: [Int64]
    public var columns: [String]
    /// With the vector as a further column, the last.
    public var withVector: Bool
    public var deadline: Instant
    public var allowsPartial: Bool
    public var freshness: Boxed<Freshness>?
    /// Rows of which it is not true are none.
    public var filter: Filter?
    public var tenant: Tenant?
    public var origin = RequestOrigin()

    public init(
        collection: String, ids: [Int64], columns: [String], withVector: Bool, deadline: Instant, allowsPartial: Bool
    ) {
        self.collection = collection
        self.ids = ids
        self.columns = columns
        self.withVector = withVector
        self.deadline = deadline
        self.allowsPartial = allowsPartial
    }

    public static let mostIDs = 10_000
}

/// How many rows does a filter find?
public struct CountQuestion: Sendable {
    public var collection: String
    public var filter: Filter?
    /// Count, instead of asking the planner for its estimate.
    public var isExact: Bool
    public var deadline: Instant
    public var tenant: Tenant?
    public var origin = RequestOrigin()

    public init(collection: String, filter: Filter?, isExact: Bool, deadline: Instant) {
        self.collection = collection
        self.filter = filter
        self.isExact = isExact
        self.deadline = deadline
    }
}
