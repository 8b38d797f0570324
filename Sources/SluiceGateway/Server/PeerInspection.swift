internal import NIOCore
internal import NIOSSL

/// What a connection shows of who is at its other end, before it says anything itself.
enum PeerInspection {
    /// `struct ucred` of Linux (unix(7), SO_PEERCRED).
    private struct Credentials: Sendable {
        var process: Int32 = 0
        var user: UInt32 = 0
        var group: UInt32 = 0
    }

    /// SO_PEERCRED of Linux; Swift's Glibc has no name for it that is a number.
    private static let peerCredentials = NIOBSDSocket.Option(rawValue: 17)

    /// The user of the process that connected to a Unix socket.
    static func unixUser(of channel: any Channel) -> EventLoopFuture<UInt32?> {
        guard let socket = channel as? any SocketOptionProvider else {
            return channel.eventLoop.makeSucceededFuture(nil)
        }
        let credentials: EventLoopFuture<Credentials> = socket.unsafeGetSocketOption(
            level: .socket, name: peerCredentials)
        return credentials.map { UInt32?($0.user) }.recover { _ in nil }
    }

    /// The names in the certificate that the handshake has verified; none without one. On the channel's event loop.
    static func certificateNames(of channel: any Channel) -> [String] {
        guard let certificate = try? channel.pipeline.syncOperations.nioSSL_peerCertificate(),
            let der = try? certificate.toDERBytes(), let facts = CertificateFacts(der: der)
        else { return [] }
        return facts.names
    }
}
