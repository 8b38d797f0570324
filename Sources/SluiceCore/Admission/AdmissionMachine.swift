/// How much a search matters when not all can be served.
public enum SearchPriority: UInt8, Hashable, Sendable, CaseIterable {
    case interactive = 0
    /// Shed first.
    case batch = 1
}

/// How many searches run at a time: a limit that follows their latency (`GradientLimit`), a short queue, and refusals
/// when both are full. Whoever cannot be answered in time is told so while that is still of use to him, and is never
/// started: work for nobody is what keeps an overload going after the load has gone.
///
/// Below the limit an arrival and an end are O(1) and allocate nothing. Each search that was queued is resolved once:
/// admitted, expired, displaced or cancelled.
///
/// Sources: Netflix concurrency-limits (limit; partitions by priority); "Overload Control for Scaling WeChat
/// Microservices" (shed by priority, early); Google SRE book, "Handling Overload".
public struct AdmissionMachine: Sendable {
    public struct Configuration: Hashable, Sendable {
        public var limit: GradientLimit.Configuration
        /// Searches that may wait to be admitted, both priorities together; 0 or more.
        public var maxWaiting: Int
        /// The longest wait, whatever the deadline.
        public var maxWait: Duration
        /// The share of the limit that batch searches may fill while interactive ones have to wait, 0...1.
        public var batchShare: Double

        public init(
            limit: GradientLimit.Configuration, maxWaiting: Int, maxWait: Duration = .milliseconds(30),
            batchShare: Double = 0.5
        ) {
            self.limit = limit
            self.maxWaiting = maxWaiting
            self.maxWait = maxWait
            self.batchShare = batchShare
        }
    }

    public enum Arrival: Hashable, Sendable {
        case admit
        /// Cancel it at its `latestStart`. `displaced` waited until now and made room: tell it that we are busy.
        case queue(displaced: UInt64?)
        /// - depth: how many wait.
        case shed(retryAfter: Duration, depth: Int)
    }

    /// What a search's end allows: who begins, and who cannot be answered in time any more.
    public struct Departure: Hashable, Sendable {
        public var admitted: [UInt64] = []
        public var expired: [UInt64] = []

        public init(admitted: [UInt64] = [], expired: [UInt64] = []) {
            self.admitted = admitted
            self.expired = expired
        }
    }

    public enum Outcome: Hashable, Sendable {
        case ok
        /// Refused further down for want of connections: too much ran at a time.
        case dropped
        /// Not answered by its deadline. It counts only if it had twice the time that searches usually take: a client
        /// with a deadline of a millisecond must not lower the limit for everybody.
        case timedOut
        /// How long it took says nothing: a client's cancel, a statement that is at fault itself.
        case ignored
    }

    /// Batch searches are held back for this long after an interactive one had to wait, in nanoseconds.
    private static let pressureNanoseconds: Int64 = 1_000_000_000

    public private(set) var configuration: Configuration
    private var limit: GradientLimit
    private var queue: AdmissionQueue
    private var maxWaitNanoseconds: Int64
    private var pressureUntil = Instant(nanoseconds: .min)
    public private(set) var inFlight = 0

    public init(_ configuration: Configuration) {
        self.configuration = configuration
        limit = GradientLimit(configuration.limit)
        queue = AdmissionQueue(capacity: configuration.maxWaiting)
        maxWaitNanoseconds = max(0, configuration.maxWait.nanoseconds)
    }

    public var currentLimit: Int { limit.current }
    public var waiting: Int { queue.count }

    /// When a waiting search must have been admitted for its answer to be in time, or for its wait not to be too long.
    public func latestStart(of id: UInt64) -> Instant? { queue.deadline(of: id) }

    /// When to come again: about when those who wait will have been served, 10 ms...2 s.
    public var retryAfter: Duration {
        .nanoseconds(min(max(waitNanoseconds(behind: waiting), 10_000_000), 2_000_000_000))
    }

    // MARK: Events

    /// Who runs and who waits stays. Another limit learns anew.
    public mutating func reconfigured(_ configuration: Configuration) {
        if configuration.limit != self.configuration.limit { limit = GradientLimit(configuration.limit) }
        self.configuration = configuration
        maxWaitNanoseconds = max(0, configuration.maxWait.nanoseconds)
    }

