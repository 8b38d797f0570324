internal import NIOCore

/// A set of field tags below 64, without memory of its own.
struct Tags: ExpressibleByArrayLiteral {
    private(set) var bits: UInt64

    init(arrayLiteral tags: UInt16...) { bits = tags.reduce(0) { $0 | Self.bit($1) } }

    private static func bit(_ tag: UInt16) -> UInt64 { tag < 64 ? 1 << UInt64(tag) : 0 }

    func contains(_ tag: UInt16) -> Bool { bits & Self.bit(tag) != 0 }

    mutating func insert(_ tag: UInt16) { bits |= Self.bit(tag) }
}

/// A payload's fields: tag, length, value. Tags that a message does not know are skipped however often they come, so
/// that a later minor version may add fields, repeatable ones too.
struct FieldReader {
    struct Field {
        let tag: UInt16
        var value: ByteBuffer
    }

    private var rest: ByteBuffer
    private let message: String
    private let once: Tags
    private var left: Int
    private var seen: Tags = []

    /// What a request may have: more than all that is known together. Fields that are skipped cost time, too.
    static let requestFields = 4_096

    /// - Parameters:
    ///   - message: what is read, for errors.
    ///   - once: the tags that may come only once.
    ///   - most: how many fields there may be.
    init(_ buffer: ByteBuffer, of message: String, once: Tags, most: Int = .max) {
        rest = buffer
        self.message = message
        self.once = once
        left = most
    }

    mutating func next() throws(WireError) -> Field? {
        guard rest.readableBytes > 0 else { return nil }
        left -= 1
        guard left >= 0 else { throw WireError(.malformed, "\(message): too many fields") }
        guard let (tag, length) = rest.readMultipleIntegers(as: (UInt16, UInt32).self),
            Int(length) <= rest.readableBytes, let value = rest.readSlice(length: Int(length))
        else { throw WireError(.malformed, "\(message): a field is longer than the message") }
        if once.contains(tag) {
            guard !seen.contains(tag) else { throw WireError(.malformed, "\(message): field \(tag) is there twice") }
            seen.insert(tag)
        }
        return Field(tag: tag, value: value)
    }
}

extension FieldReader.Field {
    private func wrong(_ message: String, _ expected: String) -> WireError {
        WireError(.malformed, "\(message): field \(tag) must be \(expected)")
    }

    func integer<Integer: FixedWidthInteger>(as: Integer.Type, _ message: String) throws(WireError) -> Integer {
        guard value.readableBytes == MemoryLayout<Integer>.size,
            let integer = value.getInteger(at: value.readerIndex, as: Integer.self)
        else { throw wrong(message, "an integer of \(MemoryLayout<Integer>.size) bytes") }
        return integer
    }

    func flag(_ message: String) throws(WireError) -> Bool {
        switch try integer(as: UInt8.self, message) {
        case 0: return false
        case 1: return true
        default: throw wrong(message, "0 or 1")
        }
    }

    func text(_ message: String, maximumBytes: Int = 1_024) throws(WireError) -> String {
        guard value.readableBytes <= maximumBytes else { throw wrong(message, "at most \(maximumBytes) bytes") }
        guard let text = String(validating: value.readableBytesView, as: UTF8.self), !text.utf8.contains(0) else {
            throw wrong(message, "UTF-8 text without NUL")
        }
        return text
    }

    func microseconds(_ message: String) throws(WireError) -> Duration {
        .microseconds(Int64(clamping: try integer(as: UInt64.self, message)))
    }

    /// A u32.
    func count(_ message: String) throws(WireError) -> Int { Int(try integer(as: UInt32.self, message)) }

    /// An f64, whatever number it is.
    func double(_ message: String) throws(WireError) -> Double {
        Double(bitPattern: try integer(as: UInt64.self, message))
    }

    /// An f64 from 0 to 1.
    func share(_ message: String) throws(WireError) -> Double {
        let share = try double(message)
        guard (0...1).contains(share) else { throw wrong(message, "a share from 0 to 1") }
        return share
    }

    /// One of the bytes that the protocol has a meaning for.
    func choice<Choice: RawRepresentable<UInt8>>(_ message: String) throws(WireError) -> Choice {
        let byte = try integer(as: UInt8.self, message)
        guard let choice = Choice(rawValue: byte) else { throw wrong(message, "a value that is known, not \(byte)") }
        return choice
    }

    /// How many elements of so many bytes are packed one after the other.
    func packedCount(ofBytes size: Int, _ message: String) throws(WireError) -> Int {
        guard value.readableBytes.isMultiple(of: size) else {
            throw wrong(message, "whole elements of \(size) bytes")
        }
        return value.readableBytes / size
    }
}

extension ByteBuffer {
    mutating func writeField(_ tag: UInt16, _ write: (inout ByteBuffer) -> Void) {
        writeInteger(tag)
        let lengthIndex = writerIndex
        writeInteger(UInt32(0))
        let start = writerIndex
        write(&self)
        setInteger(UInt32(clamping: writerIndex - start), at: lengthIndex)
    }

    mutating func writeField(_ tag: UInt16, _ text: String) {
        var text = text
        text.withUTF8 { bytes in
            writeField(tag, length: bytes.count) { $0.copyMemory(from: UnsafeRawBufferPointer(bytes)) }
        }
    }

    mutating func writeField<Integer: FixedWidthInteger>(_ tag: UInt16, _ integer: Integer) {
        writeField(tag, length: MemoryLayout<Integer>.size) { $0.storeBytes(of: integer.bigEndian, as: Integer.self) }
    }

    /// A field of a known length, in one write: a message has dozens.
    @inline(__always)
    private mutating func writeField(
        _ tag: UInt16, length: Int, _ write: (UnsafeMutableRawBufferPointer) -> Void
    ) {
        writeWithUnsafeMutableBytes(minimumWritableBytes: Self.fieldHeader + length) { room in
            room.storeBytes(of: tag.bigEndian, as: UInt16.self)
            room.storeBytes(of: UInt32(clamping: length).bigEndian, toByteOffset: 2, as: UInt32.self)
            write(UnsafeMutableRawBufferPointer(rebasing: room[Self.fieldHeader..<Self.fieldHeader + length]))
            return Self.fieldHeader + length
        }
    }

    /// Tag and length.
    private static var fieldHeader: Int { 6 }

    mutating func writeField(_ tag: UInt16, _ double: Double) { writeField(tag, double.bitPattern) }

    mutating func writeField(_ tag: UInt16, count: Int) { writeField(tag, UInt32(clamping: count)) }

    /// A flag whose absence means false.
    mutating func writeFlag(_ tag: UInt16, _ flag: Bool) { if flag { writeField(tag, UInt8(1)) } }

    mutating func writeField(_ tag: UInt16, microsecondsOf duration: Duration) {
        writeField(tag, UInt64(clamping: duration.wholeMicroseconds))
    }
}

extension Duration {
    /// Rounded towards zero, saturated.
    var wholeMicroseconds: Int64 {
        // Up to 18 s one division of words is enough.
        if let short = UInt64(exactly: attoseconds) { return Int64(short / 1_000_000_000_000) }
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, carry) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000_000)
        return carry ? (seconds < 0 ? .min : .max) : sum
    }
}
