/// What a write has reached: for each shard the position in its log up to which a replica must have replayed to show
/// it. A search that carries it is answered by such replicas only.
public struct ConsistencyToken: Hashable, Sendable, Codable {
    /// By the shards' names.
    public var positions: [String: UInt64]

    public init(positions: [String: UInt64] = [:]) { self.positions = positions }

    public var isEmpty: Bool { positions.isEmpty }

    /// What shows both writes.
    public func merging(_ other: ConsistencyToken) -> ConsistencyToken {
        ConsistencyToken(positions: positions.merging(other.positions) { max($0, $1) })
    }
}

extension ConsistencyToken: LosslessStringConvertible {
    /// Like `s0:16/B374D848,s1:0/3000060`: the positions as PostgreSQL writes them, in the order of the names.
    public var description: String {
        positions.sorted { $0.key < $1.key }
            .map { "\($0.key):\(Self.text($0.value))" }
            .joined(separator: ",")
    }

    /// What `description` has written; nil for anything else.
    public init?(_ text: String) {
        self.init()
        if text.isEmpty { return }
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            // Neither a position nor a shard's name has a colon in it.
            guard let colon = part.lastIndex(of: ":"), colon > part.startIndex,
                let position = Self.position(part[part.index(after: colon)...]),
                positions.updateValue(position, forKey: String(part[..<colon])) == nil
            else { return nil }
        }
    }

    /// As PostgreSQL writes a position.
    package static func text(_ position: UInt64) -> String {
        String(position >> 32, radix: 16, uppercase: true) + "/"
            + String(position & 0xFFFF_FFFF, radix: 16, uppercase: true)
    }

    private static func position(_ text: Substring) -> UInt64? {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ (1...8).contains($0.utf8.count) && $0.allSatisfy(\.isHexDigit) }),
            let high = UInt32(parts[0], radix: 16), let low = UInt32(parts[1], radix: 16)
        else { return nil }
        return UInt64(high) << 32 | UInt64(low)
    }
}
