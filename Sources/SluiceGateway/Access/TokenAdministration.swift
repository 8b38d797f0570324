internal import Glibc

/// What `sluice token` does with the file of tokens that a configuration names. A running gateway sees it at once.
public enum TokenAdministration {
    public struct Failure: Error, Sendable, CustomStringConvertible {
        public var description: String
    }

    /// One token, without anything of its secret.
    public struct Listed: Codable, Hashable, Sendable {
        public var id: String
        public var identity: String
        /// ISO 8601, UTC.
        public var created: String
        /// The same; nil for never.
        public var expires: String?
        public var isExpired: Bool
    }

    /// Makes a token for an identity, and notes its hash.
    /// - Parameter lifetime: nil for ever.
    /// - Returns: the token, which is nowhere else; and its id.
    public static func new(
        configPath: String, environment: [String: String], identity: String, lifetime: Duration?
    ) throws -> (token: String, id: String) {
        let (path, identities) = try file(configPath, environment)
        guard identities.contains(identity) else {
            let known = identities.isEmpty ? "" : "; there are: \(identities.joined(separator: ", "))"
            throw Failure(description: "the configuration has no identity \"\(identity)\"\(known)")
        }
        let token = try Token.random()
        let hash = try TokenHash(of: token)
        let now = WallClock.seconds()
        let entry = TokenEntry(
            id: token.id, identity: identity, hash: hash, created: now,
            expires: lifetime.map { now + $0.components.seconds })
        try TokenFile.update(path) { (table) throws(TokenFile.Problem) in table.add(entry) }
        return (token.revealed, token.id.description)
    }

    /// Takes a token away: its sessions end within a second.
    /// - Parameter text: its id, or the token itself.
    public static func revoke(configPath: String, environment: [String: String], _ text: String) throws {
        guard let id = TokenID(text) ?? Token(text.utf8)?.id else {
            throw Failure(description: "this is neither a token's id (16 hexadecimal digits) nor a token")
        }
        let (path, _) = try file(configPath, environment)
        let wasThere = try TokenFile.update(path) { (table) throws(TokenFile.Problem) in table.remove(id) }
        guard wasThere else { throw Failure(description: "there is no token \(id)") }
    }

    /// Oldest first.
    public static func list(configPath: String, environment: [String: String]) throws -> [Listed] {
        let (path, _) = try file(configPath, environment)
        let now = WallClock.seconds()
        return try TokenFile.read(path).sorted.map { entry in
            Listed(
                id: entry.id.description, identity: entry.identity, created: text(entry.created),
                expires: entry.expires.map(text), isExpired: !entry.isValid(at: now))
        }
    }

    private static func file(
        _ configPath: String, _ environment: [String: String]
    ) throws -> (path: String, identities: [String]) {
        let config = try GatewayConfig.load(path: configPath, environment: environment)
        guard let path = config.access.tokens else {
            throw Failure(description: "\(configPath): access.tokens names no file for the tokens")
        }
        return (path, config.access.identities.map(\.identity.name))
    }

    private static func text(_ seconds: Int64) -> String {
        var time = time_t(seconds)
        var parts = tm()
        guard gmtime_r(&time, &parts) != nil else { return "\(seconds)" }
        var buffer = [CChar](repeating: 0, count: 32)
        let count = strftime(&buffer, buffer.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
