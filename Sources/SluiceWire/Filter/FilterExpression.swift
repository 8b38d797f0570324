/// A condition on a row's columns, with SQL's three-valued logic: a comparison with null is unknown, and only rows of
/// which it is true are found. Columns are named, values are values: nothing here becomes SQL text.
public indirect enum FilterExpression: Hashable, Sendable {
    /// At least one operand, as for `or`.
    case and([FilterExpression])
    case or([FilterExpression])
    case not(FilterExpression)
    case compare(column: String, FilterComparison, FilterValue)
    /// An empty list matches nothing.
    case oneOf(column: String, [FilterValue])
    /// Both ends included.
    case between(column: String, low: FilterValue, high: FilterValue)
    case isNull(column: String)
    case hasPrefix(column: String, String)
    /// The column's array and the list have an element in common.
    case overlaps(column: String, [String])
}

extension FilterExpression {
    /// A leaf is one level deep.
    public static let maximumDepth = 16
    public static let maximumNodes = 1_024
    /// In one `oneOf`, `overlaps` or text array.
    public static let maximumListValues = 10_000
    public static let maximumEncodedBytes = 65_536
    /// PostgreSQL's own limit of an identifier, in bytes of UTF-8.
    public static let maximumColumnNameBytes = 63
    /// What PostgreSQL's `timestamptz` can hold, in microseconds since 2000-01-01 UTC (MIN_TIMESTAMP and END_TIMESTAMP
    /// in datatype/timestamp.h): the years 4714 BC to 294276.
    public static let timestamps: Range<Int64> = -211_813_488_000_000_000..<9_223_371_331_200_000_000
}

/// What a receiver takes of the filters of a request: the protocol's limits, or narrower ones.
public struct FilterBounds: Hashable, Sendable {
    /// Of an encoded filter, and of all that a request has for its collections.
    public var bytes: Int
    /// What filters have taken of that.
    private var taken = 0
    public var depth: Int
    public var nodes: Int

    public init(
        bytes: Int = FilterExpression.maximumEncodedBytes, depth: Int = FilterExpression.maximumDepth,
        nodes: Int = FilterExpression.maximumNodes
    ) {
        self.bytes = min(bytes, FilterExpression.maximumEncodedBytes)
        self.depth = min(depth, FilterExpression.maximumDepth)
        self.nodes = min(nodes, FilterExpression.maximumNodes)
    }

    /// One more filter.
    mutating func take(_ count: Int) throws(WireError) {
        try WireError.checkFilterSize(count <= bytes, bytes)
        taken += count
        guard taken <= bytes else {
            throw WireError(.invalidArgument, "the filters of a request have more than \(bytes) bytes together")
        }
    }
}

/// How a column is compared with a value. The raw values are the protocol's.
public enum FilterComparison: UInt8, Hashable, Sendable, CaseIterable {
    case equal = 1
    case notEqual = 2
    case less = 3
    case lessOrEqual = 4
    case greater = 5
    case greaterOrEqual = 6
}

/// What a column is compared with.
public enum FilterValue: Hashable, Sendable {
    case bool(Bool)
    case int(Int64)
    /// Finite.
    case double(Double)
    /// Without NUL, like every text here.
    case text(String)
    /// In microseconds since 2000-01-01 UTC, within `FilterExpression.timestamps`.
    case timestamp(Int64)
    /// The first and the last eight bytes, big-endian.
    case uuid(high: UInt64, low: UInt64)
    case textArray([String])
}

/// What a node begins with.
enum FilterNodeKind: UInt8 {
    case and = 1
    case or = 2
    case not = 3
    case compare = 4
    case oneOf = 5
    case between = 6
    case isNull = 7
    case hasPrefix = 8
    case overlaps = 9
}

/// What a value begins with.
enum FilterValueKind: UInt8 {
    case bool = 1
    case int = 2
    case double = 3
    case text = 4
    case timestamp = 5
    case uuid = 6
    case textArray = 7
}

// The rules that hold in both directions.
extension WireError {
    static func filterIsMalformed(_ what: String) -> WireError { WireError(.malformed, "filter: \(what)") }

    private static func filterIsWrong(_ what: String) -> WireError { WireError(.invalidArgument, "filter: \(what)") }

    static func checkFilterDepth(
        _ depth: Int, within most: Int = FilterExpression.maximumDepth
    ) throws(WireError) {
        guard depth <= most else { throw filterIsWrong("it is more than \(most) levels deep") }
    }

    static func checkFilterNodes(
        _ count: Int, within most: Int = FilterExpression.maximumNodes
    ) throws(WireError) {
        guard count <= most else { throw filterIsWrong("it has more than \(most) nodes") }
    }

    static func checkFilterOperands(_ count: Int) throws(WireError) {
        guard count > 0 else { throw filterIsWrong("an \"and\" or \"or\" has no operand; it must have at least one") }
    }

    static func checkFilterList(_ count: Int) throws(WireError) {
        guard count <= FilterExpression.maximumListValues else {
            throw filterIsWrong("a list has \(count) values; at most \(FilterExpression.maximumListValues) may be")
        }
    }

    static func checkFilterColumn(bytes count: Int) throws(WireError) {
        guard (1...FilterExpression.maximumColumnNameBytes).contains(count) else {
            throw filterIsWrong(
                "a column's name has \(count) bytes; it must have 1 to \(FilterExpression.maximumColumnNameBytes)")
        }
    }

    static func checkFilterNumber(_ number: Double) throws(WireError) {
        guard number.isFinite else { throw filterIsWrong("a number is NaN or infinite") }
    }

    static func checkFilterTimestamp(_ microseconds: Int64) throws(WireError) {
        guard FilterExpression.timestamps.contains(microseconds) else {
            throw filterIsWrong("a timestamp is out of range; it must be from 4714 BC to 294276")
        }
    }

    static func checkFilterSize(
        _ isWithin: Bool, _ most: Int = FilterExpression.maximumEncodedBytes
    ) throws(WireError) {
        guard isWithin else { throw filterIsWrong("it has more than \(most) bytes") }
    }
}
