internal import SluiceWire

/// Names a write or a load, so that the gateway knows a repetition of it and does not do it twice. A UUID.
public struct WriteKey: Hashable, Sendable, Codable, CustomStringConvertible {
    public let high: UInt64
    public let low: UInt64

    /// - Parameters:
    ///   - high: the first eight bytes, big-endian.
    ///   - low: the last eight.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Nil if the text is not a UUID: 32 hexadecimal digits in groups of 8, 4, 4, 4 and 12.
    public init?(_ text: String) {
        guard let (high, low) = UUIDText.parse(text) else { return nil }
        self.init(high: high, low: low)
    }

    /// A key that no other has (a UUID of version 4).
    public static func random() -> WriteKey {
        var generator = SystemRandomNumberGenerator()
        return WriteKey(
            high: generator.next() & 0xFFFF_FFFF_FFFF_0FFF | 0x4000, low: generator.next() & (1 << 62 - 1) | 1 << 63)
    }

    public var description: String { UUIDText.format(high: high, low: low) }

    var wire: RequestKey { RequestKey(high: high, low: low) }
}

extension ConsistencyToken {
    public mutating func merge(_ other: ConsistencyToken) { self = merging(other) }

    init(_ shards: [SluiceWire.ShardReport]) {
        self.init(
            positions: Dictionary(
                shards.compactMap { shard in shard.lsn.map { (shard.shard, $0) } }, uniquingKeysWith: { max($0, $1) }))
    }
}
