/// How much may happen a second, with a burst: a bucket that fills at a steady rate and holds no more than its capacity
/// (the token bucket of RFC 2697, with one rate). Counted in billionths of a unit, in integers: it cannot drift.
public struct RateAllowance: Hashable, Sendable {
    private static let unit: Int64 = 1_000_000_000
    /// The largest rate and capacity: what can be missing, in billionths, stays within 64 bits.
    public static let largest = 4_000_000_000

    /// Units a second, and so billionths of one a nanosecond.
    private let rate: Int64
    private let capacity: Int64
    private var balance: Int64
    private var credited: Instant

    /// - Parameters:
    ///   - perSecond: units a second, 1...4,000,000,000; clamped.
    ///   - burst: units that can be saved up, and are there at the start, 1...4,000,000,000; clamped. A second's worth
    ///     if nil.
    public init(perSecond: Int, burst: Int? = nil, now: Instant) {
        rate = Int64(min(max(perSecond, 1), Self.largest))
        capacity = Int64(min(max(burst ?? perSecond, 1), Self.largest)) * Self.unit
        balance = capacity
        credited = now
    }

    /// True if so many units may be used now; they are taken then.
    public mutating func tryTake(_ units: Int = 1, now: Instant) -> Bool {
        credit(now: now)
        guard let needed = Self.billionths(units), balance >= needed else { return false }
        balance -= needed
        return true
    }

    /// Takes units that have been used already; what is overdrawn has to fill up first.
    public mutating func take(_ units: Int, now: Instant) {
        credit(now: now)
        let used = Self.billionths(units) ?? capacity
        balance = max(balance - used, -capacity)
    }

    /// When so many units will be there, if nothing else is taken; at most as many as the bucket holds are waited for.
    public func wait(for units: Int = 1) -> Duration {
        let missing = min(Self.billionths(units) ?? capacity, capacity) - balance
        guard missing > 0 else { return .zero }
        return .nanoseconds(missing / rate + 1)
    }

    private mutating func credit(now: Instant) {
        let elapsed = credited.nanoseconds(to: now)
        guard elapsed > 0 else { return }
        credited = now
        let missing = capacity - balance
        balance = elapsed > missing / rate ? capacity : balance + elapsed * rate
    }

    private static func billionths(_ units: Int) -> Int64? {
        units > largest ? nil : Int64(max(units, 0)) * unit
    }
}
