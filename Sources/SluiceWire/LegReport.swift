public import NIOCore

/// How a leg ended. Open: a newer gateway may send a status this version has no name for.
public struct LegStatus: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let ok = LegStatus(rawValue: 0)
    public static let timeout = LegStatus(rawValue: 1)
    public static let unavailable = LegStatus(rawValue: 2)
    public static let saturated = LegStatus(rawValue: 3)
    public static let backendError = LegStatus(rawValue: 4)
    public static let cancelled = LegStatus(rawValue: 5)
    public static let invalid = LegStatus(rawValue: 6)
    public static let breakerOpen = LegStatus(rawValue: 7)

    private static let names = [
        "ok", "timeout", "unavailable", "saturated", "backend_error", "cancelled", "invalid", "breaker_open",
    ]

    public var name: String {
        Self.names.indices.contains(Int(rawValue)) ? Self.names[Int(rawValue)] : "status_\(rawValue)"
    }
}

/// How hard was searched. Open, like `LegStatus`.
public struct Rung: RawRepresentable, Hashable, Sendable {
    public let rawValue: UInt8
    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let asAsked = Rung(rawValue: 0)
    /// With a larger ef_search or more probes.
    public static let widerSearch = Rung(rawValue: 1)
    public static let iterativeScan = Rung(rawValue: 2)
    /// Every row was compared.
    public static let exact = Rung(rawValue: 3)
}

/// A column of a leg's rows: its name and its type's OID on the server that answered.
public struct ColumnType: Hashable, Sendable {
    public var name: String
    public var typeOID: UInt32

    public init(name: String, typeOID: UInt32) {
        self.name = name
        self.typeOID = typeOID
    }
}

/// One (collection, shard) of a search: who answered, how long it took, or why not.
public struct LegReport: Hashable, Sendable {
    public var collection: String
    public var shard: String
    /// Empty if no replica was reached.
    public var replica: String
    public var status: LegStatus
    public var rows: Int
    /// Waiting for a connection.
    public var wait: Duration
    public var execute: Duration
    public var sqlstate: String?
    public var message: String?
    public var columns: [ColumnType]
    /// Hedges included.
    public var attempts: Int
    /// Attempts made while another still ran.
    public var hedges: Int
    /// How many rows it was asked for; 0 if that is not said.
    public var asked: Int
    public var rung: Rung
    /// Its rows are at most so old; nil if that is not known.
    public var staleness: Duration?
    /// They may be older than was asked for.
    public var isStale = false

    public init(
        collection: String, shard: String, replica: String, status: LegStatus, rows: Int, wait: Duration,
        execute: Duration, sqlstate: String? = nil, message: String? = nil, columns: [ColumnType] = [],
        attempts: Int = 1, hedges: Int = 0, asked: Int = 0, rung: Rung = .asAsked
    ) {
        self.collection = collection
        self.shard = shard
        self.replica = replica
        self.status = status
        self.rows = rows
        self.wait = wait
        self.execute = execute
        self.sqlstate = sqlstate
        self.message = message
        self.columns = columns
        self.attempts = attempts
        self.hedges = hedges
        self.asked = asked
        self.rung = rung
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        self.init(
            collection: "", shard: "", replica: "", status: .ok, rows: 0, wait: .zero, execute: .zero, attempts: 0)
        var reader = FieldReader(payload, of: "leg", once: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])
        while let field = try reader.next() {
            switch field.tag {
            case 1: collection = try field.text("leg")
            case 2: shard = try field.text("leg")
            case 3: replica = try field.text("leg")
            case 4: status = LegStatus(rawValue: try field.integer(as: UInt8.self, "leg"))
            case 5: rows = Int(try field.integer(as: UInt32.self, "leg"))
            case 6: wait = try field.microseconds("leg")
            case 7: execute = try field.microseconds("leg")
            case 8: sqlstate = try field.text("leg", maximumBytes: 5)
            case 9: message = try field.text("leg", maximumBytes: 4_096)
            case 10: columns = try Self.columns(field.value)
            case 11: attempts = Int(try field.integer(as: UInt32.self, "leg"))
            case 12: hedges = Int(try field.integer(as: UInt32.self, "leg"))
            case 13: asked = try field.count("leg")
            case 14: rung = Rung(rawValue: try field.integer(as: UInt8.self, "leg"))
            case 15: staleness = try field.microseconds("leg")
            case 16: isStale = try field.flag("leg")
            default: break
            }
        }
    }

    public func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, collection)
        buffer.writeField(2, shard)
        buffer.writeField(3, replica)
        buffer.writeField(4, status.rawValue)
        buffer.writeField(5, UInt32(clamping: rows))
        buffer.writeField(6, microsecondsOf: wait)
        buffer.writeField(7, microsecondsOf: execute)
        if let sqlstate { buffer.writeField(8, sqlstate) }
        if let message { buffer.writeField(9, message) }
        if !columns.isEmpty { buffer.writeField(10) { Self.write(columns, into: &$0) } }
        buffer.writeField(11, UInt32(clamping: attempts))
        if hedges > 0 { buffer.writeField(12, UInt32(clamping: hedges)) }
        if asked > 0 { buffer.writeField(13, count: asked) }
        if rung != .asAsked { buffer.writeField(14, rung.rawValue) }
        if let staleness { buffer.writeField(15, microsecondsOf: staleness) }
        buffer.writeFlag(16, isStale)
    }

    private static func columns(_ value: ByteBuffer) throws(WireError) -> [ColumnType] {
        var rest = value
        var columns: [ColumnType] = []
        guard let count = rest.readInteger(as: UInt16.self) else { throw truncated }
        for _ in 0..<count {
            guard let length = rest.readInteger(as: UInt16.self), let name = rest.readSlice(length: Int(length)),
                let text = String(validating: name.readableBytesView, as: UTF8.self),
                let type = rest.readInteger(as: UInt32.self)
            else { throw truncated }
            columns.append(ColumnType(name: text, typeOID: type))
        }
        guard rest.readableBytes == 0 else { throw truncated }
        return columns
    }

    private static func write(_ columns: [ColumnType], into buffer: inout ByteBuffer) {
        buffer.writeInteger(UInt16(clamping: columns.count))
        for column in columns {
            buffer.writeInteger(UInt16(clamping: column.name.utf8.count))
            buffer.writeString(column.name)
            buffer.writeInteger(column.typeOID)
        }
    }

    private static var truncated: WireError { WireError(.malformed, "leg: its columns do not fit their field") }
}
