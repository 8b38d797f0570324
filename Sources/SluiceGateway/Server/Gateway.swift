package import CoreMetrics
package import Logging
package import NIOCore
internal import NIOPosix
internal import SluiceCore
package import SluiceEngine
internal import SluiceReactor
internal import SluiceWire
internal import Synchronization
package import Tracing

/// A running gateway: listeners, sessions, lanes and pools. `start` returns once it serves; `shutDown` lets what is in
/// flight finish.
package final class Gateway: Sendable {
    /// Where clients can connect. The TCP port is the one bound, also if the configuration said 0.
    package let tcpAddress: SocketAddress?
    /// The same with TLS.
    package let tlsAddress: SocketAddress?

    let logger: Logger
    let house: House
    let registry: SessionRegistry
    let traffic: Traffic
    let reports = ReportGate()
    let topology: TopologyKeeper
    let layouts: LayoutKeeper
    /// Until it shuts down.
    private let following = Mutex<[Task<Void, Never>]>([])
    private let inForce: Mutex<GatewayConfig>
    private let sessions: SessionFactory
    let changes = Turnstile()
    /// It listens where the manager of its process says, whatever the configuration does.
    private let hasInherited: Bool
    private let started = ContinuousClock.now
    private let isUnprotected: Bool
    private let keeper: AccessKeeper
    private let keeping: Task<Void, Never>
    private let group: MultiThreadedEventLoopGroup
    private let listeners: [any Channel]
    private let unixSocket: UnixSocket?
    private let isStopped = Atomic(false)

    private init(
        config: GatewayConfig, isUnprotected: Bool, hasInherited: Bool, logger: Logger, house: House,
        topology: TopologyKeeper, layouts: LayoutKeeper, registry: SessionRegistry, traffic: Traffic,
        keeper: AccessKeeper, sessions: SessionFactory, group: MultiThreadedEventLoopGroup,
        listeners: Listeners.Bound
    ) {
        self.traffic = traffic
        self.sessions = sessions
        self.hasInherited = hasInherited
        inForce = Mutex(config)
        self.isUnprotected = isUnprotected
        self.logger = logger
        self.house = house
        self.topology = topology
        self.layouts = layouts
        self.registry = registry
        self.keeper = keeper
        keeping = Task { await keeper.run() }
        self.group = group
        self.listeners = listeners.channels
        tcpAddress = listeners.tcpAddress
        tlsAddress = listeners.tlsAddress
        unixSocket = listeners.unixSocket
    }

    /// Dials the replicas, examines one of each shard, then listens. A replica that is down makes the gateway degraded,
    /// not dead.
    /// - Parameters:
    ///   - isUnprotected: listen where other machines may come from, whatever protects it or not.
    ///   - metrics: what keeps the measurements.
    ///   - tracer: what records requests, as far as `tracing` of the configuration has it; nil for none.
    ///   - sockets: those that are open already.
    /// - Throws: `ListeningRefused`; `InheritedSockets.Unusable`; `StartRefused` if a collection that requires an
    ///   index has none that serves it.
    package static func start(
        _ config: GatewayConfig, isUnprotected: Bool = false, metrics: any MetricsFactory = NOOPMetricsHandler.instance,
        tracer: (any Tracer)? = nil, sockets: InheritedSockets = InheritedSockets(), logger: Logger
    ) async throws -> Gateway {
        try sockets.check(config)
        var config = config
        if let addresses = sockets.addresses {
            logger.notice("listening at the sockets that LISTEN_FDS announces, and not where the configuration says")
            config.listen = addresses
        }
        let objections = ListeningRule.objections(config.listen, config.admin, config.access)
        guard objections.isEmpty || isUnprotected else { throw ListeningRefused(reasons: objections) }
        for objection in objections { logger.warning("\(ListeningRule.flag): \(objection)") }
        if config.access.identities.isEmpty {
            let place = objections.isEmpty ? "; listening on loopback only" : ""
            logger.notice("no identity is configured: whoever can connect may do everything\(place)")
        }
        let topology = TopologyKeeper(config, logger: logger)
        await topology.awaitFirst(within: config.pool.connectTimeout)
        let layouts = LayoutKeeper()
        layouts.adopt(layouts.prospect(of: config, after: nil))
        config = config.serving(topology.places).choosing(layouts.choices)
        raiseDescriptorLimit(config, logger)
        let house = try House(config, metrics: metrics, logger: logger)
        house.shared.fences.replace(topology.fences(of: config))
        // At the same time: neither waits longer than a dial may take. Where connections are counted, those of the
        // examination end before the pools' begin.
        let examination = Task { [config] in try await Examination.run(config.withoutNextLayouts, .oneReplica) }
        if config.hasBudgets { _ = await examination.result }
        await house.start()
        let registry = SessionRegistry(config.limits.places)
        let keeper: AccessKeeper
        do {
            let sizes = house.poolSizes
            keeper = try AccessKeeper(config, poolSizes: sizes, registry: registry, logger: logger)
        } catch {
            _ = await examination.result
            await house.shutDown()
            throw error
        }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: house.lanes.count)
        let traffic = Traffic()
        do {
            try take(await examination.value, house.shared.catalogue, logger)
            config = try await firstLayouts(config, layouts, house, logger)
            let sessions = SessionFactory(
                config, house: house, registry: registry, traffic: traffic, access: keeper.directory,
                tls: keeper.tls, tracing: RequestTracing(tracer, config.tracing, now: house.now), logger: logger)
            let listeners = try await Listeners(config.listen, sockets, group: group, sessions: sessions).bind()
            let gateway = Gateway(
                config: config, isUnprotected: isUnprotected, hasInherited: sockets.addresses != nil, logger: logger,
                house: house, topology: topology, layouts: layouts, registry: registry, traffic: traffic,
                keeper: keeper, sessions: sessions, group: group, listeners: listeners)
            gateway.beginFollowing()
            return gateway
        } catch {
            try? await group.shutdownGracefully()
            await house.shutDown()
            throw error
        }
    }

    private func beginFollowing() {
        let task = Task { [weak self, changes = topology.changes.stream] in
            await self?.followTopology()
            for await _ in changes { await self?.followTopology() }
        }
        let tasks = [task] + beginWatchingLayouts()
        following.withLock { $0 = tasks }
    }

    private static func raiseDescriptorLimit(_ config: GatewayConfig, _ logger: Logger) {
        let need = DescriptorLimit.need(config)
        guard let limit = DescriptorLimit.raise(), limit < need else { return }
        logger.warning(
            "too few file descriptors for all sessions and connections; raise `ulimit -n`",
            metadata: ["limit": "\(limit)", "may_need": "\(need)"])
    }

    /// Says what was found, and lets the engine know the indexes.
    static func take(_ examination: Examination, _ catalogue: Catalogue, _ logger: Logger) throws {
        for finding in examination.findings {
            var metadata: Logger.Metadata = ["shard": "\(finding.shard)"]
            if let replica = finding.replica { metadata["replica"] = "\(replica)" }
            if let collection = finding.collection { metadata["collection"] = "\(collection)" }
            // Servers that are down are no error of a start: they are dialled for ever.
            let isError = finding.severity == .error && finding.topic != .reach
            logger.log(level: isError ? .error : .warning, "\(finding.message)", metadata: metadata)
        }
        for index in examination.indexes {
            catalogue.index(of: index.collection, shard: index.shard).update(index.kind)
        }
        let refusals = examination.findings.filter { $0.severity == .error && $0.topic == .index }
        if !refusals.isEmpty { throw StartRefused(reasons: refusals.map(\.description)) }
    }

    /// Which index the searches of a collection use on a shard, by what was found at the start.
    package func indexKind(of collection: String, shard: Int) -> IndexKind {
        house.shared.catalogue.index(of: collection, shard: shard).kind
    }

    /// The replicas that cannot be reached now, as `shard/replica`.
    package func unreachableReplicas() async -> [String] {
        guard let lane = house.lanes.first else { return [] }
        let pools = await lane.pools
        return house.shared.catalogue.backends.sorted().filter { pools.indices.contains($0) && !pools[$0].isReachable }
            .map { "\(pools[$0].shard)/\(pools[$0].replica)" }
    }

    /// What it runs by just now.
    var config: GatewayConfig { inForce.withLock { $0 } }

    /// Runs by another configuration from now on: its shards, replicas, pools and collections, limits, identities and
    /// certificates. Nothing that is being done ends for it. What needs a restart stays as it is, and the log says so.
    ///
    /// Not if something is wrong with it, as the databases see it, too.
    /// - Parameter reading: as it is when its turn has come.
    /// - Returns: why what was in force stays so; empty if it does not.
    @discardableResult
    package func reload(_ reading: @escaping @Sendable () throws(ConfigErrors) -> GatewayConfig) async -> [String] {
        let reasons = await changes.pass { await self.reports.pass { await self.change(to: reading) } }
        return reasons ?? ["the gateway is stopping"]
    }

    @discardableResult
    package func reload(_ config: GatewayConfig) async -> [String] { await reload { config } }

    private func change(to reading: () throws(ConfigErrors) -> GatewayConfig) async -> [String] {
        var wanted: GatewayConfig
        do throws(ConfigErrors) { wanted = try reading() } catch {
            for line in error.lines { logger.error("the configuration is not read anew: \(line)") }
            return error.lines
        }
        let old = config
        if hasInherited { wanted.listen = old.listen }
        // What follows now answers until it is known that the other is taken.
        let prospect = topology.prospect(of: wanted)
        await prospect.awaitFirst(within: wanted.pool.connectTimeout)
        wanted = wanted.serving(prospect.places).choosing(layouts.prospect(of: wanted, after: old))
        let (new, left) = old.taking(wanted)
        do {
            let objections = ListeningRule.objections(new.listen, new.admin, new.access)
            guard objections.isEmpty || isUnprotected else { throw ChangeRefused(reasons: objections) }
            if let objection = new.objectionToShare(since: old) { throw ChangeRefused(reasons: [objection]) }
            let blueprint = try house.blueprint(of: new)
            guard new.mostLanes >= house.lanes.count else {
                throw ChangeRefused(reasons: [
                    "a pool has fewer connections than there are reactors, which are \(house.lanes.count): give "
                        + "max_size at least that, or restart the gateway"
                ])
            }
            try Self.take(try await examineNews(of: new, since: old, blueprint.catalogue), blueprint.catalogue, logger)
            try keeper.reload(new)
            Self.raiseDescriptorLimit(new, logger)
            topology.adopt(prospect)
            layouts.adopt(layouts.prospect(of: new, after: old))
            // A shard that gets a fence has it before it is served, one that loses it until then.
            let fences = topology.fences(of: new)
            house.shared.fences.replace(fences.merging(topology.fences(of: old)) { new, _ in new })
            await house.follow(blueprint)
            house.shared.fences.replace(fences)
            resized()
            sessions.follow(new)
        } catch {
            topology.discard(prospect)
            let reasons = (error as? ChangeRefused)?.reasons ?? (error as? StartRefused)?.reasons ?? ["\(error)"]
            for reason in reasons { logger.error("what was in force stays so: \(reason)") }
            return reasons
        }
        take(new)
        house.shared.moved.doubts.continuation.yield()
        report(ConfigDifference(old.unchosen, new.unchosen).lines, left)
        return []
    }

    func take(_ config: GatewayConfig) { inForce.withLock { $0 = config } }

    func resized() { if keeper.directory.resized(house.poolSizes) { registry.accessChanged() } }

    /// What the databases say of the collections that are new, changed, or somewhere else.
    func examineNews(
        of new: GatewayConfig, since old: GatewayConfig, _ catalogue: Catalogue
    ) async throws -> Examination {
        let served = house.shared.catalogue.shards
        let same = catalogue.shards.filter { shard in served.contains { $0.isSame(as: shard) } }
        let known = Set(same.map(\.name))
        let before = Set(old.collections.map(\.asServed))
        let news = new.collections.map(\.asServed).filter {
            $0.serving != .unknown && (!before.contains($0) || !known.isSuperset(of: $0.shards))
        }
        return try await Self.examine(news, of: new)
    }

    /// - Parameter collections: some of the configuration's, as they are served.
    static func examine(
        _ collections: [GatewayConfig.Collection], of config: GatewayConfig
    ) async throws -> Examination {
        if collections.isEmpty { return Examination() }
        let concerned = Set(collections.flatMap(\.shards))
        var part = config
        part.collections = collections
        part.shards = config.shards.filter { concerned.contains($0.name) }
        var examination = try await Examination.run(part, .oneReplica)
        let places = Dictionary(config.shards.enumerated().map { ($1.name, $0) }) { first, _ in first }
        for number in examination.indexes.indices {
            examination.indexes[number].shard = places[part.shards[examination.indexes[number].shard].name] ?? 0
        }
        return examination
    }

    static let mostLines = 50

    private func report(_ lines: [String], _ left: [String]) {
        for line in lines.prefix(Self.mostLines) { logger.notice("configuration: \(line)") }
        if lines.count > Self.mostLines {
            logger.notice("configuration: \(lines.count - Self.mostLines) more differences")
        }
        for key in left { logger.warning("configuration: a change of \(key) needs a restart and is not in force") }
        if lines.isEmpty, left.isEmpty { logger.notice("the configuration has been read anew; nothing differs") }
        house.shared.journal.add(
            .init(.action, shard: "", "configuration read anew, \(lines.count) differences"), at: house.now)
    }

    /// Whether whoever has this token may change how the gateway runs: without identities whoever can connect, else one
    /// that has the permission `admin` for all collections.
    package func mayAdminister(token: String?) -> Bool {
        let admitted = try? keeper.directory.rules.admit(
            token: token.map { Array($0.utf8) }, peer: SessionPeer(), at: WallClock.seconds())
        return admitted?.identity.otherwise?.actions.contains(.admin) ?? false
    }

    /// It has been told to stop.
    package var isDraining: Bool { isStopped.load(ordering: .relaxed) }

    var uptime: Duration { started.duration(to: .now) }

    /// Answers of servers that were another request's, and were dropped for that.
    package var integrityFailures: UInt64 { house.shared.integrityFailureCount }

    /// Bytes that are held for clients, and how many sessions are not read from because they hold too many.
    package var memory: (held: Int, stopped: Int) { (house.shared.memory.held, house.shared.memory.stoppedCount) }

    /// Returns when no more than this many sessions are open.
    package func waitForSessions(_ count: Int) async { await registry.wait(untilAtMost: count) }

    /// One line on what can be served.
    package func logReadiness() async {
        let down = await unreachableReplicas()
        let places = listeners.compactMap { $0.localAddress?.description }.joined(separator: ", ")
        if down.isEmpty {
            logger.notice("serving", metadata: ["listening": "\(places)"])
        } else {
            logger.warning(
                "serving, degraded",
                metadata: ["listening": "\(places)", "unreachable": "\(down.joined(separator: ", "))"])
        }
    }

    /// A session that has been closed is gone by then.
    private static let closingTime = Duration.seconds(2)

    /// Stops accepting, sends GOAWAY, waits for what is in flight up to the grace time, and closes everything.
    package func shutDown() async {
        guard !isStopped.exchange(true, ordering: .relaxed) else { return }
        keeping.cancel()
        for listener in listeners { try? await listener.close() }
        registry.goAway()
        let grace = config.limits.shutdownGrace
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.registry.wait(untilAtMost: 0) }
            group.addTask {
                // Cancelled as soon as the last session has ended.
                guard (try? await Task.sleep(for: grace)) != nil else { return }
                self.registry.closeAll()
                try? await Task.sleep(for: Self.closingTime)
            }
            await group.next()
            group.cancelAll()
        }
        logger.debug("the sessions have ended")
        for task in following.withLock({ $0 }) { task.cancel() }
        await reports.close()
        await house.shutDown()
        topology.stop()
        logger.debug("the pools are closed")
        try? await group.shutdownGracefully()
        unixSocket?.remove()
        logger.notice("stopped")
    }
}

/// A configuration that cannot be taken while the gateway runs.
private struct ChangeRefused: Error {
    /// One line each.
    var reasons: [String]
}

/// The configuration would open the gateway to other machines without protection.
public struct ListeningRefused: Error, Sendable, CustomStringConvertible {
    /// One line each.
    public var reasons: [String]

    public var description: String {
        (reasons + ["If that is what you want, say \(ListeningRule.flag)."]).joined(separator: "\n")
    }
}

/// A collection's `require_index` is not fulfilled.
public struct StartRefused: Error, Sendable, CustomStringConvertible {
    /// One line for each (collection, shard).
    public var reasons: [String]

    public var description: String { reasons.joined(separator: "\n") }
}