    /// - Parameters:
    ///   - id: not in use by any search that waits; one that is, stays where it is.
    ///   - session: whose it is; sessions take turns.
    public mutating func searchArrived(
        id: UInt64, priority: SearchPriority, session: UInt64 = 0, deadline: Instant, now: Instant
    ) -> Arrival {
        if queue.count == 0 || (priority == .interactive && queue.count(of: .interactive) == 0 && !queue.contains(id)),
            hasRoom(for: priority, now: now)
        {
            inFlight &+= 1
            return .admit
        }
        if queue.contains(id) { return .queue(displaced: nil) }
        if priority == .interactive { pressureUntil = now.later(byNanoseconds: Self.pressureNanoseconds) }
        let patience = min(lastStart(for: deadline), now.later(byNanoseconds: maxWaitNanoseconds))
        let ahead =
            (priority == .interactive ? 0 : queue.count(of: .interactive)) + queue.ahead(of: session, priority)
        guard now.later(byNanoseconds: waitNanoseconds(behind: ahead)) < patience else { return shed }
        var displaced: UInt64?
        if queue.count >= max(0, configuration.maxWaiting) {
            displaced = displaceable(by: priority, of: session, now: now)
            guard let displaced, queue.remove(displaced) else { return shed }
        }
        _ = queue.append(id, priority, of: session, deadline: patience)
        return .queue(displaced: displaced)
    }

    /// A search that was admitted ended.
    /// - Parameter took: from its admission on.
    public mutating func searchEnded(took: Duration, outcome: Outcome, now: Instant) -> Departure {
        switch outcome {
        case .ok:
            let isLoaded = queue.count > 0 || inFlight >= currentLimit
            limit.sampled(took, inFlight: inFlight, isLoaded: isLoaded, now: now)
        case .dropped: limit.dropped(now: now)
        case .timedOut: if took.nanoseconds / 2 >= limit.expectedNanoseconds { limit.dropped(now: now) }
        case .ignored: break
        }
        inFlight = max(0, inFlight - 1)
        return queue.count == 0 ? Departure() : admitWaiting(now: now)
    }

    /// True if it was still waiting.
    public mutating func waiterCancelled(_ id: UInt64) -> Bool { queue.remove(id) }

    // MARK: Decisions

    private var shed: Arrival { .shed(retryAfter: retryAfter, depth: queue.count) }

    /// How long the searches that are ahead, and one more, will take to be admitted.
    private func waitNanoseconds(behind ahead: Int) -> Int64 {
        let turns = Double(ahead + 1) / Double(max(1, currentLimit))
        return (Double(limit.expectedNanoseconds) * turns).clampedNanoseconds
    }

    /// When a search must start to be answered by its deadline, as searches usually go.
    private func lastStart(for deadline: Instant) -> Instant {
        deadline.advanced(by: .nanoseconds(-limit.expectedNanoseconds))
    }

    private func hasRoom(for priority: SearchPriority, now: Instant) -> Bool {
        let isHeldBack = priority == .batch && (now < pressureUntil || queue.count(of: .interactive) > 0)
        guard isHeldBack else { return inFlight < currentLimit }
        // At least one, so that there is always an end that admits the next.
        return inFlight < max(1, Int(Double(currentLimit) * configuration.batchShare.clampedShare))
    }

    /// One that is too late anyway; else, for an interactive search, a batch search; else one of a session that has
    /// more waiting than this one will have. Of several the one that came last.
    private func displaceable(by priority: SearchPriority, of session: UInt64, now: Instant) -> UInt64? {
        for other in SearchPriority.allCases {
            if let first = queue.first(other), first.deadline <= now { return first.id }
        }
        if priority == .interactive, let last = queue.lastOfMost(.batch) { return last.id }
        guard let last = queue.lastOfMost(priority), last.count > queue.count(of: session, priority) + 1 else {
            return nil
        }
        return last.id
    }

    private mutating func admitWaiting(now: Instant) -> Departure {
        var departure = Departure()
        for priority in SearchPriority.allCases {
            while let next = queue.first(priority) {
                let isLate = next.deadline <= now
                guard isLate || hasRoom(for: priority, now: now), queue.remove(next.id, isServed: !isLate) else {
                    break
                }
                if isLate {
                    departure.expired.append(next.id)
                } else {
                    inFlight &+= 1
                    departure.admitted.append(next.id)
                }
            }
        }
        return departure
    }
}
