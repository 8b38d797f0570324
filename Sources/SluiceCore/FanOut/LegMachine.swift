/// Why one attempt of a leg did not give rows.
public enum AttemptFailure: Hashable, Sendable {
    /// No connection is up and none can be made.
    case unreachable
    /// Our own pool is full: never the backend's fault.
    case saturated
    /// The connection broke while the statement ran.
    case connectionLost
    /// The server is starting, stopping or changing its role.
    case notServing
    /// A standby had to choose between replaying and this read.
    case recoveryConflict
    /// The statement itself is at fault, or what it found: it would fail the same way anywhere.
    case statement
    case timedOut
    case cancelled

    /// Searches only read, so another replica may be asked whenever the fault was this one's.
    var isWorthAnotherReplica: Bool {
        switch self {
        case .unreachable, .saturated, .connectionLost, .notServing, .recoveryConflict: true
        case .statement, .timedOut, .cancelled: false
        }
    }
}

/// One leg: which replica to ask, and whether to ask another after a failure. Each replica is asked at most once.
public struct LegMachine: Sendable {
    public enum Action: Hashable, Sendable {
        /// Ask the replica at this place in the shard's list.
        case attempt(replica: Int)
        case fail(AttemptFailure)
    }

    private var untried: ArraySlice<Int>
    private let deadline: Instant
    public private(set) var attempts = 0

    /// - Parameter order: the shard's replicas in the order to ask them.
    public init(order: [Int], deadline: Instant) {
        untried = order[...]
        self.deadline = deadline
    }

    public mutating func started(now: Instant) -> Action { next(after: .unreachable, now: now) }

    public mutating func attemptFailed(_ failure: AttemptFailure, now: Instant) -> Action {
        guard failure.isWorthAnotherReplica else { return .fail(failure) }
        return next(after: failure, now: now)
    }

    private mutating func next(after failure: AttemptFailure, now: Instant) -> Action {
        guard now < deadline else { return .fail(.timedOut) }
        guard let replica = untried.popFirst() else { return .fail(failure) }
        attempts += 1
        return .attempt(replica: replica)
    }
}
