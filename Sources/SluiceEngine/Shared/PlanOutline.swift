/// How a server would run a statement: the kinds of its steps and the names of indexes, and nothing of what is asked
/// with or for.
public struct PlanOutline: Hashable, Sendable {
    public enum IndexUse: String, Hashable, Sendable, CaseIterable {
        /// An index gives the rows in the order of their distances.
        case vector
        /// An index finds the rows that a filter or the words allow.
        case other
        /// The whole table is read.
        case none
    }

    public var steps: String
    public var indexUse: IndexUse
    /// The planner's estimates.
    public var rows: Double
    public var cost: Double

    public init(steps: String, indexUse: IndexUse, rows: Double, cost: Double) {
        self.steps = steps
        self.indexUse = indexUse
        self.rows = rows
        self.cost = cost
    }
}
