internal import Logging
public import SluiceCore

/// One backend on one lane: the machine that decides about its connections, and the connections.
struct BackendState {
    let backend: any SearchBackend
    var machine: PoolMachine
    var connections: [ConnectionID: any BackendConnection] = [:]
    var wasReachable: Bool?

    init(backend: any SearchBackend, machine: PoolMachine) {
        self.backend = backend
        self.machine = machine
    }
}

/// One use of a connection.
struct Lease: Sendable {
    let backend: Int
    let id: ConnectionID
    let connection: any BackendConnection
}

/// A leg that waits for a connection.
struct PendingLease {
    let backend: Int
    let continuation: CheckedContinuation<Result<Lease, BackendFailure>, Never>
    let timer: LaneTimer
}

/// A replica's state for reports and the log.
public struct ReplicaState: Hashable, Sendable {
    public var shard: String
    public var replica: String
    public var isReachable: Bool
    public var occupancy: PoolMachine.Occupancy
}

extension SearchLane {
    // MARK: Life

    /// Dials every connection, and returns when each backend has answered or failed once: the gateway starts degraded
    /// rather than not at all.
    public func start() async {
        await withTaskGroup(of: Void.self) { group in
            for backend in backends.indices {
                let connections = backends[backend].machine.started()
                for (place, connection) in connections.enumerated() {
                    let dial = Task(executorPreference: executor) { await self.dial(backend, connection) }
                    if place == 0 { group.addTask { await dial.value } }
                }
            }
        }
    }

    /// Refuses who waits and closes what is idle; leased connections close as they come back.
    public func shutDown() async {
        for backend in backends.indices {
            let (refused, closing) = backends[backend].machine.shutDown()
            fail(refused, BackendFailure(.unreachable, detail: "the gateway is shutting down"))
            for id in closing { await backends[backend].connections.removeValue(forKey: id)?.close() }
        }
    }

    public var replicas: [ReplicaState] {
        backends.map {
            ReplicaState(
                shard: $0.backend.shardName, replica: $0.backend.replicaName, isReachable: $0.machine.isReachable,
                occupancy: $0.machine.occupancy)
        }
    }

    // MARK: Leases

    /// A connection of this backend for one use, now or when one is free before the deadline.
    func lease(_ backend: Int, deadline: Instant) async throws(BackendFailure) -> Lease {
        nextWaiter += 1
        let waiter = WaiterID(nextWaiter)
        let limit = min(deadline, executor.now().advanced(by: configuration.acquireTimeout))
        switch backends[backend].machine.leaseRequested(by: waiter, deadline: limit) {
        case .grant(let id):
            return try granted(backend, id)
        case .refuse(.queueFull(let depth)):
            throw BackendFailure(.saturated, detail: "\(depth) legs wait already")
        case .refuse(.unreachable), .refuse(.shutDown):
            throw BackendFailure(.unreachable, detail: "no connection is up")
        case .wait:
            let reason: AttemptFailure = limit == deadline ? .timedOut : .saturated
            return try await wait(waiter, on: backend, until: limit, then: reason).get()
        }
    }

