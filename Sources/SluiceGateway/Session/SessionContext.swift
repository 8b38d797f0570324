internal import Logging
internal import SluiceEngine
internal import SluiceWire

/// What every session of a gateway shares.
final class SessionCommons: Sendable {
    let serverName: String
    let limits: GatewayConfig.Limits
    let collections: CollectionLists
    let access: AccessDirectory
    let shared: SharedState
    let ingest: IngestLimits
    let registry: SessionRegistry
    let traffic: Traffic
    let turns: AllTurns
    /// Nil if nothing is traced.
    let tracing: RequestTracing?
    let logger: Logger

    init(
        serverName: String, limits: GatewayConfig.Limits, collections: CollectionLists,
        access: AccessDirectory, shared: SharedState, registry: SessionRegistry, traffic: Traffic,
        tracing: RequestTracing? = nil, logger: Logger, turns: AllTurns = AllTurns()
    ) {
        self.turns = turns
        self.serverName = serverName
        self.limits = limits
        self.collections = collections
        self.access = access
        self.shared = shared
        ingest = IngestLimits(limits.loads)
        self.registry = registry
        self.traffic = traffic
        self.tracing = tracing
        self.logger = logger
    }
}

extension SessionCommons {
    /// What sessions share under another configuration.
    func replacing(_ limits: GatewayConfig.Limits, _ collections: CollectionLists) -> SessionCommons {
        SessionCommons(
            serverName: serverName, limits: limits, collections: collections, access: access, shared: shared,
            registry: registry, traffic: traffic, tracing: tracing, logger: logger, turns: turns)
    }
}

/// Whose a session is.
struct SessionContext: Sendable {
    var commons: SessionCommons
    /// What the connection itself shows; the certificate's names come with the handshake.
    var peer: SessionPeer
    var lane: SearchLane
    var sessionID: UInt64

    var limits: GatewayConfig.Limits { commons.limits }
    var memory: MemoryBudget { commons.shared.memory }
    var logger: Logger { commons.logger }
}
