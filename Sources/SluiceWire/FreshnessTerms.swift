internal import NIOCore

/// A position in a shard's log.
public struct ShardPosition: Hashable, Sendable {
    public var shard: String
    public var position: UInt64

    public init(shard: String, position: UInt64) {
        self.shard = shard
        self.position = position
    }
}

/// How fresh the replicas must be that answer: the same three fields of SEARCH and GET.
public struct FreshnessTerms: Hashable, Sendable {
    /// Only replicas that have replayed so far, each shard at most once.
    public var positions: [ShardPosition]
    /// Only replicas that are no further behind.
    public var maxStaleness: Duration?
    /// If no replica is as fresh as that, another answers, and the leg says so.
    public var allowStale: Bool

    public static let maximumPositions = 1_024

    public init(positions: [ShardPosition] = [], maxStaleness: Duration? = nil, allowStale: Bool = false) {
        self.positions = positions
        self.maxStaleness = maxStaleness
        self.allowStale = allowStale
    }

    public var isEmpty: Bool { positions.isEmpty && maxStaleness == nil && !allowStale }

    /// - Throws: `invalidArgument`.
    func validate() throws(WireError) {
        guard positions.count <= Self.maximumPositions else { throw Self.tooMany }
        var seen: Set<String> = []
        for position in positions where !seen.insert(position.shard).inserted {
            throw Rules.wrong("there are two positions for shard \(position.shard)")
        }
    }

    /// - Parameter place: 0 a position, 1 max_staleness, 2 allow_stale.
    mutating func take(_ field: FieldReader.Field, _ place: UInt16, _ message: String) throws(WireError) {
        switch place {
        case 0:
            guard positions.count < Self.maximumPositions else { throw Self.tooMany }
            positions.append(try ShardPosition(decoding: field.value))
        case 1: maxStaleness = try field.microseconds(message)
        default: allowStale = try field.flag(message)
        }
    }

    /// - Parameter tag: the positions' own; the other two follow it.
    func encode(from tag: UInt16, into buffer: inout ByteBuffer) {
        for position in positions { buffer.writeField(tag) { position.encode(into: &$0) } }
        if let maxStaleness { buffer.writeField(tag + 1, microsecondsOf: maxStaleness) }
        buffer.writeFlag(tag + 2, allowStale)
    }

    private static var tooMany: WireError { Rules.wrong("a request has at most \(maximumPositions) positions") }
}

extension ShardPosition {
    init(decoding payload: ByteBuffer) throws(WireError) {
        var (shard, position): (String?, UInt64?)
        var reader = FieldReader(payload, of: "position", once: [1, 2])
        while let field = try reader.next() {
            switch field.tag {
            case 1: shard = try field.text("position")
            case 2: position = try field.integer(as: UInt64.self, "position")
            default: break
            }
        }
        guard let shard, let position else { throw WireError(.malformed, "position: without a shard or a position") }
        self.init(shard: shard, position: position)
    }

    func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, shard)
        buffer.writeField(2, position)
    }
}
