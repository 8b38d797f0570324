/// How long laggards are waited for once enough has answered: a share of what the others took, within bounds. A leg
/// that takes much longer than the others is not worth the whole deadline.
///
/// Source: Vespa, "Graceful query coverage degradation" (adaptive timeout: minimum and maximum wait after coverage).
public struct AdaptiveTimeout: Hashable, Sendable {
    /// Of the time from the start until the wanted coverage was reached; 0 or more.
    public var factor: Double
    public var minimum: Duration
    /// Taken as at least `minimum`.
    public var maximum: Duration

    public init(factor: Double = 0.5, minimum: Duration = .milliseconds(5), maximum: Duration = .milliseconds(500)) {
        self.factor = factor
        self.minimum = minimum
        self.maximum = maximum
    }

    /// Until when laggards may still answer: not before the coverage was reached, never after the deadline.
    /// - Parameters:
    ///   - started: when the search began.
    ///   - reached: when the wanted coverage was.
    public func instant(started: Instant, reached: Instant, deadline: Instant) -> Instant {
        let extra = (Double(reached.elapsedNanoseconds(since: started)) * factor).clampedNanoseconds
        let least = max(0, minimum.nanoseconds)
        return min(deadline, reached.later(byNanoseconds: max(least, min(extra, maximum.nanoseconds))))
    }
}
