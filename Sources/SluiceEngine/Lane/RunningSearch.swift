internal import SluiceCore

/// A search that has been planned and admitted; shared by its legs.
final class RunningSearch: Sendable {
    let search: Search
    let plan: SearchPlan
    /// When it was admitted.
    let started: Instant
    let arrived: Instant
    /// When the legs must have ended: where a part of the answer is better than none, early enough to give it in time.
    let lastAnswer: Instant
    /// The legs' estimated rows, if a partial answer is possible and all are known; else every leg counts the same.
    private let weights: [Double]

    init(search: Search, plan: SearchPlan, started: Instant, arrived: Instant) {
        self.search = search
        self.plan = plan
        self.started = started
        self.arrived = arrived
        let mayBePartial = search.allowsPartial || search.minCoverage.map { $0 < 1 } ?? false
        let reserve = min(Self.longestReserve, started.duration(to: search.deadline) / 10)
        lastAnswer = mayBePartial ? search.deadline.advanced(by: .zero - reserve) : search.deadline
        let known = mayBePartial ? plan.legs.compactMap(\.estimate.rows) : []
        weights = known.count == plan.legs.count ? known : []
    }

    private static let longestReserve = Duration.milliseconds(10)

    func weight(of leg: Int) -> Double { weights.indices.contains(leg) ? weights[leg] : 1 }

    var totalWeight: Double { weights.isEmpty ? Double(plan.legs.count) : weights.reduce(0, +) }
}

/// One leg while it runs: what may have to be interrupted from outside of its task.
struct RunningLeg {
    /// Where the leg's own task is.
    enum Position {
        case between
        /// In a backend's queue.
        case waiting(WaiterID)
        case executing(any BackendConnection)
        /// Before a retry.
        case pausing(CheckedContinuation<Void, Never>, LaneTimer)
        /// Waiting for the hedge.
        case hedging(Task<AttemptEnd, Never>)
        /// On another lane.
        case lent(cancel: @Sendable () -> Void)
    }

    let leg: PlannedLeg
    let input: LegInput
    let running: RunningSearch
    var machine: LegMachine
    var current = Position.between
    var hedgeTimer: LaneTimer?
    var hedgeAfter = Duration.zero
    /// The second attempt, while it runs.
    var hedge: Task<AttemptEnd, Never>?
    /// The hedge's end, if it came before the first attempt's.
    var hedgeEnd: Boxed<AttemptEnd>?
    /// The search has what it needs: whatever still runs is to end.
    var isGivenUp = false

    /// Nothing more is wanted of the first attempt.
    var isOver: Bool { isGivenUp || hedgeEnd != nil }
}

/// A value that is seldom there, kept out of the way of those that always are.
final class Boxed<Value: Sendable>: Sendable {
    let value: Value

    init(_ value: Value) { self.value = value }
}

/// How one attempt ended.
struct AttemptEnd: Sendable {
    var pick: ShardMachine.Pick
    var result: Result<LegRows, BackendFailure>
    var wait = Duration.zero
    var execute = Duration.zero
    /// What the backend may still be ending.
    var unsettled: Task<Void, Never>?
}

/// What a leg came to, and what of it the backends may still be ending.
struct LegResult: Sendable {
    var report: LegReport
    var unsettled: [Task<Void, Never>] = []
}
