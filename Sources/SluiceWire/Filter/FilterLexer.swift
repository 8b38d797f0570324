/// A word of a filter's text, and where it is, in bytes.
struct FilterToken {
    enum Kind: Hashable {
        /// A keyword or a bare name.
        case word(String)
        case quotedName(String)
        case text(String)
        case integer(Int64)
        case double(Double)
        case symbol(Symbol)
        case end
    }

    enum Symbol: String, CaseIterable {
        case leftParenthesis = "("
        case rightParenthesis = ")"
        case leftBracket = "["
        case rightBracket = "]"
        case comma = ","
        case equal = "="
        case notEqual = "!="
        case lessOrGreater = "<>"
        case lessOrEqual = "<="
        case less = "<"
        case greaterOrEqual = ">="
        case greater = ">"
        case overlap = "&&"
    }

    let kind: Kind
    let range: Range<Int>

    /// True for the keyword in any case; a quoted name is none.
    func isWord(_ keyword: String) -> Bool {
        guard case .word(let word) = kind, word.utf8.count == keyword.utf8.count else { return false }
        return word.lowercased() == keyword
    }
}

/// Cuts a filter's text into tokens, one at a time.
struct FilterLexer {
    let bytes: [UInt8]
    private var place = 0

    /// In bytes. More than the limit of the encoded filter needs, and little enough to read in an instant.
    static let maximumLength = 1_048_576

    init(_ text: String) throws(FilterSyntaxError) {
        bytes = Array(text.utf8.prefix(Self.maximumLength + 1))
        guard bytes.count <= Self.maximumLength else {
            throw FilterSyntaxError(
                in: bytes, at: Self.maximumLength, expected: "the end, after at most \(Self.maximumLength) bytes")
        }
    }

    mutating func next() throws(FilterSyntaxError) -> FilterToken {
        while place < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[place]) { place += 1 }
        guard place < bytes.count else { return FilterToken(kind: .end, range: bytes.count..<bytes.count) }
        switch bytes[place] {
        case UInt8(ascii: "'"):
            return try quoted { .text($0) }
        case UInt8(ascii: "\""):
            return try quoted { .quotedName($0) }
        case let byte where Self.isNameStart(byte):
            let end = end { Self.isNameStart($0) || Self.isDigit($0) }
            return token(.word(String(decoding: bytes[place..<end], as: UTF8.self)), to: end)
        case let byte where Self.isDigit(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "."):
            return try number()
        default:
            return try symbol()
        }
    }

    private mutating func token(_ kind: FilterToken.Kind, to end: Int) -> FilterToken {
        defer { place = end }
        return FilterToken(kind: kind, range: place..<end)
    }

    /// The first byte from here on for which it is false.
    private func end(while isPart: (UInt8) -> Bool) -> Int {
        bytes[place...].firstIndex { !isPart($0) } ?? bytes.count
    }

    static func isNameStart(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "_") || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }

    static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    // MARK: Kinds

    /// From a quote to the next one that is not doubled.
    private mutating func quoted(_ kind: (String) -> FilterToken.Kind) throws(FilterSyntaxError) -> FilterToken {
        let quote = bytes[place]
        var content: [UInt8] = []
        var index = place + 1
        while index < bytes.count {
            if bytes[index] == quote {
                guard index + 1 < bytes.count, bytes[index + 1] == quote else {
                    return token(kind(String(decoding: content, as: UTF8.self)), to: index + 1)
                }
                index += 1
            }
            guard bytes[index] != 0 else {
                throw FilterSyntaxError(in: bytes, at: index..<index + 1, expected: "a text without NUL")
            }
            content.append(bytes[index])
            index += 1
        }
        throw FilterSyntaxError(
            in: bytes, at: place, expected: "a closing \(Character(Unicode.Scalar(quote))) for the one here")
    }

    private mutating func number() throws(FilterSyntaxError) -> FilterToken {
        var end = place + 1
        while end < bytes.count {
            let isSign = bytes[end] == UInt8(ascii: "+") || bytes[end] == UInt8(ascii: "-")
            let isPart = Self.isDigit(bytes[end]) || Self.isNameStart(bytes[end]) || bytes[end] == UInt8(ascii: ".")
            guard isPart || isSign && bytes[end - 1] | 0x20 == UInt8(ascii: "e") else { break }
            end += 1
        }
        let word = String(decoding: bytes[place..<end], as: UTF8.self)
        // `Double` alone would take "0x1p3" and "nan" too.
        guard word.utf8.allSatisfy({ Self.isDigit($0) || "+-.eE".utf8.contains($0) }), let number = Double(word) else {
            throw FilterSyntaxError(in: bytes, at: place..<end, expected: "a number")
        }
        guard number.isFinite else {
            throw FilterSyntaxError(in: bytes, at: place..<end, expected: "a number that a float of 64 bits holds")
        }
        if word.utf8.contains(where: { ".eE".utf8.contains($0) }) { return token(.double(number), to: end) }
        guard let integer = Int64(word) else {
            throw FilterSyntaxError(in: bytes, at: place..<end, expected: "a number that an integer of 64 bits holds")
        }
        return token(.integer(integer), to: end)
    }

    private mutating func symbol() throws(FilterSyntaxError) -> FilterToken {
        // The longer ones come before those that they begin with.
        for symbol in FilterToken.Symbol.allCases where bytes[place...].starts(with: symbol.rawValue.utf8) {
            return token(.symbol(symbol), to: place + symbol.rawValue.utf8.count)
        }
        let character = String(decoding: bytes[place...].prefix(32), as: UTF8.self).prefix(1)
        let end = min(bytes.count, place + max(1, character.utf8.count))
        throw FilterSyntaxError(
            in: bytes, at: place..<end,
            expected: "a name, a value or an operator (names with other characters are written \"in quotes\")")
    }
}
