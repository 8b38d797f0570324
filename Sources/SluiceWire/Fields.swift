internal import NIOCore

/// A payload's fields: tag, length, value. Unknown tags are skipped, so that minor versions stay compatible.
struct FieldReader {
    struct Field {
        let tag: UInt16
        var value: ByteBuffer
    }

    private var rest: ByteBuffer
    private let message: String
    private let repeatable: Set<UInt16>
    private var seen: Set<UInt16> = []

    /// - Parameter message: what is read, for errors.
    init(_ buffer: ByteBuffer, of message: String, repeatable: Set<UInt16> = []) {
        rest = buffer
        self.message = message
        self.repeatable = repeatable
    }

    mutating func next() throws(WireError) -> Field? {
        guard rest.readableBytes > 0 else { return nil }
        guard let (tag, length) = rest.readMultipleIntegers(as: (UInt16, UInt32).self),
            Int(length) <= rest.readableBytes, let value = rest.readSlice(length: Int(length))
        else { throw WireError(.malformed, "\(message): a field is longer than the message") }
        if !repeatable.contains(tag), !seen.insert(tag).inserted {
            throw WireError(.malformed, "\(message): field \(tag) is there twice")
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

    mutating func writeField(_ tag: UInt16, _ text: String) { writeField(tag) { $0.writeString(text) } }

    mutating func writeField(_ tag: UInt16, _ integer: some FixedWidthInteger) {
        writeField(tag) { $0.writeInteger(integer) }
    }

    mutating func writeField(_ tag: UInt16, microsecondsOf duration: Duration) {
        writeField(tag, UInt64(clamping: duration.wholeMicroseconds))
    }
}

extension Duration {
    /// Rounded towards zero, saturated.
    var wholeMicroseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, carry) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000_000)
        return carry ? (seconds < 0 ? .min : .max) : sum
    }
}
