internal import SluiceCore
internal import Synchronization

/// A request that has been admitted; shared by its legs.
final class RunningSearch: Sendable {
    let terms: RequestTerms
    /// When it was admitted.
    let started: Instant
    let arrived: Instant
    /// When the legs must have ended: where a part of the answer is better than none, early enough to give it in time.
    let lastAnswer: Instant
    /// When work must have ended that is done for a better answer than there is already.
    let lastExtra: Instant
    let mayBePartial: Bool
    /// Bytes of rows that its legs have brought; below zero once it is over.
    private let held = Atomic<Int>(0)

    init(_ terms: RequestTerms, started: Instant, arrived: Instant) {
        self.terms = terms
        self.started = started
        self.arrived = arrived
        mayBePartial = terms.allowsPartial || terms.minCoverage.map { $0 < 1 } ?? false
        let reserve = min(Self.longestReserve, started.duration(to: terms.deadline) / 10)
        lastExtra = terms.deadline.advanced(by: .zero - reserve)
        lastAnswer = mayBePartial ? lastExtra : terms.deadline
    }

    private static let longestReserve = Duration.milliseconds(10)

    /// Counts rows that a leg has brought. Those of a hedge may come when the search is over: nobody keeps them.
    func hold(_ rows: LegRows, in memory: MemoryBudget) {
        let bytes = rows.bytes
        memory.add(bytes)
        if held.add(bytes, ordering: .relaxed).newValue < 0 { memory.add(-bytes) }
    }

    /// It is over.
    func letGo(of memory: MemoryBudget) {
        let bytes = held.exchange(.min / 2, ordering: .relaxed)
        if bytes > 0 { memory.add(-bytes) }
    }
}

/// How much of the rows each leg of a stage stands for: their estimated number, if a partial answer is possible and all
/// are known; else every leg counts the same.
struct StageWeights {
    private let weights: [Double]
    let total: Double

    init(_ legs: [PlannedLeg], mayBePartial: Bool) {
        let known = mayBePartial ? legs.compactMap(\.estimate.rows) : []
        weights = known.count == legs.count ? known : []
        total = weights.isEmpty ? Double(legs.count) : weights.reduce(0, +)
    }

    func weight(of leg: Int) -> Double { weights.indices.contains(leg) ? weights[leg] : 1 }

    /// What a part of the rows is of all; 1 is never said of a part.
    func share(_ weight: Double) -> Double { min(weight / max(total, .leastNormalMagnitude), 1.0.nextDown) }
}

/// One leg while it runs: what may have to be interrupted from outside of its task. Only its lane touches it.
final class RunningLeg {
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

    var leg: PlannedLeg
    var input: LegInput
    let running: RunningSearch
    var machine: LegMachine
    /// Its place in the lane's table, while it is there.
    var place = SlotID.none
    /// What it came to so far.
    var report: LegReport
    /// What of it the backends may still be ending.
    var unsettled: [Task<Void, Never>] = []
    var current = Position.between
    var hedgeTimer: LaneTimer?
    var hedgeAfter = Duration.zero
    /// The second attempt, while it runs.
    var hedge: Task<AttemptEnd, Never>?
    /// The hedge's end, if it came before the first attempt's.
    var hedgeEnd: AttemptEnd?
    /// Which rung of the ladder it is on: what a hedge of an earlier one brings is not wanted.
    var rung = 0
    /// The search has what it needs: whatever still runs is to end.
    var isGivenUp = false
    /// What its replica must have.
    let need: FreshnessNeed?
    /// Until when it waits for that; nil before it does.
    var freshnessLimit: Instant?

    init(leg: PlannedLeg, input: LegInput, running: RunningSearch, machine: LegMachine) {
        self.leg = leg
        self.input = input
        self.running = running
        self.machine = machine
        report = LegReport(of: leg)
        need = running.need(of: leg)
    }

    /// What it takes says something of the replica, so a hedge may help.
    var isMeasured: Bool { !leg.shape.isHeavy && input.furtherSubjects.isEmpty }

    /// Its span, if it is traced.
    var trace: LegTrace?

    /// Nothing more is wanted of the first attempt.
    var isOver: Bool { isGivenUp || hedgeEnd != nil }
}

/// How one attempt ended.
struct AttemptEnd: Sendable {
    var pick: ShardMachine.Pick
    var result: Result<LegRows, BackendFailure>
    var wait = Duration.zero
    var execute = Duration.zero
    /// How old the rows may be; nil if that is not known.
    var staleness: Duration?
    /// What the backend may still be ending.
    var unsettled: Task<Void, Never>?
}
