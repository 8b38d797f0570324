package import NIOCore

/// How many requests may be tried a second time: a share of the first attempts, and a few a second in quiet times. In
/// thousandths of an attempt.
package struct RepetitionBudget: Sendable {
    private static let attempt: Int64 = 1_000

    private let share: Int64
    private let perSecond: Int64
    private let capacity: Int64
    private var balance: Int64
    private var credited: NIODeadline

    /// - Parameters:
    ///   - share: for each first attempt, in thousandths.
    ///   - perSecond: without any.
    ///   - capacity: that can be saved up; it begins full.
    package init(share: Int = 200, perSecond: Int = 10, capacity: Int, now: NIODeadline) {
        self.share = Int64(share)
        self.perSecond = Int64(perSecond) * Self.attempt
        self.capacity = Int64(capacity) * Self.attempt
        balance = self.capacity
        credited = now
    }

    package mutating func firstAttemptStarted() { balance = min(balance + share, capacity) }

    /// True if another attempt is allowed now; it is taken then.
    package mutating func tryWithdraw(now: NIODeadline) -> Bool {
        let passed = min((now - credited).nanoseconds, 1_000_000_000)
        let credit = perSecond * max(0, passed) / 1_000_000_000
        if credit > 0 {
            balance = min(balance + credit, capacity)
            credited = now
        }
        guard balance >= Self.attempt else { return false }
        balance -= Self.attempt
        return true
    }
}

/// What a client may spend on second attempts, all its calls together.
package struct RepetitionBudgets: Sendable {
    /// A connection takes all that was in flight on it with it at once, and the gateway is set aside after that: this
    /// one has room for a burst.
    var afterLoss: RepetitionBudget
    /// Gateways that have too much to do already.
    var afterRefusal: RepetitionBudget

    package init(now: NIODeadline) {
        afterLoss = RepetitionBudget(capacity: 4_096, now: now)
        afterRefusal = RepetitionBudget(capacity: 100, now: now)
    }

    mutating func firstAttemptStarted() {
        afterLoss.firstAttemptStarted()
        afterRefusal.firstAttemptStarted()
    }
}

/// Whether a request that failed at one gateway goes to another.
package struct Failover: Sendable {
    /// When a request may be sent a second time, beyond what certainly was not begun.
    package enum Repetition: Hashable, Sendable {
        case never
        /// Only if the gateway said that nothing was done.
        case afterRefusal
        /// Doing it twice does nothing else than doing it once.
        case always
    }

    package enum Failure: Hashable, Sendable {
        /// It certainly was not begun: the connection is to blame.
        case unsent
        /// The connection ended: it may have run.
        case lost
        /// The gateway had too much to do, or does not reach its databases. Nothing was done.
        case refused
        case other
    }

    package enum Next: Hashable, Sendable {
        /// Another gateway; the same one if there is no other.
        case any
        /// Another gateway, or none.
        case other
        case none
    }

    private static let mostAttempts = 4

    private let repetition: Repetition
    private let gateways: Int
    private var attempts = 1

    /// - Parameter gateways: how many there are.
    package init(_ repetition: Repetition, gateways: Int) {
        self.repetition = repetition
        self.gateways = gateways
    }

    package mutating func next(
        after failure: Failure, isInTime: Bool, budgets: inout RepetitionBudgets, now: NIODeadline
    ) -> Next {
        // Of a single gateway one that comes after it may be there already.
        guard isInTime, attempts < min(Self.mostAttempts, gateways + 1) else { return .none }
        let next: Next
        switch failure {
        case .unsent: next = .any
        case .lost:
            guard repetition == .always, gateways > 1, budgets.afterLoss.tryWithdraw(now: now) else { return .none }
            next = .any
        case .refused:
            guard repetition != .never, gateways > 1, budgets.afterRefusal.tryWithdraw(now: now) else { return .none }
            next = .other
        case .other: return .none
        }
        attempts += 1
        return next
    }
}
