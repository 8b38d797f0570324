internal import SluiceCore

/// A rule that did not hold.
public struct Violation: Error, Sendable, CustomStringConvertible {
    public var rule: String
    /// Since the simulation began.
    public var at: Duration

    public var description: String { "after \(at): \(rule)" }
}

/// What must hold after every event, kept apart from the machines: it counts for itself.
struct Checkers {
    static let failuresInARow = 5
    static let attempts = 3
    /// A call that takes longer is slow.
    static let slow = Duration.milliseconds(20)
    static let budget = RetryBudget.Configuration(share: 0.2, minimumPerSecond: 2, capacity: 20)

    private let scenario: Scenario
    private let origin: Instant
    private var problem: String?
    private(set) var ended = 0
    private var endings: [Int: Int] = [:]
    /// The deadlines of the requests that have not ended.
    private var open: [Int: Instant] = [:]
    private var firstAttempts: [Int]
    private var extraAttempts: [Int]
    /// When requests must have ended that have all they need but some laggards.
    private var lastAnswers: [Int: Instant] = [:]
    /// Failures in a row that blame the backend, since an attempt last succeeded.
    private var failuresInARow: [Simulation.PoolPlace: Int] = [:]

    init(scenario: Scenario, origin: Instant) {
        self.scenario = scenario
        self.origin = origin
        firstAttempts = Array(repeating: 0, count: scenario.shards)
        extraAttempts = Array(repeating: 0, count: scenario.shards)
    }

    private mutating func complain(_ rule: String) { if problem == nil { problem = rule } }

    // MARK: What happened

    mutating func requestArrived(_ number: Int, deadline: Instant) { open[number] = deadline }

    mutating func attemptStarted(
        _ kind: AttemptKind, shard: Int, _ pick: ShardMachine.Pick, _ leg: SimulatedRequest.Leg,
        _ running: [Int: SimulatedAttempt], now: Instant
    ) {
        let place = Simulation.PoolPlace(shard: shard, replica: pick.replica)
        if leg.machine.attempts >= Self.attempts { complain("a leg has made more than its \(Self.attempts) attempts") }
        if leg.running.contains(where: { running[$0]?.pick.replica == pick.replica }) {
            complain("a hedge went to the replica that is being asked")
        }
        if leg.lastFailure == .statement { complain("a statement that is at fault itself was repeated") }
        if failuresInARow[place, default: 0] >= Self.failuresInARow, !pick.isProbe {
            complain("a backend with \(Self.failuresInARow) failures in a row got more than probes")
        }
        let began = leg.running.compactMap { running[$0]?.began }.min()
        if kind == .hedge, let began, began.duration(to: now) < HedgePolicy().minimumDelay {
            complain("a hedge came before the first attempt had any time")
        }
        if kind == .first { firstAttempts[shard] += 1 } else { extraAttempts[shard] += 1 }
        let seconds = Double(origin.duration(to: now).nanoseconds) / 1e9
        let allowed =
            Self.budget.share * Double(firstAttempts[shard])
            + Double(Self.budget.minimumPerSecond) * (seconds + 1) + 1
        if Double(extraAttempts[shard]) > allowed { complain("more extra attempts than the budget allows") }
    }

    /// What a leg's first attempt was told, held against what the shard knows.
    mutating func firstChoice(_ choice: ShardMachine.Choice, _ shard: ShardMachine) {
        let usable = shard.replicas.filter { $0.isReachable && !$0.isDrained }
        switch choice {
        case .refuse:
            if usable.contains(where: { $0.breaker.isClosed || $0.breaker.ejection == .slowness }) {
                complain("a search was refused although a replica is well, or only slow")
            }
        case .ask(let pick):
            let preferred: ReplicaRole =
                switch scenario.preference {
                case .any: .unknown
                case .primary: .primary
                case .standby: .standby
                }
            guard preferred != .unknown, !pick.isProbe, shard.replicas[pick.replica].role != preferred else { return }
            if usable.contains(where: { $0.role == preferred && $0.breaker.isClosed }) {
                complain("the preferred role was not asked although it could be")
            }
        }
    }

    /// By the configured bounds: half of the time so far, at least 5 ms, at most 500 ms.
    mutating func laggardsGivenUp(_ number: Int, _ request: SimulatedRequest, at instant: Instant, now: Instant) {
        let spent = (request.admitted ?? request.arrived).duration(to: now)
        let most = now.advanced(by: min(max(spent / 2, .milliseconds(5)), .milliseconds(500)))
        lastAnswers[number] = min(request.deadline, most)
        if instant > min(request.deadline, most) { complain("laggards are waited for too long") }
    }

    mutating func attemptEnded(_ attempt: SimulatedAttempt, _ failure: AttemptFailure?) {
        switch failure {
        case nil: failuresInARow[attempt.place] = 0
        case let failure? where failure.blamesBackend: failuresInARow[attempt.place, default: 0] += 1
        default: break
        }
    }

    mutating func requestEnded(_ number: Int, _ request: SimulatedRequest, _ end: RequestEnd, now: Instant) {
        open[number] = nil
        lastAnswers[number] = nil
        endings[number, default: 0] += 1
        if endings[number] != 1 { return complain("request \(number) ended twice") }
        ended += 1
        if now > request.deadline { complain("request \(number) ended after its deadline") }
        guard case .answer(let coverage, let ids) = end else {
            if number >= scenario.searches { complain("request \(number) failed although the world has been well") }
            return
        }
        let answered = request.legs.filter { $0.rows != nil }
        let share = Double(answered.count) / Double(scenario.shards)
        if coverage > share + 1e-9 { complain("coverage \(coverage) is said where \(share) answered") }
        if share < request.minCoverage - 1e-9 { complain("an answer covers less than was asked for") }
        let all = answered.flatMap { $0.rows ?? [] }.sorted(by: Candidate.precedes).prefix(Scenario.k)
        if ids != all.map(\.id) { complain("the merged answer is not the k nearest of the legs that answered") }
    }

    // MARK: After every event

    mutating func check(_ simulation: Simulation) throws(Violation) {
        for (place, pool) in simulation.pools { check(pool, place, simulation) }
        if simulation.admission.inFlight > scenario.admissionLimit { complain("more searches run than are admitted") }
        let now = simulation.timeline.now
        for (number, deadline) in open where deadline < now {
            complain("request \(number) is not ended at its deadline")
        }
        for (number, last) in lastAnswers where last < now {
            complain("request \(number) still waits for laggards")
        }
        if let problem { throw Violation(rule: problem, at: origin.duration(to: now)) }
    }

    private mutating func check(_ pool: SimulatedPool, _ place: Simulation.PoolPlace, _ simulation: Simulation) {
        let counts = pool.machine.occupancy
        if counts.idle + counts.leased + counts.dialling + counts.closing > scenario.poolSize {
            complain("a pool has more connections than its size")
        }
        if pool.connections.count + pool.dialling.count > scenario.poolSize {
            complain("a server has more connections than the pool's size")
        }
        if pool.machine.occupancy.waiting != pool.waiters.count { complain("waiters were lost") }
        let executing = pool.connections.values.count { $0 != nil }
        if executing > counts.leased { complain("a connection is used that is not leased") }
        for attempt in pool.waiters.values where !simulation.isWaiting(attempt) { complain("a waiter was forgotten") }
    }

    /// Everything has had its time.
    func checkEnd(_ simulation: Simulation) throws(Violation) {
        let expected = scenario.searches + Simulation.probes
        guard ended < expected else { return }
        throw Violation(
            rule: "only \(ended) of \(expected) requests have ended", at: origin.duration(to: simulation.timeline.now))
    }
}
