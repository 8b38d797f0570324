internal import SluiceCore

/// Who is let in, as whom: the configuration's identities with the tokens of the file. Pure, with the time as an
/// argument.
package struct AccessRules: Hashable, Sendable {
    /// An identity with what it is known by, besides tokens.
    package struct Entry: Hashable, Sendable {
        package var identity: Identity
        /// Names in verified client certificates, like `CN:shop`.
        package var certificates: [String] = []
        package var unixUsers: [UInt32] = []

        package init(_ identity: Identity) { self.identity = identity }
    }

    private var identities: [String: Identity] = [:]
    private var certificates: [String: String] = [:]
    private var unixUsers: [UInt32: String] = [:]
    package var tokens = TokenTable()

    package init(_ entries: [Entry] = [], tokens: TokenTable = TokenTable()) {
        for entry in entries {
            let name = entry.identity.name
            identities[name] = entry.identity
            for certificate in entry.certificates { certificates[certificate] = name }
            for user in entry.unixUsers { unixUsers[user] = name }
        }
        self.tokens = tokens
    }

    /// No identities are configured: whoever can connect may do everything.
    package var isOpen: Bool { identities.isEmpty }

    /// Lets a session in. A token that is given decides alone: a wrong one is not made good by a certificate.
    package func admit(
        token: (some Swift.Collection<UInt8>)?, peer: SessionPeer, at seconds: Int64
    ) throws(Refusal) -> (credential: Credential, identity: Identity) {
        if isOpen { return (.none, .anybody) }
        if let token {
            guard let entry = Token(token).flatMap({ tokens.entry(for: $0, at: seconds) }),
                let identity = identities[entry.identity]
            else { throw .wrongToken }
            return (.token(entry.id), identity)
        }
        if let name = peer.certificateNames.first(where: { certificates[$0] != nil }),
            let identity = identity(ofCertificate: [name])
        {
            return (.certificate([name]), identity)
        }
        if let user = peer.unixUser, let identity = unixUsers[user].flatMap({ identities[$0] }) {
            return (.unixUser(user), identity)
        }
        throw .noCredential
    }

    /// Who a session acts for whose credential was right when it came; nil if it is so no more.
    package func identity(for credential: Credential, at seconds: Int64) -> Identity? {
        switch credential {
        case .none: isOpen ? .anybody : nil
        case .token(let id):
            tokens.entries[id].flatMap { $0.isValid(at: seconds) ? identities[$0.identity] : nil }
        case .certificate(let names): identity(ofCertificate: names)
        case .unixUser(let user): unixUsers[user].flatMap { identities[$0] }
        }
    }

    private func identity(ofCertificate names: [String]) -> Identity? {
        names.lazy.compactMap { certificates[$0] }.first.flatMap { identities[$0] }
    }

    /// The next time at which a token's time is over; nil for none.
    package func nextExpiry(after seconds: Int64) -> Int64? {
        tokens.entries.values.compactMap(\.expires).filter { $0 > seconds }.min()
    }
}
