/// What a replica is, as it said when it was last asked.
public enum ReplicaRole: Hashable, Sendable {
    case unknown
    case primary
    case standby
}

/// Which role is asked first.
public enum RolePreference: Hashable, Sendable {
    case any
    case primary
    case standby
}

/// One shard's replicas: which of them an attempt goes to, whether there is budget for it, and what its end says about
/// the replica. All reactors share it.
public struct ShardMachine: Sendable {
    public struct Configuration: Hashable, Sendable {
        public var breaker = BreakerMachine.Configuration()
        public var budget = RetryBudget.Configuration()
        public var hedging = HedgePolicy()
        public var preference = RolePreference.any
        /// How long a new or recovered replica takes to get its full share.
        public var slowStart: Duration = .seconds(10)
        /// Slowness ejects replicas only while at least this share of them stays.
        public var panic = PanicThreshold()
        /// From this share of their capacity on in which the replicas of the same zone are busy, those of other zones
        /// are compared with them. With 0 zones make no difference, with 1 others are asked when there is no room.
        public var zoneSpillOver = 0.8

        public init() {}
    }

    public struct Replica: Hashable, Sendable {
        public var weight: Int
        public var isSameZone: Bool
        /// The most attempts that it can serve at a time.
        public var capacity: Int
        /// Two with the same number are one server under two names: whoever has asked one has asked the other. Nil for
        /// a server of its own.
        public var server: Int?

        public init(weight: Int = 1, isSameZone: Bool = true, capacity: Int = .max, server: Int? = nil) {
            self.weight = max(1, weight)
            self.isSameZone = isSameZone
            self.capacity = capacity
            self.server = server
        }
    }

    public enum Choice: Hashable, Sendable {
        case ask(Pick)
        case refuse(AttemptFailure)
    }

    public struct Pick: Hashable, Sendable {
        public var replica: Int
        /// The backend's breaker is half open and this attempt tries it.
        public var isProbe: Bool
        /// When to ask a second replica; nil if there is no other, or too little is known.
        public var hedgeAfter: Duration?
        /// What it is compared with: latencies of the same kind of leg.
        public var latencyClass: Int
        /// What it takes says something of the replica. What asks for much work says only that it did.
        public var isMeasured: Bool
        /// It is asked although it is not as fresh as was asked for.
        public var isStale = false

        public init(
            replica: Int, isProbe: Bool, hedgeAfter: Duration?, latencyClass: Int = 0, isMeasured: Bool = true
        ) {
            self.isMeasured = isMeasured
            self.replica = replica
            self.isProbe = isProbe
            self.hedgeAfter = hedgeAfter
            self.latencyClass = latencyClass
        }
    }

    public enum AttemptResult: Hashable, Sendable {
        case rows(took: Duration)
        /// The hedge was faster, and this attempt was given up after this time.
        case lostRace(after: Duration)
        /// `took`: from sending the statement; zero if none was sent.
        case failed(AttemptFailure, took: Duration)
    }

    /// What is known of one replica.
    public struct State: Sendable {
        public internal(set) var role = ReplicaRole.unknown
        /// Of a primary.
        var timeline: UInt32?
        var incarnation: UInt64?
        /// The cluster's that it is of; nil if it has not said it.
        var systemIdentifier: UInt64?
        /// When it was asked for what is known of its role.
        var asked = Instant(nanoseconds: .min)
        /// It has not answered since.
        var isSilent = false
        /// One bit a lane, in at most one of the two: a lane that has not dialled yet knows nothing.
        var lanesUp: UInt64 = 0
        var lanesFailed: UInt64 = 0
        public var isReachable: Bool { lanesUp != 0 || lanesFailed == 0 }
        /// It asked for no more retries and hedges before this.
        var restsUntil = Instant(nanoseconds: .min)
        public internal(set) var isDrained = false
        public fileprivate(set) var inFlight = 0
        /// Attempts that have ended here, and not yet on the server.
        public fileprivate(set) var settling = 0
        var load: Int { inFlight + settling }
        public internal(set) var breaker: BreakerMachine
        public internal(set) var latency: PeakEWMA
        var settings: Replica
        /// Its own place and those of its other names.
        fileprivate(set) var places = ReplicaSet()
    }

