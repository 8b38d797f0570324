package import Logging
package import NIOCore
package import SluiceEngine
package import SluiceWire

/// A session on a channel that something else has made: tests and fuzzers run one without a listener.
package final class SessionPort {
    private let handler: SessionHandler

    /// Adds the session to the channel's pipeline. On the channel's event loop.
    package init(
        on channel: any Channel, lane: SearchLane, shared: SharedState, limits: GatewayConfig.Limits,
        collections: [CollectionDescription], access: AccessRules = AccessRules(),
        tracing: RequestTracing? = nil, logger: Logger
    ) throws {
        let commons = SessionCommons(
            serverName: "sluice/\(Version.current)", limits: limits, collections: CollectionLists(collections),
            access: AccessDirectory(access, poolSizes: []), shared: shared,
            registry: SessionRegistry(limits.places), traffic: Traffic(), tracing: tracing,
            logger: logger)
        handler = SessionHandler(SessionContext(commons: commons, peer: SessionPeer(), lane: lane, sessionID: 1))
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    /// Tells the client to go elsewhere, as a gateway that stops does. On the channel's event loop.
    package func goAway() { handler.goAway("the gateway is shutting down") }
}
