internal import NIOCore

extension SluiceClient {
    /// What a gateway calls itself, with its version; nil if it does not say.
    package func server() async throws(SluiceError) -> String? {
        let lease = try await fleet.lease(until: limit(nil), avoiding: [])
        let link = lease.link
        let name = try? await link.channel.eventLoop.submit { link.handler.value.server }.get()
        fleet.end(lease, .ended)
        return name.flatMap { $0 }
    }
}
