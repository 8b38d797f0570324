package import SluiceCore
package import SluiceWire

/// How often one session may do what costs it nothing and the gateway a little: pings, cancels, and errors of its own.
package struct SessionAllowances: Sendable {
    /// What is counted, and how the limit is called in the configuration.
    package enum Kind: String, Hashable, Sendable {
        case pings
        case cancels
        case errors
    }

    private var pings: RateAllowance
    private var cancels: RateAllowance
    private var errors: RateAllowance

    /// - Parameters:
    ///   - pings: a second, as `cancels` and `errors`; a second's worth may come at once.
    ///   - inFlight: how many requests may be in flight; all of them may be cancelled at once.
    package init(pings: Int, cancels: Int, errors: Int, inFlight: Int, now: Instant) {
        self.pings = RateAllowance(perSecond: pings, now: now)
        self.cancels = RateAllowance(perSecond: cancels, burst: max(cancels, inFlight), now: now)
        self.errors = RateAllowance(perSecond: errors, burst: max(errors, inFlight), now: now)
    }

    /// True if one more is within the limit.
    package mutating func take(_ kind: Kind, now: Instant) -> Bool {
        switch kind {
        case .pings: pings.tryTake(now: now)
        case .cancels: cancels.tryTake(now: now)
        case .errors: errors.tryTake(now: now)
        }
    }

    /// What a frame is counted as besides the answer that it may get; nil for a request, which takes a place in flight.
    package static func kind(of action: SessionMachine.FrameAction, _ frame: FrameKind, isEmpty: Bool) -> Kind? {
        switch action {
        case .pong, .listCollections: .pings
        // Also of requests that are not in flight: each has to be looked up.
        case .cancel: .cancels
        // Rows that are none move nothing forward. Rows of a load that has ended were on their way.
        case .nothing where frame == .loadRows, .loadRows: isEmpty ? .pings : nil
        case .nothing: frame == .cancel ? .cancels : .errors
        case .welcome, .search, .get, .count, .next, .load, .loadEnd, .write, .refuse, .fail: nil
        }
    }
}

extension SessionMachine.FrameAction {
    /// It begins work that takes a place in flight, and what is asked has to be read and looked up first.
    var isRequest: Bool {
        switch self {
        case .search, .get, .count, .next, .load, .write: true
        default: false
        }
    }
}

extension ErrorCode {
    /// Whether the client could have known: what it asks can never be answered, or not by this session.
    package var isClientsFault: Bool {
        switch self {
        case .malformed, .invalidArgument, .unknownCollection, .unknownColumn, .dimensionMismatch, .tooManyInFlight,
            .unauthenticated, .unknownCursor, .modelMismatch, .notSupported, .badRow, .permissionDenied:
            true
        default: false
        }
    }
}
