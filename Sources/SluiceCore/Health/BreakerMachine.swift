/// The switch that stops using a sick backend, one a backend: closed; open for a growing, jittered time; half open for
/// a few probes at a time. Failures in a row, the share of failures, and the share of slow calls open it.
///
/// Every attempt that was started is ended, once. Attempts that began before the switch opened and end after say
/// nothing new, and count for nothing until it is closed.
///
/// Sources: Nygard, "Release It!" (the pattern); Envoy, "Outlier detection", and gRPC A50 (what ejects, a time that
/// grows with each ejection); resilience4j (slow-call share, minimum volume, permitted calls in half open).
public struct BreakerMachine: Sendable {
    enum State: Hashable {
        case closed(since: Instant)
        case open(until: Instant, Cause)
        case halfOpen(successes: Int, Cause)
    }

    public private(set) var configuration: Configuration
    private var state = State.closed(since: Instant(nanoseconds: .min))
    private var window: CallWindow
    private var probes: ProbeSlots
    private var failuresInARow = 0
    /// How often it has opened without having stayed closed for the calm time: the exponent of the open time.
    private var openings = 0
    private var slowNanoseconds: Int64

    public init(_ configuration: Configuration = Configuration()) {
        self.configuration = configuration
        window = CallWindow(length: configuration.window)
        probes = ProbeSlots(count: configuration.halfOpenProbes, limit: configuration.probeTimeout)
        slowNanoseconds = configuration.slowThreshold?.nanoseconds ?? .max
    }

    /// It stays as open as it is; what it counts, it counts anew.
    public mutating func reconfigured(_ configuration: Configuration) {
        guard configuration != self.configuration else { return }
        let fresh = BreakerMachine(configuration)
        self.configuration = configuration
        (window, probes, slowNanoseconds) = (fresh.window, fresh.probes, fresh.slowNanoseconds)
        failuresInARow = 0
    }

    // MARK: Questions

    /// Whether an attempt may go to this backend now. Asking changes nothing.
    public func permission(now: Instant) -> Permission {
        switch state {
        case .closed: return .allow
        case .open(let until, _) where now < until:
            // An operator's switch may stay open for ever; nobody needs to hear of centuries.
            let left = until.elapsedNanoseconds(since: now)
            return .refuse(retryAfter: .nanoseconds(min(left, max(1, configuration.openTime.cap.nanoseconds))))
        case .open, .halfOpen:
            if probes.isFree(now: now) { return .probe }
            // Probes usually end long before their limit.
            return .refuse(retryAfter: .nanoseconds(min(max(1, probes.nanosecondsUntilFree(now: now)), 50_000_000)))
        }
    }

    /// What it is just now, for reports.
    public var position: Position {
        switch state {
        case .closed: .closed
        case .open(_, let cause): .open(cause)
        case .halfOpen(_, let cause): .halfOpen(cause)
        }
    }

    /// True until its open time has passed; then it is half open, or is as soon as somebody probes it.
    public func isOpen(now: Instant) -> Bool {
        if case .open(let until, _) = state { return now < until }
        return false
    }

    public var isClosed: Bool {
        if case .closed = state { return true }
        return false
    }

    /// Why ordinary attempts keep away, until it is closed again.
    public var ejection: Ejection {
        switch state {
        case .closed: .none
        case .open(_, let cause), .halfOpen(_, let cause): cause == .slowShare ? .slowness : .failure
        }
    }

    // MARK: Events

    /// - Parameter asProbe: true if its permission was `probe`.
    @discardableResult
    public mutating func attemptStarted(asProbe: Bool, now: Instant) -> Transition? {
        guard asProbe, permission(now: now) == .probe, probes.take(now: now) else { return nil }
        guard case .open(_, let cause) = state else { return nil }
        state = .halfOpen(successes: 0, cause)
        return .halfOpened
    }

    public mutating func attemptEnded(
        _ outcome: Outcome, wasProbe: Bool, now: Instant, using generator: inout some RandomNumberGenerator
    ) -> Transition? {
        if wasProbe { probes.release(now: now) }
        switch state {
        case .closed: return callEnded(outcome, now: now, using: &generator)
        case .open: return nil
        case .halfOpen(let successes, let cause):
            guard wasProbe else { return nil }
            return probeEnded(outcome, successes, cause, now: now, using: &generator)
        }
    }

