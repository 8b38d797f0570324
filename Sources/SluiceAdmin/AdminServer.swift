internal import Hummingbird
internal import HummingbirdCore
public import Logging
internal import NIOCore
internal import NIOPosix
public import ServiceLifecycle
public import SluiceGateway
public import SluiceMetrics

/// What operators, Prometheus and the page see of a gateway, by HTTP. It is there before the gateway is, and until
/// after it has drained.
///
/// Reading is open to whoever reaches the address: names and numbers, no data. What changes how the gateway runs needs
/// the permission `admin`, and a connection from this machine.
public struct AdminServer: Service, CustomStringConvertible {
    public let description = "admin"

    /// Connections at a time.
    private static let mostConnections = 64
    private static let idleTimeout = TimeAmount.seconds(60)
    private static let retryPause = Duration.seconds(1)

    private let settings: AdminSettings
    private let routes: AdminRoutes
    private let logger: Logger
    private let onListening: @Sendable (Int) -> Void

    /// - Parameters:
    ///   - settings: the address.
    ///   - door: where the gateway will be.
    ///   - registry: what the gateway's measurements are kept in.
    ///   - onListening: is told the port, once it is bound.
    public init(
        _ settings: AdminSettings, door: GatewayDoor, registry: MetricsRegistry, logger: Logger,
        onListening: @escaping @Sendable (Int) -> Void = { _ in }
    ) {
        self.onListening = onListening
        self.settings = settings
        self.logger = logger
        routes = AdminRoutes(door: door, registry: registry)
    }

    /// Until the service group shuts down.
    /// - Throws: NIO's error if the address is required and cannot be bound. Any other is tried for until it is free,
    ///   and the gateway goes on meanwhile.
    public func run() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var isFirst = true
        repeat {
            do {
                try await application(on: group).run()
                break
            } catch {
                guard !settings.isRequired else {
                    try? await group.shutdownGracefully()
                    throw error
                }
                if isFirst { complain(error) }
                isFirst = false
            }
        } while await pause()
        try? await group.shutdownGracefully()
    }

    private func complain(_ error: any Error) {
        logger.warning(
            "no admin address until this is free (\(error)); `admin.tcp` gives another, `admin: {enabled: false}` none",
            metadata: ["address": "\(settings.host):\(settings.port)"])
    }

    /// False if the gateway stops meanwhile.
    private func pause() async -> Bool {
        await cancelWhenGracefulShutdown { (try? await Task.sleep(for: Self.retryPause)) != nil }
    }

    private func application(on group: any EventLoopGroup) -> some ApplicationProtocol {
        // Hummingbird's own lines are of requests and of connections that end with the process: for its developers.
        var quiet = logger
        quiet.logLevel = .critical
        return Application(
            router: routes.router,
            server: .http1(
                configuration: .init(
                    idleTimeout: Self.idleTimeout,
                    httpDecoderConfiguration: .init(
                        maxHeaderFieldSize: 8_192, maxHeaderListSize: 16_384, maxHeaderFieldCount: 100))),
            configuration: .init(
                address: .hostname(settings.host, port: settings.port), serverName: "sluice",
                availableConnectionsDelegate: MaximumAvailableConnections(Self.mostConnections)),
            onServerRunning: { [logger, onListening] channel in
                onListening(channel.localAddress?.port ?? 0)
                logger.notice("admin", metadata: ["page": "http://\(channel.localAddress.map(Self.text) ?? "?")"])
            },
            eventLoopGroupProvider: .shared(group), logger: quiet)
    }

    private static func text(_ address: SocketAddress) -> String {
        let host = address.ipAddress ?? "?"
        return "\(host.contains(":") ? "[\(host)]" : host):\(address.port ?? 0)"
    }
}
