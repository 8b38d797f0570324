internal import CoreMetrics
internal import SluiceCore
internal import SluiceEngine
internal import SluicePostgres
internal import SluiceReactor

/// The configuration as the engine's words: each distinct server has one backend, whatever names it has.
///
/// One that follows another keeps the numbers of its backends: a server that is there again, or still, has the number
/// that it had, a new one the next. A server that is not there any more keeps its number for itself.
struct Blueprint {
    fileprivate struct Server: Hashable {
        var target: ConnectionString
        var isPooled: Bool

        /// Where somebody else may come in with another password.
        var withoutPassword: Server { Server(target: target.withoutPassword, isPooled: isPooled) }
    }

    /// A server that is or was in the configuration.
    fileprivate struct Place {
        var server: Server
        /// Its first name.
        var shard: String
        var replica: String
        /// Nil if it is not in the configuration any more.
        var pool: PoolMachine.Configuration?
        /// Nil if gateways share no budget of it.
        var fleet: FleetPlace?
        /// How it was reached last.
        let transports = TransportRecord()
        /// What it ran then.
        let versions = VersionRecord()
    }

    let config: GatewayConfig
    let catalogue: Catalogue
    private let places: [Place]
    let resolver: AddressResolver

    /// - Throws: `PostgresFailure` that says what is wrong with a connection string; `LeftServers.TooMany`.
    init(_ config: GatewayConfig, after earlier: Blueprint? = nil) throws {
        let wanted = try Self.servers(config)
        let (places, numbers) = Self.places(wanted, after: earlier?.places ?? [])
        try LeftServers.check(known: places.count, wanted: wanted.count)
        self.places = places
        self.config = config
        resolver = earlier?.resolver ?? AddressResolver(workers: BlockingWorkers(limit: 4, queueLimit: 1_024))
        let shards = try config.shards.map { shard in
            Catalogue.Shard(
                name: shard.name,
                replicas: try shard.replicas.map { replica in
                    Catalogue.Replica(
                        name: replica.name, backend: numbers[try replica.server] ?? 0, timeout: replica.timeout,
                        member: replica.member)
                })
        }
        catalogue = Catalogue(
            shards: shards, collections: Self.collections(config), after: earlier?.catalogue)
    }

    /// The distinct servers, each with its first name, in the order of the configuration.
    private static func servers(_ config: GatewayConfig) throws -> [Place] {
        var known: Set<Server> = []
        return try config.shards.flatMap { shard in
            try shard.replicas.compactMap { replica in
                let server = try replica.server
                guard known.insert(server).inserted else { return nil }
                return Place(
                    server: server, shard: shard.name, replica: replica.name, pool: pool(replica.pool),
                    fleet: replica.pool.connectionBudget.map { FleetPlace(budget: $0) })
            }
        }
    }

    /// - Returns: the servers by their numbers, and the numbers of those that are wanted.
    private static func places(_ wanted: [Place], after earlier: [Place]) -> ([Place], [Server: Int]) {
        var places = earlier
        for place in places.indices { places[place].pool = nil }
        var numbers: [Server: Int] = [:]
        func take(_ wish: Place, at place: Int) {
            places[place].server = wish.server
            (places[place].shard, places[place].replica, places[place].pool) = (wish.shard, wish.replica, wish.pool)
            numbers[wish.server] = place
        }
        let exact = Dictionary(earlier.enumerated().map { ($1.server, $0) }) { first, _ in first }
        for wish in wanted { if let place = exact[wish.server] { take(wish, at: place) } }
        // With another password it is the same server.
        let alike = Dictionary(earlier.enumerated().map { ($1.server.withoutPassword, $0) }) { first, _ in first }
        for wish in wanted where numbers[wish.server] == nil {
            if let place = alike[wish.server.withoutPassword], places[place].pool == nil {
                take(wish, at: place)
            } else {
                numbers[wish.server] = places.count
                places.append(wish)
            }
        }
        return (places, numbers)
    }

