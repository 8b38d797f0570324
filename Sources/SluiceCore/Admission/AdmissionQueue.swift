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

    /// What one session has waiting, and its place among the sessions that take turns.
    private struct Flow: Sendable {
        var key: FlowKey
        var first = none
        var last = none
        var count = 0
        var previous = none
        var next = none
    }

    /// The sessions of one priority, the one whose turn it is first.
    private struct Ring: Sendable {
        var first = none
        var last = none
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
    private var interactive = Ring()
    private var batch = Ring()

    /// - Parameter capacity: waiters that are expected at most.
    init(capacity: Int) {
        let capacity = min(max(0, capacity), 4_096)
        places.reserveCapacity(capacity)
        vacant.reserveCapacity(capacity)
        placeOf.reserveCapacity(capacity)
    }

    var count: Int { placeOf.count }
    func count(of priority: SearchPriority) -> Int { self[priority].waiters }
    func contains(_ id: UInt64) -> Bool { placeOf[id] != nil }
    func deadline(of id: UInt64) -> Instant? { placeOf[id].map { places[$0].deadline } }

    /// How many one session has waiting.
    func count(of session: UInt64, _ priority: SearchPriority) -> Int {
        flowOf[FlowKey(session: session, priority: priority)].map { flows[$0].count } ?? 0
    }

    /// How many of the same priority would be admitted before another one of this session.
    func ahead(of session: UInt64, _ priority: SearchPriority) -> Int {
        let ring = self[priority]
        return min(ring.waiters, ring.flows * (count(of: session, priority) + 1))
    }

    func first(_ priority: SearchPriority) -> (id: UInt64, deadline: Instant)? {
        let flow = self[priority].first
        guard flows.indices.contains(flow), places.indices.contains(flows[flow].first) else { return nil }
        let place = places[flows[flow].first]
        return (place.id, place.deadline)
    }

    /// The one that came last of the session that has most of a priority waiting, and how many those are.
    func lastOfMost(_ priority: SearchPriority) -> (id: UInt64, count: Int)? {
        var (flow, most) = (self[priority].first, Self.none)
        while flow != Self.none {
            if most == Self.none || flows[flow].count > flows[most].count { most = flow }
            flow = flows[flow].next
        }
        guard flows.indices.contains(most), places.indices.contains(flows[most].last) else { return nil }
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
        self[priority].waiters += 1
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
        flows[entry.flow].count -= 1
        self[flows[entry.flow].key.priority].waiters -= 1
        vacant.append(place)
        if flows[entry.flow].count == 0 {
            unlink(entry.flow)
            flowOf[flows[entry.flow].key] = nil
            vacantFlows.append(entry.flow)
        } else if isServed {
            unlink(entry.flow)
            link(entry.flow)
        }
        return true
    }

    // MARK: Sessions

    private mutating func flow(_ key: FlowKey) -> Int {
        if let known = flowOf[key] { return known }
        let flow = Self.insert(Flow(key: key), &flows, &vacantFlows)
        flowOf[key] = flow
        link(flow)
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

    /// Behind all others of its priority.
    private mutating func link(_ flow: Int) {
        let priority = flows[flow].key.priority
        let last = self[priority].last
        flows[flow].previous = last
        flows[flow].next = Self.none
        if last == Self.none { self[priority].first = flow } else { flows[last].next = flow }
        self[priority].last = flow
        self[priority].flows += 1
    }

    private mutating func unlink(_ flow: Int) {
        let (key, previous, next) = (flows[flow].key, flows[flow].previous, flows[flow].next)
        if previous == Self.none { self[key.priority].first = next } else { flows[previous].next = next }
        if next == Self.none { self[key.priority].last = previous } else { flows[next].previous = previous }
        self[key.priority].flows -= 1
    }

    private subscript(priority: SearchPriority) -> Ring {
        get { priority == .interactive ? interactive : batch }
        set { if priority == .interactive { interactive = newValue } else { batch = newValue } }
    }
}
