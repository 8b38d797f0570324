internal import SluiceCore
internal import SluiceWire

extension Filter {
    /// A decoded filter: the protocol's limits hold already.
    init(_ filter: FilterExpression) {
        switch filter {
        case .and(let operands): self = .and(operands.map(Filter.init))
        case .or(let operands): self = .or(operands.map(Filter.init))
        case .not(let operand): self = .not(Filter(operand))
        case .compare(let column, let comparison, let value):
            self = .compare(column: column, Comparison(comparison), Value(value))
        case .oneOf(let column, let values): self = .oneOf(column: column, values.map(Value.init))
        case .between(let column, let low, let high):
            self = .between(column: column, low: Value(low), high: Value(high))
        case .isNull(let column): self = .isNull(column: column)
        case .hasPrefix(let column, let prefix): self = .hasPrefix(column: column, prefix)
        case .overlaps(let column, let texts): self = .overlaps(column: column, texts)
        }
    }
}

extension Filter.Comparison {
    init(_ comparison: FilterComparison) {
        switch comparison {
        case .equal: self = .equal
        case .notEqual: self = .notEqual
        case .less: self = .less
        case .lessOrEqual: self = .lessOrEqual
        case .greater: self = .greater
        case .greaterOrEqual: self = .greaterOrEqual
        }
    }
}

extension Filter.Value {
    init(_ value: FilterValue) {
        switch value {
        case .bool(let flag): self = .bool(flag)
        case .int(let integer): self = .int(integer)
        case .double(let number): self = .double(number)
        case .text(let text): self = .text(text)
        case .timestamp(let microseconds): self = .timestamp(microseconds)
        case .uuid(let high, let low): self = .uuid(high: high, low: low)
        case .textArray(let texts): self = .textArray(texts)
        }
    }
}