    // MARK: What others ask

    /// In the order of the backends.
    var transports: [TransportRecord] { places.map(\.transports) }
    var versions: [VersionRecord] { places.map(\.versions) }

    /// The most connections to each backend.
    var poolSizes: [Int] { places.map { $0.pool?.maxSize ?? 0 } }

    var pools: [PoolMachine.Configuration] { places.compactMap(\.pool) }

    /// Of servers that gateways share a budget of, in the order of the backends.
    var fleetPlaces: [FleetPlace?] { places.map(\.fleet) }

    /// What each backend is called: by the first of its replicas.
    var names: [(shard: String, replica: String)] { places.map { ($0.shard, $0.replica) } }

    /// A lane's slices of the pools.
    func slices(_ lane: Int, of lanes: Int) -> [PoolMachine.Configuration] {
        pools.map { $0.slice(lane, of: lanes) }
    }

    /// What becomes of a lane's slices of the pools.
    func orders(_ lane: Int, of lanes: Int, after earlier: Blueprint) -> [PoolOrder] {
        places.enumerated().map { number, place in
            let before = earlier.places.indices.contains(number) ? earlier.places[number].pool : nil
            if place.pool == before { return .keep }
            return place.pool.map { .configure($0.slice(lane, of: lanes)) } ?? .retire
        }
    }

    // MARK: The engine's parts

    func sharedState(on reactors: [Reactor], metrics: any MetricsFactory) -> SharedState {
        let now = Instant(nanoseconds: Reactor.now())
        let shards = zip(config.shards, catalogue.shards).map { shard, known in
            ShardState(
                name: shard.name, shardConfiguration(shard), replicas: replicas(shard, known),
                latencyClasses: catalogue.latencyClasses, now: now)
        }
        return SharedState(
            catalogue: catalogue, backends: backends(on: reactors, after: []), shards: shards,
            admission: Admission(config.admission.enabled ? admission : nil), lanes: reactors.count,
            holding: holding, memory: MemoryBudget(limit: config.limits.maxMemory), metrics: metrics,
            journal: Journal(slow: config.slowSearch, explainOneIn: config.explainOneIn))
    }

    /// What is served from now on. Shards and backends that are what they were stay.
    func topology(on reactors: [Reactor], after earlier: Blueprint, _ served: Topology) -> Topology {
        let now = Instant(nanoseconds: Reactor.now())
        let isSameCollections = catalogue.numbered == earlier.catalogue.numbered
        let shards = zip(config.shards, catalogue.shards).map { shard, known in
            let (configuration, replicas) = (shardConfiguration(shard), self.replicas(shard, known))
            guard let place = earlier.config.shards.firstIndex(where: { $0.name == shard.name }) else {
                return ShardState(
                    name: shard.name, configuration, replicas: replicas, latencyClasses: catalogue.latencyClasses,
                    now: now)
            }
            let (was, wasKnown) = (earlier.config.shards[place], earlier.catalogue.shards[place])
            if isSameCollections, wasKnown == known, earlier.shardConfiguration(was) == configuration,
                earlier.replicas(was, wasKnown) == replicas
            {
                return served.shards[place]
            }
            return ShardState(
                after: served.shards[place], configuration, replicas: replicas,
                heirs: zip(shard.replicas, known.replicas).map { replica, known in
                    wasKnown.replicas.firstIndex { $0.backend == known.backend }.map { heir in
                        .init(place: heir, hasSameCapacity: was.replicas[heir].pool == replica.pool)
                    }
                },
                latencyClasses: isSameCollections ? nil : catalogue.latencyClasses, now: now)
        }
        keepDrained(shards, earlier, served)
        return Topology(
            after: served, catalogue: catalogue,
            backends: backends(on: reactors, after: Array(zip(earlier.places, served.backends))), shards: shards,
            cache: holding.cache)
    }

