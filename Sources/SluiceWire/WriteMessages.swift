public import NIOCore

/// WRITE: these rows in, these ids out, please.
public struct WriteRequest: Hashable, Sendable {
    /// Rows and ids together.
    public static let changeRange = 1...10_000

    public var collection: String
    /// What each row has after its id and its vector, in this order.
    public var columns: [String]
    /// As they are on the wire, one after another; whether they are rows is for the reader of them to say.
    public var rows: ByteBuffer
    public var deletes: [Int64]
    /// The time left; nil for the gateway's default.
    public var deadline: Duration?
    /// With it the request can be repeated without being done twice.
    public var key: RequestKey?
    /// Which trace it is part of; nil for none.
    public var trace: TraceContext?

    public init(
        collection: String, columns: [String] = [], rows: ByteBuffer = ByteBuffer(), deletes: [Int64] = [],
        deadline: Duration? = nil, key: RequestKey? = nil
    ) {
        self.collection = collection
        self.columns = columns
        self.rows = rows
        self.deletes = deletes
        self.deadline = deadline
        self.key = key
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        var collection: String?
        self.init(collection: "")
        var reader = FieldReader(
            payload, of: "WRITE", once: [1, 3, 4, 5, 6, 60], most: FieldReader.requestFields)
        while let field = try reader.next() {
            switch field.tag {
            case 1: collection = try field.text("WRITE")
            case 2: try Rules.append(try field.text("WRITE"), toRowColumns: &columns)
            case 3: rows = field.value
            case 4:
                // Before memory is taken for them.
                try Self.check(count: try field.packedCount(ofBytes: 8, "WRITE"))
                deletes = try field.packed(Int64.self, "WRITE")
            case 5: deadline = try field.microseconds("WRITE")
            case 6: key = try field.key("WRITE")
            case TraceContext.tag: trace = try field.traceContext("WRITE")
            default: break
            }
        }
        guard let collection else { throw WireError(.malformed, "WRITE: without a collection") }
        self.collection = collection
    }

    /// - Throws: `invalidArgument` for what a gateway would refuse without looking at the collection or the rows.
    public func validate() throws(WireError) {
        try Rules.check(rowColumns: columns)
        try Self.check(count: deletes.count)
        guard rows.readableBytes > 0 || !deletes.isEmpty else { throw Rules.wrong("there is nothing to write") }
        guard Set(deletes).count == deletes.count else { throw Rules.wrong("an id is to be deleted twice") }
    }

    private static func check(count: Int) throws(WireError) {
        guard count <= changeRange.upperBound else {
            throw Rules.wrong("\(count) rows are to be deleted; at most \(changeRange.upperBound) may be")
        }
    }

    public func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, collection)
        for column in columns { buffer.writeField(2, column) }
        if rows.readableBytes > 0 { buffer.writeField(3) { $0.writeImmutableBuffer(rows) } }
        if !deletes.isEmpty { buffer.writeField(4, packed: deletes) }
        if let deadline { SearchRequest.write(deadline: deadline, into: &buffer) }
        if let key { buffer.writeField(6, key) }
        trace?.writeField(into: &buffer)
    }
}

/// What became of one row of a WRITE. Open: a newer gateway may send one this version has no name for.
public struct RowOutcome: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let inserted = RowOutcome(rawValue: 0)
    public static let updated = RowOutcome(rawValue: 1)
    public static let deleted = RowOutcome(rawValue: 2)
    /// There was no such row to delete.
    public static let absent = RowOutcome(rawValue: 3)
    /// This one is at fault.
    public static let failed = RowOutcome(rawValue: 4)
    /// Nothing was done for it.
    public static let notApplied = RowOutcome(rawValue: 5)
    /// The answer to COMMIT did not come.
    public static let unknown = RowOutcome(rawValue: 6)
    /// An earlier request with the same key did it.
    public static let repeated = RowOutcome(rawValue: 7)

    private static let names = [
        "inserted", "updated", "deleted", "absent", "failed", "not_applied", "unknown", "repeated",
    ]

    public var name: String {
        Self.names.indices.contains(Int(rawValue)) ? Self.names[Int(rawValue)] : "outcome_\(rawValue)"
    }
}

/// WRITE_RESULT: what became of each row.
public struct WriteResult: Hashable, Sendable {
    /// Of the rows, in the order of the request.
    public var rows: [RowOutcome]
    /// Of the ids to delete, in the order of the request.
    public var deletes: [RowOutcome]
    public var shards: [ShardReport]
    public var elapsed: Duration
    /// An earlier request with the same key was answered already, on every shard.
    public var isRepeated: Bool

    public init(
        rows: [RowOutcome], deletes: [RowOutcome] = [], shards: [ShardReport], elapsed: Duration,
        isRepeated: Bool = false
    ) {
        self.rows = rows
        self.deletes = deletes
        self.shards = shards
        self.elapsed = elapsed
        self.isRepeated = isRepeated
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        self.init(rows: [], shards: [], elapsed: .zero)
        var reader = FieldReader(payload, of: "WRITE_RESULT", once: [1, 2, 4, 5])
        while let field = try reader.next() {
            switch field.tag {
            case 1: rows = field.value.readableBytesView.map(RowOutcome.init)
            case 2: deletes = field.value.readableBytesView.map(RowOutcome.init)
            case 3: shards.append(try ShardReport(decoding: field.value))
            case 4: elapsed = try field.microseconds("WRITE_RESULT")
            case 5: isRepeated = try field.flag("WRITE_RESULT")
            default: break
            }
        }
    }

    public func encode(into buffer: inout ByteBuffer) {
        if !rows.isEmpty { buffer.writeField(1) { $0.writeBytes(rows.lazy.map(\.rawValue)) } }
        if !deletes.isEmpty { buffer.writeField(2) { $0.writeBytes(deletes.lazy.map(\.rawValue)) } }
        for shard in shards { buffer.writeField(3) { shard.encode(into: &$0) } }
        buffer.writeField(4, microsecondsOf: elapsed)
        buffer.writeFlag(5, isRepeated)
    }
}
