/// Those who wait to be admitted. Within a priority the sessions take turns, each with its own in order of arrival, so
/// that nobody waits behind all that another one asks at once (fair queuing: Nagle, RFC 970). All operations on one
/// waiter are O(1); nothing allocates while the tables are large enough.
struct AdmissionQueue: Sendable {
    private struct Place: Sendable {
        var id: UInt64
        var deadline: Instant
        var flow: Int
        var previous: Int
        var next: Int
    }

    private struct FlowKey: Hashable, Sendable {
        var session: UInt64
        var priority: SearchPriority
    }

    /// What one session has waiting.
    private struct Flow: Sendable {
        var key: FlowKey
        var first = none
        var last = none
        var count = 0
    }

    /// The sessions of one priority.
    private struct Ring: Sendable {
        /// The oldest is the one whose turn it is.
        var turns = SlotList()
        var flows = 0
        var waiters = 0
    }

    private static let none = -1

    private var places: [Place] = []
    private var vacant: [Int] = []
    private var placeOf: [UInt64: Int] = [:]
    private var flows: [Flow] = []
    private var vacantFlows: [Int] = []
    private var flowOf: [FlowKey: Int] = [:]
    /// By the priority's raw value.
    private var rings = SearchPriority.allCases.map { _ in Ring() }

    /// - Parameter capacity: waiters that are expected at most.
    init(capacity: Int) {
        let capacity = min(max(0, capacity), 4_096)
        places.reserveCapacity(capacity)
        vacant.reserveCapacity(capacity)
        placeOf.reserveCapacity(capacity)
    }

    var count: Int { placeOf.count }
    func count(of priority: SearchPriority) -> Int { rings[priority.place].waiters }
    func contains(_ id: UInt64) -> Bool { placeOf[id] != nil }
    func deadline(of id: UInt64) -> Instant? { placeOf[id].map { places[$0].deadline } }

    /// How many one session has waiting.
    func count(of session: UInt64, _ priority: SearchPriority) -> Int {
        flowOf[FlowKey(session: session, priority: priority)].map { flows[$0].count } ?? 0
    }

    /// How many of the same priority would be admitted before another one of this session.
    func ahead(of session: UInt64, _ priority: SearchPriority) -> Int {
        let ring = rings[priority.place]
        return min(ring.waiters, ring.flows * (count(of: session, priority) + 1))
    }

    func first(_ priority: SearchPriority) -> (id: UInt64, deadline: Instant)? {
        guard let flow = rings[priority.place].turns.oldest else { return nil }
        let place = places[flows[flow].first]
        return (place.id, place.deadline)
    }

    /// The one that came last of the session that has most of a priority waiting, and how many those are.
    func lastOfMost(_ priority: SearchPriority) -> (id: UInt64, count: Int)? {
        let turns = rings[priority.place].turns
        guard var most = turns.oldest else { return nil }
        var next = turns.next(after: most)
        while let flow = next {
            if flows[flow].count > flows[most].count { most = flow }
            next = turns.next(after: flow)
        }
        return (places[flows[most].last].id, flows[most].count)
    }

    /// False if it waits already.
    mutating func append(_ id: UInt64, _ priority: SearchPriority, of session: UInt64, deadline: Instant) -> Bool {
        guard placeOf[id] == nil else { return false }
        let flow = flow(FlowKey(session: session, priority: priority))
        let last = flows[flow].last
        let place = Self.insert(
            Place(id: id, deadline: deadline, flow: flow, previous: last, next: Self.none), &places, &vacant)
        placeOf[id] = place
        if last == Self.none { flows[flow].first = place } else { places[last].next = place }
        flows[flow].last = place
        flows[flow].count += 1
        rings[priority.place].waiters += 1
        return true
    }

    /// True if it waited.
    /// - Parameter isServed: it was its session's turn, which goes to the next one.
    mutating func remove(_ id: UInt64, isServed: Bool = false) -> Bool {
        guard let place = placeOf.removeValue(forKey: id) else { return false }
        let entry = places[place]
        if entry.previous == Self.none {
            flows[entry.flow].first = entry.next
        } else {
            places[entry.previous].next = entry.next
        }
        if entry.next == Self.none {
            flows[entry.flow].last = entry.previous
        } else {
            places[entry.next].previous = entry.previous
        }
        vacant.append(place)
        flows[entry.flow].count -= 1
        let key = flows[entry.flow].key
        rings[key.priority.place].waiters -= 1
        if flows[entry.flow].count == 0 {
            rings[key.priority.place].turns.remove(entry.flow)
            rings[key.priority.place].flows -= 1
            flowOf[key] = nil
            vacantFlows.append(entry.flow)
        } else if isServed {
            rings[key.priority.place].turns.remove(entry.flow)
            rings[key.priority.place].turns.append(entry.flow)
        }
        return true
    }

    /// What a session has waiting; a new one has its turn after all others.
    private mutating func flow(_ key: FlowKey) -> Int {
        if let known = flowOf[key] { return known }
        let flow = Self.insert(Flow(key: key), &flows, &vacantFlows)
        flowOf[key] = flow
        rings[key.priority.place].turns.append(flow)
        rings[key.priority.place].flows += 1
        return flow
    }

    private static func insert<Entry>(_ entry: Entry, _ table: inout [Entry], _ vacant: inout [Int]) -> Int {
        guard let reused = vacant.popLast() else {
            table.append(entry)
            return table.count - 1
        }
        table[reused] = entry
        return reused
    }
}

extension SearchPriority {
    /// Among all of them.
    fileprivate var place: Int { Int(rawValue) }
}
