package import Logging
package import NIOCore
package import SluiceEngine
package import SluiceWire

/// A session on a channel that something else has made: tests and fuzzers run one without a listener.
package final class SessionPort {
    private let handler: SessionHandler

    /// Adds the session to the channel's pipeline. On the channel's event loop.
    package init(
        on channel: any Channel, lane: SearchLane, admission: Admission, limits: GatewayConfig.Limits,
        collections: [CollectionDescription], logger: Logger
    ) throws {
        handler = SessionHandler(
            SessionContext(
                serverName: "sluice/\(Version.current)", limits: limits, collections: collections, lane: lane,
                admission: admission, ingest: IngestLimits(), sessionID: 1, logger: logger))
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    /// Tells the client to go elsewhere, as a gateway that stops does. On the channel's event loop.
    package func goAway() { handler.goAway("the gateway is shutting down") }
}