    public let configuration: Configuration
    public internal(set) var replicas: [State]
    public internal(set) var staleness: StalenessTracker
    /// Of the cluster that most of its servers are of.
    var systemIdentifier: UInt64?
    /// The highest that a primary of that cluster was ever seen on.
    public internal(set) var latestTimeline: UInt32 = 0
    /// How often two servers have begun to claim to be the primary.
    public internal(set) var conflicts: UInt64 = 0
    public internal(set) var primary = PrimaryChoice.none(.unknown)
    /// The primary's names; empty if there is none.
    var primaryPlaces = ReplicaSet()
    var budget: RetryBudget
    /// One for each kind of leg: what is usual for an index is not for a scan of the whole table.
    var latencies: [LatencyWindow]
    public internal(set) var extraAttempts: UInt64 = 0
    public internal(set) var refusedExtraAttempts: UInt64 = 0

    /// A server that asks for a longer rest is not believed.
    private static let longestRest: Int64 = 30_000_000_000
    private static let mostLatencyClasses = 64

    /// - Parameter latencyClasses: how many kinds of legs are told apart; beyond 64 they share.
    public init(_ configuration: Configuration, replicas: [Replica], latencyClasses: Int = 1, now: Instant) {
        self.configuration = configuration
        latencies = Array(
            repeating: LatencyWindow(), count: min(max(1, latencyClasses), Self.mostLatencyClasses))
        budget = RetryBudget(configuration.budget, now: now)
        staleness = StalenessTracker(replicas: replicas.count)
        var latency = PeakEWMA.Configuration()
        latency.slowStart = configuration.slowStart
        self.replicas = replicas.map {
            State(
                breaker: BreakerMachine(configuration.breaker), latency: PeakEWMA(latency, now: now), settings: $0)
        }
        for place in replicas.indices {
            self.replicas[place].places.insert(place)
            for other in replicas.indices where replicas[other].server.map({ $0 == replicas[place].server }) == true {
                self.replicas[place].places.insert(other)
            }
        }
    }

    // MARK: Attempts

    /// - Parameters:
    ///   - latencyClass: the kind of leg, from 0.
    ///   - isMeasured: false for what asks for so much that its time says nothing; it is not hedged either.
    ///   - tried: those that the leg has asked before.
    ///   - barred: those that must not be asked, as they are not fresh enough.
    ///   - mayRepeat: true if one of those asked before may be asked again when there is no other.
    public mutating func attemptRequested(
        _ kind: AttemptKind, latencyClass: Int = 0, isMeasured: Bool = true, tried: ReplicaSet,
        barred: ReplicaSet = ReplicaSet(), mayRepeat: Bool, now: Instant,
        using generator: inout some RandomNumberGenerator
    ) -> Choice {
        let readmitted = self.readmitted
        let avoided = tried.union(barred)
        var chosen = choose(kind, avoiding: avoided, readmitted, now: now, using: &generator)
        if chosen == nil, mayRepeat, kind == .retry {
            chosen = choose(kind, avoiding: barred, readmitted, now: now, using: &generator)
        }
        guard let chosen else { return .refuse(reasonForNone(tried, barred, now: now)) }
        if kind == .first {
            budget.firstAttemptStarted(now: now)
        } else {
            guard budget.tryWithdraw(now: now) else {
                refusedExtraAttempts += 1
                return .refuse(.saturated)
            }
            extraAttempts += 1
        }
        var pick = start(
            chosen, kind, avoided, latencyClass: Int((latencyClass % latencies.count).magnitude), now: now)
        pick.isMeasured = isMeasured
        if !isMeasured { pick.hedgeAfter = nil }
        return .ask(pick)
    }

    /// Every attempt that was asked for ends here, exactly once.
    /// - Parameters:
    ///   - waited: for a connection. It is part of what the replica is compared by, and no sign of sickness.
    ///   - retryAfter: the rest that the backend asked for, if it did.
    ///   - isSettling: the server may still be at it, so that its connection is taken: `attemptSettled` follows.
    /// - Returns: what the backend's breaker did, if anything.
    public mutating func attemptEnded(
        _ pick: Pick, _ result: AttemptResult, waited: Duration = .zero, retryAfter: Duration? = nil,
        isSettling: Bool = false, now: Instant, using generator: inout some RandomNumberGenerator
    ) -> BreakerMachine.Transition? {
        guard replicas.indices.contains(pick.replica) else { return nil }
        replicas[pick.replica].inFlight = max(0, replicas[pick.replica].inFlight - 1)
        if isSettling { replicas[pick.replica].settling += 1 }
        if let retryAfter {
            let rest = now.later(byNanoseconds: min(retryAfter.nanoseconds, Self.longestRest))
            replicas[pick.replica].restsUntil = max(replicas[pick.replica].restsUntil, rest)
        }
        let outcome = learn(from: result, of: pick, waited: waited, now: now)
        let transition = replicas[pick.replica].breaker.attemptEnded(
            outcome, wasProbe: pick.isProbe, now: now, using: &generator)
        if transition == .closed { replicas[pick.replica].latency.recovered(now: now) }
        return transition
    }

