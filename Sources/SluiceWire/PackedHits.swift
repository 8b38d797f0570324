public import NIOCore

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
        let isWhole: Void? = cells.withContiguousStorageIfAvailable {
            append(leg, id, distance, UnsafeRawBufferPointer($0))
        }
        if isWhole == nil {
            append(leg, id, distance, UnsafeRawBufferPointer(start: nil, count: 0))
            bytes.writeBytes(cells)
        }
        count += 1
    }

    private mutating func append(_ leg: Int, _ id: Int64, _ distance: Double, _ cells: UnsafeRawBufferPointer) {
        bytes.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.rowHeader + cells.count) { room in
            room.storeBytes(of: UInt16(clamping: leg).bigEndian, as: UInt16.self)
            room.storeBytes(of: id.bigEndian, toByteOffset: 2, as: Int64.self)
            room.storeBytes(of: distance.bitPattern.bigEndian, toByteOffset: 10, as: UInt64.self)
            UnsafeMutableRawBufferPointer(rebasing: room[Self.rowHeader...]).copyMemory(from: cells)
            return Self.rowHeader + cells.count
        }
    }

    /// Leg, id and distance.
    private static var rowHeader: Int { 18 }

    public consuming func finish() -> PackedHits {
        bytes.setInteger(count, at: bytes.readerIndex)
        return PackedHits(bytes)
    }
}
