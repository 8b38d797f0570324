/// Who may try a half-open backend: a few at a time, each for a limited time. A probe that never ends gives its slot
/// back when its time is over; if it ends after all, that end frees nobody else's slot.
struct ProbeSlots: Sendable {
    private static let most = 64

    private let limitNanoseconds: Int64
    /// A ring in the order of the starts, so the first to expire is the first.
    private var starts: [Instant]
    private var first = 0
    private var taken = 0
    /// Probes whose time is over and whose end is not known yet.
    private var overdue = 0

    /// - Parameters:
    ///   - count: probes at a time, taken as 1...64.
    ///   - limit: how long one may keep its slot.
    init(count: Int, limit: Duration) {
        starts = Array(repeating: Instant(nanoseconds: 0), count: min(max(1, count), Self.most))
        limitNanoseconds = max(0, limit.nanoseconds)
    }

    func isFree(now: Instant) -> Bool { taken < starts.count || isFirstExpired(now: now) }

    /// How long until the next slot is surely free, in nanoseconds.
    func nanosecondsUntilFree(now: Instant) -> Int64 {
        if isFree(now: now) { return 0 }
        return max(0, limitNanoseconds &- now.elapsedNanoseconds(since: starts[first]))
    }

    /// False if all slots are taken.
    mutating func take(now: Instant) -> Bool {
        expire(now: now)
        guard taken < starts.count else { return false }
        starts[(first + taken) % starts.count] = now
        taken += 1
        return true
    }

    /// A probe ended. Which one is not said; the overdue ones began first, so it is taken for one of them.
    mutating func release(now: Instant) {
        expire(now: now)
        if overdue > 0 {
            overdue -= 1
        } else if taken > 0 {
            dropFirst()
        }
    }

    /// After a long calm an overdue probe will not end any more.
    mutating func forgetOverdue() { overdue = 0 }

    private func isFirstExpired(now: Instant) -> Bool {
        taken > 0 && now.elapsedNanoseconds(since: starts[first]) >= limitNanoseconds
    }

    private mutating func expire(now: Instant) {
        while isFirstExpired(now: now) {
            dropFirst()
            overdue = min(overdue + 1, Self.most)
        }
    }

    private mutating func dropFirst() {
        first = (first + 1) % starts.count
        taken -= 1
    }
}
