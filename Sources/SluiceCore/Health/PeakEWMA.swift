/// A replica's latency for comparing it with others: jumps up at once to a slow answer, comes down slowly with fast
/// ones, and fades while nothing is heard, so that a replica that was slow is looked at again.
///
/// One that has not answered yet is cheap while nothing is in flight and has a penalty while something is: it is asked
/// once, and others follow when that is answered. A new or recovered one starts slowly: for `slowStart` its cost is
/// multiplied by slowStart / age, from at most 10 down to 1, as its caches may be cold.
///
/// Sources: Finagle's `PeakEwma` (decay, jump, penalty); Envoy's slow start (weight = age / window, at least a tenth).
public struct PeakEWMA: Sendable {
    public struct Configuration: Hashable, Sendable {
        /// After this time without news a value has faded to 1/e.
        public var decay: Duration = .seconds(10)
        public var slowStart: Duration = .seconds(10)
        /// Taken for the latency of one that has not answered yet, while it is asked.
        public var penalty: Duration = .seconds(1)

        public init() {}
    }

    private static let highestFactor = 10.0

    private let decay: Double
    private var slowStart: Double
    private let penalty: Double
    /// Nanoseconds; nil: not known yet.
    private var value: Double?
    private var valueAt: Instant
    private var began: Instant

    /// Nothing is known, and the slow start begins.
    public init(_ configuration: Configuration = Configuration(), now: Instant) {
        decay = Double(max(1, configuration.decay.nanoseconds))
        slowStart = Double(max(0, configuration.slowStart.nanoseconds))
        penalty = Double(max(1, configuration.penalty.nanoseconds))
        valueAt = now
        began = now
    }

    public mutating func reconfigured(slowStart: Duration) {
        self.slowStart = Double(max(0, slowStart.nanoseconds))
    }

    /// The latency as of now, faded; nil if none is known.
    public func latency(now: Instant) -> Duration? {
        faded(now: now).map { .nanoseconds($0.clampedNanoseconds) }
    }

    public mutating func record(_ latency: Duration, now: Instant) {
        let sample = Double(max(1, latency.nanoseconds))
        if let old = value, sample < old {
            let weight = weight(since: valueAt, now: now)
            value = old * weight + sample * (1 - weight)
        } else {
            value = sample
        }
        valueAt = max(valueAt, now)
    }

    /// An attempt was given up after this time: it would have taken at least as long.
    public mutating func recordAtLeast(_ latency: Duration, now: Instant) {
        if Double(latency.nanoseconds) > faded(now: now) ?? 0 { record(latency, now: now) }
    }

    /// The replica has come back: what was known of it is void, and its slow start begins.
    public mutating func recovered(now: Instant) {
        value = nil
        valueAt = now
        began = now
    }

    /// What one more attempt costs: latency × (in flight + 1) × slow start. Positive, finite; only good to compare.
    public func cost(inFlight: Int, now: Instant) -> Double {
        let latency = faded(now: now) ?? (inFlight > 0 ? penalty : 1)
        return max(1, latency) * (Double(max(0, inFlight)) + 1) * startFactor(now: now)
    }

    private func faded(now: Instant) -> Double? {
        guard let value else { return nil }
        return value * weight(since: valueAt, now: now)
    }

    private func startFactor(now: Instant) -> Double {
        let age = Double(now.elapsedNanoseconds(since: began))
        if age >= slowStart { return 1 }
        return min(Self.highestFactor, slowStart / max(1, age))
    }

    private func weight(since: Instant, now: Instant) -> Double {
        Self.exponential(-Double(now.elapsedNanoseconds(since: since)) / decay)
    }

    /// e to the power of x for x <= 0, within a millionth: 2 to the whole part, times a Taylor series of the rest.
    static func exponential(_ x: Double) -> Double {
        guard x > -700 else { return 0 }
        let power = x * 1.442695040888963
        let whole = power.rounded(.down)
        let rest = (power - whole) * 0.6931471805599453
        let tail = 1 + rest / 5 * (1 + rest / 6 * (1 + rest / 7))
        let series = 1 + rest * (1 + rest / 2 * (1 + rest / 3 * (1 + rest / 4 * tail)))
        return Double(sign: .plus, exponent: Int(whole), significand: series)
    }
}