    /// What an operator has drained stays so, also where it has moved to another shard.
    private func keepDrained(_ shards: [ShardState], _ earlier: Blueprint, _ served: Topology) {
        let drained = earlier.catalogue.backends.filter { backend in
            earlier.catalogue.served(by: backend).contains { served.shards[$0.shard].isDrained($0.replica) }
        }
        for (known, state) in zip(catalogue.shards, shards) where !drained.isEmpty {
            for (place, replica) in known.replicas.enumerated() where drained.contains(replica.backend) {
                state.drainRequested(place, true)
            }
        }
    }

    private func replicas(_ shard: GatewayConfig.Shard, _ known: Catalogue.Shard) -> [ShardMachine.Replica] {
        zip(shard.replicas, known.replicas).map { replica, known in
            .init(
                weight: replica.weight,
                isSameZone: config.routing.zone == nil || replica.zone == config.routing.zone,
                capacity: replica.pool.maxSize, server: known.backend)
        }
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
        result.zoneSpillOver = config.routing.zoneSpillOver
        result.preference =
            switch shard.prefer {
            case .any: .any
            case .primary: .primary
            case .standby: .standby
            }
        return result
    }

    var admission: AdmissionMachine.Configuration {
        let places = pools.reduce(0) { $0 + $1.maxSize }
        let most = max(config.admission.maxSearches ?? 4 * places, config.admission.minSearches)
        return .init(
            limit: .init(minimum: config.admission.minSearches, maximum: most, initial: most),
            maxWaiting: config.admission.maxWaiting, maxWait: config.admission.maxWait)
    }

    private func backends(
        on reactors: [Reactor], after earlier: [(Place, any SearchBackend)]
    ) -> [any SearchBackend] {
        let cancels = BlockingWorkers(limit: 2 * places.count)
        let dials = BlockingWorkers(limit: 2 * places.count)
        return places.enumerated().map { number, place in
            if earlier.indices.contains(number), place.isNamed(as: earlier[number].0) { return earlier[number].1 }
            var settings = settings(
                of: number, cancels: CancelAllowance(workers: cancels), dials: DialAllowance(workers: dials))
            settings.transports = place.transports
            settings.versions = place.versions
            settings.applicationName = place.fleet.map { FleetName.pool($0.id) }
            settings.isMissedSoon = place.fleet != nil
            return PostgresBackend(
                shardName: place.shard, replicaName: place.replica, settings: settings, reactors: reactors,
                permit: place.fleet?.permit)
        }
    }

    /// - Parameter backend: its number; there is one.
    func settings(of backend: Int, cancels: CancelAllowance, dials: DialAllowance) -> ConnectionSettings {
        let server = places[backend].server
        return ConnectionSettings(
            target: server.target, isPooled: server.isPooled, resolver: resolver, cancels: cancels, dials: dials)
    }

    private static func collections(_ config: GatewayConfig) -> [Collection] {
        let places = Dictionary(uniqueKeysWithValues: config.shards.enumerated().map { ($1.name, $0) })
        return config.collections.map(\.asServed).map { Collection($0, shards: $0.shards.compactMap { places[$0] }) }
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
        epoch = collection.epoch
        isHeld = collection.serving == .unknown
    }
}

extension GatewayConfig.Replica {
    func connectionString() throws(PostgresFailure) -> ConnectionString {
        try ConnectionString(dsn.revealed, password: password?.revealed, folder: folder)
    }

    var isPooled: Bool { pooler == .transaction }

    fileprivate var server: Blueprint.Server {
        get throws { Blueprint.Server(target: try connectionString(), isPooled: isPooled) }
    }
}

extension Blueprint.Place {
    /// The same server, to be reached in the same way and spoken of by the same name.
    fileprivate func isNamed(as other: Self) -> Bool {
        server == other.server && shard == other.shard && replica == other.replica
    }
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
