/// Identifies one connection of a pool: its place, and how often that place has been dialled. A report about an
/// earlier connection in the same place is ignored.
public struct ConnectionID: Hashable, Sendable {
    public let slot: Int
    public let generation: UInt64

    public init(slot: Int, generation: UInt64) {
        self.slot = slot
        self.generation = generation
    }
}

/// One pool of a fixed number of connections: who holds which, who waits, what is dialled again and when.
///
/// Events are past tense, and each returns what the driver must do. It holds neither connections nor continuations,
/// reads no clock, and is driven by one thread.
public struct PoolMachine: Sendable {
    public struct Configuration: Hashable, Sendable {
        public var size: Int
        public var maxWaiting: Int
        public var redial: Backoff

        public init(
            size: Int, maxWaiting: Int,
            redial: Backoff = Backoff(base: .milliseconds(100), cap: .seconds(5))
        ) {
            self.size = max(1, size)
            self.maxWaiting = max(0, maxWaiting)
            self.redial = redial
        }
    }

    /// What each place in the pool is doing.
    private enum Slot: Hashable {
        case dialling
        /// Between two dials. Goes to: dialling, when its time has come.
        case backingOff
        case idle
        /// Used by a leg, or being cancelled behind the fence after one. Goes to: idle, backingOff, closed.
        case leased
        case closed
    }

    public enum LeaseAction: Hashable, Sendable {
        case grant(ConnectionID)
        case wait
        case refuse(Refusal)
    }

    public enum Refusal: Hashable, Sendable {
        /// Everybody is busy and the queue is full: saturation, which is ours and not the backend's fault.
        case queueFull(depth: Int)
        /// No connection is up, and the last dial failed.
        case unreachable
        case shutDown
    }

    public enum AvailableAction: Hashable, Sendable {
        case grant(WaiterID)
        case park
        /// The pool is shutting down, or it does not know this connection.
        case close
    }

    /// A connection became free: whom it goes to, and who is told that the deadline passed.
    public struct Available: Hashable, Sendable {
        public var action: AvailableAction
        public var expired: [WaiterID]
    }

    /// A connection was lost or could not be made: when to dial again, and who is told that nothing can be had here.
    public struct Lost: Hashable, Sendable {
        public var redial: Redial?
        public var failed: [WaiterID]
    }

    public struct Redial: Hashable, Sendable {
        public var connection: ConnectionID
        public var delay: Duration
    }

    /// A count of what the places are doing, for reports.
    public struct Occupancy: Hashable, Sendable {
        public var idle = 0
        public var leased = 0
        public var dialling = 0
        public var backingOff = 0
        public var waiting = 0

        public init() {}
    }

    public let configuration: Configuration
    private var slots: [Slot]
    private var generations: [UInt64]
    private var idle: [Int] = []
    private var waiters = WaiterQueue()
    private var failedDials = 0
    private var isShutDown = false

    public init(_ configuration: Configuration) {
        self.configuration = configuration
        slots = Array(repeating: .closed, count: configuration.size)
        generations = Array(repeating: 0, count: configuration.size)
    }

    public var occupancy: Occupancy {
        var result = Occupancy()
        for slot in slots {
            switch slot {
            case .idle: result.idle += 1
            case .leased: result.leased += 1
            case .dialling: result.dialling += 1
            case .backingOff: result.backingOff += 1
            case .closed: break
            }
        }
        result.waiting = waiters.count
        return result
    }

    /// False while nothing is up and the last dial failed: a leg should look elsewhere first.
    public var isReachable: Bool {
        !isShutDown && (failedDials == 0 || slots.contains { $0 == .idle || $0 == .leased })
    }

    /// Legs that hold or wait for a connection here: the load that replica choice compares.
    public var load: Int { slots.count - idle.count + waiters.count }

    /// Dials every connection.
    public mutating func started() -> [ConnectionID] {
        slots.indices.map { slot in
            slots[slot] = .dialling
            generations[slot] += 1
            return id(slot)
        }
    }

