/// Full-jitter exponential backoff: a uniform draw from 0 up to `base * 2^attempt`, capped.
/// Source: "Exponential Backoff and Jitter", AWS Architecture Blog, 2015.
public struct Backoff: Hashable, Sendable {
    public var base: Duration
    public var cap: Duration

    public init(base: Duration, cap: Duration) {
        self.base = base
        self.cap = cap
    }

    /// - Parameter attempt: how many attempts have failed before, from 0.
    public func delay(attempt: Int, using generator: inout some RandomNumberGenerator) -> Duration {
        let capNanoseconds = max(0, cap.nanoseconds)
        let doublings = min(max(0, attempt), 62)
        let (scaled, overflow) = max(0, base.nanoseconds).multipliedReportingOverflow(by: 1 << Int64(doublings))
        let ceiling = overflow ? capNanoseconds : min(scaled, capNanoseconds)
        return .nanoseconds(Int64.random(in: 0...ceiling, using: &generator))
    }
}
