internal import NIOCore
internal import NIOSSL

extension SluiceClient {
    /// What a gateway knows an application by; `sluice token new` makes it. It is never printed.
    public struct Token: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
        package let text: String

        public init(_ text: String) { self.text = text }

        public var description: String { "<token>" }
        public var debugDescription: String { "<token>" }
        public var customMirror: Mirror { Mirror(self, children: []) }
    }

    /// How `sluice+tls` addresses are connected to. The files are PEM, and read at each dial, so that they can be
    /// replaced while the client runs.
    public struct TLS: Hashable, Sendable {
        /// A file of the authorities to believe; nil for the system's.
        public var authorities: String?
        /// This application's own certificate, then those that lead to its authority; nil to show none.
        public var certificate: String?
        /// The certificate's key; needed with it.
        public var key: String?
        /// The name that the gateway's certificate must have; nil for the address's host. The address that the
        /// connection goes to is as good, if the certificate has it.
        public var serverName: String?

        public init() {}
    }
}

/// What one dial shakes hands with.
struct TLSDial: Sendable {
    private let context: NIOSSLContext
    private let serverName: String?

    /// Reads the files.
    init(_ tls: SluiceClient.TLS, host: String) throws(SluiceError) {
        var configuration = TLSConfiguration.makeClientConfiguration()
        do {
            if let path = tls.authorities {
                configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(path))
            }
            if let path = tls.certificate {
                configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(path).map { .certificate($0) }
                configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: tls.key ?? "", format: .pem))
            }
            context = try NIOSSLContext(configuration: configuration)
        } catch {
            let files = [tls.authorities, tls.certificate, tls.key].compactMap(\.self).joined(separator: ", ")
            throw SluiceError(.invalidArgument, "TLS cannot be set up with \(files): \(error)")
        }
        // An address is compared with the certificate's addresses; SNI has only names (RFC 6066).
        let name = tls.serverName ?? host
        serverName = (try? SocketAddress(ipAddress: name, port: 0)) == nil ? name : nil
    }

    /// What went wrong in a handshake, without the places in BoringSSL's source that its errors name.
    static func reason(_ error: any Error) -> String {
        guard let error = error as? NIOSSLError, case .handshakeFailed(.sslError(let stack)) = error else {
            return "\(error)"
        }
        let words = stack.map { each in
            let text = each.description
            let said = text[..<(text.firstRange(of: " at ")?.lowerBound ?? text.endIndex)]
            return String(said.split(separator: ":").last ?? said)
        }
        return "the TLS handshake failed: \(words.joined(separator: ", "))"
    }

    func handler() throws -> NIOSSLClientHandler {
        try NIOSSLClientHandler(context: context, serverHostname: serverName)
    }
}
