public import CoreMetrics
public import Logging
internal import NIOCore
public import ServiceLifecycle
internal import SluiceEngine
internal import SluiceTopology
public import Tracing
internal import UnixSignals

/// The version of this source tree; CHANGELOG.md says what it brought.
public enum Version {
    public static let current = "0.1.0"
}

/// What the CLI's `serve` runs.
public enum GatewayMain {
    /// Makes the admin server, which is there before the gateway and until after it.
    public typealias AdminMaker = @Sendable (AdminSettings, GatewayDoor) -> any Service
    /// Makes what records spans, and what sends them away, which runs until the last request has been answered.
    public typealias TracingMaker = @Sendable (TracingSettings) throws -> (tracer: any Tracer, service: any Service)

    /// Serves until SIGTERM or SIGINT, then lets what is in flight finish.
    ///
    /// SIGHUP, and another content of a file that it was made of, have it read its configuration anew. It listens where
    /// `LISTEN_FDS` says, if it is set, and tells `NOTIFY_SOCKET` what it does.
    /// - Parameters:
    ///   - isUnprotected: listen where other machines may come from without TLS or identities.
    ///   - metrics: what keeps the measurements, unless the configuration says not to measure.
    ///   - logLevels: of the process, if the logger's handler is a `GatewayLogHandler`; else the logger's own level is
    ///     set, once.
    ///   - admin: made if the configuration wants one; nil for none.
    ///   - tracing: made if the configuration has an endpoint; nil for none.
    /// - Throws: `ConfigErrors` if the configuration is wrong; `ListeningRefused`; `InheritedSockets.Unusable`;
    ///   `StartRefused` if a required index is missing; NIO's errors if an address cannot be bound.
    public static func serve(
        configPath: String, environment: [String: String], isUnprotected: Bool = false,
        metrics: any MetricsFactory = NOOPMetricsHandler.instance, logLevels: LogLevels? = nil,
        admin: AdminMaker? = nil, tracing: TracingMaker? = nil, logger: Logger
    ) async throws {
        // Before the file is read: what changes meanwhile is seen.
        var watch = FileWatch([configPath])
        watch.watch(try GatewayConfig.load(path: configPath, environment: environment).secretFiles)
        let config = try GatewayConfig.load(path: configPath, environment: environment)
        var logger = logger
        if let logLevels { logLevels.configure(config.logLevel) } else { logger.logLevel = config.logLevel }
        let door = GatewayDoor(logLevels: logLevels) { () throws(ConfigErrors) in
            try GatewayConfig.load(path: configPath, environment: environment)
        }
        let sockets = try InheritedSockets(environment: environment)
        var services: [any Service] = []
        // They end in the reverse order.
        let traces = try config.tracing.settings.flatMap { try tracing?($0) }
        if let traces { services.append(traces.service) }
        if let admin, var settings = config.admin.settings {
            // The version that is being replaced may have it until it has drained.
            settings.isRequired = settings.isRequired && sockets.addresses == nil
            services.append(admin(settings, door))
        }
        services.append(
            GatewayService(
                config: config, isUnprotected: isUnprotected,
                metrics: config.measures ? metrics : NOOPMetricsHandler.instance, tracer: traces?.tracer,
                logger: logger, door: door, watch: watch, sockets: sockets,
                manager: ServiceManager(environment: environment)))
        let group = ServiceGroup(
            configuration: .init(
                services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        try await group.run()
    }

    /// What each of the gateway's metrics says of itself, by its name.
    public static var metricHelp: [String: String] { EngineMeters.help }

    /// Every key of the configuration, as Markdown: what docs/configuration-reference.md is.
    /// - Throws: never, unless this version refuses the smallest configuration.
    public static func configReference() throws -> String { try ConfigReference().text }

    /// Reads a configuration and says everything that is wrong with it, without connecting anywhere.
    public static func check(configPath: String, environment: [String: String]) -> CheckSummary {
        do throws(ConfigErrors) {
            return CheckSummary(try GatewayConfig.load(path: configPath, environment: environment))
        } catch {
            return CheckSummary(error)
        }
    }

    /// The same, and if nothing is wrong what the databases have to say: every replica is dialled, and each shard's
    /// tables are looked at on one of them. Takes at most some of `pool.connect_timeout`.
    /// - Throws: `ReactorError` if the process gets no thread for it.
    public static func checkConnecting(configPath: String, environment: [String: String]) async throws -> CheckSummary {
        try await examine(configPath, environment, .allReplicas)
    }

    /// The same, and more: how each server is set up and doing, and whether the planner and some rows of each table
    /// are as they should be.
    /// - Throws: `ReactorError` if the process gets no thread for it.
    public static func doctor(configPath: String, environment: [String: String]) async throws -> CheckSummary {
        try await examine(configPath, environment, .everything)
    }

    private static func examine(
        _ path: String, _ environment: [String: String], _ scope: Examination.Scope
    ) async throws -> CheckSummary {
        let config: GatewayConfig
        do throws(ConfigErrors) {
            config = try GatewayConfig.load(path: path, environment: environment)
        } catch {
            return CheckSummary(error)
        }
        _ = DescriptorLimit.raise()
        let isThorough = scope == .everything
        async let words = isThorough ? await SourceExamination.ask(config) : [:]
        let (resolved, findings) = await config.resolvingSources(
            within: config.pool.connectTimeout, isProbed: isThorough)
        var summary = CheckSummary(resolved)
        var examination = try await Examination.run(resolved, scope)
        let sources = SourceExamination.findings(resolved, await words, servers: examination.servers)
        examination.findings = findings + sources + examination.findings
        summary.add(examination, of: resolved, file: path)
        return summary
    }
}

private struct GatewayService: Service, CustomStringConvertible {
    /// Logs name a service by this; what it holds is not for them.
    let description = "gateway"
    let config: GatewayConfig
    let isUnprotected: Bool
    let metrics: any MetricsFactory
    let tracer: (any Tracer)?
    let logger: Logger
    let door: GatewayDoor
    /// The configuration's own file.
    let watch: FileWatch
    let sockets: InheritedSockets
    let manager: ServiceManager

    func run() async throws {
        let hangups = await UnixSignalsSequence(trapping: .sighup)
        let gateway = try await Gateway.start(
            config, isUnprotected: isUnprotected, metrics: metrics, tracer: tracer, sockets: sockets,
            logger: logger)
        door.open(gateway)
        await gateway.logReadiness()
        manager.isServing()
        let reloading = Task { for await _ in hangups { await reload() } }
        let watching = Task { await reloadOnChanges(of: gateway) }
        try? await gracefulShutdown()
        manager.isStopping()
        reloading.cancel()
        watching.cancel()
        await gateway.shutDown()
    }

    private func reload() async {
        manager.isReloading()
        _ = await door.reload()
        // Once it is stopping, that is what it does.
        if !Task.isCancelled { manager.isServing() }
    }

    private static let pauseBetweenLooks = Duration.milliseconds(250)

    /// Reads the configuration anew once its files have changed and then stayed as they are for a moment: whoever
    /// writes one may need more than one go.
    private func reloadOnChanges(of gateway: Gateway) async {
        var watch = watch
        var hasChanged = false
        while (try? await Task.sleep(for: Self.pauseBetweenLooks)) != nil {
            let isChanging = !watch.changes().isEmpty
            if !isChanging, hasChanged, gateway.config.isWatched {
                await reload()
                watch.watch(gateway.config.secretFiles)
            }
            hasChanged = isChanging
        }
    }
}

extension GatewayConfig.Admin {
    fileprivate var settings: AdminSettings? {
        tcp.map { AdminSettings(host: $0.host, port: $0.port, isRequired: isRequired) }
    }
}
