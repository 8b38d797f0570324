internal import HeapModule
internal import SluiceCore

/// A virtual clock and what will happen on it, in the order of time and, at the same instant, of planning.
struct Timeline<Event> {
    private struct Entry: Comparable {
        var at: Instant
        var number: UInt64
        var event: Event

        static func < (left: Entry, right: Entry) -> Bool {
            left.at == right.at ? left.number < right.number : left.at < right.at
        }

        static func == (left: Entry, right: Entry) -> Bool { left.number == right.number }
    }

    private(set) var now: Instant
    private var planned: Heap<Entry> = []
    private var count: UInt64 = 0

    init(now: Instant) { self.now = now }

    mutating func plan(_ event: Event, at instant: Instant) {
        count += 1
        planned.insert(Entry(at: max(instant, now), number: count, event: event))
    }

    mutating func plan(_ event: Event, in delay: Duration) { plan(event, at: now.advanced(by: delay)) }

    /// Moves the clock to the next event. Nil if nothing is planned.
    mutating func next() -> Event? {
        guard let entry = planned.popMin() else { return nil }
        now = entry.at
        return entry.event
    }
}
