/// How many extra attempts a shard may make, retries and hedges together: a share of the first attempts, and in quiet
/// times a floor. Counted in thousandths of an attempt, in integers, so that it cannot drift.
///
/// The floor does not come on top: each second has the larger of the two. What the floor gives is not saved for longer
/// than a second either. So under load the extra attempts are at most `share` of the first ones, and for all sequences
/// at most share × first attempts + floor × (seconds + 1).
///
/// Sources: gRPC A6 (retry throttling, one budget for retries and hedges), Finagle's RetryBudget (a
/// share with a floor per second).
public struct RetryBudget: Sendable {
    public struct Configuration: Hashable, Sendable {
        /// Extra attempts for each first one, 0...1; counted to a thousandth.
        public var share: Double
        /// Extra attempts a second without any first ones, 0...1,000,000.
        public var minimumPerSecond: Int
        /// Extra attempts that can be saved up, 1...1,000,000.
        public var capacity: Int

        public init(share: Double = 0.2, minimumPerSecond: Int = 1, capacity: Int = 100) {
            self.share = share
            self.minimumPerSecond = minimumPerSecond
            self.capacity = capacity
        }
    }

    private static let attempt: Int64 = 1_000

    private let deposit: Int64
    private let floor: Int64
    private let capacity: Int64
    private var balance: Int64
    /// What was there at the start before it was earned: the first deposits pay it back.
    private var advance: Int64
    /// Deposits, up to the floor of a second, that the floor has not been reduced by.
    private var deposited: Int64 = 0
    private var credited: Instant

    public init(_ configuration: Configuration = Configuration(), now: Instant) {
        deposit = Int64((configuration.share.clampedShare * Double(Self.attempt)).rounded())
        floor = Int64(min(max(configuration.minimumPerSecond, 0), 1_000_000)) * Self.attempt
        capacity = Int64(min(max(configuration.capacity, 1), 1_000_000)) * Self.attempt
        balance = min(floor, capacity)
        advance = balance
        credited = now
    }

    /// Extra attempts that are left as of the last event.
    public var available: Int { Int(balance / Self.attempt) }

    public mutating func firstAttemptStarted(now: Instant) {
        creditFloor(now: now)
        let repaid = min(deposit, advance)
        advance -= repaid
        balance = min(balance + deposit - repaid, capacity)
        deposited = min(deposited + deposit, floor)
    }

    /// True if an extra attempt is allowed now; it is taken then.
    public mutating func tryWithdraw(now: Instant) -> Bool {
        creditFloor(now: now)
        guard balance >= Self.attempt else { return false }
        balance -= Self.attempt
        return true
    }

    private mutating func creditFloor(now: Instant) {
        let passed = now.elapsedNanoseconds(since: credited)
        guard floor > 0, passed > 0 else { return }
        if passed >= 2_000_000_000 {
            // The deposits of up to a second are covered, and the second after them fills it up.
            credited = now
            deposited = 0
            balance = max(balance, min(floor, capacity))
            return
        }
        let credit = floor * (passed / 1_000) / 1_000_000
        // What is too little to count stays in the time that has passed.
        credited = credited.later(byNanoseconds: (credit * 1_000_000_000 + floor - 1) / floor)
        let covered = min(credit, deposited)
        deposited -= covered
        guard balance < floor else { return }
        balance = min(balance + credit - covered, floor, capacity)
    }
}
