public import NIOCore

/// Names a trace: 16 bytes, not all zero.
public struct TraceID: Hashable, Sendable, CustomStringConvertible {
    public var high: UInt64
    public var low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// - Parameter text: 32 hexadecimal digits, lower-case.
    public init?(_ text: String) {
        let digits = Array(text.utf8)
        guard digits.count == 32, let high = UInt64(digits: digits[..<16]), let low = UInt64(digits: digits[16...])
        else { return nil }
        self.init(high: high, low: low)
    }

    public var isValid: Bool { high != 0 || low != 0 }

    /// 32 hexadecimal digits.
    public var description: String { high.digits + low.digits }
}

/// Which trace a request is part of, and which span made it: what W3C Trace Context says in `traceparent` and
/// `tracestate`.
public struct TraceContext: Hashable, Sendable {
    public var traceID: TraceID
    /// Of the span that the next one is a child of; not 0.
    public var spanID: UInt64
    public var flags: UInt8
    /// What tracing systems pass on to themselves; empty for nothing.
    public var state: String

    public init(traceID: TraceID, spanID: UInt64, flags: UInt8, state: String = "") {
        self.traceID = traceID
        self.spanID = spanID
        self.flags = flags
        self.state = state
    }

    public static let sampled: UInt8 = 1
    /// Of `state`, in bytes.
    public static let maximumState = 512

    /// The trace is being recorded.
    public var isSampled: Bool { flags & Self.sampled != 0 }

    /// 16 hexadecimal digits.
    public var spanText: String { spanID.digits }

    // MARK: W3C headers

    /// - Returns: nil for what is no `traceparent`. A `tracestate` that is none is left out.
    public init?(traceparent: String, tracestate: String? = nil) {
        let text = Array(traceparent.utf8)
        // Later versions may say more behind a further dash.
        guard text.count == 55 || text.count > 55 && text[55] == UInt8(ascii: "-"),
            [2, 35, 52].allSatisfy({ text[$0] == UInt8(ascii: "-") }),
            let version = UInt8(digits: text[0..<2]), version != 0xff, version != 0 || text.count == 55,
            let high = UInt64(digits: text[3..<19]), let low = UInt64(digits: text[19..<35]),
            let spanID = UInt64(digits: text[36..<52]), let flags = UInt8(digits: text[53..<55])
        else { return nil }
        let traceID = TraceID(high: high, low: low)
        guard traceID.isValid, spanID != 0 else { return nil }
        self.init(traceID: traceID, spanID: spanID, flags: flags)
        if let tracestate, tracestate.utf8.count <= Self.maximumState { state = Self.cleaned(tracestate.utf8) }
    }

    public var traceparent: String { "00-\(traceID)-\(spanText)-\(flags.digits)" }

    /// Nothing, if a byte is in it that no header may have.
    private static func cleaned(_ text: some Collection<UInt8>) -> String {
        text.allSatisfy { (0x20...0x7e).contains($0) } ? String(decoding: text, as: UTF8.self) : ""
    }
}

// MARK: The field

extension TraceContext {
    /// The same in every request that has it.
    static let tag: UInt16 = 60
    private static let fixedLength = 25

    /// The field, for a request that was encoded without: fields come in any order.
    public func writeField(into buffer: inout ByteBuffer) {
        buffer.writeField(Self.tag) { buffer in
            buffer.writeMultipleIntegers(traceID.high, traceID.low, spanID, flags)
            buffer.writeBytes(state.utf8.prefix(Self.maximumState))
        }
    }

    /// - Returns: nil for ids that are none: the request is one without a context then.
    static func decode(_ field: FieldReader.Field, _ message: String) throws(WireError) -> TraceContext? {
        var value = field.value
        guard value.readableBytes <= fixedLength + maximumState,
            let (high, low, spanID, flags) = value.readMultipleIntegers(as: (UInt64, UInt64, UInt64, UInt8).self)
        else {
            throw WireError(
                .malformed,
                "\(message): field \(tag) must have from \(fixedLength) to \(fixedLength + maximumState) bytes")
        }
        let traceID = TraceID(high: high, low: low)
        guard traceID.isValid, spanID != 0 else { return nil }
        return TraceContext(
            traceID: traceID, spanID: spanID, flags: flags, state: cleaned(value.readableBytesView))
    }
}

extension FieldReader.Field {
    func traceContext(_ message: String) throws(WireError) -> TraceContext? {
        try TraceContext.decode(self, message)
    }
}

extension FixedWidthInteger {
    /// In base 16, as many as it has room for.
    fileprivate var digits: String {
        let text = String(self, radix: 16)
        return String(repeating: "0", count: Self.bitWidth / 4 - text.count) + text
    }

    /// Lower-case digits, no more than there is room for.
    fileprivate init?(digits: ArraySlice<UInt8>) {
        self = 0
        for digit in digits {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): self = self << 4 | Self(digit - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): self = self << 4 | Self(digit - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
    }
}
