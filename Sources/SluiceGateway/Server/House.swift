internal import CoreMetrics
internal import Logging
internal import SluiceCore
internal import SluiceEngine
internal import SluicePostgres
internal import SluiceReactor
internal import SluiceWire
internal import Synchronization

/// The lanes with everything behind them.
final class House: Sendable {
    let lanes: [SearchLane]
    let shared: SharedState
    /// Nil if no server's connections are shared with other gateways.
    let fleet: FleetKeeper?
    private let fleetPatience: Duration
    private let reactors: [Reactor]
    private let plan: CurrentPlan
    private let roleWatch: Task<Void, Never>

    /// - Parameter metrics: what keeps the measurements.
    init(_ config: GatewayConfig, metrics: any MetricsFactory, logger: Logger) throws {
        let blueprint = try Blueprint(config)
        let reactors = try (0..<config.laneCount).map { try Reactor(name: "reactor-\($0)") }
        let shared = blueprint.sharedState(on: reactors, metrics: metrics)
        let lanes = reactors.indices.map { index in
            SearchLane(
                index: index, executor: reactors[index], shared: shared,
                pools: blueprint.slices(index, of: reactors.count),
                configuration: blueprint.laneConfiguration, logger: logger)
        }
        shared.introduce(lanes)
        let plan = CurrentPlan(blueprint)
        self.reactors = reactors
        self.shared = shared
        self.plan = plan
        self.lanes = lanes
        fleet = try blueprint.fleetKeeper(lanes, shared, on: reactors[0], logger: logger)
        fleetPatience = max(config.pool.connectTimeout, config.fleet.interval * 4)
        roleWatch = Task {
            await shared.roles.run(on: lanes, every: { plan.blueprint.config.routing.probeInterval }) {
                shared.lookAtAll()
                shared.expire(now: Instant(nanoseconds: Reactor.now()))
            }
        }
    }

    /// The most connections to each backend.
    var poolSizes: [Int] { plan.blueprint.poolSizes }

    /// How each backend's server was reached last.
    var transports: [TransportRecord] { plan.blueprint.transports }

    /// What each backend's server ran then.
    var versions: [VersionRecord] { plan.blueprint.versions }

    /// The same, by the replicas' names.
    var servers: [ServerDescription] { plan.blueprint.servers }

    /// The house as another configuration wants it.
    /// - Throws: `PostgresFailure` that says what is wrong with a connection string.
    func blueprint(of config: GatewayConfig) throws -> Blueprint { try Blueprint(config, after: plan.blueprint) }

    /// Serves by another blueprint, made by `blueprint(of:)` since the last change. One change at a time.
    func follow(_ blueprint: Blueprint) async {
        let earlier = plan.blueprint
        let topology = blueprint.topology(on: reactors, after: earlier, shared.topology)
        shared.memory.limitChanged(to: blueprint.config.limits.maxMemory)
        shared.journal.changed(slow: blueprint.config.slowSearch, explainOneIn: blueprint.config.explainOneIn)
        if blueprint.admission != earlier.admission { shared.admission.reconfigured(blueprint.admission) }
        plan.replace(blueprint)
        await shared.serve(topology, configuration: blueprint.laneConfiguration) { lane in
            blueprint.orders(lane, of: lanes.count, after: earlier)
        }
    }

    var now: Instant { Instant(nanoseconds: Reactor.now()) }

    func start() async {
        await fleet?.start(within: fleetPatience)
        await withTaskGroup(of: Void.self) { group in
            for lane in lanes { group.addTask { await lane.start() } }
        }
        shared.lookAtAll()
    }

    func shutDown() async {
        // What it asks of a server ends with the server's connections, or after its own time-out.
        roleWatch.cancel()
        await fleet?.stop()
        for lane in lanes { await lane.shutDown() }
        await fleet?.leave()
        for reactor in reactors { reactor.stop() }
    }
}

/// The blueprint that is in force.
private final class CurrentPlan: Sendable {
    private let current: Mutex<Blueprint>

    init(_ blueprint: Blueprint) { current = Mutex(blueprint) }

    var blueprint: Blueprint { current.withLock { $0 } }

    func replace(_ blueprint: Blueprint) { current.withLock { $0 = blueprint } }
}

extension PoolMachine.Configuration {
    /// One lane's part of a replica's budget; the parts add up to it.
    func slice(_ lane: Int, of lanes: Int) -> PoolMachine.Configuration {
        func share(_ whole: Int) -> Int { Self.share(lane, of: lanes, whole) }
        return .init(
            minSize: share(minSize), maxSize: share(maxSize),
            maxWaiting: maxWaiting == 0 ? 0 : max(1, share(maxWaiting)),
            maxIdle: maxIdle, maxLifetime: maxLifetime, checkAfterIdle: checkAfterIdle,
            maxDialling: max(1, share(maxDialling)), redial: redial)
    }

    static func share(_ lane: Int, of lanes: Int, _ whole: Int) -> Int {
        whole / lanes + (lane < whole % lanes ? 1 : 0)
    }
}
