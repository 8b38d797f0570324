internal import COpenSSL

/// The public part of a token: it finds the token's hash, and names it in lists and logs.
package struct TokenID: Hashable, Sendable, CustomStringConvertible {
    static let byteCount = 8
    let bytes: [UInt8]

    package var description: String { Hex.text(bytes) }

    init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        self.bytes = bytes
    }

    package init?(_ text: some StringProtocol) {
        guard let bytes = Hex.bytes(text.utf8) else { return nil }
        self.init(bytes)
    }
}

/// A token as its owner has it: `slc_ID_SECRET`, both in hexadecimal digits. The secret has 256 random bits, so a fast
/// hash of it is as good as a slow one: there is nothing to guess.
package struct Token: Sendable {
    private static let prefix = Array("slc_".utf8)
    static let secretByteCount = 32

    package let id: TokenID
    let secret: [UInt8]

    /// - Throws: `NoRandomness`.
    package static func random() throws -> Token {
        guard let id = TokenID(try Digest.randomBytes(TokenID.byteCount)) else { throw NoRandomness() }
        return Token(id: id, secret: try Digest.randomBytes(secretByteCount))
    }

    private init(id: TokenID, secret: [UInt8]) {
        self.id = id
        self.secret = secret
    }

    /// Nil for what cannot be a token.
    package init?(_ text: some Swift.Collection<UInt8>) {
        guard text.count == Self.prefix.count + 2 * TokenID.byteCount + 1 + 2 * Self.secretByteCount,
            text.starts(with: Self.prefix)
        else { return nil }
        let rest = text.dropFirst(Self.prefix.count)
        let secretText = rest.dropFirst(2 * TokenID.byteCount)
        guard let idBytes = Hex.bytes(rest.prefix(2 * TokenID.byteCount)), let id = TokenID(idBytes),
            secretText.first == UInt8(ascii: "_"), let secret = Hex.bytes(secretText.dropFirst())
        else { return nil }
        self.init(id: id, secret: secret)
    }

    /// The token itself: shown once, to its owner.
    package var revealed: String { "slc_\(id)_\(Hex.text(secret))" }
}

/// What is kept of a token's secret.
package struct TokenHash: Hashable, Sendable {
    static let saltByteCount = 16
    let salt: [UInt8]
    let hash: [UInt8]

    init?(salt: [UInt8], hash: [UInt8]) {
        guard salt.count == Self.saltByteCount, hash.count == Digest.byteCount else { return nil }
        self.salt = salt
        self.hash = hash
    }

    /// - Throws: `NoRandomness`.
    package init(of token: Token) throws {
        salt = try Digest.randomBytes(Self.saltByteCount)
        hash = Digest.sha256(salt + token.secret)
    }

    /// In the same time whatever differs.
    func matches(_ token: Token) -> Bool { Digest.areEqual(hash, Digest.sha256(salt + token.secret)) }

    /// What the tokens that nobody has are compared with, so that they take as long as others.
    static let ofNobody = TokenHash(
        unchecked: Array(repeating: 0, count: saltByteCount), Array(repeating: 0, count: Digest.byteCount))

    private init(unchecked salt: [UInt8], _ hash: [UInt8]) {
        self.salt = salt
        self.hash = hash
    }
}

package struct NoRandomness: Error, CustomStringConvertible {
    package var description: String { "the system gives no random numbers" }
}

/// libcrypto's SHA-256, random numbers and constant-time comparison.
enum Digest {
    static let byteCount = 32

    static func sha256(_ bytes: [UInt8]) -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: byteCount)
        _ = SHA256(bytes, bytes.count, &digest)
        return digest
    }

    static func areEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.count == right.count && CRYPTO_memcmp(left, right, left.count) == 0
    }

    static func randomBytes(_ count: Int) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        guard let length = Int32(exactly: count), RAND_bytes(&bytes, length) == 1 else { throw NoRandomness() }
        return bytes
    }
}

enum Hex {
    static func text(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef")
        return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }

    /// Nil for anything but pairs of lower-case digits: a value has one spelling.
    static func bytes(_ text: some Sequence<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        var high: UInt8?
        for character in text {
            guard let digit = digit(character) else { return nil }
            if let first = high {
                bytes.append(first << 4 | digit)
                high = nil
            } else {
                high = digit
            }
        }
        return high == nil ? bytes : nil
    }

    private static func digit(_ character: UInt8) -> UInt8? {
        switch character {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): character - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): character - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}
