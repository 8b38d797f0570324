extension PoolMachine {
    /// When to call `maintenanceDue`; nil: nothing is pending. O(1). It may move with every event. It may be early,
    /// which costs one call that finds nothing; it is never late. So a driver with one timer arms it anew only if this
    /// is earlier than what is armed, and after each call.
    public var nextMaintenance: Instant? {
        guard let redialAt else { return nextExpiry == .distantFuture ? nil : nextExpiry }
        return min(redialAt, nextExpiry)
    }

    /// Dials again if the pause is over, and closes idle connections that are too old or too many. Harmless at any
    /// time.
    public mutating func maintenanceDue(now: Instant) -> Actions {
        if let redialAt, redialAt <= now { self.redialAt = nil }
        var actions = Actions()
        if mode == .serving {
            var next = places.oldest
            while let connection = next {
                next = places.newer(than: connection)
                if isDue(connection, now: now) {
                    places.close(connection)
                    actions.closes.append(connection)
                }
            }
        }
        findNextExpiry()
        actions.dials = startDials()
        return actions
    }

    private func isDue(_ connection: ConnectionID, now: Instant) -> Bool {
        let expiry = places.expiry(connection)
        if expiry <= now, expiry != .distantFuture { return true }
        let idleEnd = idleEnd(of: connection)
        return places.up > configuration.minSize && idleEnd <= now && idleEnd != .distantFuture
    }

    /// When it has been idle for too long; the distant future if it may be idle for ever.
    private func idleEnd(of connection: ConnectionID) -> Instant {
        guard let maxIdleNanoseconds else { return .distantFuture }
        return places.since(connection).advanced(byNanoseconds: maxIdleNanoseconds)
    }

    /// The end of a connection's life: `maxLifetime` less up to a tenth, so that those born together do not die
    /// together.
    func expiry(from now: Instant, using generator: inout some RandomNumberGenerator) -> Instant {
        guard let lifetime = configuration.maxLifetime?.nanoseconds else { return .distantFuture }
        return now.advanced(byNanoseconds: lifetime - Int64.random(in: 0...(lifetime / 10), using: &generator))
    }

    /// Whether a connection that comes back has outlived its time. While dials fail, waiters are served with what
    /// works.
    func isOverAge(_ connection: ConnectionID, now: Instant) -> Bool {
        let expiry = places.expiry(connection)
        return expiry <= now && expiry != .distantFuture && (!lastDialFailed || waiters.isEmpty)
    }

    /// Keeps `nextExpiry` from being late, in O(1). A parked connection may also make the oldest one the one too many.
    mutating func noteExpiry(ofParked connection: ConnectionID) {
        nextExpiry = min(nextExpiry, places.expiry(connection))
        if maxIdleNanoseconds != nil, places.up > configuration.minSize, let oldest = places.oldest {
            nextExpiry = min(nextExpiry, idleEnd(of: oldest))
        }
    }

    mutating func findNextExpiry() {
        nextExpiry = .distantFuture
        var next = places.oldest
        while let connection = next {
            noteExpiry(ofParked: connection)
            next = places.newer(than: connection)
        }
    }
}
