public import NIOCore

/// What became of a shard's part of a load or a write. Open: a newer gateway may send one this version has no name for.
public struct ShardOutcome: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let committed = ShardOutcome(rawValue: 0)
    /// An earlier run with the same id did it.
    public static let already = ShardOutcome(rawValue: 1)
    /// The shard is as it was.
    public static let notApplied = ShardOutcome(rawValue: 2)
    /// The answer to COMMIT did not come.
    public static let unknown = ShardOutcome(rawValue: 3)

    private static let names = ["committed", "already", "not_applied", "unknown"]

    public var name: String {
        Self.names.indices.contains(Int(rawValue)) ? Self.names[Int(rawValue)] : "outcome_\(rawValue)"
    }
}

/// One shard of a load or a write.
public struct ShardReport: Hashable, Sendable {
    public var shard: String
    public var outcome: ShardOutcome
    /// How many rows of this request it holds, or has deleted.
    public var rows: Int
    /// Where its write-ahead log was after the commit; nil if that is not known.
    public var lsn: UInt64?
    public var sqlstate: String?
    public var message: String?
    /// The server that was written to; nil if none was reached.
    public var replica: String?

    public init(
        shard: String, outcome: ShardOutcome, rows: Int, lsn: UInt64? = nil, sqlstate: String? = nil,
        message: String? = nil, replica: String? = nil
    ) {
        self.shard = shard
        self.outcome = outcome
        self.rows = rows
        self.lsn = lsn
        self.sqlstate = sqlstate
        self.message = message
        self.replica = replica
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        var (shard, outcome): (String?, ShardOutcome?)
        self.init(shard: "", outcome: .unknown, rows: 0)
        var reader = FieldReader(payload, of: "shard report", once: [1, 2, 3, 4, 5, 6, 7])
        while let field = try reader.next() {
            switch field.tag {
            case 1: shard = try field.text("shard report")
            case 2: outcome = ShardOutcome(rawValue: try field.integer(as: UInt8.self, "shard report"))
            case 3: rows = try field.total("shard report")
            case 4: lsn = try field.integer(as: UInt64.self, "shard report")
            case 5: sqlstate = try field.text("shard report", maximumBytes: 5)
            case 6: message = try field.text("shard report", maximumBytes: 4_096)
            case 7: replica = try field.text("shard report")
            default: break
            }
        }
        // Neither has a default that could be believed.
        guard let shard, let outcome else {
            throw WireError(.malformed, "shard report: without a shard or an outcome")
        }
        (self.shard, self.outcome) = (shard, outcome)
    }

    public func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, shard)
        buffer.writeField(2, outcome.rawValue)
        buffer.writeField(3, total: rows)
        if let lsn { buffer.writeField(4, lsn) }
        if let sqlstate { buffer.writeField(5, sqlstate) }
        if let message { buffer.writeField(6, message) }
        if let replica { buffer.writeField(7, replica) }
    }
}

/// A row that cannot be loaded.
public struct BadRow: Hashable, Sendable {
    public static let maximumMessageBytes = 512

    /// From 0, in the order sent.
    public var row: Int
    public var message: String

    public init(row: Int, message: String) {
        self.row = row
        self.message = message
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        var row: Int?
        self.init(row: 0, message: "")
        var reader = FieldReader(payload, of: "bad row", once: [1, 2])
        while let field = try reader.next() {
            switch field.tag {
            case 1: row = try field.total("bad row")
            case 2: message = try field.text("bad row", maximumBytes: Self.maximumMessageBytes)
            default: break
            }
        }
        guard let row else { throw WireError(.malformed, "bad row: without its number") }
        self.row = row
    }

    public func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, total: row)
        buffer.writeField(2, message)
    }
}

/// What became of the index that a load was to build. Open, like `ShardOutcome`.
public struct IndexOutcome: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let notAsked = IndexOutcome(rawValue: 0)
    public static let built = IndexOutcome(rawValue: 1)
    public static let wasThere = IndexOutcome(rawValue: 2)
    public static let failed = IndexOutcome(rawValue: 3)

    private static let names = ["not_asked", "built", "was_there", "failed"]

    public var name: String {
        Self.names.indices.contains(Int(rawValue)) ? Self.names[Int(rawValue)] : "index_\(rawValue)"
    }
}

/// LOAD_RESULT: how a load ended.
public struct LoadResult: Hashable, Sendable {
    /// How many bad rows are listed at most; `badRowCount` counts the others, too.
    public static let maximumListedBadRows = 1_000

    /// Held by the shards through this load.
    public var rows: Int
    public var shards: [ShardReport]
    public var badRows: [BadRow]
    public var badRowCount: Int
    public var index: IndexOutcome
    public var indexMessage: String?
    public var elapsed: Duration
    /// Nil if everything is loaded.
    public var error: WireError?

    public init(
        rows: Int, shards: [ShardReport], badRows: [BadRow] = [], badRowCount: Int = 0,
        index: IndexOutcome = .notAsked, indexMessage: String? = nil, elapsed: Duration, error: WireError? = nil
    ) {
        self.rows = rows
        self.shards = shards
        self.badRows = badRows
        self.badRowCount = badRowCount
        self.index = index
        self.indexMessage = indexMessage
        self.elapsed = elapsed
        self.error = error
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        self.init(rows: 0, shards: [], elapsed: .zero)
        var (code, message): (ErrorCode?, String?)
        var reader = FieldReader(payload, of: "LOAD_RESULT", once: [1, 4, 5, 6, 7, 8, 9])
        while let field = try reader.next() {
            switch field.tag {
            case 1: rows = try field.total("LOAD_RESULT")
            case 2: shards.append(try ShardReport(decoding: field.value))
            case 3:
                guard badRows.count < Self.maximumListedBadRows else {
                    throw WireError(.malformed, "LOAD_RESULT: more than \(Self.maximumListedBadRows) bad rows listed")
                }
                badRows.append(try BadRow(decoding: field.value))
            case 4: badRowCount = try field.total("LOAD_RESULT")
            case 5: index = IndexOutcome(rawValue: try field.integer(as: UInt8.self, "LOAD_RESULT"))
            case 6: indexMessage = try field.text("LOAD_RESULT", maximumBytes: 4_096)
            case 7: elapsed = try field.microseconds("LOAD_RESULT")
            case 8: code = ErrorCode(rawValue: try field.integer(as: UInt16.self, "LOAD_RESULT"))
            case 9: message = try field.text("LOAD_RESULT", maximumBytes: 4_096)
            default: break
            }
        }
        if let code { error = WireError(code, message ?? "") }
    }

    public func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, total: rows)
        for shard in shards { buffer.writeField(2) { shard.encode(into: &$0) } }
        for row in badRows.prefix(Self.maximumListedBadRows) { buffer.writeField(3) { row.encode(into: &$0) } }
        if badRowCount > 0 { buffer.writeField(4, total: badRowCount) }
        if index != .notAsked { buffer.writeField(5, index.rawValue) }
        if let indexMessage { buffer.writeField(6, indexMessage) }
        buffer.writeField(7, microsecondsOf: elapsed)
        if let error {
            buffer.writeField(8, error.code.rawValue)
            buffer.writeField(9, error.message)
        }
    }
}
