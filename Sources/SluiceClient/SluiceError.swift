package import SluiceWire

/// Why a call did not succeed: what happened, whether trying again may help, and what each leg of a search came to.
public struct SluiceError: Error, Sendable, CustomStringConvertible {
    /// Open: a newer gateway may send a code this version has no name for.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        public let description: String
        private init(_ name: String) { description = name }
        init(_ code: ErrorCode) { description = code.name }

        // The client's own.
        /// The address is not one, or a value cannot be sent.
        public static let invalidArgument = Code(ErrorCode.invalidArgument)
        /// No connection to the gateway could be made.
        public static let notConnected = Code("not_connected")
        /// The connection ended before the answer came: the request may or may not have run.
        public static let connectionLost = Code("connection_lost")
        /// The gateway got the request and said nothing in the time it had, and a moment longer: it is frozen, or the
        /// way to it is broken. The request may or may not have run.
        public static let noAnswer = Code("no_answer")
        /// A write or a load was sent, and what became of it is not known: it may have been done, in whole or in part.
        /// With a key, or a load's id, it can be sent again without being done twice.
        public static let outcomeUnknown = Code("outcome_unknown")
        /// The sequence of the rows to load ended with an error.
        public static let rowsFailed = Code("rows_failed")
        /// The client was closed.
        public static let closed = Code("closed")
        /// The gateway sent what the protocol does not allow.
        public static let protocolViolation = Code(ErrorCode.protocolViolation)

        // The gateway's.
        public static let malformed = Code(ErrorCode.malformed)
        public static let unsupportedVersion = Code(ErrorCode.unsupportedVersion)
        public static let frameTooLarge = Code(ErrorCode.frameTooLarge)
        public static let unknownCollection = Code(ErrorCode.unknownCollection)
        public static let unknownColumn = Code(ErrorCode.unknownColumn)
        public static let dimensionMismatch = Code(ErrorCode.dimensionMismatch)
        public static let deadlineExceeded = Code(ErrorCode.deadlineExceeded)
        public static let cancelled = Code(ErrorCode.cancelled)
        public static let unavailable = Code(ErrorCode.unavailable)
        public static let busy = Code(ErrorCode.busy)
        public static let backendError = Code(ErrorCode.backendError)
        public static let internalError = Code(ErrorCode.internalError)
        public static let shuttingDown = Code(ErrorCode.shuttingDown)
        public static let tooManyInFlight = Code(ErrorCode.tooManyInFlight)
        public static let unauthenticated = Code(ErrorCode.unauthenticated)
        public static let handshakeTimeout = Code(ErrorCode.handshakeTimeout)
        /// The pages of a search are not there any more: they expired, or made room for others.
        public static let unknownCursor = Code(ErrorCode.unknownCursor)
        /// The collection's vectors are of another model than the query's.
        public static let modelMismatch = Code(ErrorCode.modelMismatch)
        /// The gateway's configuration, or its version, cannot do this.
        public static let notSupported = Code(ErrorCode.notSupported)
        /// A row that is written is not one of its collection's.
        public static let badRow = Code(ErrorCode.badRow)
        /// The identity that this client acts for may not do this.
        public static let permissionDenied = Code(ErrorCode.permissionDenied)
    }

    public var code: Code
    public var message: String
    /// True if the same call may succeed later.
    public var isRetryable: Bool
    /// How long to wait before that, if the gateway says so.
    public var retryAfter: Duration?
    /// For a search that failed: what each leg came to.
    public var legs: [LegReport]
    /// The trace that the request was part of, 32 hexadecimal digits, if the gateway says so: to look for it there.
    public var traceID: String?
    /// For a load that failed after it had begun: what became of it on each shard, and its bad rows.
    public var load: LoadReport?
    /// For `rowsFailed`: the sequence's own error.
    public var underlying: (any Error)?
    /// The request was sent, and the session ended before it was answered, whatever for: it may have been done.
    private(set) var isUnanswered = false

    var unanswered: SluiceError {
        var error = self
        error.isUnanswered = true
        return error
    }

    init(
        _ code: Code, _ message: String, isRetryable: Bool = false, retryAfter: Duration? = nil, legs: [LegReport] = []
    ) {
        self.code = code
        self.message = message
        self.isRetryable = isRetryable
        self.retryAfter = retryAfter
        self.legs = legs
    }

    package init(_ reply: ErrorReply) {
        self.init(
            Code(reply.code), reply.message, isRetryable: reply.isRetryable, retryAfter: reply.retryAfter,
            legs: reply.legs.map(LegReport.init))
        traceID = reply.traceID.map { "\($0)" }
    }

    init(_ error: WireError) { self.init(Code(error.code), error.message) }

    public var description: String { "\(code): \(message)" }
}
