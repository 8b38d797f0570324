/// Which requests are traced: those whose client records the trace, and a share of those that come without one; as long
/// as there are not more spans in a second than may be.
///
/// A request is traced as a whole or not at all, so what it has of spans is known too late to refuse them: what is
/// overdrawn has to fill up before the next one is taken.
public struct TraceSampler: Hashable, Sendable {
    private let share: Double
    private var allowance: RateAllowance

    /// - Parameters:
    ///   - share: of the requests that come without a trace, 0...1.
    ///   - spansPerSecond: at least 1.
    public init(share: Double, spansPerSecond: Int, now: Instant) {
        self.share = share.clampedShare
        allowance = RateAllowance(perSecond: spansPerSecond, now: now)
    }

    /// - Parameter isRecorded: what the client says of its trace; nil if it has none.
    /// - Returns: whether the request is traced. Its first span is counted then.
    public mutating func takes(
        isRecorded: Bool?, now: Instant, using generator: inout some RandomNumberGenerator
    ) -> Bool {
        let isWanted = isRecorded ?? (share > 0 && Double.random(in: 0..<1, using: &generator) < share)
        return isWanted && allowance.tryTake(now: now)
    }

    /// A request that is traced has begun another span.
    public mutating func began(now: Instant) { allowance.take(1, now: now) }
}
