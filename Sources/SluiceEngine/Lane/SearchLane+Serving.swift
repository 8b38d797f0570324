public import SluiceCore

/// What becomes of a lane's slice of a backend's pool when something else is served.
public enum PoolOrder: Hashable, Sendable {
    /// As it is, also if an operator has changed it.
    case keep
    case configure(PoolMachine.Configuration)
    /// Nothing is served by it any more.
    case retire
}

extension SearchLane {
    /// The first step of a change, made on every lane before the second is made on any: slices for the servers that are
    /// new, as a lane that serves them may ask its siblings for connections at once.
    func makeRoom(for topology: Topology, _ orders: [PoolOrder]) {
        for (place, order) in orders.enumerated().dropFirst(backends.count) {
            var pool = PoolMachine.Configuration(minSize: 0, maxSize: 0, maxWaiting: 0)
            if case .configure(let configuration) = order { pool = configuration }
            backends.append(
                BackendState(
                    backend: topology.backends[place], served: topology.catalogue.served(by: place),
                    machine: PoolMachine(pool)))
        }
    }

    /// The second step: what comes from now on is planned by the new topology. What runs goes on by the old one; the
    /// servers that it no longer has stay for a while, for the legs that have been sent there just now.
    func serve(_ topology: Topology, _ orders: [PoolOrder], _ configuration: Configuration) {
        let isNew = self.topology !== topology
        self.topology = topology
        self.configuration = configuration
        if isNew { upserts = UpsertCache() }
        if isNew || configuration.plans != planner.limits {
            planner = Planner(topology, limits: configuration.plans)
        }
        for (place, order) in orders.enumerated() where backends.indices.contains(place) {
            backends[place].backend = topology.backends[place]
            backends[place].served = topology.catalogue.served(by: place)
            follow(order, on: place)
            tellReachability(of: place)
        }
    }

    /// What follows a search's first stage is planned by what that was planned by: collections and shards may have
    /// other numbers by now.
    func planning<Planned>(_ plan: SearchPlan, _ body: (inout Planner) -> Planned) -> Planned {
        guard let own = plan.stage.legs.first?.topology, own !== planner.topology else { return body(&planner) }
        var earlier = Planner(own, limits: planner.limits)
        return body(&earlier)
    }

    private func follow(_ order: PoolOrder, on place: Int) {
        switch order {
        case .keep: break
        case .configure(let pool):
            if let timer = backends[place].farewell.take() { executor.cancel(timer) }
            perform(backends[place].machine.reconfigured(pool), on: place)
            let isDrained = backends[place].served.contains { topology.shards[$0.shard].isDrained($0.replica) }
            if !isDrained { perform(backends[place].machine.undrain(), on: place) }
        case .retire:
            if let timer = backends[place].farewell.take() { executor.cancel(timer) }
            backends[place].farewell = executor.schedule(at: executor.now().advanced(by: configuration.farewell)) {
                self.assumeIsolated { $0.retire(place) }
            }
        }
    }

    private func retire(_ place: Int) {
        backends[place].farewell = nil
        guard backends[place].served.isEmpty else { return }
        perform(backends[place].machine.drain(), on: place)
    }

    /// A shard that was made anew knows what its predecessor knew some moments ago.
    private func tellReachability(of place: Int) {
        guard let isReachable = backends[place].wasReachable else { return }
        for served in backends[place].served {
            note(
                topology.shards[served.shard].reachabilityChanged(
                    served.replica, onLane: index, to: isReachable, now: executor.now()), on: served.shard)
        }
    }
}
