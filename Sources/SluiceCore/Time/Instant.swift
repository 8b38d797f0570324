/// A point on a monotonic clock, in nanoseconds since that clock's own start. The core never reads a clock: `now` is
/// always an argument. Arithmetic saturates, because instants are made from durations that a client sends.
public struct Instant: Hashable, Comparable, Sendable {
    public var nanoseconds: Int64

    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// Later than every instant that a clock will show.
    public static let distantFuture = Instant(nanoseconds: .max)

    public static func < (left: Instant, right: Instant) -> Bool { left.nanoseconds < right.nanoseconds }

    public func advanced(by duration: Duration) -> Instant { advanced(byNanoseconds: duration.nanoseconds) }

    /// The same for a hot path that has its durations as whole nanoseconds already. Saturates.
    func advanced(byNanoseconds nanoseconds: Int64) -> Instant {
        let (sum, overflow) = self.nanoseconds.addingReportingOverflow(nanoseconds)
        return Instant(nanoseconds: overflow ? (nanoseconds < 0 ? .min : .max) : sum)
    }

    /// The time from this instant to a later one; negative if `other` is earlier.
    public func duration(to other: Instant) -> Duration { .nanoseconds(nanoseconds(to: other)) }

    /// The same in whole nanoseconds. Saturates.
    func nanoseconds(to other: Instant) -> Int64 {
        let (difference, overflow) = other.nanoseconds.subtractingReportingOverflow(nanoseconds)
        return overflow ? (other > self ? .max : .min) : difference
    }
}

extension Duration {
    /// Whole nanoseconds, saturated at the bounds of `Int64` (292 years).
    public var nanoseconds: Int64 {
        // Up to 18 s one division of words is enough.
        if let short = UInt64(exactly: attoseconds) { return Int64(short / 1_000_000_000) }
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, carry) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
        return carry ? (seconds < 0 ? .min : .max) : sum
    }

    /// Whole microseconds, rounded towards zero.
    public var microseconds: Int64 { nanoseconds / 1_000 }
}
