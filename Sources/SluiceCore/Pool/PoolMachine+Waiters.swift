extension PoolMachine {
    /// Grants an idle connection that needs no check, if there is one; nobody waits while a connection is idle, so
    /// nobody is passed over.
    public mutating func freshLeaseRequested(now: Instant) -> ConnectionID? {
        guard mode == .serving, let newest = places.newest,
            places.since(newest).nanoseconds(to: now) <= checkAfterNanoseconds,
            let (connection, _) = places.leaseNewest(now: now)
        else { return nil }
        counters.leases &+= 1
        return connection
    }

    /// - Parameter deadline: after it the waiter is not served. The driver has a timer of its own that cancels it.
    public mutating func leaseRequested(by waiter: WaiterID, deadline: Instant, now: Instant) -> LeaseAction {
        switch mode {
        case .serving: break
        case .draining: return refuse(.draining)
        case .shutDown: return refuse(.shutDown)
        }
        if let (connection, idleSince) = places.leaseNewest(now: now) {
            counters.leases &+= 1
            return .grant(connection, mustCheck: idleSince.nanoseconds(to: now) > checkAfterNanoseconds)
        }
        if !isReachable { return refuse(.unreachable) }
        // A leg whose connection is being dialled does not queue behind anybody: else a pool without a queue and
        // without a minimum would never dial.
        let room = max(configuration.maxWaiting, places.dialling + dialsAllowed)
        guard configuration.maxSize > 0, waiters.count < room else {
            return refuse(.queueFull(depth: waiters.count))
        }
        guard waiters.append(waiter, deadline: deadline) else { return .wait(dial: nil) }
        counters.waits &+= 1
        return .wait(dial: dialsDue > 0 ? startDial() : nil)
    }

    /// True if it was still waiting; false if it has been served, expired or refused before. If it was served, the
    /// driver gives back what it was granted. O(1).
    public mutating func waiterCancelled(_ waiter: WaiterID) -> Bool { waiters.remove(waiter) }

    /// Another lane has a connection for whoever waits longest here. Nil if nobody waits any more; those whose deadline
    /// has passed are dropped.
    public mutating func connectionOffered(now: Instant) -> (waiter: WaiterID?, expired: [WaiterID]) {
        var expired: [WaiterID] = []
        let waiter = waiters.popFirst(now: now, expired: &expired)
        counters.expired &+= UInt64(expired.count)
        return (waiter, expired)
    }

    /// When a leg that is refused as `queueFull` may try again: what those before it will take, from the recent length
    /// of a lease. 10 ms...5 s.
    public var retryAfter: Duration {
        let queued = Double(serviceNanoseconds) * Double(waiters.count + 1) / Double(max(1, configuration.maxSize))
        return .nanoseconds(Int64(min(max(queued, 10_000_000), 5_000_000_000)))
    }

    mutating func noteService(_ nanoseconds: Int64) {
        // Both are zero or more, so the difference fits.
        serviceNanoseconds += serviceNanoseconds == 0 ? nanoseconds : (nanoseconds - serviceNanoseconds) / 8
    }

    mutating func refuseWaiters(_ refusal: Refusal, _ actions: inout Actions) {
        actions.refused = waiters.removeAll()
        if actions.refused.isEmpty { return }
        actions.refusal = refusal
        counters.refused &+= UInt64(actions.refused.count)
    }

    private mutating func refuse(_ refusal: Refusal) -> LeaseAction {
        counters.refused &+= 1
        return .refuse(refusal)
    }
}
