internal import SluiceCore

extension Simulation {
    mutating func startPool(_ place: PoolPlace) {
        let size = scenario.poolSize + (bug == .poolGrowsBeyondItsSize ? 2 : 0)
        let configuration = PoolMachine.Configuration(
            minSize: bug == .poolGrowsBeyondItsSize ? size : scenario.minPoolSize, maxSize: size,
            maxWaiting: scenario.maxWaiting, maxIdle: .seconds(5), maxLifetime: .seconds(20), maxDialling: 2)
        pools[place] = SimulatedPool(machine: PoolMachine(configuration))
        perform(pools[place]?.machine.started(), place)
    }

    // MARK: Leases

    mutating func lease(_ attempt: Int) {
        guard let place = attempts[attempt]?.place, let request = attempts[attempt]?.request,
            let deadline = requests[request]?.deadline
        else { return }
        let waiter = WaiterID(UInt64(attempt))
        let patience = min(deadline, timeline.now.advanced(by: .milliseconds(300)))
        switch pools[place]?.machine.leaseRequested(by: waiter, deadline: patience, now: timeline.now) {
        case .grant(let id, _): execute(attempt, on: id)
        case .wait(let dial):
            pools[place]?.waiters[waiter] = attempt
            attempts[attempt]?.state = .waiting(waiter)
            timeline.plan(.waitEnded(attempt: attempt), at: patience)
            if let dial { self.dial(place, dial) }
        case .refuse(.queueFull): attemptEnded(attempt, .saturated)
        case .refuse, nil: attemptEnded(attempt, .unreachable)
        }
        arm(place)
    }

    mutating func waitEnded(_ attempt: Int) {
        guard let now = attempts[attempt], case .waiting(let waiter) = now.state else { return }
        guard pools[now.place]?.machine.waiterCancelled(waiter) == true else { return }
        pools[now.place]?.waiters[waiter] = nil
        let isLate = requests[now.request].map { $0.deadline <= timeline.now } ?? true
        attemptEnded(attempt, isLate ? .timedOut : .saturated)
    }

    func isWaiting(_ attempt: Int) -> Bool {
        if case .waiting = attempts[attempt]?.state { true } else { false }
    }

    // MARK: Connections

    private mutating func dial(_ place: PoolPlace, _ id: ConnectionID) {
        pools[place]?.dialling.insert(id)
        switch world.dial(place.shard, place.replica, now: timeline.now, using: &random) {
        case .after(let time): timeline.plan(.dialEnded(place, id, succeeded: true), in: time)
        case .failure(_, let time): timeline.plan(.dialEnded(place, id, succeeded: false), in: time)
        case .never: timeline.plan(.dialEnded(place, id, succeeded: false), in: .seconds(3))
        }
    }

    mutating func dialEnded(_ place: PoolPlace, _ id: ConnectionID, _ succeeded: Bool) {
        pools[place]?.dialling.remove(id)
        // A server that went down meanwhile has no connections.
        guard succeeded, !world.isDown(place.shard, place.replica, now: timeline.now) else { return lost(place, id) }
        pools[place]?.connections[id] = .some(nil)
        let available = pools[place]?.machine.connectionEstablished(id, now: timeline.now, using: &random)
        noteReachability(place)
        noteRole(place)
        if let available { apply(available, place, id) }
    }

    mutating func release(_ place: PoolPlace, _ id: ConnectionID) {
        guard let available = pools[place]?.machine.connectionReleased(id, now: timeline.now) else { return }
        pools[place]?.connections[id] = .some(nil)
        apply(available, place, id)
    }

    private mutating func apply(_ available: PoolMachine.Available, _ place: PoolPlace, _ id: ConnectionID) {
        for waiter in available.expired { fail(waiter, place, .saturated) }
        for dial in available.dials { self.dial(place, dial) }
        switch available.action {
        case .grant(let waiter):
            guard let attempt = pools[place]?.waiters.removeValue(forKey: waiter) else { break }
            if bug == .poolForgetsWaiters { break }
            execute(attempt, on: id)
        case .park: pools[place]?.connections[id] = .some(nil)
        case .close: close(place, id)
        }
        arm(place)
    }

    mutating func settled(_ place: PoolPlace, _ id: ConnectionID, _ isClean: Bool) {
        shards[place.shard].attemptSettled(place.replica)
        guard pools[place]?.connections.keys.contains(id) == true else { return }
        if isClean { release(place, id) } else { lost(place, id) }
    }

    mutating func lost(_ place: PoolPlace, _ id: ConnectionID) {
        pools[place]?.connections.removeValue(forKey: id)
        let actions = pools[place]?.machine.connectionLost(id, now: timeline.now, using: &random)
        noteReachability(place)
        perform(actions, place)
    }

    private mutating func close(_ place: PoolPlace, _ id: ConnectionID) {
        timeline.plan(.closed(place, id), in: .milliseconds(1))
    }

    mutating func closed(_ place: PoolPlace, _ id: ConnectionID) {
        pools[place]?.connections.removeValue(forKey: id)
        perform(pools[place]?.machine.connectionClosed(id), place)
    }

    mutating func maintenance(_ place: PoolPlace) {
        pools[place]?.armed = nil
        perform(pools[place]?.machine.maintenanceDue(now: timeline.now), place)
    }

    /// The server went down: whatever ran there ends.
    mutating func connectionsBreak(_ place: PoolPlace) {
        guard world.isDown(place.shard, place.replica, now: timeline.now) else { return }
        for (id, attempt) in (pools[place]?.connections ?? [:]).sorted(by: { $0.key.slot < $1.key.slot }) {
            lost(place, id)
            if let attempt { answered(attempt, .connectionLost) }
        }
    }

    private mutating func perform(_ actions: PoolMachine.Actions?, _ place: PoolPlace) {
        guard let actions else { return }
        for waiter in actions.refused { fail(waiter, place, .unreachable) }
        for dial in actions.dials { self.dial(place, dial) }
        for id in actions.closes { close(place, id) }
        arm(place)
    }

    private mutating func fail(_ waiter: WaiterID, _ place: PoolPlace, _ failure: AttemptFailure) {
        guard let attempt = pools[place]?.waiters.removeValue(forKey: waiter) else { return }
        attemptEnded(attempt, failure)
    }

    private mutating func arm(_ place: PoolPlace) {
        guard let due = pools[place]?.machine.nextMaintenance else { return }
        if let armed = pools[place]?.armed, armed <= due { return }
        pools[place]?.armed = due
        timeline.plan(.maintenance(place), at: due)
    }

    private mutating func noteReachability(_ place: PoolPlace) {
        guard let isReachable = pools[place]?.machine.isReachable else { return }
        shards[place.shard].reachabilityChanged(place.replica, onLane: 0, to: isReachable, now: timeline.now)
    }
}
