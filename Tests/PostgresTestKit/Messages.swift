/// Messages of PostgreSQL's protocol, as a server sends them, well-formed or not.
public struct Message: Sendable {
    public var bytes: [UInt8]

    /// Any bytes.
    public init(raw bytes: [UInt8]) { self.bytes = bytes }

    /// - Parameter length: what it says its length is; nil for the truth.
    public init(_ type: Character, _ body: [UInt8] = [], length: Int32? = nil) {
        bytes = Self.joined(Array(String(type).utf8), Self.int32(length ?? Int32(body.count + 4)), body)
    }

    /// One after another.
    public static func joined(_ parts: [UInt8]...) -> [UInt8] { Array(parts.joined()) }

    public static func int32(_ value: Int32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
    public static func int16(_ value: Int16) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
    public static func int64(_ value: Int64) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }
    public static func float8(_ value: Double) -> [UInt8] { int64(Int64(bitPattern: value.bitPattern)) }
    public static func text(_ text: String) -> [UInt8] { Array(text.utf8) + [0] }

    // MARK: Starting

    public static let authenticationOk = authentication(0)

    public static func authentication(_ code: Int32, _ rest: [UInt8] = []) -> Message {
        Message("R", int32(code) + rest)
    }

    public static func parameter(_ name: String, _ value: String) -> Message {
        Message("S", text(name) + text(value))
    }

    public static let keyData = Message("K", int32(4_711) + int32(815))
    public static let ready = Message("Z", Array("I".utf8))

    // MARK: Answers

    public static let parsed = Message("1")
    public static let bound = Message("2")

    public struct Field: Sendable {
        public var name: String
        public var type: Int32
        /// 1 is binary.
        public var format: Int16

        public init(_ name: String, type: Int32, format: Int16 = 1) {
            self.name = name
            self.type = type
            self.format = format
        }
    }

    public static func description(_ fields: [Field]) -> Message {
        var body = int16(Int16(fields.count))
        for field in fields {
            body += joined(text(field.name), int32(0), int16(0), int32(field.type), int16(-1), int32(-1))
            body += int16(field.format)
        }
        return Message("T", body)
    }

    /// Nil is a null.
    public static func row(_ values: [[UInt8]?]) -> Message {
        var body = int16(Int16(values.count))
        for value in values {
            body += int32(value.map { Int32($0.count) } ?? -1)
            body += value ?? []
        }
        return Message("D", body)
    }

    public static func complete(_ tag: String) -> Message { Message("C", text(tag)) }

    /// - Parameter fields: by their letters, such as `C` for the SQLSTATE.
    public static func error(_ fields: [(Character, String)]) -> Message { Message("E", report(fields)) }

    public static func notice(_ words: String) -> Message {
        Message("N", report([("S", "NOTICE"), ("C", "00000"), ("M", words)]))
    }

    private static func report(_ fields: [(Character, String)]) -> [UInt8] {
        var body: [UInt8] = []
        for (letter, value) in fields { body += joined(Array(String(letter).utf8), text(value)) }
        return body + [0]
    }

    /// `G` is CopyIn, `H` CopyOut, `W` CopyBoth.
    public static func copy(_ type: Character) -> Message { Message(type, joined([1], int16(1), int16(1))) }
}