    public mutating func leaseRequested(by waiter: WaiterID, deadline: Instant) -> LeaseAction {
        if isShutDown { return .refuse(.shutDown) }
        if let slot = idle.popLast() {
            slots[slot] = .leased
            return .grant(id(slot))
        }
        if !isReachable { return .refuse(.unreachable) }
        if waiters.count >= configuration.maxWaiting { return .refuse(.queueFull(depth: waiters.count)) }
        waiters.append(waiter, deadline: deadline)
        return .wait
    }

    /// True if it was still waiting; false if it has been served or failed before, and the driver must give back what
    /// it was granted.
    public mutating func waiterCancelled(_ waiter: WaiterID) -> Bool { waiters.remove(waiter) }

    public mutating func connectionEstablished(_ connection: ConnectionID, now: Instant) -> Available {
        guard isCurrent(connection), slots[connection.slot] == .dialling else {
            return Available(action: .close, expired: [])
        }
        failedDials = 0
        return becameFree(connection, now: now)
    }

    public mutating func connectionReleased(_ connection: ConnectionID, now: Instant) -> Available {
        guard isCurrent(connection), slots[connection.slot] == .leased else {
            return Available(action: .close, expired: [])
        }
        return becameFree(connection, now: now)
    }

    /// A dial failed, or a connection was lost, whatever it was doing.
    public mutating func connectionLost(
        _ connection: ConnectionID, using generator: inout some RandomNumberGenerator
    ) -> Lost {
        guard isCurrent(connection) else { return Lost(redial: nil, failed: []) }
        let slot = connection.slot
        let wasDialling = slots[slot] == .dialling
        guard slots[slot] != .closed, slots[slot] != .backingOff else { return Lost(redial: nil, failed: []) }
        if slots[slot] == .idle { idle.removeAll { $0 == slot } }
        if isShutDown {
            slots[slot] = .closed
            return Lost(redial: nil, failed: [])
        }
        if wasDialling { failedDials += 1 }
        slots[slot] = .backingOff
        generations[slot] += 1
        // A connection that worked is dialled again at once, once; the backoff begins with the first failed dial.
        let delay: Duration =
            wasDialling
            ? configuration.redial.delay(attempt: min(failedDials / slots.count, 30), using: &generator)
            : .zero
        return Lost(redial: Redial(connection: id(slot), delay: delay), failed: isReachable ? [] : waiters.removeAll())
    }

    /// The backoff of this place is over. True if it should be dialled now.
    public mutating func redialDue(_ connection: ConnectionID) -> Bool {
        guard !isShutDown, isCurrent(connection), slots[connection.slot] == .backingOff else { return false }
        slots[connection.slot] = .dialling
        return true
    }

    /// No more leases. Returns the waiters to refuse and the idle connections to close; leased ones are closed as they
    /// come back.
    public mutating func shutDown() -> (refused: [WaiterID], close: [ConnectionID]) {
        isShutDown = true
        let closing = idle.map { id($0) }
        for slot in slots.indices where slots[slot] == .idle || slots[slot] == .backingOff { slots[slot] = .closed }
        idle.removeAll()
        return (waiters.removeAll(), closing)
    }

    private mutating func becameFree(_ connection: ConnectionID, now: Instant) -> Available {
        if isShutDown {
            slots[connection.slot] = .closed
            return Available(action: .close, expired: [])
        }
        var expired: [WaiterID] = []
        if let waiter = waiters.popFirst(now: now, expired: &expired) {
            slots[connection.slot] = .leased
            return Available(action: .grant(waiter), expired: expired)
        }
        slots[connection.slot] = .idle
        idle.append(connection.slot)
        return Available(action: .park, expired: expired)
    }

    private func id(_ slot: Int) -> ConnectionID { ConnectionID(slot: slot, generation: generations[slot]) }

    private func isCurrent(_ connection: ConnectionID) -> Bool {
        slots.indices.contains(connection.slot) && generations[connection.slot] == connection.generation
    }
}
