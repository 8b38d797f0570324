internal import SluiceCore
internal import SluiceEngine
internal import SluiceGateway
internal import SluiceReactor
internal import SluiceWire

/// Connections to the replicas on one reactor, and the requests that use them.
actor DirectLane {
    /// A place for a connection; the connection is made when it is needed, and again when it has been lost.
    private struct Slot {
        let backend: Int
        var connection: (any BackendConnection)?
    }

    /// The free places of a shard, and who waits for one, first come first served.
    private struct Shard {
        var idle: [Slot] = []
        var waiters: [CheckedContinuation<Slot, Never>] = []
        /// Those before it have been served.
        var firstWaiter = 0
        var size = 0
    }

    /// What one statement brought.
    struct Found: Sendable {
        let statement: PlannedStatement
        let rows: LegRows
        let leg: BenchAnswer.Leg
    }

    nonisolated let reactor: Reactor
    nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

    private let index: Int
    private let lanes: Int
    private let replicas: DirectReplicas
    private var planner: DirectReplicas.Planner
    private var shards: [Shard]
    private var random: SplitMix64

    /// - Parameter connections: to each shard; they are spread over its replicas, in turn with other lanes'.
    init(_ replicas: DirectReplicas, index: Int, of lanes: Int, on reactor: Reactor, connections: Int, seed: UInt64) {
        self.index = index
        self.lanes = lanes
        self.replicas = replicas
        self.reactor = reactor
        planner = replicas.planner()
        random = SplitMix64(seed: seed)
        shards = replicas.catalogue.shards.map { shard in
            var places = Shard()
            for number in 0..<connections {
                let replica = shard.replicas[(index + number * lanes) % max(1, shard.replicas.count)]
                places.idle.append(Slot(backend: replica.backend))
            }
            places.size = connections
            return places
        }
    }

    /// Makes all connections.
    /// - Returns: how many could not be made, and why the last of them.
    func connect() async -> (missing: Int, reason: BenchFailure?) {
        var (missing, reason): (Int, BenchFailure?) = (0, nil)
        for shard in shards.indices {
            await choosePreferred(of: shard)
            for place in shards[shard].idle.indices {
                let backend = shards[shard].idle[place].backend
                do throws(BenchFailure) { shards[shard].idle[place].connection = try await dial(backend) } catch {
                    (missing, reason) = (missing + 1, error)
                }
            }
        }
        return (missing, reason)
    }

    /// Leaves out replicas that a gateway would only ask if there were no others. Roles are known by a connection.
    private func choosePreferred(of shard: Int) async {
        guard let role = replicas.preferredRoles[shard] else { return }
        var preferred: [Int] = []
        for replica in replicas.catalogue.shards[shard].replicas {
            guard let connection = try? await dial(replica.backend) else { continue }
            if connection.role == role { preferred.append(replica.backend) }
            await connection.close()
        }
        guard !preferred.isEmpty else { return }
        shards[shard].idle = shards[shard].idle.indices.map { number in
            Slot(backend: preferred[(index + number * lanes) % preferred.count])
        }
    }

    func close() async {
        for shard in shards.indices {
            for _ in 0..<shards[shard].size { await lease(shard).connection?.close() }
        }
    }

    // MARK: Requests

    func run(_ request: SearchRequest) async throws(BenchFailure) -> [Found] {
        let plan: (statements: [PlannedStatement], deadline: Instant)
        do throws(SearchError) { plan = try planner.plan(request, now: reactor.now()) } catch {
            throw BenchFailure(error)
        }
        return try await run(plan.statements, until: plan.deadline)
    }

    func run(_ request: GetRequest) async throws(BenchFailure) -> [Found] {
        let plan: (statements: [PlannedStatement], deadline: Instant)
        do throws(SearchError) { plan = try planner.plan(request, now: reactor.now()) } catch {
            throw BenchFailure(error)
        }
        return try await run(plan.statements, until: plan.deadline)
    }

    /// All statements side by side. The first failure is the request's.
    private func run(
        _ statements: [PlannedStatement], until deadline: Instant
    ) async throws(BenchFailure) -> [Found] {
        guard statements.count > 1, let first = statements.first else {
            var found: [Found] = []
            for statement in statements { found.append(try await run(statement, until: deadline)) }
            return found
        }
        let results = await withTaskGroup(of: Result<Found, BenchFailure>.self) { group in
            for statement in statements.dropFirst() {
                group.addTask(executorPreference: reactor) { await self.result(of: statement, until: deadline) }
            }
            var results = [await result(of: first, until: deadline)]
            for await result in group { results.append(result) }
            return results
        }
        var found: [Found] = []
        for result in results { found.append(try result.get()) }
        return found
    }

    private func result(
        of statement: PlannedStatement, until deadline: Instant
    ) async -> Result<Found, BenchFailure> {
        do throws(BenchFailure) { return .success(try await run(statement, until: deadline)) } catch {
            return .failure(error)
        }
    }

    private func run(
        _ statement: PlannedStatement, until deadline: Instant
    ) async throws(BenchFailure) -> Found {
        let asked = reactor.now()
        var slot = await lease(statement.shard)
        defer { giveBack(slot, to: statement.shard) }
        let connection: any BackendConnection
        if let made = slot.connection {
            connection = made
        } else {
            connection = try await dial(slot.backend)
            slot.connection = connection
        }
        let leased = reactor.now()
        let request = statement.request(
            token: Int64(bitPattern: random.next()), timeout: leased.duration(to: deadline),
            maximumBytes: replicas.maximumLegBytes)
        do throws(BackendFailure) {
            let rows = try await connection.search(request, deadline: deadline)
            let leg = BenchAnswer.Leg(
                shard: replicas.catalogue.shards[statement.shard].name,
                waiting: Double(asked.duration(to: leased).wholeMicroseconds),
                executing: Double(leased.duration(to: reactor.now()).wholeMicroseconds))
            return Found(statement: statement, rows: rows, leg: leg)
        } catch {
            if await !connection.settle() { slot.connection = nil }
            throw BenchFailure(error)
        }
    }

    // MARK: Connections

    private func dial(_ backend: Int) async throws(BenchFailure) -> any BackendConnection {
        do throws(BackendFailure) {
            return try await replicas.backends[backend].connect(
                lane: index, deadline: reactor.now().advanced(by: replicas.connectTimeout), onClose: {})
        } catch {
            throw BenchFailure(error)
        }
    }

    private func lease(_ shard: Int) async -> Slot {
        if let slot = shards[shard].idle.popLast() { return slot }
        return await withCheckedContinuation { shards[shard].waiters.append($0) }
    }

    private func giveBack(_ slot: Slot, to shard: Int) {
        guard shards[shard].firstWaiter < shards[shard].waiters.count else {
            shards[shard].waiters.removeAll(keepingCapacity: true)
            shards[shard].firstWaiter = 0
            return shards[shard].idle.append(slot)
        }
        let waiter = shards[shard].waiters[shards[shard].firstWaiter]
        shards[shard].firstWaiter += 1
        if shards[shard].firstWaiter >= 1_024 {
            shards[shard].waiters.removeFirst(shards[shard].firstWaiter)
            shards[shard].firstWaiter = 0
        }
        waiter.resume(returning: slot)
    }
}

extension BenchFailure {
    /// By the names that a gateway's clients know.
    init(_ failure: BackendFailure) {
        let code =
            switch failure.reason {
            case .timedOut: "deadline_exceeded"
            case .cancelled: "cancelled"
            case .unreachable, .connectionLost, .notServing: "unavailable"
            default: "backend_error"
            }
        self.init(code, failure.detail, isUnreached: failure.reason == .unreachable)
    }

    init(_ error: SearchError) {
        let code =
            switch error.code {
            case .unknownCollection: "unknown_collection"
            case .unknownColumn: "unknown_column"
            case .dimensionMismatch: "dimension_mismatch"
            case .notSupported: "not_supported"
            case .deadlineExceeded: "deadline_exceeded"
            default: "invalid_argument"
            }
        self.init(code, error.message)
    }
}
