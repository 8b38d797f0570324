/// One lane's slice of a backend's pool: who holds which connection, who waits, what is dialled, what is closed and
/// when.
///
/// Events are past tense, and each returns what the driver must do; orders (`drain`, `shutDown`) are imperative. It
/// holds neither connections nor continuations, reads no clock, and is driven by one thread. A lease granted at once
/// and a release with nobody waiting are O(1) and allocate nothing: every leg pays for them.
///
/// What holds after every event: idle + leased + dialling + closing <= `maxSize`, but after a shrink, when the sum only
/// falls; nobody waits while a connection is idle; a waiter is granted, expired, refused or cancelled, once.
public struct PoolMachine: Sendable {
    enum Mode: Hashable {
        case serving
        case draining
        /// For ever.
        case shutDown
    }

    public internal(set) var configuration: Configuration
    public internal(set) var counters = Counters()

    var places = PlaceTable()
    var waiters = WaiterQueue()
    var mode = Mode.serving

    /// The last dial that ended, ended badly: the next ones go one at a time.
    var lastDialFailed = false
    /// Rounds of failed dials since a connection last proved to work: the exponent of the backoff.
    var failedRounds = 0
    /// Not before this instant is dialled again; nil: no pause.
    var redialAt: Instant?
    /// That pause was cut short, as somebody waits.
    private var isRedialCut = false
    /// No idle connection is due for closing before this: exact after maintenance, else early rather than late.
    var nextExpiry = Instant.distantFuture
    /// How long a lease lasts, a moving average over about 8 of them, in nanoseconds.
    var serviceNanoseconds: Int64 = 0

    // The configuration's durations as nanoseconds, since a `Duration` costs a division where every leg passes.
    private(set) var maxIdleNanoseconds: Int64?
    private(set) var checkAfterNanoseconds: Int64

    public init(_ configuration: Configuration) {
        self.configuration = configuration
        checkAfterNanoseconds = .max
        take(configuration)
    }

    /// Everything but what is decided at the moment.
    mutating func take(_ configuration: Configuration) {
        self.configuration = configuration
        maxIdleNanoseconds = configuration.maxIdle?.nanoseconds
        checkAfterNanoseconds = configuration.checkAfterIdle?.nanoseconds ?? .max
    }

    // MARK: Reports, all O(1)

    public var occupancy: Occupancy {
        var result = Occupancy()
        result.idle = places.idle
        result.leased = places.leased
        result.dialling = places.dialling
        result.closing = places.closing
        result.backingOff = redialAt == nil ? 0 : missing
        result.waiting = waiters.count
        result.limit = configuration.maxSize
        return result
    }

    public var idleCount: Int { places.idle }

    /// Whether there is any connection that can serve legs, now or when its leg ends.
    public var isUp: Bool { places.up > 0 }

    /// Legs that hold or wait for a connection here: the load that replica choice compares.
    public var load: Int { places.leased + waiters.count }

    /// False while nothing is up and the last dial failed, and after the end. Says nothing about draining or about
    /// size.
    public var isReachable: Bool { mode != .shutDown && (!lastDialFailed || places.up > 0) }

    /// Whether a leg that comes now may be served: reachable, not draining, and with at least one place.
    public var isAccepting: Bool { mode == .serving && isReachable && configuration.maxSize > 0 }

    // MARK: Events

    /// Dials up to `minSize`, as many at once as `maxDialling` allows; the others follow as these end.
    public mutating func started() -> Actions { dialsOnly() }

    public mutating func connectionEstablished(
        _ connection: ConnectionID, now: Instant, using generator: inout some RandomNumberGenerator
    ) -> Available {
        switch places.state(of: connection) {
        case .dialling: break
        case .idle, .leased: return Available(.park)
        case .vacant, .closing, nil: return Available(.close)
        }
        lastDialFailed = false
        redialAt = nil
        places.establish(connection, now: now, expiry: expiry(from: now, using: &generator))
        var available = becameFree(connection, now: now)
        available.dials += startDials()
        return available
    }

    /// A lease ended and its connection is clean. One that is not clean is reported lost.
    public mutating func connectionReleased(_ connection: ConnectionID, now: Instant) -> Available {
        switch places.state(of: connection) {
        case .leased: break
        case .idle, .dialling: return Available(.park)
        case .vacant, .closing, nil: return Available(.close)
        }
        noteService(max(0, places.since(connection).nanoseconds(to: now)))
        if places.prove(connection), !lastDialFailed { failedRounds = 0 }
        return becameFree(connection, now: now)
    }

