public import NIOCore

/// What both sides may agree on in HELLO and WELCOME.
public struct Features: OptionSet, Hashable, Sendable {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// Frames may be compressed with LZ4.
    public static let lz4 = Features(rawValue: 1)
}

/// The client's first frame.
public struct Hello: Hashable, Sendable {
    public var token: ByteBuffer?
    public var clientName: String?
    public var features: Features

    public init(token: ByteBuffer? = nil, clientName: String? = nil, features: Features = []) {
        self.token = token
        self.clientName = clientName
        self.features = features
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        self.init()
        var reader = FieldReader(payload, of: "HELLO", once: [1, 2, 3])
        while let field = try reader.next() {
            switch field.tag {
            case 1:
                guard field.value.readableBytes <= 1_024 else {
                    throw WireError(.malformed, "HELLO: a token has at most 1024 bytes")
                }
                token = field.value
            case 2: clientName = try field.text("HELLO")
            case 3: features = Features(rawValue: try field.integer(as: UInt64.self, "HELLO"))
            default: break
            }
        }
    }

    public func encode(into buffer: inout ByteBuffer) {
        if let token { buffer.writeField(1) { $0.writeImmutableBuffer(token) } }
        if let clientName { buffer.writeField(2, clientName) }
        if !features.isEmpty { buffer.writeField(3, features.rawValue) }
    }
}

/// The gateway's answer to HELLO: what it agreed to, and its limits.
public struct Welcome: Hashable, Sendable {
    public var server: String
    public var features: Features
    public var maximumFrameLength: Int
    public var maximumInFlight: Int
    public var maximumK: Int
    public var sessionID: UInt64

    public init(
        server: String, features: Features, maximumFrameLength: Int, maximumInFlight: Int, maximumK: Int,
        sessionID: UInt64
    ) {
        self.server = server
        self.features = features
        self.maximumFrameLength = maximumFrameLength
        self.maximumInFlight = maximumInFlight
        self.maximumK = maximumK
        self.sessionID = sessionID
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        self.init(server: "", features: [], maximumFrameLength: 0, maximumInFlight: 0, maximumK: 0, sessionID: 0)
        var reader = FieldReader(payload, of: "WELCOME", once: [1, 2, 3, 4, 5, 6])
        while let field = try reader.next() {
            switch field.tag {
            case 1: server = try field.text("WELCOME")
            case 2: features = Features(rawValue: try field.integer(as: UInt64.self, "WELCOME"))
            case 3: maximumFrameLength = Int(try field.integer(as: UInt32.self, "WELCOME"))
            case 4: maximumInFlight = Int(try field.integer(as: UInt32.self, "WELCOME"))
            case 5: maximumK = Int(try field.integer(as: UInt32.self, "WELCOME"))
            case 6: sessionID = try field.integer(as: UInt64.self, "WELCOME")
            default: break
            }
        }
        guard maximumFrameLength > 0, maximumInFlight > 0 else {
            throw WireError(.malformed, "WELCOME: without its limits")
        }
    }

    public func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, server)
        buffer.writeField(2, features.rawValue)
        buffer.writeField(3, UInt32(clamping: maximumFrameLength))
        buffer.writeField(4, UInt32(clamping: maximumInFlight))
        buffer.writeField(5, UInt32(clamping: maximumK))
        buffer.writeField(6, sessionID)
    }
}

/// No new requests on this session, please; those in flight are finished.
public struct GoAway: Hashable, Sendable {
    public var code: ErrorCode
    public var message: String

    public init(code: ErrorCode, message: String) {
        self.code = code
        self.message = message
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        self.init(code: .shuttingDown, message: "")
        var reader = FieldReader(payload, of: "GOAWAY", once: [1, 2])
        while let field = try reader.next() {
            switch field.tag {
            case 1: code = ErrorCode(rawValue: try field.integer(as: UInt16.self, "GOAWAY"))
            case 2: message = try field.text("GOAWAY", maximumBytes: 4_096)
            default: break
            }
        }
    }

    public func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, code.rawValue)
        buffer.writeField(2, message)
    }
}

/// Why a request, or with request id 0 the session, has failed.
public struct ErrorReply: Hashable, Sendable {
    public var code: ErrorCode
    public var isRetryable: Bool
    public var message: String
    public var retryAfter: Duration?
    public var legs: [LegReport]
    /// The trace that the request is part of, to look for it there; nil for none.
    public var traceID: TraceID?

    /// - Parameter isRetryable: nil for what the code says.
    public init(
        code: ErrorCode, isRetryable: Bool? = nil, message: String, retryAfter: Duration? = nil, legs: [LegReport] = []
    ) {
        self.code = code
        self.isRetryable = isRetryable ?? code.isRetryable
        self.message = message
        self.retryAfter = retryAfter
        self.legs = legs
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        self.init(code: .internalError, message: "")
        var hasCode = false
        var reader = FieldReader(payload, of: "ERROR", once: [1, 2, 3, 4, 6])
        while let field = try reader.next() {
            switch field.tag {
            case 1:
                code = ErrorCode(rawValue: try field.integer(as: UInt16.self, "ERROR"))
                hasCode = true
            case 2: isRetryable = try field.flag("ERROR")
            case 3: retryAfter = .milliseconds(Int64(try field.integer(as: UInt32.self, "ERROR")))
            case 4: message = try field.text("ERROR", maximumBytes: 4_096)
            case 5: legs.append(try LegReport(decoding: field.value))
            case 6:
                let id = try field.key("ERROR")
                traceID = TraceID(high: id.high, low: id.low)
            default: break
            }
        }
        guard hasCode else { throw WireError(.malformed, "ERROR: without a code") }
    }

    public func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, code.rawValue)
        buffer.writeField(2, UInt8(isRetryable ? 1 : 0))
        if let retryAfter { buffer.writeField(3, UInt32(clamping: retryAfter.wholeMicroseconds / 1_000)) }
        buffer.writeField(4, message)
        for leg in legs { buffer.writeField(5) { leg.encode(into: &$0) } }
        if let traceID { buffer.writeField(6, RequestKey(high: traceID.high, low: traceID.low)) }
    }
}
