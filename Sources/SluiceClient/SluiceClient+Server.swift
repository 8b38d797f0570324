internal import NIOCore
package import SluiceWire

extension SluiceClient {
    /// What a gateway calls itself, with its version; nil if it does not say.
    package func server(timeout: Duration? = nil) async throws(SluiceError) -> String? {
        let lease = try await fleet.lease(until: limit(timeout), avoiding: [])
        let link = lease.link
        let name = try? await link.channel.eventLoop.submit { link.handler.value.server }.get()
        fleet.end(lease, .ended)
        return name.flatMap { $0 }
    }

    /// What the servers behind a gateway run, as far as it has seen them.
    package func servers(timeout: Duration? = nil) async throws(SluiceError) -> [ServerDescription] {
        try await list(timeout: timeout).servers
    }

    func list(timeout: Duration?) async throws(SluiceError) -> CollectionList {
        let (frame, _) = try await call(.collections, until: limit(timeout), answeredBy: .collectionList) { _ in }
        return try decoded { () throws(WireError) in try CollectionList(decoding: frame.payload) }
    }
}
