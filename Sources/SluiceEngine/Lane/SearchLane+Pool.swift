internal import Logging
public import SluiceCore

/// One backend on one lane: the machine that decides about its connections, and the connections.
struct BackendState {
    var backend: any SearchBackend
    /// The places in the catalogue that this backend serves: several if the same server has several names, none once
    /// it has left the configuration.
    var served: [ServedReplica]
    var machine: PoolMachine
    var connections: [ConnectionID: any BackendConnection] = [:]
    var maintenance: (timer: LaneTimer, at: Instant)?
    /// Until its connections are closed, as nothing is served by it any more.
    var farewell: LaneTimer?
    /// As it was last reported; nil before the first dial has ended.
    var wasReachable: Bool?

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
    /// Whose pool it is of: a lane may have it from a sibling.
    let lane: Int
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

    /// Refuses who waits and closes what is idle; leased connections close as they come back, or after a while. Nothing
    /// of a lane may outlive it: libpq must not run while the process ends.
    public func shutDown() async {
        for backend in backends.indices {
            if let armed = backends[backend].maintenance { executor.cancel(armed.timer) }
            backends[backend].maintenance = nil
            if let timer = backends[backend].farewell.take() { executor.cancel(timer) }
            perform(backends[backend].machine.shutDown(), on: backend)
        }
        for dial in dials.values { dial.cancel() }
        for dial in dials.values { await dial.value }
        await drained(within: Self.longestDrain)
        await withTaskGroup(of: Void.self) { group in
            for connection in backends.flatMap(\.connections.values) { group.addTask { await connection.close() } }
        }
    }

    /// Cancelled statements end behind their fence within this time.
    private static var longestDrain: Duration { .seconds(3) }

    private var isDrained: Bool { backends.allSatisfy { $0.machine.isDrained } }

    private func drained(within limit: Duration) async {
        if isDrained { return }
        let timer = executor.schedule(at: executor.now().advanced(by: limit)) {
            self.assumeIsolated { $0.drainWaiter.take()?.resume() }
        }
        await withCheckedContinuation { if isDrained { $0.resume() } else { drainWaiter = $0 } }
        executor.cancel(timer)
    }

    private func noteDrained() { if drainWaiter != nil, isDrained { drainWaiter.take()?.resume() } }

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

    /// Replaces every connection of a backend's slice: idle ones now, leased ones as they come back.
    public func reconnect(backend: Int) {
        guard backends.indices.contains(backend) else { return }
        perform(backends[backend].machine.reconnectRequested(now: executor.now()), on: backend)
    }

    /// - Parameter asked: when, by the executor's clock.
    /// - Returns: the slices of all pools, and how long the question waited for this lane's thread.
    public func report(asked: Instant) -> (pools: [PoolState], lag: Duration) {
        (pools, asked.duration(to: executor.now()))
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
        noteSlice(backend)
        guard let connection = backends[backend].connections[id] else {
            lost(backend, id)
            return nil
        }
        return Lease(lane: index, backend: backend, id: id, connection: connection, mustCheck: false)
    }

    /// A connection of this backend for one use, now or when one is free before the limit.
    /// - Parameter owner: the leg's entry, which the wait is noted in so that it can be interrupted.
    func lease(_ backend: Int, until limit: Instant, for owner: SlotID?) async throws(BackendFailure) -> Lease {
        nextWaiter += 1
        let waiter = WaiterID(nextWaiter)
        return try await withTaskCancellationHandler {
            await withCheckedContinuation { requestLease(backend, waiter, until: limit, for: owner, $0) }
        } onCancel: {
            executor.execute { self.assumeIsolated { $0.cancelWait(waiter) } }
        }.get()
    }

    /// Asks the machine and notes the wait in one go. With an `await` between them the wait could be over before it was
    /// noted: a task that does not prefer this executor is let in again at each of its calls.
    private func requestLease(
        _ backend: Int, _ waiter: WaiterID, until limit: Instant, for owner: SlotID?,
        _ continuation: CheckedContinuation<Result<Lease, BackendFailure>, Never>
    ) {
        guard !Task.isCancelled else { return continuation.resume(returning: .failure(.cancelledWait)) }
        let now = executor.now()
        let patience = min(limit, now.advanced(by: configuration.acquireTimeout))
        switch backends[backend].machine.leaseRequested(by: waiter, deadline: patience, now: now) {
        case .grant(let id, let mustCheck):
            noteSlice(backend)
            continuation.resume(returning: granted(backend, id, mustCheck))
        case .refuse(let refusal):
            continuation.resume(returning: .failure(failure(refusal, of: backend)))
        case .wait(let dial):
            let timer = executor.schedule(at: patience) { self.assumeIsolated { $0.waitedTooLong(waiter) } }
            waiters[waiter] = PendingLease(backend: backend, continuation: continuation, timer: timer)
            if let owner { legs[owner]?.current = .waiting(waiter) }
            if let dial { _ = self.dial(backend, dial) }
            noteSlice(backend)
            askSibling(for: backend)
        }
    }