    /// Nothing of an attempt that was settling is left on the server, or its connection is gone.
    public mutating func attemptSettled(_ replica: Int) {
        guard replicas.indices.contains(replica) else { return }
        replicas[replica].settling = max(0, replicas[replica].settling - 1)
    }

    /// Takes the latency down, and says what the end means for the breaker.
    private mutating func learn(
        from result: AttemptResult, of pick: Pick, waited: Duration, now: Instant
    ) -> BreakerMachine.Outcome {
        let place = min(max(0, pick.latencyClass), latencies.count - 1)
        if !pick.isMeasured {
            switch result {
            case .rows, .lostRace: return .success(took: .zero)
            case .failed(.timedOut, let took) where pick.isProbe && took >= .milliseconds(100): return .failure
            case .failed(let failure, _): return failure.blamesBackend ? .failure : .neutral
            }
        }
        switch result {
        case .rows(let took):
            latencies[place].record(waited + took, now: now)
            replicas[pick.replica].latency.record(waited + took, now: now)
            return .success(took: took)
        case .lostRace(let took):
            // It would have taken longer still; left out, the quantile would be that of the winners.
            latencies[place].record(waited + took, now: now)
            replicas[pick.replica].latency.recordAtLeast(waited + took, now: now)
            return .slow
        case .failed(let failure, let took):
            // Given up after this time; what failed by itself tells nothing of how long it takes.
            if [.timedOut, .cancelled, .saturated].contains(failure), waited + took > .zero {
                replicas[pick.replica].latency.recordAtLeast(waited + took, now: now)
            }
            if failure == .timedOut {
                return isUnusual(took, isProbe: pick.isProbe, place, now: now) ? .failure : .neutral
            }
            return failure.blamesBackend ? .failure : .neutral
        }
    }

    // MARK: What is known

    /// A lane has connections to a replica again, or has lost the last one and cannot get another.
    @discardableResult
    public mutating func reachabilityChanged(
        _ replica: Int, onLane lane: Int, to isReachable: Bool, now: Instant
    ) -> PrimaryConflictChange? {
        guard replicas.indices.contains(replica) else { return nil }
        let wasReachable = replicas[replica].isReachable
        let bit: UInt64 = 1 << UInt64(lane & 63)
        if isReachable {
            replicas[replica].lanesUp |= bit
            replicas[replica].lanesFailed &= ~bit
        } else {
            replicas[replica].lanesUp &= ~bit
            replicas[replica].lanesFailed |= bit
        }
        guard replicas[replica].isReachable != wasReachable else { return nil }
        if wasReachable {
            staleness.forget(replica)
        } else {
            replicas[replica].latency.recovered(now: now)
            replicas[replica].breaker.backendReturned(now: now)
        }
        return findPrimary()
    }

    // MARK: An operator's word

    public mutating func drainRequested(_ replica: Int, _ isDrained: Bool) {
        if replicas.indices.contains(replica) { replicas[replica].isDrained = isDrained }
    }

    /// - Parameter time: until it may be probed; nil: until it is closed by hand.
    public mutating func breakerOpened(_ replica: Int, for time: Duration?, now: Instant) {
        guard replicas.indices.contains(replica) else { return }
        _ = replicas[replica].breaker.forceOpen(for: time, now: now)
    }

    public mutating func breakerClosed(_ replica: Int, now: Instant) {
        guard replicas.indices.contains(replica) else { return }
        _ = replicas[replica].breaker.forceClosed(now: now)
    }

    /// Its pool was given another size.
    public mutating func resized(_ replica: Int, capacity: Int) {
        if replicas.indices.contains(replica) { replicas[replica].settings.capacity = capacity }
    }

    // MARK: Choosing