    /// The backend can be reached again after it could not: what opened the switch is over, it may be probed at once.
    public mutating func backendReturned(now: Instant) {
        guard case .open(_, let cause) = state, cause != .byHand else { return }
        openings = 0
        state = .open(until: now, cause)
    }

    /// An operator's word.
    /// - Parameter time: how long until it may be probed; nil: until `forceClosed`.
    public mutating func forceOpen(for time: Duration?, now: Instant) -> Transition {
        open(.byHand, nanoseconds: max(0, time?.nanoseconds ?? .max), now: now)
    }

    /// An operator's word. Nil if it was closed.
    public mutating func forceClosed(now: Instant) -> Transition? {
        if isClosed { return nil }
        openings = 0
        return close(now: now)
    }

    // MARK: Decisions

    private mutating func callEnded(
        _ outcome: Outcome, now: Instant, using generator: inout some RandomNumberGenerator
    ) -> Transition? {
        switch outcome {
        case .neutral: return nil
        case .success(let took):
            failuresInARow = 0
            window.add(isFailure: false, isSlow: isSlow(took), now: now)
        case .slow: window.add(isFailure: false, isSlow: true, now: now)
        case .failure:
            failuresInARow &+= 1
            window.add(isFailure: true, isSlow: false, now: now)
        }
        guard let cause = reasonToOpen(now: now) else { return nil }
        return open(cause, now: now, using: &generator)
    }

    private mutating func reasonToOpen(now: Instant) -> Cause? {
        if failuresInARow >= max(1, configuration.consecutiveFailures) { return .consecutiveFailures }
        let calls = window.current(now: now)
        guard calls.volume >= configuration.minimumVolume else { return nil }
        let volume = Double(calls.volume)
        if calls.failures > 0, Double(calls.failures) >= configuration.failureShare * volume { return .failureShare }
        if calls.slow > 0, Double(calls.slow) >= configuration.slowShare * volume { return .slowShare }
        return nil
    }

    private mutating func probeEnded(
        _ outcome: Outcome, _ successes: Int, _ cause: Cause, now: Instant,
        using generator: inout some RandomNumberGenerator
    ) -> Transition? {
        switch outcome {
        case .neutral: return nil
        case .failure: return open(.probeFailed, now: now, using: &generator)
        case .slow: return open(.slowShare, now: now, using: &generator)
        case .success(let took) where isSlow(took): return open(.slowShare, now: now, using: &generator)
        case .success:
            if successes &+ 1 >= configuration.successesToClose { return close(now: now) }
            state = .halfOpen(successes: successes &+ 1, cause)
            return nil
        }
    }

    private func isSlow(_ took: Duration) -> Bool { slowNanoseconds != .max && took.nanoseconds > slowNanoseconds }

    private mutating func open(
        _ cause: Cause, now: Instant, using generator: inout some RandomNumberGenerator
    ) -> Transition {
        if case .closed(let since) = state,
            now.elapsedNanoseconds(since: since) >= max(0, configuration.calmTime.nanoseconds)
        {
            openings = 0
            probes.forgetOverdue()
        }
        let middle = min(configuration.openTime.ceilingNanoseconds(attempt: openings), 1 << 61)
        let spread = Int64(Double(middle) * configuration.jitter.clampedShare)
        openings = min(openings + 1, 62)
        let drawn = Int64.random(in: (middle - spread)...(middle + spread), using: &generator)
        return open(cause, nanoseconds: drawn, now: now)
    }

    private mutating func open(_ cause: Cause, nanoseconds: Int64, now: Instant) -> Transition {
        state = .open(until: now.later(byNanoseconds: nanoseconds), cause)
        return .opened(cause, for: .nanoseconds(nanoseconds))
    }

    private mutating func close(now: Instant) -> Transition {
        state = .closed(since: now)
        failuresInARow = 0
        window.reset()
        return .closed
    }
}

extension Backoff {
    /// The base doubled `attempt` times, at most the cap, in nanoseconds.
    func ceilingNanoseconds(attempt: Int) -> Int64 {
        let most = max(0, cap.nanoseconds)
        let doublings = Int64(min(max(0, attempt), 62))
        let (scaled, overflow) = max(0, base.nanoseconds).multipliedReportingOverflow(by: 1 << doublings)
        return overflow ? most : min(scaled, most)
    }
}
