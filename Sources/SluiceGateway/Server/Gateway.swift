package import CoreMetrics
package import Logging
package import NIOCore
internal import NIOPosix
internal import SluiceCore
package import SluiceEngine
internal import SluiceReactor
internal import SluiceWire
internal import Synchronization

/// A running gateway: listeners, sessions, lanes and pools. `start` returns once it serves; `shutDown` lets what is in
/// flight finish.
package final class Gateway: Sendable {
    /// Where clients can connect. The TCP port is the one bound, also if the configuration said 0.
    package let tcpAddress: SocketAddress?
    /// The same with TLS.
    package let tlsAddress: SocketAddress?

    let config: GatewayConfig
    let logger: Logger
    let house: House
    let registry: SessionRegistry
    let traffic: Traffic
    let reports = ReportGate()
    private let started = ContinuousClock.now
    private let isUnprotected: Bool
    private let keeper: AccessKeeper
    private let keeping: Task<Void, Never>
    private let group: MultiThreadedEventLoopGroup
    private let listeners: [any Channel]
    private let unixSocket: UnixSocket?
    private let isStopped = Atomic(false)

    private init(
        config: GatewayConfig, isUnprotected: Bool, logger: Logger, house: House, registry: SessionRegistry,
        traffic: Traffic, keeper: AccessKeeper, group: MultiThreadedEventLoopGroup, listeners: Listeners.Bound
    ) {
        self.traffic = traffic
        self.config = config
        self.isUnprotected = isUnprotected
        self.logger = logger
        self.house = house
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
    ///   - sockets: those that are open already.
    /// - Throws: `ListeningRefused`; `InheritedSockets.Unusable`; `StartRefused` if a collection that requires an
    ///   index has none that serves it.
    package static func start(
        _ config: GatewayConfig, isUnprotected: Bool = false, metrics: any MetricsFactory = NOOPMetricsHandler.instance,
        sockets: InheritedSockets = InheritedSockets(), logger: Logger
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
        let need = DescriptorLimit.need(config)
        if let limit = DescriptorLimit.raise(), limit < need {
            logger.warning(
                "too few file descriptors for all sessions and connections; raise `ulimit -n`",
                metadata: ["limit": "\(limit)", "may_need": "\(need)"])
        }
        let house = try House(config, metrics: metrics, logger: logger)
        // At the same time: neither waits longer than a dial may take. Where connections are counted, those of the
        // examination end before the pools' begin.
        let examination = Task { [config] in try await Examination.run(config, .oneReplica) }
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
            let sessions = SessionFactory(
                config: config, house: house, registry: registry, traffic: traffic, access: keeper.directory,
                tls: keeper.tls, logger: logger)
            let listeners = try await Listeners(config.listen, sockets, group: group, sessions: sessions).bind()
            return Gateway(
                config: config, isUnprotected: isUnprotected, logger: logger, house: house, registry: registry,
                traffic: traffic, keeper: keeper, group: group, listeners: listeners)
        } catch {
            try? await group.shutdownGracefully()
            await house.shutDown()
            throw error
        }
    }

    /// Says what was found, and lets the engine know the indexes.
    private static func take(_ examination: Examination, _ catalogue: Catalogue, _ logger: Logger) throws {
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
        return await lane.pools.filter { !$0.isReachable }.map { "\($0.shard)/\($0.replica)" }
    }

    /// Takes what a configuration says of identities and certificates; sessions that are open have it at once.
    ///
    /// Not if it would open the gateway to other machines without protection.
    /// - Returns: why what was in force stays so; empty if it does not.
    @discardableResult
    package func reload(_ config: GatewayConfig) -> [String] {
        let objections = ListeningRule.objections(self.config.listen, self.config.admin, config.access)
        guard objections.isEmpty || isUnprotected else {
            for objection in objections { logger.error("what was in force stays so: \(objection)") }
            return objections
        }
        return keeper.reload(config)
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
        await reports.close()
        await house.shutDown()
        logger.debug("the pools are closed")
        try? await group.shutdownGracefully()
        unixSocket?.remove()
        logger.notice("stopped")
    }
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
