import SluiceCore
import SluiceGateway
import Testing

@Suite struct AccessRulesTests {
    private static let noToken: [UInt8]? = nil

    private static func identity(_ name: String) -> Identity {
        var identity = Identity(name: name)
        identity.permissions["docs"] = Permission(.search)
        return identity
    }

    private static func rules(_ tokens: TokenTable = TokenTable()) -> AccessRules {
        var shop = AccessRules.Entry(identity("shop"))
        shop.certificates = ["CN:shop", "DNS:shop.example"]
        var batch = AccessRules.Entry(identity("batch"))
        batch.unixUsers = [1_000]
        return AccessRules([shop, batch], tokens: tokens)
    }

    private static func table(_ token: Token, _ identity: String, expires: Int64? = nil) throws -> TokenTable {
        var table = TokenTable()
        table.add(
            TokenEntry(id: token.id, identity: identity, hash: try TokenHash(of: token), created: 0, expires: expires))
        return table
    }

    @Test func withoutIdentitiesEverybodyMayDoEverything() throws {
        let rules = AccessRules()
        let (credential, identity) = try rules.admit(token: Self.noToken, peer: Peer(), at: 0)
        #expect(credential == .none && identity.may(.all, "whatever"))
        // As soon as there are some, such a session is nobody's.
        #expect(Self.rules().identity(for: credential, at: 0) == nil)
    }

    @Test func whoShowsNothingIsNotLetIn() {
        #expect(throws: Refusal.noCredential) { try Self.rules().admit(token: Self.noToken, peer: Peer(), at: 0) }
        #expect(throws: Refusal.noCredential) {
            try Self.rules().admit(token: Self.noToken, peer: Peer(certificateNames: ["CN:other"], unixUser: 7), at: 0)
        }
    }

    @Test func certificatesAndUsersStandForTheirIdentities() throws {
        let rules = Self.rules()
        let byName = try rules.admit(
            token: Self.noToken, peer: Peer(certificateNames: ["CN:x", "DNS:shop.example"]), at: 0)
        #expect(byName.identity.name == "shop" && byName.credential == .certificate(["DNS:shop.example"]))
        let byUser = try rules.admit(token: Self.noToken, peer: Peer(unixUser: 1_000), at: 0)
        #expect(byUser.identity.name == "batch" && byUser.credential == .unixUser(1_000))
    }

    @Test func aWrongTokenIsNotMadeGoodByACertificate() throws {
        let token = try Token.random()
        let rules = Self.rules(try Self.table(token, "batch"))
        let peer = Peer(certificateNames: ["CN:shop"], unixUser: 1_000)
        #expect(try rules.admit(token: token.revealed.utf8, peer: peer, at: 0).identity.name == "batch")
        #expect(throws: Refusal.wrongToken) {
            try rules.admit(token: try Token.random().revealed.utf8, peer: peer, at: 0)
        }
        #expect(throws: Refusal.wrongToken) { try rules.admit(token: "".utf8, peer: peer, at: 0) }
        // A token of an identity that is not there any more.
        let orphan = Self.rules(try Self.table(token, "gone"))
        #expect(throws: Refusal.wrongToken) { try orphan.admit(token: token.revealed.utf8, peer: peer, at: 0) }
    }

    @Test func whatWasTakenAwayEndsItsSessions() throws {
        let token = try Token.random()
        let rules = Self.rules(try Self.table(token, "shop", expires: 100))
        let credential = try rules.admit(token: token.revealed.utf8, peer: Peer(), at: 99).credential
        #expect(rules.identity(for: credential, at: 99)?.name == "shop")
        #expect(rules.identity(for: credential, at: 100) == nil)
        #expect(Self.rules().identity(for: credential, at: 99) == nil)
        #expect(rules.nextExpiry(after: 99) == 100 && rules.nextExpiry(after: 100) == nil)
        #expect(AccessRules([], tokens: TokenTable()).identity(for: .unixUser(1_000), at: 0) == nil)
        #expect(AccessRules([], tokens: TokenTable()).identity(for: .certificate(["CN:shop"]), at: 0) == nil)
    }

    @Test func aCollectionsOwnPermissionStandsAboveTheGeneralOne() {
        var identity = Identity(name: "a")
        identity.otherwise = Permission([.search, .write])
        identity.permissions["docs"] = Permission([.get], filter: .isNull(column: "x"))
        identity.permissions["none"] = Permission([])
        #expect(identity.may(.search, "other") && identity.may([.search, .write], "other"))
        #expect(!identity.may([.search, .get], "other"))
        #expect(!identity.may(.search, "docs") && identity.may(.get, "docs"))
        #expect(identity.filter(for: "docs") != nil && identity.filter(for: "other") == nil)
        #expect(identity.sees("docs") && identity.sees("other") && !identity.sees("none"))
    }
}
