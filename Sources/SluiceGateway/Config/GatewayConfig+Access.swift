/// What the configuration says about who may connect, and how. docs/security.md is its reference.
extension GatewayConfig {
    /// The certificates of the TLS listener. Paths are absolute or relative to the process.
    package struct TLS: Hashable, Sendable {
        package enum ClientCertificates: String, Hashable, Sendable, CaseIterable {
            /// Asked for; a client may go without one.
            case optional
            case required
        }

        package enum Version: String, Hashable, Sendable, CaseIterable {
            case tls12 = "1.2"
            case tls13 = "1.3"
        }

        /// PEM: the server's certificate, then those that lead to its authority.
        package var certificate: String
        package var key: String
        /// PEM: whose client certificates are believed; nil if none are asked for.
        package var clientAuthority: String?
        package var clientCertificates = ClientCertificates.optional
        package var minimumVersion = Version.tls12

        package init(certificate: String, key: String) {
            self.certificate = certificate
            self.key = key
        }
    }

    package struct Access: Hashable, Sendable {
        /// The file of tokens; nil for none.
        package var tokens: String?
        package var identities: [AccessRules.Entry] = []

        package init() {}
    }
}
