internal import Logging
public import SluiceCore

/// One backend on one lane: the machine that decides about its connections, and the connections.
struct BackendState {
    let backend: any SearchBackend
    /// The places in the catalogue that this backend serves: several if the same server has several names.
    let served: [ServedReplica]
    var machine: PoolMachine
    var connections: [ConnectionID: any BackendConnection] = [:]
    var maintenance: (timer: LaneTimer, at: Instant)?
    var wasReachable = true

    init(backend: any SearchBackend, served: [ServedReplica], machine: PoolMachine) {
        self.backend = backend
        self.served = served
        self.machine = machine
    }
}

/// A replica of a shard, by their places in the catalogue.
public struct ServedReplica: Hashable, Sendable {
    public var shard: Int
    public var replica: Int
}

/// One use of a connection.
struct Lease: Sendable {
    let backend: Int
    let id: ConnectionID
    let connection: any BackendConnection
    /// It was idle for long: it must show that it lives.
    let mustCheck: Bool
}

/// A leg that waits for a connection.
struct PendingLease {
    let backend: Int
    let continuation: CheckedContinuation<Result<Lease, BackendFailure>, Never>
    let timer: LaneTimer
}

extension SearchLane {
    // MARK: Life

    /// Warms the pools up, and returns when each backend has answered or failed once: the gateway starts degraded
    /// rather than not at all.
    public func start() async {
        await withTaskGroup(of: Void.self) { group in
            for backend in backends.indices {
                let dials = backends[backend].machine.started().dials.map { self.dial(backend, $0) }
                if let first = dials.first { group.addTask { await first.value } }
            }
        }
    }

    /// Refuses who waits and closes what is idle; leased connections close as they come back.
    public func shutDown() async {
        for backend in backends.indices {
            let actions = backends[backend].machine.shutDown()
            if let armed = backends[backend].maintenance { executor.cancel(armed.timer) }
            backends[backend].maintenance = nil
            refuse(actions)
            for id in actions.closes { await close(backend, id) }
        }
        // Nothing of a lane may outlive it: libpq must not run while the process ends.
        for dial in dials.values { dial.cancel() }
        for dial in dials.values { await dial.value }
    }

    /// Gives a backend's slice other bounds while it is in use.
    public func resize(backend: Int, minSize: Int, maxSize: Int) {
        guard backends.indices.contains(backend) else { return }
        perform(backends[backend].machine.resized(minSize: minSize, maxSize: maxSize), on: backend)
    }

    /// Stops (or again allows) the use of a backend's slice; leased connections close as they come back.
    public func drain(backend: Int, _ isDrained: Bool) {
        guard backends.indices.contains(backend) else { return }
        let actions = isDrained ? backends[backend].machine.drain() : backends[backend].machine.undrain()
        perform(actions, on: backend)
    }

    public var pools: [PoolState] {
        backends.map {
            PoolState(
                shard: $0.backend.shardName, replica: $0.backend.replicaName, isReachable: $0.machine.isReachable,
                occupancy: $0.machine.occupancy, counters: $0.machine.counters)
        }
    }

    // MARK: Leases

    /// An idle connection that needs no check: what nearly every leg gets, without waiting for anything.
    func leaseAtOnce(_ backend: Int) -> Lease? {
        guard let id = backends[backend].machine.freshLeaseRequested(now: executor.now()) else { return nil }
        noteIdle(backend)
        guard let connection = backends[backend].connections[id] else {
            lost(backend, id)
            return nil
        }
        return Lease(backend: backend, id: id, connection: connection, mustCheck: false)
    }

    /// A connection of this backend for one use, now or when one is free before the limit.
    /// - Parameter owner: the leg's entry, which the wait is noted in so that it can be interrupted.
    func lease(_ backend: Int, until limit: Instant, for owner: SlotID?) async throws(BackendFailure) -> Lease {
        let now = executor.now()
        nextWaiter += 1
        let waiter = WaiterID(nextWaiter)
        let patience = min(limit, now.advanced(by: configuration.acquireTimeout))
        switch backends[backend].machine.leaseRequested(by: waiter, deadline: patience, now: now) {
        case .grant(let id, let mustCheck):
            noteIdle(backend)
            return try granted(backend, id, mustCheck)
        case .refuse(let refusal):
            throw failure(refusal, of: backend)
        case .wait(let dial):
            if let dial { _ = self.dial(backend, dial) }
            if let owner { legs[owner]?.current = .waiting(waiter) }
            return try await wait(waiter, on: backend, until: patience, limit: limit).get()
        }
    }

