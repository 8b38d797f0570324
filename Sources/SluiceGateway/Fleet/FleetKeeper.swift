internal import Logging
internal import SluiceCore
internal import SluiceEngine
internal import SluicePostgres
internal import SluiceReactor
internal import Synchronization

/// A backend whose server's connections are shared with other gateways.
struct FleetPlace: Sendable {
    let id = FleetName.newID()
    let permit = DialPermit()
    var budget: Int
}

/// Holds this gateway to its shares of the servers' connection budgets.
final class FleetKeeper: Sendable {
    /// Those with a budget, by the backend's number.
    private let members: [Int: FleetMember]
    private let reactor: Reactor
    private let tasks = Mutex<[Task<Void, Never>]>([])

    init(members: [Int: FleetMember], on reactor: Reactor) {
        self.members = members
        self.reactor = reactor
    }

    /// Nil for a server without a budget.
    func member(of backend: Int) -> FleetMember? { members[backend] }

    /// Returns when this gateway has a share of every budget, or knows that it cannot see the others; or at the limit.
    func start(within limit: Duration) async {
        for member in members.values { await member.hold() }
        let started = members.values.map { member in Task(executorPreference: reactor) { await member.run() } }
        tasks.withLock { $0 = started }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for member in self.members.values { await member.awaitFirstShare() } }
            group.addTask { try? await Task.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
    }

    /// The shares stay as they are. Returns when no look is under way any more, but does not wait for long.
    func stop() async {
        for member in members.values { member.stop() }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for member in self.members.values { await member.awaitEnd() } }
            group.addTask { try? await Task.sleep(for: .seconds(1)) }
            await group.next()
            group.cancelAll()
        }
    }

    /// The others may have this gateway's shares. Once it has stopped, and the pools have no connection any more.
    func leave() async {
        await withTaskGroup(of: Void.self) { group in
            for member in members.values { group.addTask { await member.leave() } }
        }
        for task in tasks.withLock({ $0 }) { await task.value }
    }
}

extension Blueprint {
    /// Nil if no server has a budget.
    func fleetKeeper(
        _ lanes: [SearchLane], _ shared: SharedState, on reactor: Reactor, logger: Logger
    ) throws -> FleetKeeper? {
        guard config.hasBudgets else { return nil }
        let fleet = config.fleet
        let workers = BlockingWorkers(limit: 2 * max(1, pools.count))
        var members: [Int: FleetMember] = [:]
        for (backend, place) in fleetPlaces.enumerated() {
            guard let place else { continue }
            var settings = try ledgerSettings(of: backend, workers: workers)
            settings.needsVector = false
            settings.isMissedSoon = true
            let name = names[backend]
            let isTable = fleet.discovery == .table
            let ledger = FleetLedger(
                id: place.id,
                place: isTable
                    ? .table(replica: "\(name.shard)/\(name.replica)", lifetime: max(fleet.interval * 6, .seconds(8)))
                    : .activity,
                settings: settings, reactor: reactor)
            // Dials that a gateway had begun when its claim went may end as long afterwards. What a table shows has
            // been given up there before it does not count here.
            let dial = config.pool.connectTimeout + .seconds(1)
            let grace = max(fleet.interval * 2, isTable ? .seconds(2) : dial)
            let configuration = FleetShare.Configuration(
                budget: place.budget, reserve: config.fleetReserve, floor: config.fleetFloor, overhead: fleet.overhead,
                grace: grace, trust: max(.seconds(1), fleet.interval * 3),
                patience: fleet.interval * (isTable ? 3 : 10))
            let pool = FleetPool(
                shard: name.shard, replica: name.replica, minSize: pools[backend].minSize,
                maxSize: pools[backend].maxSize, lanes: lanes.count, permit: place.permit,
                resize: { await lanes.resize(backend, shared, minSize: $0, maxSize: $1) },
                holding: { await lanes.holding(of: backend) })
            members[backend] = FleetMember(
                ledger: ledger, configuration, pool: pool, every: fleet.interval, logger: logger)
        }
        return FleetKeeper(members: members, on: reactor)
    }

    private func ledgerSettings(of backend: Int, workers: BlockingWorkers) throws -> ConnectionSettings {
        let cancels = CancelAllowance(workers: workers)
        let dials = DialAllowance(workers: workers)
        if let dsn = config.fleet.dsn {
            return ConnectionSettings(
                target: try ConnectionString(
                    dsn.revealed, password: config.fleet.password?.revealed, folder: config.fleet.folder),
                isPooled: true, resolver: resolver, cancels: cancels, dials: dials)
        }
        return settings(of: backend, cancels: cancels, dials: dials)
    }
}

extension [SearchLane] {
    /// Gives each lane's slice of a backend's pool its part of these bounds.
    func resize(_ backend: Int, _ shared: SharedState, minSize: Int, maxSize: Int) async {
        let topology = shared.topology
        for place in topology.catalogue.served(by: backend) {
            topology.shards[place.shard].resized(place.replica, capacity: maxSize)
        }
        for lane in self {
            await lane.resize(
                backend: backend, minSize: PoolMachine.Configuration.share(lane.index, of: count, minSize),
                maxSize: PoolMachine.Configuration.share(lane.index, of: count, maxSize))
        }
    }

    fileprivate func holding(of backend: Int) async -> FleetShare.Holding {
        var (made, open, most) = (0, 0, 0)
        for lane in self {
            let pools = await lane.pools
            guard pools.indices.contains(backend) else { continue }
            let slice = pools[backend].occupancy
            let connections = slice.idle + slice.leased + slice.closing
            made += connections
            open += connections + slice.dialling
            most += Swift.max(connections + slice.dialling, slice.limit)
        }
        return .init(made: made, open: open, most: most)
    }
}
