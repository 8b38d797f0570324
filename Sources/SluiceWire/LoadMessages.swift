public import NIOCore

/// What the client names a load or a write by, so that a repetition of it is known for one.
public struct RequestKey: Hashable, Sendable {
    public var high: UInt64
    public var low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
}

/// What a load does with rows that are there already. The raw values are the protocol's.
public enum LoadMode: UInt8, Hashable, Sendable, CaseIterable {
    /// The rows are new: an id that is there fails the load.
    case append = 0
    /// Rows whose ids are there take their place.
    case upsert = 1
    /// The rows are the collection's only ones when the load is done.
    case replace = 2
}

/// LOAD: rows will follow, in LOAD_ROWS.
public struct LoadRequest: Hashable, Sendable {
    public var collection: String
    public var mode: LoadMode
    /// What each row has after its id and its vector, in this order.
    public var columns: [String]
    public var loadID: RequestKey
    /// How many bad rows may be left out.
    public var skipBad: Int
    /// Build the collection's index when the rows are there.
    public var buildIndex: Bool
    /// Which trace it is part of; nil for none.
    public var trace: TraceContext?

    public init(
        collection: String, mode: LoadMode = .append, columns: [String] = [], loadID: RequestKey, skipBad: Int = 0,
        buildIndex: Bool = false
    ) {
        self.collection = collection
        self.mode = mode
        self.columns = columns
        self.loadID = loadID
        self.skipBad = skipBad
        self.buildIndex = buildIndex
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        var (collection, loadID): (String?, RequestKey?)
        self.init(collection: "", loadID: RequestKey(high: 0, low: 0))
        var reader = FieldReader(
            payload, of: "LOAD", once: [1, 2, 4, 5, 6, 60], most: FieldReader.requestFields)
        while let field = try reader.next() {
            switch field.tag {
            case 1: collection = try field.text("LOAD")
            case 2: mode = try field.choice("LOAD")
            case 3: try Rules.append(try field.text("LOAD"), toRowColumns: &columns)
            case 4: loadID = try field.key("LOAD")
            case 5: skipBad = try field.count("LOAD")
            case 6: buildIndex = try field.flag("LOAD")
            case TraceContext.tag: trace = try field.traceContext("LOAD")
            default: break
            }
        }
        guard let collection, let loadID else { throw WireError(.malformed, "LOAD: without a collection or a load id") }
        (self.collection, self.loadID) = (collection, loadID)
    }

    /// - Throws: `invalidArgument` for what a gateway would refuse without looking at the collection.
    public func validate() throws(WireError) { try Rules.check(rowColumns: columns) }

    public func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, collection)
        if mode != .append { buffer.writeField(2, mode.rawValue) }
        for column in columns { buffer.writeField(3, column) }
        buffer.writeField(4, loadID)
        if skipBad > 0 { buffer.writeField(5, count: skipBad) }
        buffer.writeFlag(6, buildIndex)
        trace?.writeField(into: &buffer)
    }
}

/// LOAD_READY: the load has begun.
public struct LoadReady: Hashable, Sendable {
    /// The bytes of LOAD_ROWS payload that may be sent before more credit comes.
    public var credit: Int
    /// The shards that the rows go to.
    public var shards: [String]

    public init(credit: Int, shards: [String]) {
        self.credit = credit
        self.shards = shards
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        self.init(credit: 0, shards: [])
        var reader = FieldReader(payload, of: "LOAD_READY", once: [1])
        while let field = try reader.next() {
            switch field.tag {
            case 1: credit = try field.count("LOAD_READY")
            case 2: shards.append(try field.text("LOAD_READY"))
            default: break
            }
        }
    }

    public func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, count: credit)
        for shard in shards { buffer.writeField(2, shard) }
    }
}

/// LOAD_CREDIT: more rows, please.
public struct LoadCredit: Hashable, Sendable {
    /// Bytes, on top of those given before.
    public var credit: Int
    /// The rows that the databases have taken so far.
    public var rowsTaken: Int

    public init(credit: Int, rowsTaken: Int) {
        self.credit = credit
        self.rowsTaken = rowsTaken
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        self.init(credit: 0, rowsTaken: 0)
        var reader = FieldReader(payload, of: "LOAD_CREDIT", once: [1, 2])
        while let field = try reader.next() {
            switch field.tag {
            case 1: credit = try field.count("LOAD_CREDIT")
            case 2: rowsTaken = try field.total("LOAD_CREDIT")
            default: break
            }
        }
    }

