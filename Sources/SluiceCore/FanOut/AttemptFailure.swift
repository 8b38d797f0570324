/// Why one attempt of a leg did not give rows.
public enum AttemptFailure: UInt8, Hashable, Sendable, CaseIterable {
    /// No connection is up and none can be made.
    case unreachable
    /// Our own pool is full: never the backend's fault.
    case saturated
    /// Every replica's breaker is open.
    case breakerOpen
    /// The connection broke while the statement ran.
    case connectionLost
    /// The server is starting, stopping or changing its role.
    case notServing
    /// The server has no connection, memory or disk left (SQLSTATE class 53), or is broken itself (58, XX).
    case outOfResources
    /// A standby had to choose between replaying and this read.
    case recoveryConflict
    /// The statement itself is at fault, or what it found: it would fail the same way anywhere.
    case statement
    /// It found more bytes than a leg may bring, which it would anywhere.
    case tooLarge
    /// The server broke the protocol, or answered with what belongs to another request.
    case integrity
    /// No answer in the time that the attempt had.
    case timedOut
    case cancelled
    /// No replica that can be asked is as fresh as was asked for.
    case behind
}

/// What may be done after a failure. Searches only read, so nothing is lost by asking again.
public enum RetryAdvice: Hashable, Sendable {
    /// On another replica; on the same one only if there is no other.
    case elsewhere
    /// On the same replica too: the fault was the connection's.
    case anywhere
    case never
}

extension AttemptFailure {
    public var advice: RetryAdvice {
        switch self {
        case .connectionLost, .recoveryConflict: .anywhere
        case .unreachable, .saturated, .notServing, .outOfResources, .integrity, .timedOut, .behind: .elsewhere
        case .statement, .tooLarge, .cancelled, .breakerOpen: .never
        }
    }

    /// True if it says that the backend is sick. Our own saturation, a client's cancel and a statement that is at fault
    /// itself never do; a time-out may, which depends on how long the attempt had. Nor does a pool without connections:
    /// nothing was asked, and the replica is kept out for as long as it cannot be reached anyway.
    public var blamesBackend: Bool {
        switch self {
        case .connectionLost, .notServing, .outOfResources, .integrity: true
        case .unreachable, .saturated, .breakerOpen, .recoveryConflict, .statement, .tooLarge, .timedOut, .cancelled,
            .behind:
            false
        }
    }

    /// True if the replica's role and state must be looked at again at once.
    public var questionsRole: Bool {
        switch self {
        case .connectionLost, .notServing: true
        default: false
        }
    }
}
