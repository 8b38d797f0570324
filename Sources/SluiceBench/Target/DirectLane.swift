internal import SluiceCore
internal import SluiceEngine
internal import SluiceGateway
internal import SluiceReactor
internal import SluiceWire

/// Connections to the replicas on one reactor, and the requests that use them.
actor DirectLane {
    typealias Slot = DirectPlaces.Slot

    /// Which of its connections to a shard.
    enum Use {
        case reading
        case writing
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
    private let replicas: DirectReplicas
    private let numbers: Range<Int>
    private var planner: DirectReplicas.Planner
    /// By shard.
    private var readers: [DirectPlaces] = []
    /// By shard, to its primary; none where nothing is loaded.
    private var writers: [DirectPlaces] = []
    private var random: SplitMix64

    /// - Parameter connections: the numbers of those to each shard, among all lanes'.
    init(_ replicas: DirectReplicas, index: Int, on reactor: Reactor, connections: Range<Int>, seed: UInt64) {
        self.index = index
        self.replicas = replicas
        self.reactor = reactor
        numbers = connections
        planner = replicas.planner()
        random = SplitMix64(seed: seed)
    }

    /// Makes all connections.
    /// - Parameter loaded: the shards that are written to, which get as many connections again, to their primaries.
    func connect(loaded: Set<Int>) async throws(BenchFailure) {
        for (place, shard) in replicas.catalogue.shards.enumerated() {
            var roles: [(backend: Int, role: ReplicaRole)] = []
            // Roles are known by a connection.
            if replicas.preferredRoles[place] != nil || loaded.contains(place) { roles = await self.roles(of: shard) }
            // Those that a gateway would only ask if there were no others are left out.
            let preferred = roles.filter { $0.role == replicas.preferredRoles[place] }.map(\.backend)
            let read = preferred.isEmpty ? shard.replicas.map(\.backend) : preferred
            let primaries = roles.filter { $0.role == .primary }.map(\.backend).prefix(1)
            if loaded.contains(place), primaries.isEmpty {
                throw BenchFailure(
                    "unavailable", "no primary of shard \(shard.name) can be reached", isUnreached: true)
            }
            readers.append(DirectPlaces(read, numbers))
            writers.append(DirectPlaces(loaded.contains(place) ? Array(primaries) : [], numbers))
            try await dialAll(of: place, .reading)
            try await dialAll(of: place, .writing)
        }
    }

    private func roles(of shard: Catalogue.Shard) async -> [(backend: Int, role: ReplicaRole)] {
        var roles: [(backend: Int, role: ReplicaRole)] = []
        for replica in shard.replicas {
            guard let connection = try? await dial(replica.backend) else { continue }
            roles.append((replica.backend, connection.role))
            await connection.close()
        }
        return roles
    }

    private func dialAll(of shard: Int, _ use: Use) async throws(BenchFailure) {
        var slots: [Slot] = []
        defer { for slot in slots { giveBack(slot, to: shard, use) } }
        for _ in 0..<count(shard, use) {
            var slot = await lease(shard, use)
            defer { slots.append(slot) }
            slot.connection = try await dial(slot.backend)
        }
    }

    func close() async {
        for shard in readers.indices { await close(shard, .reading) }
        for shard in writers.indices { await close(shard, .writing) }
    }

    private func close(_ shard: Int, _ use: Use) async {
        for _ in 0..<count(shard, use) { await lease(shard, use).connection?.close() }
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
        var slot = await lease(statement.shard, .reading)
        defer { giveBack(slot, to: statement.shard, .reading) }
        let connection = try await connection(of: &slot)
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

    func connection(of slot: inout Slot) async throws(BenchFailure) -> any BackendConnection {
        if let made = slot.connection { return made }
        let made = try await dial(slot.backend)
        slot.connection = made
        return made
    }

    private func count(_ shard: Int, _ use: Use) -> Int {
        use == .reading ? readers[shard].count : writers[shard].count
    }

    func lease(_ shard: Int, _ use: Use) async -> Slot {
        if let slot = use == .reading ? readers[shard].take() : writers[shard].take() { return slot }
        return await withCheckedContinuation { waiter in
            if use == .reading { readers[shard].wait(waiter) } else { writers[shard].wait(waiter) }
        }
    }

    func giveBack(_ slot: Slot, to shard: Int, _ use: Use) {
        if use == .reading { readers[shard].giveBack(slot) } else { writers[shard].giveBack(slot) }
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
            case .badRow: "bad_row"
            default: "invalid_argument"
            }
        self.init(code, error.message)
    }
}
