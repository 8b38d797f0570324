/// One search over all its legs: when it is decided, how long laggards are waited for, and what the answer covers.
public struct FanOutMachine: Sendable {
    public struct Policy: Hashable, Sendable {
        /// The share of the rows, 0 to 1, that an answer must cover.
        public var minCoverage: Double
        /// How long laggards are waited for once that is reached; nil for as long as the deadline allows.
        public var laggards: AdaptiveTimeout?

        public init(minCoverage: Double = 1, laggards: AdaptiveTimeout? = nil) {
            self.minCoverage = minCoverage.isNaN ? 1 : min(max(minCoverage, 0), 1)
            self.laggards = laggards
        }
    }

    public enum Action: Hashable, Sendable {
        case wait
        /// The coverage asked for is reached: interrupt the legs that still run at this instant.
        case giveUpLaggards(at: Instant)
        /// Nothing that may still come changes the verdict: cancel the legs that run, and answer.
        case finish(Verdict)
    }

    public enum Verdict: Hashable, Sendable {
        /// `coverage` is the share of the rows, by their estimated number, in the legs that answered, from 0 to 1.
        case answer(coverage: Double)
        /// The leg whose failure decides the reply.
        case fail(leg: Int)
    }

    private let policy: Policy
    private let started: Instant
    private let deadline: Instant
    private let totalWeight: Double
    private var ended: [Bool]
    private var open: Int
    private var answeredWeight = 0.0
    private var failedWeight = 0.0
    private var answered = 0
    private var firstFailure: Int?
    private var isWaitingForLaggards = false
    private var isDecided = false

    /// - Parameters:
    ///   - totalWeight: the estimated rows of all legs; each event brings its own leg's part of it.
    ///   - started: when the search began; laggards are given a time that is derived from what the others took.
    public init(legCount: Int, totalWeight: Double, policy: Policy, started: Instant, deadline: Instant) {
        self.policy = policy
        self.started = started
        self.deadline = deadline
        self.totalWeight = max(totalWeight, .leastNormalMagnitude)
        ended = Array(repeating: false, count: max(0, legCount))
        open = max(0, legCount)
    }

    public mutating func legSucceeded(_ leg: Int, weight: Double, now: Instant) -> Action {
        guard end(leg) else { return .wait }
        answered += 1
        answeredWeight += max(0, weight)
        return next(now: now)
    }

    public mutating func legFailed(_ leg: Int, weight: Double, now: Instant) -> Action {
        guard end(leg) else { return .wait }
        if firstFailure == nil { firstFailure = leg }
        failedWeight += max(0, weight)
        return next(now: now)
    }

    /// The share of the rows that has been looked at so far; 1 only if every leg has answered.
    public var coverage: Double {
        answered == ended.count ? 1 : min(answeredWeight / totalWeight, 1.0.nextDown)
    }

    private mutating func end(_ leg: Int) -> Bool {
        guard !isDecided, ended.indices.contains(leg), !ended[leg] else { return false }
        ended[leg] = true
        open -= 1
        return true
    }

    private mutating func next(now: Instant) -> Action {
        if let firstFailure, !canStillSuffice { return decide(.fail(leg: firstFailure)) }
        if open == 0 { return decide(.answer(coverage: coverage)) }
        guard let laggards = policy.laggards, !isWaitingForLaggards, answered > 0, policy.minCoverage < 1,
            suffices(answeredWeight)
        else { return .wait }
        isWaitingForLaggards = true
        return .giveUpLaggards(at: laggards.instant(started: started, reached: now, deadline: deadline))
    }

    /// After a failure: whether the legs that answered and those that still may can be enough.
    private var canStillSuffice: Bool {
        if policy.minCoverage >= 1 || (answered == 0 && open == 0) { return false }
        return suffices(totalWeight - failedWeight)
    }

    private func suffices(_ weight: Double) -> Bool { weight / totalWeight >= policy.minCoverage - 1e-9 }

    private mutating func decide(_ verdict: Verdict) -> Action {
        isDecided = true
        return .finish(verdict)
    }
}