    public func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, count: credit)
        buffer.writeField(2, total: rowsTaken)
    }
}

/// LOAD_END: these were all the rows; commit them.
public struct LoadEnd: Hashable, Sendable {
    /// How many there were.
    public var rows: Int

    public init(rows: Int) { self.rows = rows }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        var rows: Int?
        var reader = FieldReader(payload, of: "LOAD_END", once: [1])
        while let field = try reader.next() {
            if field.tag == 1 { rows = try field.total("LOAD_END") }
        }
        guard let rows else { throw WireError(.malformed, "LOAD_END: without the number of rows") }
        self.init(rows: rows)
    }

    public func encode(into buffer: inout ByteBuffer) { buffer.writeField(1, total: rows) }
}

/// What a load is at. Open: a newer gateway may send a phase this version has no name for.
public struct LoadPhase: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The databases take the rows.
    public static let rows = LoadPhase(rawValue: 0)
    /// The rows take the place of those that are there.
    public static let merging = LoadPhase(rawValue: 1)
    public static let index = LoadPhase(rawValue: 2)
    public static let committing = LoadPhase(rawValue: 3)

    private static let names = ["rows", "merging", "index", "committing"]

    public var name: String {
        Self.names.indices.contains(Int(rawValue)) ? Self.names[Int(rawValue)] : "phase_\(rawValue)"
    }
}

/// LOAD_PROGRESS: how far a phase is.
public struct LoadProgress: Hashable, Sendable {
    public var phase: LoadPhase
    public var done: Int
    /// 0 if that is not known.
    public var total: Int
    /// Nil for the load as a whole.
    public var shard: String?

    public init(phase: LoadPhase, done: Int, total: Int = 0, shard: String? = nil) {
        self.phase = phase
        self.done = done
        self.total = total
        self.shard = shard
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        self.init(phase: .rows, done: 0)
        var reader = FieldReader(payload, of: "LOAD_PROGRESS", once: [1, 2, 3, 4])
        while let field = try reader.next() {
            switch field.tag {
            case 1: phase = LoadPhase(rawValue: try field.integer(as: UInt8.self, "LOAD_PROGRESS"))
            case 2: done = try field.total("LOAD_PROGRESS")
            case 3: total = try field.total("LOAD_PROGRESS")
            case 4: shard = try field.text("LOAD_PROGRESS")
            default: break
            }
        }
    }

    public func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, phase.rawValue)
        buffer.writeField(2, total: done)
        if total > 0 { buffer.writeField(3, total: total) }
        if let shard { buffer.writeField(4, shard) }
    }
}

// The rules of LOAD and WRITE alike.
extension Rules {
    static func append(_ column: String, toRowColumns columns: inout [String]) throws(WireError) {
        guard columns.count < SearchRequest.maximumColumns else { throw tooManyRowColumns }
        columns.append(column)
    }

    static func check(rowColumns columns: [String]) throws(WireError) {
        guard columns.count <= SearchRequest.maximumColumns else { throw tooManyRowColumns }
        for column in columns { try check(name: column, "the name of a column") }
        guard Set(columns).count == columns.count else { throw wrong("a column is named twice") }
    }

    private static var tooManyRowColumns: WireError {
        wrong("a row has at most \(SearchRequest.maximumColumns) columns")
    }
}

extension FieldReader.Field {
    func key(_ message: String) throws(WireError) -> RequestKey {
        guard value.readableBytes == 16,
            let (high, low) = value.getMultipleIntegers(at: value.readerIndex, as: (UInt64, UInt64).self)
        else { throw WireError(.malformed, "\(message): field \(tag) must have 16 bytes") }
        return RequestKey(high: high, low: low)
    }

    /// A u64 that counts.
    func total(_ message: String) throws(WireError) -> Int {
        Int(clamping: try integer(as: UInt64.self, message))
    }
}

extension ByteBuffer {
    mutating func writeField(_ tag: UInt16, _ key: RequestKey) {
        writeMultipleIntegers(tag, UInt32(16), key.high, key.low)
    }

    mutating func writeField(_ tag: UInt16, total: Int) { writeField(tag, UInt64(clamping: total)) }
}