    private func wait(
        _ waiter: WaiterID, on backend: Int, until limit: Instant, then reason: AttemptFailure
    ) async -> Result<Lease, BackendFailure> {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let timer = executor.schedule(at: limit) { self.assumeIsolated { $0.giveUp(waiter, reason) } }
                waiters[waiter] = PendingLease(backend: backend, continuation: continuation, timer: timer)
            }
        } onCancel: {
            // Runs on the lane after the registration above, because both are jobs of one thread; so it cannot be lost.
            executor.execute { self.assumeIsolated { $0.giveUp(waiter, .cancelled) } }
        }
    }

    private func giveUp(_ waiter: WaiterID, _ reason: AttemptFailure) {
        guard let backend = waiters[waiter]?.backend, backends[backend].machine.waiterCancelled(waiter) else { return }
        fail([waiter], BackendFailure(reason, detail: "no connection became free"))
    }

    private func granted(_ backend: Int, _ id: ConnectionID) throws(BackendFailure) -> Lease {
        guard let connection = backends[backend].connections[id] else {
            lost(backend, id)
            throw BackendFailure(.connectionLost, detail: "the connection had gone")
        }
        return Lease(backend: backend, id: id, connection: connection)
    }

    func release(_ lease: Lease) { becameAvailable(lease.backend, lease.id, lease.connection) }

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

    // MARK: Connections

    private func dial(_ backend: Int, _ id: ConnectionID) async {
        let deadline = executor.now().advanced(by: configuration.connectTimeout)
        do throws(BackendFailure) {
            let connection = try await backends[backend].backend.connect(lane: index, deadline: deadline) {
                [weak self] in
                guard let self else { return }
                self.executor.execute { self.assumeIsolated { $0.lost(backend, id) } }
            }
            backends[backend].connections[id] = connection
            let available = backends[backend].machine.connectionEstablished(id, now: executor.now())
            noteReachability(backend, failure: nil)
            apply(available, backend, id, connection)
        } catch {
            noteReachability(backend, failure: error)
            lost(backend, id)
        }
    }

    private func becameAvailable(_ backend: Int, _ id: ConnectionID, _ connection: any BackendConnection) {
        let available = backends[backend].machine.connectionReleased(id, now: executor.now())
        apply(available, backend, id, connection)
    }

    private func apply(
        _ available: PoolMachine.Available, _ backend: Int, _ id: ConnectionID, _ connection: any BackendConnection
    ) {
        fail(available.expired, BackendFailure(.saturated, detail: "no connection became free in time"))
        switch available.action {
        case .grant(let waiter):
            guard let pending = waiters.removeValue(forKey: waiter) else {
                // Unreachable while machine and table agree; the connection must not be lost if they do not.
                return becameAvailable(backend, id, connection)
            }
            executor.cancel(pending.timer)
            pending.continuation.resume(
                returning: .success(Lease(backend: backend, id: id, connection: connection)))
        case .park: break
        case .close:
            backends[backend].connections[id] = nil
            Task(executorPreference: executor) { await connection.close() }
        }
    }

    private func lost(_ backend: Int, _ id: ConnectionID) {
        backends[backend].connections[id] = nil
        let lost = backends[backend].machine.connectionLost(id, using: &random)
        fail(lost.failed, BackendFailure(.unreachable, detail: "no connection is up"))
        guard let redial = lost.redial else { return }
        _ = executor.schedule(at: executor.now().advanced(by: redial.delay)) { [weak self] in
            self?.assumeIsolated { $0.redial(backend, redial.connection) }
        }
    }

    private func redial(_ backend: Int, _ id: ConnectionID) {
        guard backends[backend].machine.redialDue(id) else { return }
        Task(executorPreference: executor) { await self.dial(backend, id) }
    }

    private func fail(_ waiters: [WaiterID], _ failure: BackendFailure) {
        for waiter in waiters {
            guard let pending = self.waiters.removeValue(forKey: waiter) else { continue }
            executor.cancel(pending.timer)
            pending.continuation.resume(returning: .failure(failure))
        }
    }

    /// One line when a replica goes, one when it is back; one lane speaks for all.
    private func noteReachability(_ backend: Int, failure: BackendFailure?) {
        let state = backends[backend]
        let isReachable = failure == nil
        guard index == 0, state.wasReachable != isReachable else { return }
        backends[backend].wasReachable = isReachable
        let metadata: Logger.Metadata = [
            "shard": "\(state.backend.shardName)", "replica": "\(state.backend.replicaName)",
        ]
        if let failure {
            logger.warning("replica cannot be reached: \(failure.detail)", metadata: metadata)
        } else if state.wasReachable == false {
            logger.notice("replica can be reached again", metadata: metadata)
        }
    }
}
