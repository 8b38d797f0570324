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

    public init(
        collection: String, shard: String, replica: String, status: LegStatus, rows: Int, wait: Duration,
        execute: Duration, sqlstate: String? = nil, message: String? = nil, columns: [ColumnType] = [],
        attempts: Int = 1, hedges: Int = 0
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
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        self.init(
            collection: "", shard: "", replica: "", status: .ok, rows: 0, wait: .zero, execute: .zero, attempts: 0)
        var reader = FieldReader(payload, of: "leg", once: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
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

/// One row of an answer.
public struct WireHit: Hashable, Sendable {
    /// An index into the result's legs: that leg says which collection, shard and replica.
    public var leg: Int
    public var id: Int64
    public var distance: Double
    /// The leg's columns in PostgreSQL's binary form; nil is null.
    public var cells: [ByteBuffer?]
}

/// The rows of an answer, nearest first, as they are on the wire.
public struct PackedHits: Hashable, Sendable {
    public let bytes: ByteBuffer

    public init(_ bytes: ByteBuffer) { self.bytes = bytes }

    public init() { bytes = ByteBuffer(integer: UInt32(0)) }

    /// What the hits themselves say; `hits(of:)` checks it.
    public var count: Int { Int(bytes.getInteger(at: bytes.readerIndex, as: UInt32.self) ?? 0) }

    /// - Parameter legs: the result's legs, which say how many cells each hit has.
    public func hits(of legs: [LegReport]) throws(WireError) -> [WireHit] {
        var rest = bytes
        guard let count = rest.readInteger(as: UInt32.self) else { throw Self.truncated }
        // A hit has at least 18 bytes: what is declared must be there before room is made for it.
        guard Int(count) <= rest.readableBytes / 18 else { throw Self.truncated }
        var hits: [WireHit] = []
        hits.reserveCapacity(Int(count))
        for _ in 0..<count {
            guard let (leg, id, distance) = rest.readMultipleIntegers(as: (UInt16, Int64, UInt64).self),
                legs.indices.contains(Int(leg))
            else { throw Self.truncated }
            var cells: [ByteBuffer?] = []
            for _ in legs[Int(leg)].columns { cells.append(try Self.cell(&rest)) }
            hits.append(
                WireHit(leg: Int(leg), id: id, distance: Double(bitPattern: distance), cells: cells))
        }
        guard rest.readableBytes == 0 else { throw Self.truncated }
        return hits
    }

    private static func cell(_ rest: inout ByteBuffer) throws(WireError) -> ByteBuffer? {
        guard let length = rest.readInteger(as: Int32.self), length >= -1 else { throw truncated }
        if length == -1 { return nil }
        guard let bytes = rest.readSlice(length: Int(length)) else { throw truncated }
        return bytes
    }

    private static var truncated: WireError { WireError(.malformed, "RESULT: its hits do not fit their field") }
}

/// Packs hits whose cells already have their wire form: for each column an Int32 length and that many bytes.
public struct HitWriter: Sendable {
    private var bytes: ByteBuffer
    private var count: UInt32 = 0

    public init(capacity: Int) {
        bytes = ByteBufferAllocator().buffer(capacity: 4 + 64 * max(0, min(capacity, 65_536)))
        bytes.writeInteger(UInt32(0))
    }

    public mutating func append(leg: Int, id: Int64, distance: Double, cells: some Collection<UInt8>) {
        bytes.writeMultipleIntegers(UInt16(clamping: leg), id, distance.bitPattern)
        bytes.writeBytes(cells)
        count += 1
    }

    public consuming func finish() -> PackedHits {
        bytes.setInteger(count, at: bytes.readerIndex)
        return PackedHits(bytes)
    }
}

/// The answer to a search.
public struct SearchResult: Hashable, Sendable {
    public var legs: [LegReport]
    public var hits: PackedHits
    /// The share of the (collection, shard) pairs that answered, from 0 to 1.
    public var coverage: Double
    /// In the gateway, from the request's arrival to the merged list.
    public var elapsed: Duration

    public init(legs: [LegReport], hits: PackedHits, coverage: Double, elapsed: Duration) {
        self.legs = legs
        self.hits = hits
        self.coverage = coverage
        self.elapsed = elapsed
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        self.init(legs: [], hits: PackedHits(), coverage: 0, elapsed: .zero)
        var reader = FieldReader(payload, of: "RESULT", once: [2, 3, 4])
        while let field = try reader.next() {
            switch field.tag {
            case 1: legs.append(try LegReport(decoding: field.value))
            case 2: hits = PackedHits(field.value)
            case 3: coverage = Double(bitPattern: try field.integer(as: UInt64.self, "RESULT"))
            case 4: elapsed = try field.microseconds("RESULT")
            default: break
            }
        }
    }

    public func encode(into buffer: inout ByteBuffer) {
        for leg in legs { buffer.writeField(1) { leg.encode(into: &$0) } }
        buffer.writeField(2) { $0.writeImmutableBuffer(hits.bytes) }
        buffer.writeField(3, coverage.bitPattern)
        buffer.writeField(4, microsecondsOf: elapsed)
    }
}
