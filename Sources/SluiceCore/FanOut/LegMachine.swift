/// Why an attempt is made.
public enum AttemptKind: Hashable, Sendable {
    case first
    /// After one failed.
    case retry
    /// While another still runs.
    case hedge
}

/// The replicas of a shard by their place in its list, at most 64.
public struct ReplicaSet: Hashable, Sendable {
    private var bits: UInt64 = 0

    public init() {}

    public var isEmpty: Bool { bits == 0 }
    public func contains(_ replica: Int) -> Bool { bits & Self.bit(replica) != 0 }
    public mutating func insert(_ replica: Int) { bits |= Self.bit(replica) }
    /// In ascending order.
    public var places: [Int] { (0..<64).filter(contains) }
    func union(_ other: ReplicaSet) -> ReplicaSet {
        var union = self
        union.bits |= other.bits
        return union
    }
    func isDisjoint(with other: ReplicaSet) -> Bool { bits & other.bits == 0 }

    private static func bit(_ replica: Int) -> UInt64 { (0..<64).contains(replica) ? 1 << UInt64(replica) : 0 }
}

/// One leg: whether to ask again after a failure, whether to ask a second replica while the first is still at it, and
/// when it is over. Which replica is asked is `ShardMachine`'s choice.
public struct LegMachine: Sendable {
    public struct Policy: Hashable, Sendable {
        /// Attempts of one leg, retries and hedges included.
        public var maxAttempts: Int
        /// Before a retry.
        public var backoff: Backoff

        public init(
            maxAttempts: Int = 3, backoff: Backoff = Backoff(base: .milliseconds(2), cap: .milliseconds(100))
        ) {
            self.maxAttempts = max(1, maxAttempts)
            self.backoff = backoff
        }
    }

    public enum Action: Hashable, Sendable {
        /// Ask a replica at this instant; at once if it has passed.
        case attempt(AttemptKind, at: Instant)
        /// Another attempt still runs.
        case wait
        /// The leg has its rows: cancel what still runs.
        case succeed
        case fail(AttemptFailure)
    }

    private let policy: Policy
    public let deadline: Instant
    private var running = 0
    private var failures = 0
    private var lastFailure: AttemptFailure?
    private var isOver = false
    /// Those asked so far.
    public private(set) var tried = ReplicaSet()
    public private(set) var attempts = 0
    public private(set) var hedges = 0

    public init(policy: Policy, deadline: Instant) {
        self.policy = policy
        self.deadline = deadline
    }

    public mutating func started(now: Instant) -> Action {
        now < deadline ? .attempt(.first, at: now) : end(.timedOut)
    }

    public mutating func attemptStarted(_ kind: AttemptKind, replica: Int) {
        running += 1
        attempts += 1
        if kind == .hedge { hedges += 1 }
        tried.insert(replica)
    }

    /// An attempt that was due found no replica to ask, or no budget for it.
    public mutating func attemptRefused(_ kind: AttemptKind, _ reason: AttemptFailure) -> Action {
        if isOver || running > 0 { return .wait }
        // A failure that was met says more than that nobody is left to ask.
        return end(lastFailure ?? reason)
    }

    /// The first attempt takes longer than most.
    public mutating func hedgeDue(now: Instant) -> Action {
        guard !isOver, running == 1, hedges == 0, attempts < policy.maxAttempts, now < deadline else { return .wait }
        return .attempt(.hedge, at: now)
    }

    public mutating func attemptSucceeded() -> Action {
        running = max(0, running - 1)
        if isOver { return .wait }
        isOver = true
        return .succeed
    }

    public mutating func attemptFailed(
        _ failure: AttemptFailure, now: Instant, using generator: inout some RandomNumberGenerator
    ) -> Action {
        running = max(0, running - 1)
        failures += 1
        lastFailure = failure
        if isOver { return .wait }
        if failure.advice == .never { return end(failure) }
        if running > 0 { return .wait }
        guard now < deadline else { return end(failure == .saturated ? .saturated : .timedOut) }
        guard attempts < policy.maxAttempts else { return end(failure) }
        let due = now.advanced(by: policy.backoff.delay(attempt: failures - 1, using: &generator))
        return due < deadline ? .attempt(.retry, at: due) : end(failure)
    }

    private mutating func end(_ failure: AttemptFailure) -> Action {
        isOver = true
        return .fail(failure)
    }
}
