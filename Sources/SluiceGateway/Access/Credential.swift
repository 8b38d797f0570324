/// What a session was let in by; it is looked at again when the configuration, the tokens or the time have changed.
package enum Credential: Hashable, Sendable {
    /// No identities are configured.
    case none
    /// The public part of a token, whose secret has been compared already.
    case token(TokenID)
    /// The names in a certificate that the TLS handshake has verified, like `CN:shop`, `DNS:shop.example`.
    case certificate([String])
    /// The user at the other end of a Unix socket, by the kernel's word.
    case unixUser(UInt32)
}

/// What a connection shows before any token.
package struct Peer: Hashable, Sendable {
    package var certificateNames: [String] = []
    package var unixUser: UInt32?

    package init(certificateNames: [String] = [], unixUser: UInt32? = nil) {
        self.certificateNames = certificateNames
        self.unixUser = unixUser
    }
}

/// Why nobody is let in; it does not say which of the credentials is known.
package enum Refusal: String, Error, Hashable, Sendable {
    case noCredential =
        "this gateway asks for an identity: give a token, or a client certificate or Unix user that it knows"
    case wrongToken = "the token is not known, has expired or was revoked"
}
