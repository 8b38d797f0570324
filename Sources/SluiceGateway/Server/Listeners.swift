internal import Glibc
internal import Logging
internal import NIOCore
internal import NIOPosix
internal import SluiceCore
internal import SluiceEngine
internal import SluiceWire
internal import Synchronization

/// Makes the handler of each session, and keeps the registry.
final class SessionFactory: Sendable {
    private let house: House
    private let registry: SessionRegistry
    private let tls: TLSMaterial?
    private let current: Mutex<SessionCommons>

    init(
        _ config: GatewayConfig, house: House, registry: SessionRegistry, traffic: Traffic, access: AccessDirectory,
        tls: TLSMaterial?, tracing: RequestTracing? = nil, logger: Logger
    ) {
        self.house = house
        self.registry = registry
        self.tls = tls
        current = Mutex(
            SessionCommons(
                serverName: "sluice/\(Version.current)", limits: config.limits,
                collections: CollectionLists(config, in: house), access: access, shared: house.shared,
                registry: registry, traffic: traffic, tracing: tracing, logger: logger))
    }

    private var lanes: [SearchLane] { house.lanes }
    private var commons: SessionCommons { current.withLock { $0 } }

    /// Has all sessions, also those that are open, keep another configuration's limits and list its collections.
    func follow(_ config: GatewayConfig) {
        let collections = CollectionLists(config, in: house)
        current.withLock { $0 = $0.replacing(config.limits, collections) }
        registry.limitsChanged(to: config.limits.places)
        registry.commonsChanged()
    }

    func configure(_ channel: any Channel, _ kind: ListenerKind) -> EventLoopFuture<Void> {
        guard kind == .unix else { return configure(channel, kind, SessionPeer()) }
        return PeerInspection.unixUser(of: channel).flatMap { self.configure(channel, kind, SessionPeer(unixUser: $0)) }
    }

    private func configure(_ channel: any Channel, _ kind: ListenerKind, _ peer: SessionPeer) -> EventLoopFuture<Void> {
        channel.eventLoop.makeCompletedFuture {
            let id: UInt64
            switch registry.open(from: PeerAddress(channel.remoteAddress)) {
            case .opened(let number): id = number
            case .closed: return refuse(channel, kind, .shuttingDown, "the gateway is shutting down")
            case .refused(let reason): return refuse(channel, kind, .busy, reason.message)
            }
            channel.closeFuture.whenComplete { [registry] _ in registry.remove(id) }
            if kind == .tls, let tls { try channel.pipeline.syncOperations.addHandler(tls.handler()) }
            let handler = SessionHandler(
                SessionContext(
                    commons: commons, peer: peer, lane: lanes[Int(id % UInt64(lanes.count))], sessionID: id))
            try channel.pipeline.syncOperations.addHandler(handler)
            let bound = NIOLoopBound(handler, eventLoop: channel.eventLoop)
            registry.add(
                id,
                .init(channel: channel) { [self] notice in
                    channel.eventLoop.execute { [self] in
                        switch notice {
                        case .goAway: bound.value.goAway("the gateway is shutting down")
                        case .displaced: bound.value.displaced()
                        case .accessChanged: bound.value.accessChanged()
                        case .commonsChanged: bound.value.commonsChanged(commons)
                        }
                    }
                })
            // They may have changed while the session was being set up.
            handler.commonsChanged(commons)
        }
    }

    /// Says why, and closes. With TLS a handshake would have to come before anything can be said.
    private func refuse(_ channel: any Channel, _ kind: ListenerKind, _ code: ErrorCode, _ message: String) {
        guard kind != .tls else { return channel.close(promise: nil) }
        var buffer = channel.allocator.buffer(capacity: 128)
        FrameEncoder(lz4: false).write(.error, requestID: 0, into: &buffer) {
            ErrorReply(code: code, message: message).encode(into: &$0)
        }
        channel.writeAndFlush(buffer).whenComplete { _ in channel.close(promise: nil) }
    }
}

extension CollectionLists {
    fileprivate init(_ config: GatewayConfig, in house: House) {
        self.init(config.collections.sorted { $0.name < $1.name }.map { CollectionDescription($0) }) {
            house.servers
        }
    }
}

extension CollectionDescription {
    init(_ collection: GatewayConfig.Collection) {
        self.init(
            name: collection.name, metric: collection.metric.rawValue, dimensions: collection.dimensions,
            columns: collection.columns, shards: collection.shards,
            vectorForm: SluiceWire.VectorForm(collection.form),
            filterable: collection.filterable.sorted { $0.key < $1.key }.map {
                FilterableColumn(name: $0.key, type: $0.value.rawValue)
            },
            model: collection.model, hasText: collection.text != nil)
    }
}

enum ListenerKind: String, Sendable {
    case tcp
    case tls
    case unix
}

/// Binds what the configuration says.
struct Listeners: Sendable {
    struct Bound: Sendable {
        var channels: [any Channel] = []
        var tcpAddress: SocketAddress?
        var tlsAddress: SocketAddress?
        var unixSocket: UnixSocket?
    }

    private static let backlog: Int32 = 1_024

    private let listen: GatewayConfig.Listen
    private let inherited: InheritedSockets
    private let group: MultiThreadedEventLoopGroup
    private let sessions: SessionFactory

    init(
        _ listen: GatewayConfig.Listen, _ inherited: InheritedSockets, group: MultiThreadedEventLoopGroup,
        sessions: SessionFactory
    ) {
        self.listen = listen
        self.inherited = inherited
        self.group = group
        self.sessions = sessions
    }

    func bind() async throws -> Bound {
        var bound = Bound()
        do {
            if let tcp = listen.tcp {
                let channel = try await socket(.tcp, tcp)
                bound.channels.append(channel)
                bound.tcpAddress = channel.localAddress
            }
            if let tls = listen.tls {
                let channel = try await socket(.tls, tls)
                bound.channels.append(channel)
                bound.tlsAddress = channel.localAddress
            }
            if let unix = inherited[.unix] {
                bound.channels.append(try await adopt(unix, .unix))
            } else if let path = listen.unixPath {
                try UnixSocket.checkIsFree(path)
                let socket = bootstrap(.unix)
                bound.channels.append(
                    try await socket.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get())
                bound.unixSocket = UnixSocket(bound: path)
            }
            return bound
        } catch {
            for channel in bound.channels { try? await channel.close() }
            throw error
        }
    }

    private func socket(_ kind: ListenerKind, _ address: GatewayConfig.HostPort) async throws -> any Channel {
        if let descriptor = inherited[kind] { return try await adopt(descriptor, kind) }
        return try await bootstrap(kind).bind(host: address.host, port: address.port).get()
    }

    /// A socket that is bound and listens already.
    private func adopt(_ descriptor: Int32, _ kind: ListenerKind) async throws -> any Channel {
        let channel = try await bootstrap(kind).withBoundSocket(descriptor).get()
        // NIO has given it its own, shorter one.
        Glibc.listen(descriptor, Self.backlog)
        return channel
    }

    private func bootstrap(_ kind: ListenerKind) -> ServerBootstrap {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: Self.backlog)
            // Between two new sessions come those that are there.
            .serverChannelOption(.maxMessagesPerRead, value: 1)
            .serverChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(AcceptGate())
                }
            }
            .childChannelInitializer { [sessions] in sessions.configure($0, kind) }
            .childChannelOption(.maxMessagesPerRead, value: 4)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 64 * 1_024, high: 1_024 * 1_024))
        guard kind != .unix else { return bootstrap }
        return
            bootstrap
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
    }
}
