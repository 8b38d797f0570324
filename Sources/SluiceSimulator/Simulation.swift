internal import SluiceCore

/// One run of the real machines against a virtual clock and a faulty world, with a checker after every event.
///
/// The driver here is as thin as the engine's: it carries out what the machines answer, and nothing else.
public struct Simulation {
    enum Event {
        case arrive(Int)
        case admissionDue(Int)
        case legDue(Int, leg: Int, AttemptKind)
        case hedgeDue(Int, leg: Int, attempt: Int)
        case laggardsDue(Int)
        case cancel(Int)
        case waitEnded(attempt: Int)
        case attemptDue(attempt: Int)
        case answered(attempt: Int, AttemptFailure?)
        case dialEnded(PoolPlace, ConnectionID, succeeded: Bool)
        case settled(PoolPlace, ConnectionID, isClean: Bool)
        case closed(PoolPlace, ConnectionID)
        case maintenance(PoolPlace)
        case faultBegan(PoolPlace)
        case roleDue(PoolPlace, isPeriodic: Bool)
    }

    struct PoolPlace: Hashable {
        var shard: Int
        var replica: Int
    }

    let seed: UInt64
    let bug: PlantedBug?
    let scenario: Scenario
    let world: World
    var random: SplitMix64
    var timeline: Timeline<Event>
    var pools: [PoolPlace: SimulatedPool] = [:]
    var shards: [ShardMachine]
    var admission: AdmissionMachine
    var requests: [Int: SimulatedRequest] = [:]
    var attempts: [Int: SimulatedAttempt] = [:]
    var nextAttempt = 0
    var checkers: Checkers
    var trace: ((String) -> Void)?

    /// How long a search may take in a healthy world.
    static let patience = Duration.milliseconds(1_500)
    /// Open breakers (30 s and a jitter at most) and backoffs have ended by then.
    static let recovery = Duration.seconds(40)
    /// How often roles are asked for.
    private static let roleInterval = Duration.seconds(5)
    static let probes = 10

    public init(seed: UInt64, bug: PlantedBug? = nil, trace: ((String) -> Void)? = nil) {
        self.seed = seed
        self.bug = bug
        self.trace = trace
        let scenario = Scenario(seed: seed)
        let origin = Instant(nanoseconds: scenario.origin)
        self.scenario = scenario
        world = World(scenario, origin: origin)
        random = SplitMix64(seed: seed ^ 0xA5A5_5A5A)
        timeline = Timeline(now: origin)
        var shard = ShardMachine.Configuration()
        shard.breaker.consecutiveFailures = bug == .breakerStaysClosed ? 1_000_000 : Checkers.failuresInARow
        if bug == .breakerStaysClosed { shard.breaker.minimumVolume = 1_000_000 }
        shard.breaker.slowThreshold = Checkers.slow
        shard.preference = bug == .rolesAreIgnored ? .any : scenario.preference
        shard.budget = bug == .budgetIsIgnored ? .init(share: 1, minimumPerSecond: 1_000) : Checkers.budget
        shards = (0..<scenario.shards).map { _ in
            ShardMachine(shard, replicas: Array(repeating: .init(), count: scenario.replicas), now: origin)
        }
        let limit = bug == .admissionHasNoLimit ? 100_000 : scenario.admissionLimit
        admission = AdmissionMachine(
            .init(limit: .init(minimum: min(4, limit), maximum: limit, initial: limit), maxWaiting: 16))
        checkers = Checkers(scenario: scenario, origin: origin)
    }

    /// Runs to the end of the scenario and of the recovery after it.
    /// - Throws: the first rule that was broken.
    public mutating func run() throws(Violation) {
        for shard in 0..<scenario.shards {
            for replica in 0..<scenario.replicas {
                let place = PoolPlace(shard: shard, replica: replica)
                startPool(place)
                timeline.plan(.roleDue(place, isPeriodic: true), in: Self.roleInterval)
            }
        }
        planFaults()
        planArrivals()
        while checkers.ended < scenario.searches + Self.probes, let event = timeline.next() {
            trace?("\(timeline.now.nanoseconds - scenario.origin) \(event)")
            handle(event)
            try checkers.check(self)
        }
        try checkers.checkEnd(self)
    }

    // MARK: Planning