    private func choose(
        _ kind: AttemptKind, avoiding tried: ReplicaSet, _ readmitted: UInt64, now: Instant,
        using generator: inout some RandomNumberGenerator
    ) -> Int? {
        // A half-open backend is tried at once: it gets one attempt at a time, and a failure is retried elsewhere. An
        // extra attempt is made where it will help.
        if kind == .first {
            for place in replicas.indices where isUsable(place, avoiding: tried) {
                if replicas[place].breaker.permission(now: now) == .probe { return place }
            }
        }
        if replicas.count == 1 {
            return isUsable(0, avoiding: tried) && isAllowed(0, kind, readmitted, now: now) ? 0 : nil
        }
        let overflow = zoneOverflow { isUsable($0, avoiding: tried) && isAllowed($0, kind, readmitted, now: now) }
        return ReplicaPicker.pick(count: replicas.count, using: &generator) { place in
            ReplicaCandidate(
                isEligible: isUsable(place, avoiding: ReplicaSet()) && isAllowed(place, kind, readmitted, now: now),
                wasTried: !tried.isDisjoint(with: replicas[place].places), tier: tier(of: place, overflow),
                weight: replicas[place].settings.weight,
                cost: replicas[place].latency.cost(inFlight: replicas[place].load, now: now))
        }
    }

    // Each replica is looked at where it is: a copy would count every array in it up and down.

    func isUsable(_ place: Int, avoiding tried: ReplicaSet) -> Bool {
        replicas[place].isReachable && !replicas[place].isDrained && tried.isDisjoint(with: replicas[place].places)
    }

    private func isAllowed(_ place: Int, _ kind: AttemptKind, _ readmitted: UInt64, now: Instant) -> Bool {
        if kind != .first, replicas[place].restsUntil > now { return false }
        if kind == .hedge,
            !configuration.hedging.allowsHedge(
                load: replicas[place].load, capacity: replicas[place].settings.capacity)
        {
            return false
        }
        if replicas[place].breaker.permission(now: now) == .allow { return true }
        return place < 64 && readmitted & 1 << UInt64(place) != 0
    }

    func isPreferred(_ place: Int) -> Bool {
        switch configuration.preference {
        case .any: true
        case .primary: replicas[place].role == .primary
        case .standby: replicas[place].role == .standby
        }
    }

    /// The slow ones that are used after all, because ejecting them would leave too few.
    private var readmitted: UInt64 {
        if replicas.indices.allSatisfy({ replicas[$0].breaker.isClosed }) { return 0 }
        return slowOnesNeeded
    }

    private var slowOnesNeeded: UInt64 {
        configuration.panic.readmitted(count: replicas.count) { place in
            isUsable(place, avoiding: ReplicaSet()) ? replicas[place].breaker.ejection : .failure
        }
    }

    private func reasonForNone(_ tried: ReplicaSet, _ barred: ReplicaSet, now: Instant) -> AttemptFailure {
        let avoided = tried.union(barred)
        let isAnyOpen = replicas.indices.contains { (place: Int) in
            isUsable(place, avoiding: avoided) && replicas[place].breaker.permission(now: now) != .allow
        }
        if !isAnyOpen, replicas.indices.contains(where: { barred.contains($0) && isUsable($0, avoiding: tried) }) {
            return .behind
        }
        return isAnyOpen ? .breakerOpen : .unreachable
    }

    private mutating func start(
        _ place: Int, _ kind: AttemptKind, _ tried: ReplicaSet, latencyClass: Int, now: Instant
    ) -> Pick {
        let isProbe = kind == .first && replicas[place].breaker.permission(now: now) == .probe
        replicas[place].inFlight += 1
        replicas[place].breaker.attemptStarted(asProbe: isProbe, now: now)
        var asked = tried
        asked.insert(place)
        let hasOther = kind != .hedge && replicas.indices.contains { isUsable($0, avoiding: asked) }
        return Pick(
            replica: place, isProbe: isProbe,
            hedgeAfter: hasOther ? configuration.hedging.delay(from: &latencies[latencyClass], now: now) : nil,
            latencyClass: latencyClass)
    }

    /// A time-out tells of a sick backend only if it had the time that searches here usually take: a client with a
    /// deadline of a millisecond must not open a breaker for everybody. A probe that took that long has failed; were it
    /// to say nothing, the next search would be the next probe, and so on.
    private mutating func isUnusual(_ took: Duration, isProbe: Bool, _ latencyClass: Int, now: Instant) -> Bool {
        guard let usual = latencies[latencyClass].quantile(0.95, now: now) else { return took >= .milliseconds(100) }
        return took >= max(isProbe ? usual : usual * 2, .milliseconds(10))
    }
}
