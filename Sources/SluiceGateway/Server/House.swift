internal import CoreMetrics
internal import Logging
internal import SluiceCore
internal import SluiceEngine
internal import SluicePostgres
internal import SluiceReactor

/// The lanes with everything behind them.
struct House: Sendable {
    let lanes: [SearchLane]
    let shared: SharedState
    /// The most connections to each backend.
    let poolSizes: [Int]
    /// How each backend's server was reached last.
    let transports: [TransportRecord]
    /// Nil if no server's connections are shared with other gateways.
    let fleet: FleetKeeper?
    private let fleetPatience: Duration
    private let reactors: [Reactor]
    private let probeInterval: Duration
    private let roleWatch: Task<Void, Never>

    /// - Parameter metrics: what keeps the measurements.
    init(_ config: GatewayConfig, metrics: any MetricsFactory, logger: Logger) throws {
        let blueprint = try Blueprint(config)
        let reactors = try (0..<blueprint.laneCount).map { try Reactor(name: "reactor-\($0)") }
        let shared = blueprint.sharedState(on: reactors, metrics: metrics)
        let lanes = reactors.indices.map { index in
            SearchLane(
                index: index, executor: reactors[index], shared: shared,
                pools: blueprint.pools.map { $0.slice(index, of: reactors.count) },
                configuration: blueprint.laneConfiguration, logger: logger)
        }
        shared.introduce(lanes)
        self.reactors = reactors
        self.shared = shared
        poolSizes = blueprint.pools.map(\.maxSize)
        transports = blueprint.transports
        self.lanes = lanes
        fleet = try blueprint.fleetKeeper(lanes, shared, on: reactors[0], logger: logger)
        fleetPatience = max(config.pool.connectTimeout, config.fleet.interval * 4)
        probeInterval = config.routing.probeInterval
        roleWatch = Task { [probeInterval] in
            await shared.roles.run(on: lanes, backends: shared.backends.count, every: probeInterval) {
                shared.expire(now: Instant(nanoseconds: Reactor.now()))
            }
        }
    }

    var now: Instant { Instant(nanoseconds: Reactor.now()) }

    func start() async {
        await fleet?.start(within: fleetPatience)
        await withTaskGroup(of: Void.self) { group in
            for lane in lanes { group.addTask { await lane.start() } }
        }
        shared.roles.lookAtAll(shared.backends.count)
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
