package import NIOCore

/// A column's value.
public enum Value: Hashable, Sendable {
    case null
    case bool(Bool)
    case int(Int64)
    case double(Double)
    case string(String)
    /// PostgreSQL's binary form of a type that has no case here.
    case bytes([UInt8], typeOID: UInt32)

    /// OIDs are PostgreSQL's own (pg_type.dat).
    package init(_ cell: ByteBuffer?, typeOID: UInt32) {
        guard let cell else {
            self = .null
            return
        }
        self = Self.decode(cell, typeOID) ?? .bytes(Array(cell.readableBytesView), typeOID: typeOID)
    }

    /// Nil if the bytes are not what the type's binary form looks like.
    private static func decode(_ cell: ByteBuffer, _ typeOID: UInt32) -> Value? {
        switch typeOID {
        case 16: integer(cell, UInt8.self).map { .bool($0 != 0) }
        case 20: integer(cell, Int64.self).map { .int($0) }
        case 21: integer(cell, Int16.self).map { .int(Int64($0)) }
        case 23: integer(cell, Int32.self).map { .int(Int64($0)) }
        case 700: integer(cell, UInt32.self).map { .double(Double(Float(bitPattern: $0))) }
        case 701: integer(cell, UInt64.self).map { .double(Double(bitPattern: $0)) }
        case 19, 25, 1_042, 1_043: String(validating: cell.readableBytesView, as: UTF8.self).map { .string($0) }
        case 2_950: uuid(cell).map { .string($0) }
        default: nil
        }
    }

    private static func integer<Integer: FixedWidthInteger>(_ cell: ByteBuffer, _: Integer.Type) -> Integer? {
        guard cell.readableBytes == MemoryLayout<Integer>.size else { return nil }
        return cell.getInteger(at: cell.readerIndex)
    }

    private static func uuid(_ cell: ByteBuffer) -> String? {
        guard cell.readableBytes == 16 else { return nil }
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for (index, byte) in cell.readableBytesView.enumerated() {
            if [4, 6, 8, 10].contains(index) { text.append(UInt8(ascii: "-")) }
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}
