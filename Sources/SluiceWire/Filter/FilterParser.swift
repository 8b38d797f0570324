/// Reads a filter's text by recursive descent, with one token of look-ahead.
struct FilterParser {
    private var lexer: FilterLexer
    private var token: FilterToken
    private var nesting = 0
    private var conditions = 0

    /// Parentheses and `not`s in each other: each may be two levels of the filter, and some are superfluous.
    private static let maximumNesting = 32

    init(_ text: String) throws(FilterSyntaxError) {
        lexer = try FilterLexer(text)
        token = try lexer.next()
    }

    mutating func filter() throws(FilterSyntaxError) -> FilterExpression {
        let filter = try disjunction()
        guard token.kind == .end else { throw expected("\"and\", \"or\" or the end") }
        return filter
    }

    // MARK: Structure

    private mutating func disjunction() throws(FilterSyntaxError) -> FilterExpression {
        let start = token
        var operands = [try conjunction()]
        while try take("or") { operands.append(try conjunction()) }
        return try checked(.any(operands), from: start)
    }

    private mutating func conjunction() throws(FilterSyntaxError) -> FilterExpression {
        let start = token
        var operands = [try negation()]
        while try take("and") { operands.append(try negation()) }
        return try checked(.all(operands), from: start)
    }

    private mutating func negation() throws(FilterSyntaxError) -> FilterExpression {
        let start = token
        if try take("not") {
            try enter(start)
            defer { nesting -= 1 }
            return try checked(.not(try negation()), from: start)
        }
        guard try take(.leftParenthesis) else { return try condition() }
        try enter(start)
        defer { nesting -= 1 }
        let inner = try disjunction()
        guard try take(.rightParenthesis) else { throw expected("\"and\", \"or\" or \")\"") }
        return inner
    }

    private mutating func enter(_ start: FilterToken) throws(FilterSyntaxError) {
        nesting += 1
        guard nesting <= Self.maximumNesting else {
            throw expected("at most \(Self.maximumNesting) parentheses and \"not\"s in each other", at: start)
        }
    }

    private func checked(
        _ filter: FilterExpression, from start: FilterToken
    ) throws(FilterSyntaxError) -> FilterExpression {
        guard filter.depth <= FilterExpression.maximumDepth else {
            throw expected("a filter that is at most \(FilterExpression.maximumDepth) levels deep", at: start)
        }
        return filter
    }

    // MARK: Conditions

    private mutating func condition() throws(FilterSyntaxError) -> FilterExpression {
        conditions += 1
        guard conditions <= FilterExpression.maximumNodes else {
            throw expected("at most \(FilterExpression.maximumNodes) conditions")
        }
        let column = try column()
        if let comparison = comparison() {
            try advance()
            return .compare(column: column, comparison, try value())
        }
        if try take("is") { return try nullTest(column) }
        if try take(.overlap) { return .overlaps(column: column, try texts()) }
        if try take("overlaps") { return .overlaps(column: column, try texts()) }
        let isNegated = try take("not")
        let condition = try negatable(column, isNegated: isNegated)
        return isNegated ? .not(condition) : condition
    }

    private mutating func negatable(
        _ column: String, isNegated: Bool
    ) throws(FilterSyntaxError) -> FilterExpression {
        if try take("in") { return .oneOf(column: column, try values()) }
        if try take("like") { return .hasPrefix(column: column, try prefix()) }
        if try take("between") {
            let low = try value()
            guard try take("and") else { throw expected("\"and\" and the upper end of \"between\"") }
            return .between(column: column, low: low, high: try value())
        }
        throw expected(
            isNegated
                ? "\"in\", \"between\" or \"like\"" : "an operator: = != < <= > >= in, between, is, like, && or not")
    }

    private mutating func nullTest(_ column: String) throws(FilterSyntaxError) -> FilterExpression {
        let isNegated = try take("not")
        guard try take("null") else { throw expected(isNegated ? "\"null\"" : "\"null\" or \"not null\"") }
        return isNegated ? .not(.isNull(column: column)) : .isNull(column: column)
    }

    private func comparison() -> FilterComparison? {
        guard case .symbol(let symbol) = token.kind else { return nil }
        switch symbol {
        case .equal: return .equal
        case .notEqual, .lessOrGreater: return .notEqual
        case .less: return .less
        case .lessOrEqual: return .lessOrEqual
        case .greater: return .greater
        case .greaterOrEqual: return .greaterOrEqual
        default: return nil
        }
    }

    private mutating func column() throws(FilterSyntaxError) -> String {
        let name: String
        switch token.kind {
        case .word(let word) where !FilterText.isReserved(word): name = word
        case .quotedName(let quoted): name = quoted
        default: throw expected("a column's name, \"not\" or \"(\"")
        }
        let limit = FilterExpression.maximumColumnNameBytes
        guard (1...limit).contains(name.utf8.count) else { throw expected("a column's name of 1 to \(limit) bytes") }
        try advance()
        return name
    }

