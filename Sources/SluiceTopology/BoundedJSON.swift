/// A JSON text that somebody else has made, read without believing anything of it: bounded in depth and in how many
/// values it has; a value that is not what it should be is missing rather than an error.
package indirect enum JSONValue: Hashable, Sendable {
    case null
    case flag(Bool)
    /// As it is written.
    case number(String)
    case text(String)
    case list([JSONValue])
    case table([String: JSONValue])

    package subscript(_ key: String) -> JSONValue? { if case .table(let table) = self { table[key] } else { nil } }

    package var text: String? { if case .text(let text) = self { text } else { nil } }
    package var flag: Bool? { if case .flag(let flag) = self { flag } else { nil } }
    package var list: [JSONValue]? { if case .list(let list) = self { list } else { nil } }

    /// A whole number, also one that is written as a text, as 64-bit numbers are in protobuf's JSON.
    package func integer<Number: FixedWidthInteger>(_: Number.Type = Number.self) -> Number? {
        switch self {
        case .number(let text), .text(let text): Number(text)
        default: nil
        }
    }
}

/// Why a text of a source's cannot be used.
package struct UnreadableAnswer: Error, Hashable, Sendable, CustomStringConvertible {
    package enum Kind: Hashable, Sendable {
        case unreachable
        case late
        /// Of HTTP, and not 200.
        case status(Int)
        case unusable
    }

    package var description: String
    package var kind: Kind

    package init(_ description: String, _ kind: Kind = .unusable) {
        self.description = description
        self.kind = kind
    }
}

/// A small reader of JSON (RFC 8259). A key that is there twice has its last value.
package struct JSONReader {
    private static let deepest = 32
    private static let mostValues = 50_000

    private let bytes: [UInt8]
    private var position = 0
    private var values = 0

    /// - Throws: what is wrong, without quoting the text.
    package static func read(_ bytes: [UInt8]) throws(UnreadableAnswer) -> JSONValue {
        var reader = JSONReader(bytes: bytes)
        let value = try reader.value(depth: 0)
        reader.skipSpace()
        guard reader.position == bytes.count else { throw reader.wrong("something follows the value") }
        return value
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private func wrong(_ what: String) -> UnreadableAnswer { UnreadableAnswer("not JSON at byte \(position): \(what)") }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        guard next == byte else { return false }
        position += 1
        return true
    }

    private mutating func value(depth: Int) throws(UnreadableAnswer) -> JSONValue {
        guard depth < Self.deepest else { throw wrong("too deep") }
        values += 1
        guard values <= Self.mostValues else { throw wrong("too many values") }
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try table(depth)
        case UInt8(ascii: "["): return try list(depth)
        case UInt8(ascii: "\""): return .text(try text())
        case UInt8(ascii: "t"): return try word("true", .flag(true))
        case UInt8(ascii: "f"): return try word("false", .flag(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case let byte? where "-0123456789".utf8.contains(byte): return number()
        case nil: throw wrong("it ends too soon")
        default: throw wrong("no value")
        }
    }

    private mutating func word(_ word: String, _ value: JSONValue) throws(UnreadableAnswer) -> JSONValue {
        for byte in word.utf8 { guard take(byte) else { throw wrong("no value") } }
        return value
    }

    /// Whatever looks like one: whoever needs a number finds out whether it is.
    private mutating func number() -> JSONValue {
        let start = position
        while let byte = next, "+-.eE0123456789".utf8.contains(byte) { position += 1 }
        return .number(String(decoding: bytes[start..<position], as: UTF8.self))
    }

    private mutating func table(_ depth: Int) throws(UnreadableAnswer) -> JSONValue {
        position += 1
        var table: [String: JSONValue] = [:]
        skipSpace()
        if take(UInt8(ascii: "}")) { return .table(table) }
        while true {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw wrong("no key") }
            let key = try text()
            skipSpace()
            guard take(UInt8(ascii: ":")) else { throw wrong("no colon") }
            table[key] = try value(depth: depth + 1)
            skipSpace()
            if take(UInt8(ascii: "}")) { return .table(table) }
            guard take(UInt8(ascii: ",")) else { throw wrong("no comma") }
        }
    }

    private mutating func list(_ depth: Int) throws(UnreadableAnswer) -> JSONValue {
        position += 1
        var list: [JSONValue] = []
        skipSpace()
        if take(UInt8(ascii: "]")) { return .list(list) }
        while true {
            list.append(try value(depth: depth + 1))
            skipSpace()
            if take(UInt8(ascii: "]")) { return .list(list) }
            guard take(UInt8(ascii: ",")) else { throw wrong("no comma") }
        }
    }

    private mutating func text() throws(UnreadableAnswer) -> String {
        position += 1
        var units: [UInt8] = []
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(validating: units, as: UTF8.self) else { throw wrong("not UTF-8") }
                return text
            case UInt8(ascii: "\\"): try escape(&units)
            case 0..<0x20: throw wrong("a control character in a text")
            default: units.append(byte)
            }
        }
        throw wrong("a text does not end")
    }

    private mutating func escape(_ units: inout [UInt8]) throws(UnreadableAnswer) {
        guard let byte = next else { throw wrong("a text does not end") }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): units.append(byte)
        case UInt8(ascii: "b"): units.append(0x08)
        case UInt8(ascii: "f"): units.append(0x0C)
        case UInt8(ascii: "n"): units.append(0x0A)
        case UInt8(ascii: "r"): units.append(0x0D)
        case UInt8(ascii: "t"): units.append(0x09)
        case UInt8(ascii: "u"): units += try scalar().utf8
        default: throw wrong("an unknown escape")
        }
    }

    /// One that half of a pair stands for, or a whole pair.
    private mutating func scalar() throws(UnreadableAnswer) -> String {
        let unit = try unit()
        guard (0xD800..<0xDC00).contains(unit) else {
            guard let scalar = Unicode.Scalar(unit) else { throw wrong("half of a surrogate pair") }
            return String(Character(scalar))
        }
        guard take(UInt8(ascii: "\\")), take(UInt8(ascii: "u")) else { throw wrong("half of a surrogate pair") }
        let low = try self.unit()
        guard (0xDC00..<0xE000).contains(low),
            let scalar = Unicode.Scalar(0x10000 + (UInt32(unit - 0xD800) << 10) + UInt32(low - 0xDC00))
        else { throw wrong("half of a surrogate pair") }
        return String(Character(scalar))
    }

    private mutating func unit() throws(UnreadableAnswer) -> UInt16 {
        guard bytes.count - position >= 4 else { throw wrong("a text does not end") }
        var value: UInt16 = 0
        for _ in 0..<4 {
            let digit: UInt8
            switch bytes[position] {
            case let byte where (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte): digit = byte - UInt8(ascii: "0")
            case let byte where (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte):
                digit = byte - UInt8(ascii: "a") + 10
            case let byte where (UInt8(ascii: "A")...UInt8(ascii: "F")).contains(byte):
                digit = byte - UInt8(ascii: "A") + 10
            default: throw wrong("no hexadecimal digit")
            }
            value = value << 4 | UInt16(digit)
            position += 1
        }
        return value
    }
}