    private func waitedTooLong(_ waiter: WaiterID) {
        guard let backend = waiters[waiter]?.backend else { return }
        let machine = backends[backend].machine
        giveUp(
            waiter,
            machine.isUp
                ? BackendFailure(
                    .saturated, retryAfter: machine.retryAfter, queueDepth: machine.occupancy.waiting,
                    detail: "no connection became free")
                : BackendFailure(.unreachable, detail: "no connection could be made in time"))
    }

    func cancelWait(_ waiter: WaiterID) { giveUp(waiter, .cancelledWait) }

    /// Ends a wait that has not been served yet.
    private func giveUp(_ waiter: WaiterID, _ failure: BackendFailure) {
        guard let backend = waiters[waiter]?.backend, backends[backend].machine.waiterCancelled(waiter) else { return }
        fail([waiter], failure)
        noteSlice(backend)
    }

    // MARK: Siblings' connections

    /// A leg waits here: a sibling that has an idle connection is asked to offer it.
    private func askSibling(for backend: Int) {
        guard let other = topology.board.lane(withIdle: backend, besides: index), let sibling = shared.lane(other)
        else {
            return
        }
        sibling.executor.execute { sibling.assumeIsolated { $0.offer(backend) } }
    }

    /// An idle connection that nobody needs here goes to a lane where a leg waits for one.
    private func offer(_ backend: Int) {
        guard let other = topology.board.lane(waitingFor: backend, besides: index), let sibling = shared.lane(other),
            let lease = leaseAtOnce(backend)
        else { return }
        sibling.executor.execute { sibling.assumeIsolated { $0.take(lease) } }
    }

    /// A sibling's connection for whoever waits longest here; it goes home if nobody does any more.
    private func take(_ lease: Lease) {
        let (waiter, expired) = backends[lease.backend].machine.connectionOffered(now: executor.now())
        expire(expired, on: lease.backend)
        noteSlice(lease.backend)
        guard let waiter, let pending = waiters.removeValue(forKey: waiter) else { return release(lease) }
        executor.cancel(pending.timer)
        pending.continuation.resume(returning: .success(lease))
    }

    /// Does with a lease what only its own lane can.
    private func atHome(_ lease: Lease, _ body: @escaping @Sendable (isolated SearchLane) -> Void) {
        guard let home = shared.lane(lease.lane) else { return }
        home.executor.execute { home.assumeIsolated { body($0) } }
    }

    private func granted(_ backend: Int, _ id: ConnectionID, _ mustCheck: Bool) -> Result<Lease, BackendFailure> {
        guard let connection = backends[backend].connections[id] else {
            lost(backend, id)
            return .failure(BackendFailure(.connectionLost, detail: "the connection had gone"))
        }
        return .success(
            Lease(lane: index, backend: backend, id: id, connection: connection, mustCheck: mustCheck))
    }

    func release(_ lease: Lease) {
        if lease.lane != index { return atHome(lease) { $0.release(lease) } }
        let available = backends[lease.backend].machine.connectionReleased(lease.id, now: executor.now())
        apply(available, lease.backend, lease.id, lease.connection)
    }

    /// Waits, away from the search, until the connection is clean, and gives it back or replaces it.
    func settle(_ lease: Lease) -> Task<Void, Never> {
        Task(executorPreference: executor) {
            if await lease.connection.settle() {
                await self.release(lease)
            } else {
                await self.lost(lease)
            }
        }
    }

    private func lost(_ lease: Lease) {
        if lease.lane != index { return atHome(lease) { $0.lost(lease) } }
        lost(lease.backend, lease.id)
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
        let dialled = executor.now()
        let deadline = dialled.advanced(by: configuration.connectTimeout)
        do throws(BackendFailure) {
            let connection = try await backends[backend].backend.connect(lane: index, deadline: deadline) {
                self.executor.execute { self.assumeIsolated { $0.lost(backend, id) } }
            }
            backends[backend].connections[id] = connection
            topology.meters.dialEnded(backends[backend].served, took: dialled.duration(to: executor.now()))
            let available = backends[backend].machine.connectionEstablished(
                id, now: executor.now(), using: &random)
            noteRole(
                backend,
                ReplicaReport(role: connection.role, incarnation: connection.incarnation, asked: dialled))
            noteReachability(backend, failure: nil)
            apply(available, backend, id, connection)
        } catch {
            lost(backend, id, failure: error)
        }
    }

