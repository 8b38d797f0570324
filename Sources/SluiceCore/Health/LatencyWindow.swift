/// A quantile of the recent latencies, for the hedge delay. A histogram with eight buckets to each power of two, whose
/// middle stands for what fell in: at most 6.25 % off between 1 µs and 68 s; what is outside counts as the bound.
///
/// Two halves take turns: one is filled, the other is the past. So the quantile is over the last 15 to 30 s, or the
/// last 2,048 to 4,096 values if those are fewer: when a whole shard gets slow, the delay follows at once, and hedges
/// do not double its load. Nothing allocates after `init`; a quantile is found anew only after some values.
///
/// Source of the buckets: HdrHistogram (G. Tene), with three bits of precision.
public struct LatencyWindow: Sendable {
    private static let precision = 3
    private static let lowestExponent = 10
    private static let highestExponent = 35
    private static let bucketCount = (highestExponent - lowestExponent + 1) << precision

    /// A half is closed after this many nanoseconds, or values.
    private static let halfNanoseconds: Int64 = 15_000_000_000
    private static let halfCount = 2_048
    /// Fewer values than this say nothing about a tail.
    public static let minimumCount = 20
    /// A quantile is found anew after this many values.
    static let refreshCount = 32

    private var counts = Array(repeating: UInt32(0), count: 2 * bucketCount)
    /// Where the half begins that is being filled: 0 or `bucketCount`.
    private var filling = 0
    private var fillingCount = 0
    private var pastCount = 0
    private var fillingSince: Instant?

    private var knownQuantile = -1.0
    private var knownNanoseconds: Int64 = 0
    private var valuesSinceKnown = 0

    public init() {}

    /// Values that the quantile is over.
    public var count: Int { fillingCount + pastCount }

    /// A negative latency counts as none.
    public mutating func record(_ latency: Duration, now: Instant) {
        turn(now: now)
        counts[filling + Self.bucket(of: latency.nanoseconds)] &+= 1
        fillingCount += 1
        valuesSinceKnown += 1
        if fillingCount >= Self.halfCount { swapHalves(now: now) }
    }

    /// Nil while fewer than `minimumCount` values are known.
    /// - Parameter quantile: 0...1.
    public mutating func quantile(_ quantile: Double, now: Instant) -> Duration? {
        turn(now: now)
        guard count >= Self.minimumCount else { return nil }
        let quantile = quantile.clampedShare
        if quantile != knownQuantile || valuesSinceKnown >= Self.refreshCount {
            knownNanoseconds = find(quantile)
            knownQuantile = quantile
            valuesSinceKnown = 0
        }
        return .nanoseconds(knownNanoseconds)
    }

    private func find(_ quantile: Double) -> Int64 {
        let wanted = max(1, Int((quantile * Double(count)).rounded(.up)))
        var seen = 0
        for bucket in 0..<Self.bucketCount {
            seen += Int(counts[bucket]) + Int(counts[Self.bucketCount + bucket])
            if seen >= wanted { return Self.middle(of: bucket) }
        }
        return Self.middle(of: Self.bucketCount - 1)
    }

    private mutating func turn(now: Instant) {
        guard let since = fillingSince else {
            fillingSince = now
            return
        }
        let age = now.elapsedNanoseconds(since: since)
        guard age >= Self.halfNanoseconds else { return }
        swapHalves(now: now)
        // Nothing came for so long that the filled half is too old as well.
        if age >= 2 * Self.halfNanoseconds { swapHalves(now: now) }
    }

    private mutating func swapHalves(now: Instant) {
        filling = Self.bucketCount - filling
        for bucket in filling..<(filling + Self.bucketCount) { counts[bucket] = 0 }
        pastCount = fillingCount
        fillingCount = 0
        fillingSince = now
        knownQuantile = -1
    }

    /// The three bits below the highest one choose among a power's eight buckets.
    static func bucket(of nanoseconds: Int64) -> Int {
        let lowest = Int64(1) << Int64(lowestExponent)
        let highest = (Int64(1) << Int64(highestExponent + 1)) - 1
        let value = min(max(nanoseconds, lowest), highest)
        let exponent = 63 - value.leadingZeroBitCount
        let fraction = Int(value >> Int64(exponent - precision)) & ((1 << precision) - 1)
        return (exponent - lowestExponent) << precision + fraction
    }

    static func middle(of bucket: Int) -> Int64 {
        let exponent = bucket >> precision + lowestExponent
        let fraction = Int64(bucket & ((1 << precision) - 1))
        let width = Int64(1) << Int64(exponent - precision)
        return Int64(1) << Int64(exponent) + fraction * width + width / 2
    }
}
