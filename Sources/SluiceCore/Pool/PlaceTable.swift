/// The places of a pool, what each is doing, and how many do what. Knows no policy.
///
/// Idle connections form a list through the places themselves, so that taking the newest, adding one and losing one
/// from the middle are all O(1) and touch no allocator.
struct PlaceTable: Sendable {
    enum State: UInt8, Sendable {
        /// Nothing is here. Goes to: dialling.
        case vacant
        /// Goes to: leased (and from there at once to idle or closing, or to a waiter), vacant.
        case dialling
        /// Goes to: leased, closing, vacant.
        case idle
        /// Used by a leg, or being cancelled behind the fence after one. Goes to: idle, closing, vacant.
        case leased
        /// Told to close, and not yet gone. Goes to: vacant.
        case closing
    }

    private struct Place {
        var state = State.vacant
        /// It has been leased and has come back: it works, which a connection that was merely accepted need not.
        var isProven = false
        var generation: UInt64 = 0
        /// Neighbours in the idle list; `older` is also the next one in the list of vacant places.
        var newer = PlaceTable.none
        var older = PlaceTable.none
        /// When the present state began; kept for idle and leased.
        var since = Instant(nanoseconds: 0)
        var established = Instant(nanoseconds: 0)
        var expiry = Instant.distantFuture
    }

    /// No place: the end of a list.
    private static let none = -1

    private var places: [Place] = []
    private var newestIdle = PlaceTable.none
    private var oldestIdle = PlaceTable.none
    private var firstVacant = PlaceTable.none

    private(set) var idle = 0
    private(set) var leased = 0
    private(set) var dialling = 0
    private(set) var closing = 0

    /// Connections that can serve legs.
    var up: Int { idle + leased }
    /// Places that the server counts, or may count, as ours.
    var total: Int { idle + leased + dialling + closing }

    /// Nil for an earlier connection of a place, or a place that never was.
    func state(of connection: ConnectionID) -> State? {
        guard places.indices.contains(connection.slot), places[connection.slot].generation == connection.generation
        else { return nil }
        return places[connection.slot].state
    }

    // MARK: Changes. A connection given to these has just been seen by `state(of:)`.

    /// Takes a vacant place, or makes one.
    mutating func dial() -> ConnectionID {
        var slot = firstVacant
        if slot == Self.none {
            slot = places.count
            places.append(Place())
        } else {
            firstVacant = places[slot].older
        }
        let generation = places[slot].generation &+ 1
        places[slot] = Place(state: .dialling, generation: generation)
        dialling += 1
        return ConnectionID(slot: slot, generation: generation)
    }

    mutating func establish(_ connection: ConnectionID, now: Instant, expiry: Instant) {
        move(connection.slot, to: .leased)
        places[connection.slot].established = now
        places[connection.slot].expiry = expiry
    }

    /// The newest idle connection becomes leased; also when it became idle.
    mutating func leaseNewest(now: Instant) -> (connection: ConnectionID, idleSince: Instant)? {
        guard newestIdle != Self.none else { return nil }
        let slot = newestIdle
        let since = places[slot].since
        move(slot, to: .leased)
        places[slot].since = now
        return (ConnectionID(slot: slot, generation: places[slot].generation), since)
    }

    /// A leased connection goes straight to its next holder.
    mutating func leaseAgain(_ connection: ConnectionID, now: Instant) { places[connection.slot].since = now }

    mutating func park(_ connection: ConnectionID, now: Instant) {
        let slot = connection.slot
        move(slot, to: .idle)
        places[slot].since = now
        places[slot].newer = Self.none
        places[slot].older = newestIdle
        if newestIdle != Self.none { places[newestIdle].newer = slot } else { oldestIdle = slot }
        newestIdle = slot
    }

    mutating func close(_ connection: ConnectionID) { move(connection.slot, to: .closing) }

    mutating func vacate(_ connection: ConnectionID) {
        move(connection.slot, to: .vacant)
        places[connection.slot].older = firstVacant
        firstVacant = connection.slot
    }

    /// True the first time.
    mutating func prove(_ connection: ConnectionID) -> Bool {
        guard !places[connection.slot].isProven else { return false }
        places[connection.slot].isProven = true
        return true
    }

    private mutating func move(_ slot: Int, to state: State) {
        switch places[slot].state {
        case .vacant: break
        case .dialling: dialling -= 1
        case .leased: leased -= 1
        case .closing: closing -= 1
        case .idle:
            idle -= 1
            unlink(slot)
        }
        switch state {
        case .vacant: break
        case .dialling: dialling += 1
        case .leased: leased += 1
        case .closing: closing += 1
        case .idle: idle += 1
        }
        places[slot].state = state
    }

    private mutating func unlink(_ slot: Int) {
        let (newer, older) = (places[slot].newer, places[slot].older)
        if newer != Self.none { places[newer].older = older } else { newestIdle = older }
        if older != Self.none { places[older].newer = newer } else { oldestIdle = newer }
    }

    // MARK: Ages

    /// Every connection that is up has come to the end of its life.
    mutating func expireAll(at now: Instant) {
        for slot in places.indices where places[slot].state == .idle || places[slot].state == .leased {
            places[slot].expiry = now
        }
    }

    func since(_ connection: ConnectionID) -> Instant { places[connection.slot].since }
    func expiry(_ connection: ConnectionID) -> Instant { places[connection.slot].expiry }

    /// When a connection was established that never came back from a lease; nil if it did.
    func unprovenSince(_ connection: ConnectionID) -> Instant? {
        let place = places[connection.slot]
        return place.isProven ? nil : place.established
    }

    /// The connection that has been idle the longest.
    var newest: ConnectionID? { newestIdle == Self.none ? nil : id(newestIdle) }
    var oldest: ConnectionID? { oldestIdle == Self.none ? nil : id(oldestIdle) }

    /// The next one after it; nil at the end.
    func newer(than connection: ConnectionID) -> ConnectionID? {
        let slot = places[connection.slot].newer
        return slot == Self.none ? nil : id(slot)
    }

    private func id(_ slot: Int) -> ConnectionID { ConnectionID(slot: slot, generation: places[slot].generation) }
}
