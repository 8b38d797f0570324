/// Those who wait to be admitted: one list a priority, each in order of arrival, over one table of places. All
/// operations on one waiter are O(1); nothing allocates while the table is large enough.
struct AdmissionQueue: Sendable {
    private struct Place: Sendable {
        var id: UInt64
        var deadline: Instant
        var priority: SearchPriority
        var previous: Int
        var next: Int
    }

    private struct List: Sendable {
        var first = none
        var last = none
        var count = 0
    }

    private static let none = -1

    private var places: [Place] = []
    private var vacant: [Int] = []
    private var placeOf: [UInt64: Int] = [:]
    private var interactive = List()
    private var batch = List()

    /// - Parameter capacity: waiters that are expected at most.
    init(capacity: Int) {
        let capacity = min(max(0, capacity), 4_096)
        places.reserveCapacity(capacity)
        vacant.reserveCapacity(capacity)
        placeOf.reserveCapacity(capacity)
    }

    var count: Int { placeOf.count }
    func count(of priority: SearchPriority) -> Int { self[priority].count }
    func contains(_ id: UInt64) -> Bool { placeOf[id] != nil }
    func deadline(of id: UInt64) -> Instant? { placeOf[id].map { places[$0].deadline } }

    func first(_ priority: SearchPriority) -> (id: UInt64, deadline: Instant)? {
        let place = self[priority].first
        return places.indices.contains(place) ? (places[place].id, places[place].deadline) : nil
    }

    func last(_ priority: SearchPriority) -> UInt64? {
        let place = self[priority].last
        return places.indices.contains(place) ? places[place].id : nil
    }

    /// False if it waits already.
    mutating func append(_ id: UInt64, _ priority: SearchPriority, deadline: Instant) -> Bool {
        guard placeOf[id] == nil else { return false }
        let last = self[priority].last
        let entry = Place(id: id, deadline: deadline, priority: priority, previous: last, next: Self.none)
        let place: Int
        if let reused = vacant.popLast() {
            place = reused
            places[place] = entry
        } else {
            place = places.count
            places.append(entry)
        }
        placeOf[id] = place
        if last == Self.none { self[priority].first = place } else { places[last].next = place }
        self[priority].last = place
        self[priority].count += 1
        return true
    }

    /// True if it waited.
    mutating func remove(_ id: UInt64) -> Bool {
        guard let place = placeOf.removeValue(forKey: id) else { return false }
        let entry = places[place]
        if entry.previous == Self.none {
            self[entry.priority].first = entry.next
        } else {
            places[entry.previous].next = entry.next
        }
        if entry.next == Self.none {
            self[entry.priority].last = entry.previous
        } else {
            places[entry.next].previous = entry.previous
        }
        self[entry.priority].count -= 1
        vacant.append(place)
        return true
    }

    private subscript(priority: SearchPriority) -> List {
        get { priority == .interactive ? interactive : batch }
        set { if priority == .interactive { interactive = newValue } else { batch = newValue } }
    }
}