    /// The text before the one unescaped % at the end of a pattern.
    private mutating func prefix() throws(FilterSyntaxError) -> String {
        guard case .text(let pattern) = token.kind else { throw expected("a pattern such as 'abc%'") }
        guard let prefix = FilterText.prefix(ofPattern: pattern) else {
            throw expected("a pattern with one % at its end, such as 'abc%'; \\% and \\_ are the characters themselves")
        }
        try advance()
        return prefix
    }

    // MARK: Values

    private mutating func value() throws(FilterSyntaxError) -> FilterValue {
        switch token.kind {
        case .text(let text): return try taken(.text(text))
        case .integer(let integer): return try taken(.int(integer))
        case .double(let number): return try taken(.double(number))
        default: break
        }
        if try take("true") { return .bool(true) }
        if try take("false") { return .bool(false) }
        if try take("timestamp") { return try timestamp() }
        if try take("uuid") { return try uuid() }
        if try take("array") { return .textArray(try texts(.leftBracket, .rightBracket)) }
        if token.isWord("null") { throw expected("a value (null is asked for with \"is null\")") }
        throw expected("a value: 'text', a number, true, false, timestamp '…', uuid '…' or array['…']")
    }

    private mutating func timestamp() throws(FilterSyntaxError) -> FilterValue {
        switch token.kind {
        case .text(let text):
            guard let microseconds = TimestampText.microseconds(text) else { break }
            return try taken(.timestamp(microseconds))
        case .integer(let microseconds) where FilterExpression.timestamps.contains(microseconds):
            return try taken(.timestamp(microseconds))
        default: break
        }
        throw expected("\(FilterSyntaxError.timestamp) in single quotes, or microseconds since 2000")
    }

    private mutating func uuid() throws(FilterSyntaxError) -> FilterValue {
        guard case .text(let text) = token.kind, let (high, low) = UUIDText.parse(text) else {
            throw expected("\(FilterSyntaxError.uuid) in single quotes")
        }
        return try taken(.uuid(high: high, low: low))
    }

    private mutating func values() throws(FilterSyntaxError) -> [FilterValue] {
        var values: [FilterValue] = []
        try list(.leftParenthesis, .rightParenthesis) { parser throws(FilterSyntaxError) in
            values.append(try parser.value())
        }
        return values
    }

    private mutating func texts(
        _ opening: FilterToken.Symbol = .leftParenthesis, _ closing: FilterToken.Symbol = .rightParenthesis
    ) throws(FilterSyntaxError) -> [String] {
        var texts: [String] = []
        try list(opening, closing) { parser throws(FilterSyntaxError) in
            guard case .text(let text) = parser.token.kind else { throw parser.expected("a text in single quotes") }
            texts.append(text)
            try parser.advance()
        }
        return texts
    }

    private mutating func list(
        _ opening: FilterToken.Symbol, _ closing: FilterToken.Symbol,
        element: (inout FilterParser) throws(FilterSyntaxError) -> Void
    ) throws(FilterSyntaxError) {
        guard try take(opening) else { throw expected("\"\(opening.rawValue)\" and a list") }
        if try take(closing) { return }
        var count = 0
        repeat {
            count += 1
            guard count <= FilterExpression.maximumListValues else {
                throw expected("at most \(FilterExpression.maximumListValues) values in a list")
            }
            try element(&self)
        } while try take(.comma)
        guard try take(closing) else { throw expected("\",\" or \"\(closing.rawValue)\"") }
    }

    // MARK: Tokens

    private mutating func advance() throws(FilterSyntaxError) { token = try lexer.next() }

    private mutating func taken(_ value: FilterValue) throws(FilterSyntaxError) -> FilterValue {
        try advance()
        return value
    }

    private mutating func take(_ keyword: String) throws(FilterSyntaxError) -> Bool {
        guard token.isWord(keyword) else { return false }
        try advance()
        return true
    }

    private mutating func take(_ symbol: FilterToken.Symbol) throws(FilterSyntaxError) -> Bool {
        guard token.kind == .symbol(symbol) else { return false }
        try advance()
        return true
    }

    private func expected(_ what: String) -> FilterSyntaxError { expected(what, at: token) }

    private func expected(_ what: String, at token: FilterToken) -> FilterSyntaxError {
        FilterSyntaxError(in: lexer.bytes, at: token.range, expected: what)
    }
}

extension FilterExpression {
    /// A leaf's is 1.
    fileprivate var depth: Int {
        switch self {
        case .and(let operands), .or(let operands): 1 + (operands.map(\.depth).max() ?? 0)
        case .not(let operand): 1 + operand.depth
        default: 1
        }
    }
}
