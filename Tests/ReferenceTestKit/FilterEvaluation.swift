public import SluiceClient
public import SluiceWire

/// A filter evaluated on a row in plain Swift, to hold PostgreSQL's answers against: SQL's three-valued logic, in which
/// nil is unknown. Texts are ordered by their bytes, so an order of texts agrees only with the collation "C".
public struct FilterEvaluation: Sendable {
    /// Nil for null. A column that is not there is null.
    private let row: [String: FilterValue?]

    public init(row: [String: FilterValue?]) { self.row = row }

    /// A hit's columns.
    public init(hit columns: [String: Value]) { row = columns.mapValues { FilterValue(cell: $0) } }

    /// Whether a search may find the row.
    public func matches(_ filter: Filter) -> Bool { truth(of: filter.expression) == true }

    /// - Returns: the first places of rows that a search may find.
    public static func places(of filter: Filter, in rows: [FilterEvaluation], most: Int) -> [Int] {
        Array(rows.indices.lazy.filter { rows[$0].matches(filter) }.prefix(most))
    }

    public func truth(of filter: FilterExpression) -> Bool? {
        switch filter {
        case .and(let operands): conjunction(operands.map(truth))
        case .or(let operands): conjunction(operands.map { truth(of: $0).map(!) }).map(!)
        case .not(let operand): truth(of: operand).map(!)
        case .compare(let column, let comparison, let value): cell(column).map { comparison.holds($0, value) }
        case .oneOf(let column, let values): isOne(of: values, column)
        case .between(let column, let low, let high):
            cell(column).map {
                FilterComparison.greaterOrEqual.holds($0, low) && FilterComparison.lessOrEqual.holds($0, high)
            }
        case .isNull(let column): cell(column) == nil
        case .hasPrefix(let column, let prefix): cell(column).map { $0.texts[0].utf8.starts(with: prefix.utf8) }
        case .overlaps(let column, let texts):
            cell(column).map { cell in
                cell.texts.contains { text in texts.contains { $0.utf8.elementsEqual(text.utf8) } }
            }
        }
    }

    private func cell(_ column: String) -> FilterValue? { row[column] ?? nil }

    /// False if one is false, else unknown if one is unknown.
    private func conjunction(_ truths: [Bool?]) -> Bool? {
        if truths.contains(false) { return false }
        return truths.contains(nil) ? nil : true
    }

    private func isOne(of values: [FilterValue], _ column: String) -> Bool? {
        // With nothing to compare, nothing is unknown.
        if values.isEmpty { return false }
        // One float makes the whole list floats.
        let isFloat = values.contains { if case .double = $0 { true } else { false } }
        return cell(column).map { cell in
            values.contains { FilterComparison.equal.holds(cell, isFloat ? $0.asDouble : $0) }
        }
    }
}

extension FilterComparison {
    fileprivate func holds(_ left: FilterValue, _ right: FilterValue) -> Bool {
        let order = left.order(right)
        return switch self {
        case .equal: order == 0
        case .notEqual: order != 0
        case .less: order < 0
        case .lessOrEqual: order <= 0
        case .greater: order > 0
        case .greaterOrEqual: order >= 0
        }
    }
}

extension FilterValue {
    /// A cell as the client decodes it; nil for null. Cells of other types must not be asked for.
    public init?(cell: Value) {
        switch cell {
        case .null: return nil
        case .bool(let flag): self = .bool(flag)
        case .int(let integer): self = .int(integer)
        case .double(let number): self = .double(number)
        case .string(let text): self = .text(text)
        case .bytes(let bytes, let typeOID) where typeOID == 1_184 && bytes.count == 8:
            self = .timestamp(Int64(truncatingIfNeeded: Self.integer(bytes[...])))
        case .bytes(let bytes, let typeOID) where typeOID == 1_009:
            self = .textArray(Self.texts(bytes))
        case .bytes: return nil
        }
    }

    private static func integer(_ bytes: ArraySlice<UInt8>) -> UInt64 { bytes.reduce(0) { $0 << 8 | UInt64($1) } }

    /// Of an array in PostgreSQL's binary form. Null elements are left out: no overlap is theirs.
    private static func texts(_ bytes: [UInt8]) -> [String] {
        var rest = bytes.dropFirst(20)
        var texts: [String] = []
        while rest.count >= 4 {
            let length = Int(Int32(truncatingIfNeeded: integer(rest.prefix(4))))
            rest = rest.dropFirst(4)
            guard length >= 0 else { continue }
            texts.append(String(decoding: rest.prefix(length), as: UTF8.self))
            rest = rest.dropFirst(length)
        }
        return texts
    }

    fileprivate var texts: [String] {
        switch self {
        case .text(let text): [text]
        case .textArray(let texts): texts
        default: [""]
        }
    }

    fileprivate var asDouble: FilterValue {
        if case .int(let integer) = self { .double(Double(integer)) } else { self }
    }

    /// Negative, 0 or positive, as PostgreSQL's btree support functions.
    fileprivate func order(_ other: FilterValue) -> Int {
        switch (self, other) {
        case (.bool(let left), .bool(let right)): Self.order(left ? 1 : 0, right ? 1 : 0)
        case (.int(let left), .int(let right)): Self.order(left, right)
        case (.int(let left), .double(let right)): Self.order(Double(left), right)
        case (.double(let left), .int(let right)): Self.order(left, Double(right))
        // NaN is equal to itself and greater than anything else.
        case (.double(let left), .double(let right)) where left.isNaN || right.isNaN:
            Self.order(left.isNaN ? 1 : 0, right.isNaN ? 1 : 0)
        case (.double(let left), .double(let right)): Self.order(left, right)
        case (.timestamp(let left), .timestamp(let right)): Self.order(left, right)
        case (.uuid(let leftHigh, let leftLow), .uuid(let high, let low)):
            leftHigh == high ? Self.order(leftLow, low) : Self.order(leftHigh, high)
        // The client decodes a uuid as its text, whose order is that of the bytes.
        case (.text(let left), .uuid(let high, let low)):
            Self.order(left, Self.uuidText(high: high, low: low))
        case (.text(let left), .text(let right)): Self.order(left, right)
        case (.textArray(let left), .textArray(let right)):
            left.map { Array($0.utf8) } == right.map { Array($0.utf8) } ? 0 : 1
        default: 1
        }
    }

    private static func order<Part: Comparable>(_ left: Part, _ right: Part) -> Int {
        left < right ? -1 : left == right ? 0 : 1
    }

    private static func order(_ left: String, _ right: String) -> Int {
        left.utf8.lexicographicallyPrecedes(right.utf8) ? -1 : left.utf8.elementsEqual(right.utf8) ? 0 : 1
    }

    private static func uuidText(high: UInt64, low: UInt64) -> String {
        let digits = [high, low].map { word in
            let text = String(word, radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }.joined()
        var rest = digits[...]
        return [8, 4, 4, 4, 12].map { count in
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count)
        }.joined(separator: "-")
    }
}
