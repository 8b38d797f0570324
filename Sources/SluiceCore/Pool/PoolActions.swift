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

extension PoolMachine {
    /// What a leg that asked for a connection gets.
    public enum LeaseAction: Hashable, Sendable {
        /// `mustCheck`: it was idle for long; probe it first, and report it lost (and ask again) if it does not answer.
        case grant(ConnectionID, mustCheck: Bool)
        /// The waiter will be granted, expired or refused by a later event, unless it is cancelled. If `dial` is there,
        /// start that connection.
        case wait(dial: ConnectionID?)
        case refuse(Refusal)
    }

    public enum Refusal: Hashable, Sendable {
        /// Everybody is busy and `depth` legs wait already: saturation, which is ours and not the backend's fault.
        case queueFull(depth: Int)
        /// No connection is up, and the last dial failed.
        case unreachable
        case draining
        case shutDown
    }

    public enum AvailableAction: Hashable, Sendable {
        case grant(WaiterID)
        /// Keep it: nobody needs it now.
        case park
        /// Close it, and report `connectionClosed` when the server has let go of it: it has its place until then.
        case close
    }

    /// A connection became free: whom it goes to, who is told that the deadline passed, and what to dial.
    public struct Available: Hashable, Sendable {
        public var action: AvailableAction
        public var expired: [WaiterID] = []
        /// Start these: one dial less runs, or a closed connection is replaced.
        public var dials: [ConnectionID] = []

        init(_ action: AvailableAction, expired: [WaiterID] = []) {
            self.action = action
            self.expired = expired
        }
    }

    /// What the driver does after any other event. All lists are empty in the common case.
    public struct Actions: Hashable, Sendable {
        /// Start these. Each ends in exactly one of `connectionEstablished` and `connectionLost`.
        public var dials: [ConnectionID] = []
        /// Close these idle connections, and report `connectionClosed` for each.
        public var closes: [ConnectionID] = []
        /// Tell these waiters that they get nothing, for the reason in `refusal`.
        public var refused: [WaiterID] = []
        public var refusal: Refusal?

        public init() {}
    }

    /// A count of what the places are doing, for reports. Idle, leased, dialling and closing never exceed `limit`, but
    /// while a pool shrinks.
    public struct Occupancy: Hashable, Sendable {
        public var idle = 0
        /// Used by a leg, being probed, or being cancelled behind the fence.
        public var leased = 0
        public var dialling = 0
        /// Told to close, and still held by the server as far as we know.
        public var closing = 0
        /// Connections that are missed while a failed dial's pause lasts.
        public var backingOff = 0
        public var waiting = 0
        /// The configured `maxSize`.
        public var limit = 0

        public init() {}
    }

    /// Totals since the pool was made; they wrap.
    public struct Counters: Hashable, Sendable {
        public var leases: UInt64 = 0
        /// Legs that had to wait.
        public var waits: UInt64 = 0
        public var dials: UInt64 = 0
        public var dialFailures: UInt64 = 0
        /// Waiters dropped because their deadline had passed when their turn came.
        public var expired: UInt64 = 0
        /// Legs refused, at once or while they waited.
        public var refused: UInt64 = 0

        public init() {}
    }
}
