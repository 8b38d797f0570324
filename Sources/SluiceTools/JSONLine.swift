import Foundation

/// A JSON object on a line (RFC 8259). An array of numbers becomes floats at once, which is what embeddings are.
struct JSONLine {
    struct Member {
        let name: String
        let value: FieldValue
    }

    struct Problem: Error { let description: String }

    private static let maximumDepth = 64

    private let bytes: [UInt8]
    private var place = 0

    /// In their order; a name that comes again is a problem.
    static func members(_ bytes: [UInt8]) throws(Problem) -> [Member] {
        // strtod looks for an end of its own.
        var line = JSONLine(bytes: bytes + [0])
        let members = try line.object()
        line.skipSpace()
        guard line.place == bytes.count else { throw line.wrong("text follows the object") }
        guard Set(members.map(\.name)).count == members.count else { throw line.wrong("a key is there twice") }
        return members
    }

    /// An array of numbers in a text.
    static func numbers(_ text: String) throws(Problem) -> [Float] {
        var line = JSONLine(bytes: Array(text.utf8) + [0])
        line.skipSpace()
        guard line.bytes[line.place] == UInt8(ascii: "["), case .numbers(let numbers) = try line.array(depth: 1) else {
            throw Problem(description: "a vector is written like [0.1, 0.2, 0.3]")
        }
        line.skipSpace()
        guard line.place == line.bytes.count - 1 else { throw line.wrong("text follows the vector") }
        return numbers
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private func wrong(_ what: String) -> Problem { Problem(description: "JSON: \(what), at byte \(place + 1)") }

    private mutating func skipSpace() {
        while [0x20, 0x09, 0x0A, 0x0D].contains(bytes[place]) { place += 1 }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard bytes[place] == UInt8(ascii: character) else { return false }
        place += 1
        return true
    }

    private mutating func object() throws(Problem) -> [Member] {
        var members: [Member] = []
        guard take("{") else { throw wrong("each line has an object") }
        if take("}") { return members }
        repeat {
            skipSpace()
            let name = try string()
            guard take(":") else { throw wrong("a colon is missing") }
            members.append(Member(name: name, value: try value(depth: 1)))
        } while take(",")
        guard take("}") else { throw wrong("a comma or a brace is missing") }
        return members
    }

    private mutating func value(depth: Int) throws(Problem) -> FieldValue {
        guard depth <= Self.maximumDepth else { throw wrong("it is nested too deeply") }
        skipSpace()
        switch bytes[place] {
        case Ascii.quote: return .text(try string())
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "{"):
            let start = place
            try skipObject(depth: depth)
            return .text(String(decoding: bytes[start..<place], as: UTF8.self))
        case UInt8(ascii: "t"): return .bool(try word("true", true))
        case UInt8(ascii: "f"): return .bool(try word("false", false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default:
            let (number, integer) = try number()
            return integer.map { .int($0) } ?? .double(number)
        }
    }

    private mutating func word<Value>(_ word: String, _ value: Value) throws(Problem) -> Value {
        guard bytes[place...].starts(with: word.utf8) else { throw wrong("no value") }
        place += word.utf8.count
        return value
    }

    private mutating func skipObject(depth: Int) throws(Problem) {
        guard take("{") else { throw wrong("no value") }
        if take("}") { return }
        repeat {
            skipSpace()
            _ = try string()
            guard take(":") else { throw wrong("a colon is missing") }
            _ = try value(depth: depth + 1)
        } while take(",")
        guard take("}") else { throw wrong("a comma or a brace is missing") }
    }

    private mutating func array(depth: Int) throws(Problem) -> FieldValue {
        let start = place
        place += 1
        if take("]") { return .texts([]) }
        var (numbers, texts, isMixed): ([Float], [String], Bool) = ([], [], false)
        repeat {
            skipSpace()
            let byte = bytes[place]
            if byte == Ascii.quote {
                texts.append(try string())
            } else if byte == UInt8(ascii: "-") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
                numbers.append(Float(try number().number))
            } else {
                _ = try value(depth: depth + 1)
                isMixed = true
            }
        } while take(",")
        guard take("]") else { throw wrong("a comma or a bracket is missing") }
        if !isMixed, texts.isEmpty { return .numbers(numbers) }
        if !isMixed, numbers.isEmpty { return .texts(texts) }
        return .text(String(decoding: bytes[start..<place], as: UTF8.self))
    }

    private mutating func number() throws(Problem) -> (number: Double, integer: Int64?) {
        let start = place
        var isInteger = true
        scan: while true {
            switch bytes[place] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): break
            case UInt8(ascii: "+"), UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"): isInteger = false
            default: break scan
            }
            place += 1
        }
        guard place > start else { throw wrong("no value") }
        let (value, length) = bytes.withUnsafeBufferPointer { buffer -> (Double, Int) in
            guard let base = buffer.baseAddress else { return (0, 0) }
            let first = UnsafeRawPointer(base + start).assumingMemoryBound(to: CChar.self)
            var end: UnsafeMutablePointer<CChar>?
            let value = strtod(first, &end)
            return (value, end.map { UnsafePointer($0) - first } ?? 0)
        }
        guard length == place - start else { throw wrong("no number") }
        let integer = isInteger ? Int64(String(decoding: bytes[start..<place], as: UTF8.self)) : nil
        return (value, integer)
    }

    // MARK: Strings

    private mutating func string() throws(Problem) -> String {
        guard bytes[place] == Ascii.quote else { throw wrong("a quote is missing") }
        place += 1
        let start = place
        while bytes[place] != Ascii.quote, bytes[place] != Ascii.backslash {
            guard bytes[place] >= 0x20 else { throw wrong("a control character, or no end, in a text") }
            place += 1
        }
        var content = Array(bytes[start..<place])
        while bytes[place] != Ascii.quote {
            if bytes[place] == Ascii.backslash {
                try escaped(&content)
            } else {
                guard bytes[place] >= 0x20 else { throw wrong("a control character, or no end, in a text") }
                content.append(bytes[place])
                place += 1
            }
        }
        place += 1
        guard let text = String(validating: content, as: UTF8.self) else { throw wrong("a text is not UTF-8") }
        return text
    }

    private mutating func escaped(_ content: inout [UInt8]) throws(Problem) {
        let names: [UInt8: UInt8] = [
            Ascii.quote: Ascii.quote, Ascii.backslash: Ascii.backslash, UInt8(ascii: "/"): UInt8(ascii: "/"),
            UInt8(ascii: "b"): 0x08, UInt8(ascii: "f"): 0x0C, UInt8(ascii: "n"): 0x0A, UInt8(ascii: "r"): 0x0D,
            UInt8(ascii: "t"): 0x09,
        ]
        let letter = bytes[place + 1]
        place += 2
        if let byte = names[letter] { return content.append(byte) }
        guard letter == UInt8(ascii: "u") else { throw wrong("an unknown escape") }
        var code = try unit()
        if (0xD800..<0xDC00).contains(code) {
            guard bytes[place] == Ascii.backslash, bytes[place + 1] == UInt8(ascii: "u") else {
                throw wrong("half a character")
            }
            place += 2
            let low = try unit()
            guard (0xDC00..<0xE000).contains(low) else { throw wrong("half a character") }
            code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = Unicode.Scalar(code) else { throw wrong("half a character") }
        content += Array(String(Character(scalar)).utf8)
    }

    /// Four hexadecimal digits.
    private mutating func unit() throws(Problem) -> UInt32 {
        var unit: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(bytes[place])).hexDigitValue else { throw wrong("no digit") }
            unit = unit << 4 | UInt32(digit)
            place += 1
        }
        return unit
    }
}

extension VectorText {
    /// An array of numbers as JSON has it, quickly.
    public static func parseArray(_ text: String) throws(Problem) -> [Float] {
        do throws(JSONLine.Problem) { return try JSONLine.numbers(text) } catch {
            throw Problem(description: error.description)
        }
    }
}
