internal import CoreMetrics
internal import SluiceCore
internal import SluiceEngine
internal import SluicePostgres
internal import SluiceReactor

/// The configuration as the engine's words: each distinct server has one backend, whatever names it has.
struct Blueprint {
    private struct Server: Hashable {
        var target: ConnectionString
        var isPooled: Bool
    }

    private struct Place {
        var shard: String
        var replica: String
        var server: Server
    }

    let catalogue: Catalogue
    /// How each server was reached last, in the order of the backends.
    let transports: [TransportRecord]
    let pools: [PoolMachine.Configuration]
    let laneCount: Int
    /// Of servers that gateways share a budget of.
    let fleetPlaces: [FleetPlace?]
    let config: GatewayConfig
    private let places: [Place]
    let resolver = AddressResolver(workers: BlockingWorkers(limit: 4, queueLimit: 1_024))

    init(_ config: GatewayConfig) throws {
        var places: [Place] = []
        var pools: [PoolMachine.Configuration] = []
        var fleetPlaces: [FleetPlace?] = []
        var known: [Server: Int] = [:]
        let shards = try config.shards.map { shard in
            let replicas = try shard.replicas.map { replica in
                let server = Server(target: try replica.connectionString(), isPooled: replica.isPooled)
                if let backend = known[server] {
                    return Catalogue.Replica(name: replica.name, backend: backend, timeout: replica.timeout)
                }
                known[server] = places.count
                places.append(Place(shard: shard.name, replica: replica.name, server: server))
                pools.append(Self.pool(replica.pool))
                fleetPlaces.append(replica.pool.connectionBudget.map { FleetPlace(budget: $0) })
                return Catalogue.Replica(name: replica.name, backend: places.count - 1, timeout: replica.timeout)
            }
            return Catalogue.Shard(name: shard.name, replicas: replicas)
        }
        self.places = places
        transports = places.map { _ in TransportRecord() }
        self.pools = pools
        self.fleetPlaces = fleetPlaces
        self.config = config
        catalogue = Catalogue(shards: shards, collections: Self.collections(config))
        laneCount = config.laneCount
    }

    // MARK: The engine's parts

    func sharedState(on reactors: [Reactor], metrics: any MetricsFactory) -> SharedState {
        let now = Instant(nanoseconds: Reactor.now())
        let shards = zip(config.shards, catalogue.shards).map { shard, known in
            ShardState(
                name: shard.name, shardConfiguration(shard),
                replicas: zip(shard.replicas, known.replicas).map { replica, known in
                    .init(
                        weight: replica.weight,
                        isSameZone: config.routing.zone == nil || replica.zone == config.routing.zone,
                        capacity: replica.pool.maxSize, server: known.backend)
                },
                latencyClasses: catalogue.latencyClasses, now: now)
        }
        return SharedState(
            catalogue: catalogue, backends: backends(on: reactors), shards: shards,
            admission: Admission(config.admission.enabled ? admission : nil), lanes: reactors.count,
            holding: holding, memory: MemoryBudget(limit: config.limits.maxMemory), metrics: metrics,
            journal: Journal(slow: config.slowSearch))
    }

    private var holding: HoldingLimits {
        var limits = HoldingLimits()
        limits.cache.mostBytes = config.cache.maxBytes
        limits.cache.timeToLive = config.cache.ttl
        limits.cursorBytes = config.cursors.maxBytes
        limits.cursorBytesEach = config.cursors.maxBytesEach
        limits.cursorTime = config.cursors.ttl
        return limits
    }

    var laneConfiguration: SearchLane.Configuration {
        var lane = SearchLane.Configuration(
            plans: PlanLimits(maximumK: config.limits.maxK, maximumRows: config.limits.maxRows),
            acquireTimeout: config.pool.acquireTimeout,
            connectTimeout: config.pool.connectTimeout, maximumLegBytes: config.limits.maxReply)
        lane.maximumStreamedLegBytes = config.limits.maxStream
        lane.legs = .init(
            maxAttempts: config.retries.maxAttempts,
            backoff: Backoff(base: config.retries.backoff, cap: config.retries.backoff * 64))
        lane.hedges = config.hedging.enabled
        lane.freshnessWait = config.freshness.wait
        lane.laggards = .init(
            factor: config.laggards.factor, minimum: config.laggards.minWait, maximum: config.laggards.maxWait)
        return lane
    }

    private static func pool(_ pool: GatewayConfig.PoolSettings) -> PoolMachine.Configuration {
        .init(
            minSize: pool.minSize, maxSize: pool.maxSize, maxWaiting: pool.maxWaiting, maxIdle: pool.maxIdle,
            maxLifetime: pool.maxLifetime, checkAfterIdle: pool.checkAfterIdle, maxDialling: pool.maxDialling)
    }