    private mutating func planArrivals() {
        var at = timeline.now
        for number in 0..<scenario.searches {
            // Bursts: several at the same instant, then a pause.
            if !Int.random(in: 0..<4, using: &random).isMultiple(of: 4) {
                at = at.advanced(by: scenario.pause * Int.random(in: 0...2, using: &random))
            }
            timeline.plan(.arrive(number), at: at)
            if Int.random(in: 0..<12, using: &random) == 0 {
                timeline.plan(
                    .cancel(number), at: at.advanced(by: .microseconds(.random(in: 0...4_000, using: &random))))
            }
        }
        let recovered = timeline.now.advanced(by: scenario.calm * 2 + Self.recovery)
        for number in 0..<Self.probes {
            timeline.plan(
                .arrive(scenario.searches + number), at: recovered.advanced(by: .milliseconds(400 * number)))
        }
    }

    private mutating func planFaults() {
        for fault in scenario.faults {
            let place = PoolPlace(shard: fault.shard, replica: fault.replica)
            timeline.plan(.faultBegan(place), at: timeline.now.advanced(by: fault.begin))
            guard fault.kind == .flapping else { continue }
            var at = fault.begin
            while at < fault.end {
                timeline.plan(.faultBegan(place), at: timeline.now.advanced(by: at))
                at += .milliseconds(100)
            }
        }
    }

    // MARK: Events

    private mutating func handle(_ event: Event) {
        switch event {
        case .arrive(let number): arrive(number)
        case .admissionDue(let number): admissionDue(number)
        case .legDue(let number, let leg, let kind): startAttempt(number, leg, kind)
        case .hedgeDue(let number, let leg, let attempt): hedgeDue(number, leg, attempt)
        case .laggardsDue(let number): giveUpLegs(number)
        case .cancel(let number): cancel(number)
        case .waitEnded(let attempt): waitEnded(attempt)
        case .attemptDue(let attempt): interrupt(attempt, .timedOut)
        case .answered(let attempt, let failure): answered(attempt, failure)
        case .dialEnded(let place, let id, let succeeded): dialEnded(place, id, succeeded)
        case .settled(let place, let id, let isClean): settled(place, id, isClean)
        case .closed(let place, let id): closed(place, id)
        case .maintenance(let place): maintenance(place)
        case .faultBegan(let place): connectionsBreak(place)
        case .roleDue(let place, let isPeriodic): roleDue(place, isPeriodic)
        }
    }

    /// A replica is asked what it is, on a connection that is up.
    private mutating func roleDue(_ place: PoolPlace, _ isPeriodic: Bool) {
        if isPeriodic { timeline.plan(.roleDue(place, isPeriodic: true), in: Self.roleInterval) }
        guard pools[place]?.machine.isUp == true else { return }
        noteRole(place)
    }

    mutating func noteRole(_ place: PoolPlace) {
        shards[place.shard].roleProbed(
            place.replica,
            ReplicaReport(role: world.role(place.shard, place.replica, now: timeline.now), asked: timeline.now))
    }
}

struct SimulatedPool {
    var machine: PoolMachine
    /// What the server holds, and which attempt uses it.
    var connections: [ConnectionID: Int?] = [:]
    var dialling: Set<ConnectionID> = []
    var waiters: [WaiterID: Int] = [:]
    var armed: Instant?
}

struct SimulatedRequest {
    struct Leg {
        var machine: LegMachine
        var lastFailure: AttemptFailure?
        var rows: [Candidate]?
        var isOver = false
        var running: Set<Int> = []
    }

    var query: UInt64
    var arrived: Instant
    var deadline: Instant
    var minCoverage: Double
    var priority: SearchPriority
    var fanOut: FanOutMachine?
    var legs: [Leg] = []
    var admitted: Instant?
    var end: RequestEnd?
}

enum RequestEnd: Hashable {
    case answer(coverage: Double, ids: [Int64])
    case failed
    case busy
    case cancelled
}

struct SimulatedAttempt {
    enum State: Hashable {
        case waiting(WaiterID)
        case executing(ConnectionID)
        case over
    }

    var request: Int
    var leg: Int
    var kind: AttemptKind
    var pick: ShardMachine.Pick
    var place: Simulation.PoolPlace
    var began: Instant
    var leased: Instant?
    var state = State.over
}
