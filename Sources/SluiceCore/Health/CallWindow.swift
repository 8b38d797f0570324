/// Calls that ended in the latest while, in ten buckets of equal length, of which the oldest is dropped as a whole: the
/// window is nine to ten tenths of its length. Adding and asking are O(1) and allocate nothing.
///
/// Source: the sliding windows of Hystrix (rolling buckets) and resilience4j (time-based window with running totals).
struct CallWindow: Sendable {
    struct Totals: Hashable, Sendable {
        var volume = 0
        var failures = 0
        var slow = 0
    }

    private static let bucketCount = 10

    private let bucketNanoseconds: Int64
    private var buckets = Array(repeating: Totals(), count: bucketCount)
    private var totals = Totals()
    /// The number of the newest bucket, counted from the clock's own start; nil: nothing was added yet.
    private var newest: Int64?

    init(length: Duration) { bucketNanoseconds = max(1, length.nanoseconds / Int64(Self.bucketCount)) }

    mutating func add(isFailure: Bool, isSlow: Bool, now: Instant) {
        advance(to: now)
        guard let newest else { return }
        let place = Self.place(of: newest)
        buckets[place].volume &+= 1
        totals.volume &+= 1
        if isFailure {
            buckets[place].failures &+= 1
            totals.failures &+= 1
        }
        if isSlow {
            buckets[place].slow &+= 1
            totals.slow &+= 1
        }
    }

    mutating func current(now: Instant) -> Totals {
        advance(to: now)
        return totals
    }

    mutating func reset() {
        for place in buckets.indices { buckets[place] = Totals() }
        totals = Totals()
        newest = nil
    }

    /// Drops the buckets that are too old by now. A clock that went back counts into the newest bucket.
    private mutating func advance(to now: Instant) {
        let number = now.nanoseconds / bucketNanoseconds
        guard let last = newest else {
            newest = number
            return
        }
        guard number > last else { return }
        let (passed, overflow) = number.subtractingReportingOverflow(last)
        newest = number
        if overflow || passed >= Int64(Self.bucketCount) {
            for place in buckets.indices { buckets[place] = Totals() }
            totals = Totals()
            return
        }
        for step in 0..<passed {
            let place = Self.place(of: number &- step)
            totals.volume &-= buckets[place].volume
            totals.failures &-= buckets[place].failures
            totals.slow &-= buckets[place].slow
            buckets[place] = Totals()
        }
    }

    private static func place(of number: Int64) -> Int {
        let count = Int64(bucketCount)
        return Int((number % count + count) % count)
    }
}
