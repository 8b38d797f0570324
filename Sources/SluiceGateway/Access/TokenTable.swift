/// One token as the file keeps it.
package struct TokenEntry: Hashable, Sendable {
    package var id: TokenID
    /// The identity that its owner acts for.
    package var identity: String
    package var hash: TokenHash
    /// Seconds since 1970.
    package var created: Int64
    /// The same; nil for never.
    package var expires: Int64?

    package init(id: TokenID, identity: String, hash: TokenHash, created: Int64, expires: Int64?) {
        self.id = id
        self.identity = identity
        self.hash = hash
        self.created = created
        self.expires = expires
    }

    package func isValid(at seconds: Int64) -> Bool { expires.map { seconds < $0 } ?? true }
}

/// The tokens of a file. Its text has a line for each: id, identity, salt, hash, created, expires; `-` for never.
/// Blank lines and lines that begin with # say nothing.
package struct TokenTable: Hashable, Sendable {
    package struct Problem: Error, Hashable, Sendable, CustomStringConvertible {
        /// From 1.
        package var line: Int
        package var message: String

        package var description: String { "line \(line): \(message)" }
    }

    package static let header = "# Tokens of Sluice: id, identity, salt, hash, created, expires. See `sluice token`.\n"
    static let mostTokens = 100_000

    package private(set) var entries: [TokenID: TokenEntry] = [:]

    package init() {}

    package init(parsing text: String) throws(Problem) {
        var number = 0
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            number += 1
            let words = line.split { $0 == " " || $0 == "\t" || $0 == "\r" }
            guard let first = words.first, !first.hasPrefix("#") else { continue }
            // Never the line itself: it is half a secret.
            guard words.count == 6, let entry = Self.entry(words) else {
                throw Problem(line: number, message: "is not a token: id, identity, salt, hash, created and expires")
            }
            guard entries.updateValue(entry, forKey: entry.id) == nil else {
                throw Problem(line: number, message: "the id \(entry.id) is there twice")
            }
            guard entries.count <= Self.mostTokens else {
                throw Problem(line: number, message: "there are more than \(Self.mostTokens) tokens")
            }
        }
    }

    private static func entry(_ words: [Substring]) -> TokenEntry? {
        guard let id = TokenID(words[0]), let salt = Hex.bytes(words[2].utf8), let hash = Hex.bytes(words[3].utf8),
            let kept = TokenHash(salt: salt, hash: hash), let created = Int64(words[4])
        else { return nil }
        let expires = Int64(words[5])
        guard expires != nil || words[5] == "-" else { return nil }
        return TokenEntry(id: id, identity: String(words[1]), hash: kept, created: created, expires: expires)
    }

    /// What `init(parsing:)` reads, oldest first.
    package var text: String {
        Self.header
            + sorted.map { entry in
                let words = [
                    entry.id.description, entry.identity, Hex.text(entry.hash.salt), Hex.text(entry.hash.hash),
                    String(entry.created), entry.expires.map { String($0) } ?? "-",
                ]
                return words.joined(separator: " ") + "\n"
            }.joined()
    }

    /// Oldest first.
    package var sorted: [TokenEntry] {
        entries.values.sorted { ($0.created, $0.id.description) < ($1.created, $1.id.description) }
    }

    package mutating func add(_ entry: TokenEntry) { entries[entry.id] = entry }

    /// - Returns: false if there is none.
    package mutating func remove(_ id: TokenID) -> Bool { entries.removeValue(forKey: id) != nil }

    /// The entry of a token whose secret is right and whose time is not over. Takes as long for an unknown token as for
    /// a known one.
    package func entry(for token: Token, at seconds: Int64) -> TokenEntry? {
        let entry = entries[token.id]
        let isRight = (entry?.hash ?? .ofNobody).matches(token)
        guard isRight, let entry, entry.isValid(at: seconds) else { return nil }
        return entry
    }
}
