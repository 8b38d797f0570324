/// A condition on a row's columns, with SQL's three-valued logic: a comparison with null is unknown, and only rows of
/// which it is true are found. Its depth and size are the protocol's to limit.
public indirect enum Filter: Hashable, Sendable {
    /// At least one operand, as for `or`.
    case and([Filter])
    case or([Filter])
    case not(Filter)
    case compare(column: String, Comparison, Value)
    /// An empty list matches nothing.
    case oneOf(column: String, [Value])
    /// Both ends included.
    case between(column: String, low: Value, high: Value)
    case isNull(column: String)
    case hasPrefix(column: String, String)
    /// The column's array and the list have an element in common.
    case overlaps(column: String, [String])

    public enum Comparison: Hashable, Sendable, CaseIterable {
        case equal
        case notEqual
        case less
        case lessOrEqual
        case greater
        case greaterOrEqual
    }

    public enum Value: Hashable, Sendable {
        case bool(Bool)
        case int(Int64)
        case double(Double)
        case text(String)
        /// In microseconds since 2000-01-01 UTC.
        case timestamp(Int64)
        /// The first and the last eight bytes, big-endian.
        case uuid(high: UInt64, low: UInt64)
        case textArray([String])
    }
}

extension Filter {
    /// About what it takes in memory.
    public var bytes: Int {
        switch self {
        case .and(let operands), .or(let operands): operands.reduce(64) { $0 + $1.bytes }
        case .not(let operand): 64 + operand.bytes
        case .compare(let column, _, let value): 64 + column.utf8.count + value.bytes
        case .oneOf(let column, let values): values.reduce(64 + column.utf8.count) { $0 + $1.bytes }
        case .between(let column, let low, let high): 64 + column.utf8.count + low.bytes + high.bytes
        case .isNull(let column): 64 + column.utf8.count
        case .hasPrefix(let column, let prefix): 64 + column.utf8.count + prefix.utf8.count
        case .overlaps(let column, let texts): texts.reduce(64 + column.utf8.count) { $0 + 16 + $1.utf8.count }
        }
    }
}

extension Filter.Value {
    fileprivate var bytes: Int {
        switch self {
        case .bool, .int, .double, .timestamp, .uuid: 32
        case .text(let text): 32 + text.utf8.count
        case .textArray(let texts): texts.reduce(32) { $0 + 16 + $1.utf8.count }
        }
    }
}

/// What a filterable column holds. The raw values are the configuration's.
public enum FilterColumnType: String, Hashable, Sendable, CaseIterable {
    case bool
    /// Any of PostgreSQL's integer types.
    case int
    case float
    case text
    case timestamp
    case uuid
    case textArray = "text[]"
}
