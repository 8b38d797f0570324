/// Why a request or a session was refused. Open: a newer gateway may send a code this version has no name for.
public struct ErrorCode: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt16

    public init(rawValue: UInt16) { self.rawValue = rawValue }

    public static let malformed = ErrorCode(rawValue: 1)
    public static let unsupportedVersion = ErrorCode(rawValue: 2)
    public static let protocolViolation = ErrorCode(rawValue: 3)
    public static let frameTooLarge = ErrorCode(rawValue: 4)
    public static let invalidArgument = ErrorCode(rawValue: 5)
    public static let unknownCollection = ErrorCode(rawValue: 6)
    public static let unknownColumn = ErrorCode(rawValue: 7)
    public static let dimensionMismatch = ErrorCode(rawValue: 8)
    public static let deadlineExceeded = ErrorCode(rawValue: 9)
    public static let cancelled = ErrorCode(rawValue: 10)
    public static let unavailable = ErrorCode(rawValue: 11)
    public static let busy = ErrorCode(rawValue: 12)
    public static let backendError = ErrorCode(rawValue: 13)
    public static let internalError = ErrorCode(rawValue: 14)
    public static let shuttingDown = ErrorCode(rawValue: 15)
    public static let tooManyInFlight = ErrorCode(rawValue: 16)
    public static let unauthenticated = ErrorCode(rawValue: 17)
    public static let handshakeTimeout = ErrorCode(rawValue: 18)
    public static let unknownCursor = ErrorCode(rawValue: 19)
    public static let modelMismatch = ErrorCode(rawValue: 20)
    public static let notSupported = ErrorCode(rawValue: 21)
    public static let badRow = ErrorCode(rawValue: 22)
    public static let permissionDenied = ErrorCode(rawValue: 23)
    public static let limitExceeded = ErrorCode(rawValue: 24)

    private static let names = [
        "malformed", "unsupported_version", "protocol_violation", "frame_too_large", "invalid_argument",
        "unknown_collection", "unknown_column", "dimension_mismatch", "deadline_exceeded", "cancelled", "unavailable",
        "busy", "backend_error", "internal", "shutting_down", "too_many_in_flight", "unauthenticated",
        "handshake_timeout", "unknown_cursor", "model_mismatch", "not_supported",
        "bad_row", "permission_denied", "limit_exceeded",
    ]

    /// As the specification writes it; `code_N` for a code without a name here.
    public var name: String {
        let place = Int(rawValue) - 1
        return Self.names.indices.contains(place) ? Self.names[place] : "code_\(rawValue)"
    }

    public var description: String { name }

    /// Whether the same request may succeed later, or elsewhere.
    public var isRetryable: Bool {
        [.unavailable, .busy, .shuttingDown, .tooManyInFlight].contains(self)
    }
}

/// What is wrong with bytes that arrived, or with a message to be sent.
public struct WireError: Error, Hashable, Sendable, CustomStringConvertible {
    public var code: ErrorCode
    public var message: String

    public init(_ code: ErrorCode, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { "\(code): \(message)" }
}
