extension PoolMachine {
    /// The slice was given other bounds. What is too much is closed: idle connections now, oldest first, others as they
    /// come free. A leased one is never broken. With size 0, nobody can be served: who waits is refused.
    public mutating func resized(minSize: Int, maxSize: Int) -> Actions {
        configuration.resize(minSize: minSize, maxSize: maxSize)
        var actions = Actions()
        while places.up + places.dialling > configuration.maxSize, let oldest = places.oldest {
            places.close(oldest)
            actions.closes.append(oldest)
        }
        if configuration.maxSize == 0 { refuseWaiters(.queueFull(depth: waiters.count), &actions) }
        findNextExpiry()
        actions.dials = startDials()
        return actions
    }

    /// The slice was given another configuration. Connections keep the age that they were to reach.
    public mutating func reconfigured(_ configuration: Configuration) -> Actions {
        take(configuration)
        return resized(minSize: configuration.minSize, maxSize: configuration.maxSize)
    }

    /// No more leases until `undrain`: idle connections are closed, waiters refused, leased ones closed as they come
    /// back.
    public mutating func drain() -> Actions {
        mode == .serving ? stop(.draining, .draining) : Actions()
    }

    /// Warms up again. Does nothing unless the pool is draining.
    public mutating func undrain() -> Actions {
        guard mode == .draining else { return Actions() }
        mode = .serving
        return dialsOnly()
    }

    /// Every connection is replaced: idle ones now, leased ones as they come back.
    public mutating func reconnectRequested(now: Instant) -> Actions {
        places.expireAll(at: now)
        return maintenanceDue(now: now)
    }

    /// As `drain`, for ever.
    public mutating func shutDown() -> Actions {
        mode == .shutDown ? Actions() : stop(.shutDown, .shutDown)
    }

    /// True once a drained or shut down pool has nothing left, at the server or here.
    public var isDrained: Bool { mode != .serving && places.total == 0 }

    public var isDraining: Bool { mode == .draining }

    private mutating func stop(_ mode: Mode, _ refusal: Refusal) -> Actions {
        self.mode = mode
        redialAt = nil
        nextExpiry = .distantFuture
        var actions = Actions()
        while let oldest = places.oldest {
            places.close(oldest)
            actions.closes.append(oldest)
        }
        refuseWaiters(refusal, &actions)
        return actions
    }
}