    private func apply(
        _ available: PoolMachine.Available, _ backend: Int, _ id: ConnectionID, _ connection: any BackendConnection
    ) {
        expire(available.expired, on: backend)
        for dial in available.dials { _ = self.dial(backend, dial) }
        switch available.action {
        case .grant(let waiter):
            guard let pending = waiters.removeValue(forKey: waiter) else {
                // Unreachable while machine and table agree; the connection must not be lost if they do not.
                return release(
                    Lease(lane: index, backend: backend, id: id, connection: connection, mustCheck: false))
            }
            executor.cancel(pending.timer)
            pending.continuation.resume(
                returning: .success(
                    Lease(lane: index, backend: backend, id: id, connection: connection, mustCheck: false)))
            noteSlice(backend)
        case .park:
            noteSlice(backend)
            offer(backend)
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

    func perform(_ actions: PoolMachine.Actions, on backend: Int) {
        refuse(actions)
        for dial in actions.dials { _ = self.dial(backend, dial) }
        for id in actions.closes { Task(executorPreference: executor) { await self.close(backend, id) } }
        noteSlice(backend)
        armMaintenance(backend)
        noteDrained()
    }

    private func close(_ backend: Int, _ id: ConnectionID) async {
        await backends[backend].connections.removeValue(forKey: id)?.close()
        perform(backends[backend].machine.connectionClosed(id), on: backend)
    }

    private func expire(_ expired: [WaiterID], on backend: Int) {
        if expired.isEmpty { return }
        let machine = backends[backend].machine
        fail(
            expired,
            BackendFailure(
                .saturated, retryAfter: machine.retryAfter, queueDepth: machine.occupancy.waiting,
                detail: "no connection became free in time"))
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

    /// A write waits for this server, and no other will do: it is dialled soon, however long it has been away.
    func hasten(_ backend: Int) {
        guard backends.indices.contains(backend) else { return }
        backends[backend].machine.connectionAwaited(now: executor.now(), using: &random)
        armMaintenance(backend)
    }

    private func maintain(_ backend: Int) {
        backends[backend].maintenance = nil
        perform(backends[backend].machine.maintenanceDue(now: executor.now()), on: backend)
    }

    // MARK: What others are told

    private func noteSlice(_ backend: Int) {
        let occupancy = backends[backend].machine.occupancy
        topology.board.note(
            idle: occupancy.idle, waiting: occupancy.waiting, isReachable: backends[backend].machine.isReachable,
            lane: index, backend: backend)
    }

    func noteRole(_ backend: Int, _ report: ReplicaReport) {
        for served in backends[backend].served {
            let (conflict, role, isStranger) = topology.shards[served.shard].roleProbed(served.replica, report)
            note(conflict, on: served.shard)
            if let isStranger { noteStranger(served, isStranger) }
            if let role { journal(.role, served, "is a \(role) now") }
        }
    }

    /// It did not say what it is.
    func noteSilence(_ backend: Int, asked: Instant) {
        for served in backends[backend].served {
            note(topology.shards[served.shard].lookFailed(served.replica, asked: asked), on: served.shard)
        }
    }

    private func journal(_ kind: Journal.Event.Kind, _ served: ServedReplica, _ text: String) {
        let shard = topology.catalogue.shards[served.shard]
        shared.journal.add(
            .init(kind, shard: shard.name, replica: shard.replicas[served.replica].name, text), at: executor.now())
    }

    /// Only one lane is told of each change.
    func note(_ change: PrimaryConflictChange?, on shard: Int) {
        guard let change else { return }
        let place = topology.catalogue.shards[shard]
        switch change {
        case .began(let claimants):
            let names = claimants.filter(place.replicas.indices.contains).map { place.replicas[$0].name }
            shared.journal.add(
                .init(.conflict, shard: place.name, "two servers claim to be primary"), at: executor.now())
            logger.error(
                "two servers of the shard claim to be primary: writes are refused",
                metadata: ["shard": "\(place.name)", "replicas": "\(names.joined(separator: ", "))"])
        case .ended:
            shared.journal.add(
                .init(.conflict, shard: place.name, "no more than one server claims to be primary"), at: executor.now())
            logger.error(
                "no more than one server of the shard claims to be primary", metadata: ["shard": "\(place.name)"])
        }
    }

    /// One line in the log when a replica goes, one when it is back; one lane speaks for all.
    private func noteReachability(_ backend: Int, failure: BackendFailure?) {
        let isReachable = backends[backend].machine.isReachable
        let isKnown = backends[backend].wasReachable != nil
        guard backends[backend].wasReachable != isReachable else { return }
        backends[backend].wasReachable = isReachable
        for served in backends[backend].served {
            let change = topology.shards[served.shard].reachabilityChanged(
                served.replica, onLane: index, to: isReachable, now: executor.now())
            note(change, on: served.shard)
            guard index == 0, isKnown || !isReachable else { continue }
            journal(.reachability, served, isReachable ? "can be reached again" : "cannot be reached")
        }
        guard index == 0, isKnown || !isReachable, !backends[backend].served.isEmpty else { return }
        let backend = backends[backend].backend
        let metadata: Logger.Metadata = ["shard": "\(backend.shardName)", "replica": "\(backend.replicaName)"]
        if isReachable {
            logger.notice("replica can be reached again", metadata: metadata)
        } else {
            logger.warning("replica cannot be reached: \(failure?.detail ?? "lost")", metadata: metadata)
        }
    }
}

extension BackendFailure {
    fileprivate static var cancelledWait: BackendFailure { BackendFailure(.cancelled, detail: "cancelled") }
}

/// A pool's slice on one lane, for reports.
public struct PoolState: Hashable, Sendable {
    public var shard: String
    public var replica: String
    public var isReachable: Bool
    public var occupancy: PoolMachine.Occupancy
    public var counters: PoolMachine.Counters
}