    private func shardConfiguration(_ shard: GatewayConfig.Shard) -> ShardMachine.Configuration {
        var result = ShardMachine.Configuration()
        result.breaker.consecutiveFailures = config.breaker.consecutiveFailures
        result.breaker.failureShare = config.breaker.failureShare
        result.breaker.minimumVolume = config.breaker.minVolume
        result.breaker.slowThreshold = config.breaker.slowThreshold > .zero ? config.breaker.slowThreshold : nil
        result.breaker.slowShare = config.breaker.slowShare
        result.breaker.openTime = Backoff(base: config.breaker.openTime, cap: config.breaker.maxOpenTime)
        result.breaker.halfOpenProbes = config.breaker.probes
        result.budget = .init(share: config.retries.budget, minimumPerSecond: config.retries.floor)
        result.hedging.isEnabled = config.hedging.enabled
        result.hedging.quantile = config.hedging.quantile
        result.hedging.minimumDelay = config.hedging.minDelay
        result.hedging.maximumDelay = config.hedging.maxDelay
        result.slowStart = config.routing.slowStart
        result.panic = PanicThreshold(minimumHealthyShare: config.routing.panicThreshold)
        result.preference =
            switch shard.prefer {
            case .any: .any
            case .primary: .primary
            case .standby: .standby
            }
        return result
    }

    private var admission: AdmissionMachine.Configuration {
        let places = pools.reduce(0) { $0 + $1.maxSize }
        let most = max(config.admission.maxSearches ?? 4 * places, config.admission.minSearches)
        return .init(
            limit: .init(minimum: config.admission.minSearches, maximum: most, initial: most),
            maxWaiting: config.admission.maxWaiting, maxWait: config.admission.maxWait)
    }

    private func backends(on reactors: [Reactor]) -> [PostgresBackend] {
        let cancels = BlockingWorkers(limit: 2 * places.count)
        let dials = BlockingWorkers(limit: 2 * places.count)
        return places.indices.map { backend in
            var settings = settings(
                of: backend, cancels: CancelAllowance(workers: cancels), dials: DialAllowance(workers: dials))
            settings.transports = transports[backend]
            let fleet = fleetPlaces[backend]
            settings.applicationName = fleet.map { FleetName.pool($0.id) }
            settings.isMissedSoon = fleet != nil
            return PostgresBackend(
                shardName: places[backend].shard, replicaName: places[backend].replica, settings: settings,
                reactors: reactors, permit: fleet?.permit)
        }
    }

    /// - Parameter backend: its number; there is one.
    func settings(of backend: Int, cancels: CancelAllowance, dials: DialAllowance) -> ConnectionSettings {
        let server = places[backend].server
        return ConnectionSettings(
            target: server.target, isPooled: server.isPooled, resolver: resolver, cancels: cancels, dials: dials)
    }

    /// What each backend is called: by the first of its replicas.
    var names: [(shard: String, replica: String)] { places.map { ($0.shard, $0.replica) } }

    private static func collections(_ config: GatewayConfig) -> [Collection] {
        let places = Dictionary(uniqueKeysWithValues: config.shards.enumerated().map { ($1.name, $0) })
        return config.collections.map { Collection($0, shards: $0.shards.compactMap { places[$0] }) }
    }
}

extension Collection {
    /// - Parameter shards: their places in the configuration.
    init(_ collection: GatewayConfig.Collection, shards: [Int]) {
        self.init(
            name: collection.name, schema: collection.schema, table: collection.table,
            idColumn: collection.idColumn, vectorColumn: collection.vectorColumn, metric: collection.metric,
            dimensions: collection.dimensions, columns: collection.columns, shards: shards,
            timeout: collection.timeout)
        form = collection.form
        filterable = collection.filterable
        defaults = ScanSettings(collection.defaults)
        caps = ScanSettings(collection.caps)
        model = collection.model
        text = collection.text.map { TextColumn(column: $0.column, language: $0.language) }
        coarse = collection.coarse
        placement = collection.placement
        sharesSearches = collection.singleFlight
        isCached = collection.cache
        maxStaleness = collection.maxStaleness
    }
}

extension GatewayConfig.Replica {
    func connectionString() throws(PostgresFailure) -> ConnectionString {
        try ConnectionString(dsn.revealed, password: password?.revealed, folder: folder)
    }

    var isPooled: Bool { pooler == .transaction }
}

extension ScanSettings {
    fileprivate init(_ scan: GatewayConfig.Scan) {
        self.init()
        efSearch = scan.efSearch
        probes = scan.probes
        iterativeScan =
            switch scan.iterativeScan {
            case .off: .off
            case .relaxed: .relaxed
            case .strict: .strict
            case nil: nil
            }
        maxScanTuples = scan.maxScanTuples
        scanMemoryMultiplier = scan.scanMemoryMultiplier
        workMemKiB = scan.workMem.map { $0 / 1_024 }
    }
}