    private func wait(
        _ waiter: WaiterID, on backend: Int, until patience: Instant, limit: Instant
    ) async -> Result<Lease, BackendFailure> {
        let reason: AttemptFailure = patience < limit ? .saturated : .timedOut
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let timer = executor.schedule(at: patience) { self.assumeIsolated { $0.giveUp(waiter, reason) } }
                waiters[waiter] = PendingLease(backend: backend, continuation: continuation, timer: timer)
            }
        } onCancel: {
            // Runs on the lane after the registration above, because both are jobs of one thread; so it cannot be lost.
            executor.execute { self.assumeIsolated { $0.giveUp(waiter, .cancelled) } }
        }
    }

    /// Ends a wait that has not been served yet.
    func giveUp(_ waiter: WaiterID, _ reason: AttemptFailure) {
        guard let backend = waiters[waiter]?.backend, backends[backend].machine.waiterCancelled(waiter) else { return }
        fail([waiter], BackendFailure(reason, detail: "no connection became free"))
    }

    private func granted(_ backend: Int, _ id: ConnectionID, _ mustCheck: Bool) throws(BackendFailure) -> Lease {
        guard let connection = backends[backend].connections[id] else {
            lost(backend, id)
            throw BackendFailure(.connectionLost, detail: "the connection had gone")
        }
        return Lease(backend: backend, id: id, connection: connection, mustCheck: mustCheck)
    }

    func release(_ lease: Lease) {
        let available = backends[lease.backend].machine.connectionReleased(lease.id, now: executor.now())
        apply(available, lease.backend, lease.id, lease.connection)
    }

    /// Waits, away from the search, until the connection is clean, and gives it back or replaces it.
    func settle(_ lease: Lease) -> Task<Void, Never> {
        Task(executorPreference: executor) {
            if await lease.connection.settle() {
                await self.release(lease)
            } else {
                await self.lost(lease.backend, lease.id)
            }
        }
    }

    private func failure(_ refusal: PoolMachine.Refusal, of backend: Int) -> BackendFailure {
        switch refusal {
        case .queueFull(let depth):
            BackendFailure(
                .saturated, retryAfter: backends[backend].machine.retryAfter, queueDepth: depth,
                detail: "\(depth) legs wait already")
        case .unreachable: BackendFailure(.unreachable, detail: "no connection is up")
        case .draining: BackendFailure(.unreachable, detail: "the replica is being drained")
        case .shutDown: BackendFailure(.unreachable, detail: "the gateway is shutting down")
        }
    }

    // MARK: Connections

    func dial(_ backend: Int, _ id: ConnectionID) -> Task<Void, Never> {
        nextDial += 1
        let number = nextDial
        let dial = Task(executorPreference: executor) {
            await self.establish(backend, id)
            await self.dialEnded(number)
        }
        dials[number] = dial
        return dial
    }

    private func dialEnded(_ number: UInt64) { dials[number] = nil }

    private func establish(_ backend: Int, _ id: ConnectionID) async {
        let deadline = executor.now().advanced(by: configuration.connectTimeout)
        do throws(BackendFailure) {
            let connection = try await backends[backend].backend.connect(lane: index, deadline: deadline) {
                self.executor.execute { self.assumeIsolated { $0.lost(backend, id) } }
            }
            backends[backend].connections[id] = connection
            let available = backends[backend].machine.connectionEstablished(
                id, now: executor.now(), using: &random)
            noteRole(backend, connection.role)
            noteReachability(backend, failure: nil)
            apply(available, backend, id, connection)
        } catch {
            lost(backend, id, failure: error)
        }
    }

    private func apply(
        _ available: PoolMachine.Available, _ backend: Int, _ id: ConnectionID, _ connection: any BackendConnection
    ) {
        if !available.expired.isEmpty {
            fail(available.expired, BackendFailure(.saturated, detail: "no connection became free in time"))
        }
        for dial in available.dials { _ = self.dial(backend, dial) }
        switch available.action {
        case .grant(let waiter):
            guard let pending = waiters.removeValue(forKey: waiter) else {
                // Unreachable while machine and table agree; the connection must not be lost if they do not.
                return release(Lease(backend: backend, id: id, connection: connection, mustCheck: false))
            }
            executor.cancel(pending.timer)
            pending.continuation.resume(
                returning: .success(Lease(backend: backend, id: id, connection: connection, mustCheck: false)))
        case .park: noteIdle(backend)
        case .close: Task(executorPreference: executor) { await self.close(backend, id) }
        }
        armMaintenance(backend)
    }

    func lost(_ backend: Int, _ id: ConnectionID, failure: BackendFailure? = nil) {
        backends[backend].connections[id] = nil
        let actions = backends[backend].machine.connectionLost(id, now: executor.now(), using: &random)
        noteReachability(backend, failure: failure)
        perform(actions, on: backend)
    }

    private func perform(_ actions: PoolMachine.Actions, on backend: Int) {
        refuse(actions)
        for dial in actions.dials { _ = self.dial(backend, dial) }
        for id in actions.closes { Task(executorPreference: executor) { await self.close(backend, id) } }
        noteIdle(backend)
        armMaintenance(backend)
    }

    private func close(_ backend: Int, _ id: ConnectionID) async {
        await backends[backend].connections.removeValue(forKey: id)?.close()
        perform(backends[backend].machine.connectionClosed(id), on: backend)
    }

    private func refuse(_ actions: PoolMachine.Actions) {
        guard let refusal = actions.refusal else { return }
        let reason: AttemptFailure =
            if case .queueFull = refusal { .saturated } else { .unreachable }
        fail(actions.refused, BackendFailure(reason, detail: "no connection can be had"))
    }

    private func fail(_ waiters: [WaiterID], _ failure: BackendFailure) {
        for waiter in waiters {
            guard let pending = self.waiters.removeValue(forKey: waiter) else { continue }
            executor.cancel(pending.timer)
            pending.continuation.resume(returning: .failure(failure))
        }
    }

    /// One timer a backend, moved forward when something is due earlier.
    private func armMaintenance(_ backend: Int) {
        guard let due = backends[backend].machine.nextMaintenance else { return }
        if let armed = backends[backend].maintenance {
            if armed.at <= due { return }
            executor.cancel(armed.timer)
        }
        let timer = executor.schedule(at: due) { self.assumeIsolated { $0.maintain(backend) } }
        backends[backend].maintenance = (timer, due)
    }

    private func maintain(_ backend: Int) {
        backends[backend].maintenance = nil
        perform(backends[backend].machine.maintenanceDue(now: executor.now()), on: backend)
    }

    // MARK: What others are told

    private func noteIdle(_ backend: Int) {
        shared.idle.noteIdle(backends[backend].machine.idleCount, lane: index, backend: backend)
    }

    func noteRole(_ backend: Int, _ role: ReplicaRole) {
        for served in backends[backend].served { shared.shards[served.shard].roleProbed(served.replica, role) }
    }

    /// One line in the log when a replica goes, one when it is back; one lane speaks for all.
    private func noteReachability(_ backend: Int, failure: BackendFailure?) {
        let isReachable = backends[backend].machine.isReachable
        guard backends[backend].wasReachable != isReachable else { return }
        backends[backend].wasReachable = isReachable
        for served in backends[backend].served {
            shared.shards[served.shard].reachabilityChanged(
                served.replica, onLane: index, to: isReachable, now: executor.now())
        }
        guard index == 0 else { return }
        let backend = backends[backend].backend
        let metadata: Logger.Metadata = ["shard": "\(backend.shardName)", "replica": "\(backend.replicaName)"]
        if isReachable {
            logger.notice("replica can be reached again", metadata: metadata)
        } else {
            logger.warning("replica cannot be reached: \(failure?.detail ?? "lost")", metadata: metadata)
        }
    }
}

/// A pool's slice on one lane, for reports.
public struct PoolState: Hashable, Sendable {
    public var shard: String
    public var replica: String
    public var isReachable: Bool
    public var occupancy: PoolMachine.Occupancy
    public var counters: PoolMachine.Counters
}
