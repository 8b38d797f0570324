extension FilterExpression {
    /// Reads the text form, which docs/searching.md describes; `text` writes it.
    public init(parsing text: String) throws(FilterSyntaxError) {
        var parser = try FilterParser(text)
        self = try parser.filter()
    }

    /// The text form; `init(parsing:)` makes the same filter of it.
    public var text: String { FilterText.text(of: self, binding: .or) }

    /// All of them. Operands that are `and`s themselves are taken apart, so that a chain is one level deep.
    package static func all(_ operands: [FilterExpression]) -> FilterExpression {
        let flat = operands.flatMap { operand in
            if case .and(let inner) = operand { inner } else { [operand] }
        }
        return flat.count == 1 ? flat[0] : .and(flat)
    }

    /// Any of them, in the same way.
    package static func any(_ operands: [FilterExpression]) -> FilterExpression {
        let flat = operands.flatMap { operand in
            if case .or(let inner) = operand { inner } else { [operand] }
        }
        return flat.count == 1 ? flat[0] : .or(flat)
    }
}

/// How a filter is written.
enum FilterText {
    /// How tightly an expression binds; a looser one inside a tighter one needs parentheses.
    enum Binding: Int {
        case or
        case and
        case not
    }

    private static let reserved: Set<String> = [
        "and", "or", "not", "in", "between", "is", "null", "like", "true", "false",
    ]

    static func isReserved(_ word: String) -> Bool { word.utf8.count <= 7 && reserved.contains(word.lowercased()) }

    static func text(of filter: FilterExpression, binding: Binding) -> String {
        switch filter {
        case .or(let operands):
            let text = operands.map { self.text(of: $0, binding: .and) }.joined(separator: " or ")
            return binding == .or ? text : "(\(text))"
        case .and(let operands):
            let text = operands.map { self.text(of: $0, binding: .not) }.joined(separator: " and ")
            return binding == .not ? "(\(text))" : text
        case .not(let operand):
            return condition(operand, isNegated: true) ?? "not \(text(of: operand, binding: .not))"
        case .compare(let column, let comparison, let value):
            return "\(name(column)) \(symbol(comparison)) \(text(of: value))"
        case .overlaps(let column, let texts):
            return "\(name(column)) && (\(texts.map(quoted).joined(separator: ", ")))"
        case .oneOf, .between, .isNull, .hasPrefix:
            return condition(filter, isNegated: false) ?? ""
        }
    }

    /// Of the conditions that have a negated form of their own; nil for others.
    private static func condition(_ filter: FilterExpression, isNegated: Bool) -> String? {
        let not = isNegated ? "not " : ""
        switch filter {
        case .oneOf(let column, let values):
            return "\(name(column)) \(not)in (\(values.map { text(of: $0) }.joined(separator: ", ")))"
        case .between(let column, let low, let high):
            return "\(name(column)) \(not)between \(text(of: low)) and \(text(of: high))"
        case .isNull(let column):
            return "\(name(column)) is \(not)null"
        case .hasPrefix(let column, let prefix):
            return "\(name(column)) \(not)like \(quoted(pattern(ofPrefix: prefix)))"
        case .and, .or, .not, .compare, .overlaps:
            return nil
        }
    }

    private static func symbol(_ comparison: FilterComparison) -> String {
        switch comparison {
        case .equal: "="
        case .notEqual: "!="
        case .less: "<"
        case .lessOrEqual: "<="
        case .greater: ">"
        case .greaterOrEqual: ">="
        }
    }

    private static func name(_ column: String) -> String {
        let isBare =
            column.utf8.first.map(FilterLexer.isNameStart) ?? false
            && column.utf8.allSatisfy { FilterLexer.isNameStart($0) || FilterLexer.isDigit($0) }
        return isBare && !isReserved(column) ? column : wrapped(column, in: "\"")
    }

    private static func text(of value: FilterValue) -> String {
        switch value {
        case .bool(let flag): flag ? "true" : "false"
        case .int(let integer): String(integer)
        case .double(let number): String(number)
        case .text(let text): quoted(text)
        case .timestamp(let microseconds):
            "timestamp " + (TimestampText.format(microseconds).map(quoted) ?? String(microseconds))
        case .uuid(let high, let low): "uuid " + quoted(UUIDText.format(high: high, low: low))
        case .textArray(let texts): "array[\(texts.map(quoted).joined(separator: ", "))]"
        }
    }

    private static func quoted(_ text: String) -> String { wrapped(text, in: "'") }

    private static func wrapped(_ text: String, in quote: Unicode.Scalar) -> String {
        var wrapped = String.UnicodeScalarView([quote])
        for scalar in text.unicodeScalars {
            if scalar == quote { wrapped.append(quote) }
            wrapped.append(scalar)
        }
        wrapped.append(quote)
        return String(wrapped)
    }

    // MARK: Patterns

    private static let patternCharacters: Set<Unicode.Scalar> = ["\\", "%", "_"]

    /// Nil for a pattern that is more than a prefix and one % at the end.
    static func prefix(ofPattern pattern: String) -> String? {
        var prefix = String.UnicodeScalarView()
        var rest = pattern.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            switch scalar {
            case "%": return rest.isEmpty ? String(prefix) : nil
            case "_": return nil
            case "\\":
                guard let escaped = rest.popFirst(), patternCharacters.contains(escaped) else { return nil }
                prefix.append(escaped)
            default: prefix.append(scalar)
            }
        }
        return nil
    }

    private static func pattern(ofPrefix prefix: String) -> String {
        var pattern = String.UnicodeScalarView()
        for scalar in prefix.unicodeScalars {
            if patternCharacters.contains(scalar) { pattern.append("\\") }
            pattern.append(scalar)
        }
        pattern.append("%")
        return String(pattern)
    }
}
