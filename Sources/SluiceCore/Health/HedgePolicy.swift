/// When a second replica is asked although the first still works: after the leg's own recent p95, within bounds, so
/// that about one leg in twenty is hedged, and those are the slow ones. Whether the budget allows it is `RetryBudget`'s
/// part.
///
/// Source: Dean and Barroso, "The Tail at Scale", 2013.
public struct HedgePolicy: Hashable, Sendable {
    public var isEnabled = true
    /// 0...1 of the recent latencies.
    public var quantile = 0.95
    public var minimumDelay: Duration = .milliseconds(2)
    /// Taken as at least `minimumDelay`.
    public var maximumDelay: Duration = .seconds(1)
    /// A backend with a larger share of its places taken is not hedged to, 0...1.
    public var maximumBackendLoad = 0.8

    public init() {}

    /// Nil if there is to be no hedge, or too little is known.
    public func delay(from latencies: inout LatencyWindow, now: Instant) -> Duration? {
        guard isEnabled, let usual = latencies.quantile(quantile, now: now) else { return nil }
        return max(minimumDelay, min(usual, maximumDelay))
    }

    /// Whether a hedge may go to a backend.
    /// - Parameters:
    ///   - load: attempts that hold or wait for one of its connections.
    ///   - capacity: connections it may have.
    public func allowsHedge(load: Int, capacity: Int) -> Bool {
        isEnabled && capacity > 0 && Double(max(0, load)) <= maximumBackendLoad.clampedShare * Double(capacity)
    }
}