    /// A dial failed, or a connection was lost, whatever it was doing. The driver has nothing to close.
    public mutating func connectionLost(
        _ connection: ConnectionID, now: Instant, using generator: inout some RandomNumberGenerator
    ) -> Actions {
        switch places.state(of: connection) {
        case .vacant, nil: return Actions()
        case .closing: return connectionClosed(connection)
        case .dialling:
            counters.dialFailures &+= 1
            dialFailed(now: now, using: &generator)
        case .idle, .leased:
            // A server that accepts and then hangs up would be dialled in a tight loop if that counted as success.
            if let established = places.unprovenSince(connection),
                established.nanoseconds(to: now) < configuration.redial.cap.nanoseconds
            {
                dialFailed(now: now, using: &generator)
            }
        }
        places.vacate(connection)
        var actions = Actions()
        if !isReachable { refuseWaiters(.unreachable, &actions) }
        actions.dials = startDials()
        return actions
    }

    /// Somebody waits for this very server, and no other will do: a pause that has grown while the server was away is
    /// cut to one as after a second failure. To be said again while it is waited for, as the next failure makes another
    /// long one; each is cut once.
    public mutating func connectionAwaited(now: Instant, using generator: inout some RandomNumberGenerator) {
        guard let pause = redialAt, !isRedialCut, !isUp else { return }
        isRedialCut = true
        redialAt = min(pause, now.advanced(by: configuration.redial.delay(attempt: 1, using: &generator)))
    }

    /// A connection that was told to close is gone from the server, so its place is free. Ignored for any other.
    public mutating func connectionClosed(_ connection: ConnectionID) -> Actions {
        guard places.state(of: connection) == .closing else { return Actions() }
        places.vacate(connection)
        return dialsOnly()
    }

    private mutating func becameFree(_ connection: ConnectionID, now: Instant) -> Available {
        if mode != .serving || places.up + places.dialling > configuration.maxSize || isOverAge(connection, now: now) {
            places.close(connection)
            var available = Available(.close)
            // Its replacement waits for its place unless there is another.
            available.dials = startDials()
            return available
        }
        var expired: [WaiterID] = []
        if !waiters.isEmpty {
            let waiter = waiters.popFirst(now: now, expired: &expired)
            counters.expired &+= UInt64(expired.count)
            if let waiter {
                places.leaseAgain(connection, now: now)
                counters.leases &+= 1
                return Available(.grant(waiter), expired: expired)
            }
        }
        places.park(connection, now: now)
        noteExpiry(ofParked: connection)
        return Available(.park, expired: expired)
    }

    // MARK: Dials

    /// Connections that are wanted and neither up nor being dialled, as far as there are places for them.
    private var missing: Int {
        // With nothing up after a failure everybody is refused, so nobody would ask for the dial that ends it.
        let atLeast = lastDialFailed && places.up == 0 ? 1 : 0
        let wanted = max(configuration.minSize - places.up, waiters.count, atLeast) - places.dialling
        return max(0, min(wanted, configuration.maxSize - places.total))
    }

    /// Dials that may begin now, wanted or not.
    var dialsAllowed: Int {
        guard mode == .serving, redialAt == nil else { return 0 }
        let parallel = (lastDialFailed ? 1 : configuration.maxDialling) - places.dialling
        return max(0, min(parallel, configuration.maxSize - places.total))
    }

    var dialsDue: Int { min(missing, dialsAllowed) }

    mutating func startDial() -> ConnectionID {
        counters.dials &+= 1
        return places.dial()
    }

    mutating func startDials() -> [ConnectionID] {
        var dials: [ConnectionID] = []
        for _ in 0..<dialsDue { dials.append(startDial()) }
        return dials
    }

    mutating func dialsOnly() -> Actions {
        var actions = Actions()
        actions.dials = startDials()
        return actions
    }

    /// Dials that ran side by side and failed together are one round, and lengthen the pause once.
    private mutating func dialFailed(now: Instant, using generator: inout some RandomNumberGenerator) {
        lastDialFailed = true
        guard mode == .serving, redialAt == nil else { return }
        redialAt = now.advanced(by: configuration.redial.delay(attempt: failedRounds, using: &generator))
        isRedialCut = false
        failedRounds = min(failedRounds + 1, 62)
    }
}
