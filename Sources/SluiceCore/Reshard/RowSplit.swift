/// Rows of an old shard, split over the new ones as `COPY … (FORMAT binary)` takes them.
package struct RowSplit: Sendable {
    package struct Part: Hashable, Sendable {
        /// Of the rows that are to be as they are here, or not at all.
        package var ids: [Int64] = []
        /// Without header and trailer.
        package var rows: [UInt8] = []
        package var count = 0
    }

    package private(set) var parts: [Part]
    private let placement: HashPlacement

    package init(_ placement: HashPlacement) {
        self.placement = placement
        parts = Array(repeating: Part(), count: placement.shardCount)
    }

    /// A row that is gone.
    package mutating func addMissing(_ id: Int64) { parts[placement.shard(of: id)].ids.append(id) }

    /// - Parameter record: what `record_send` gave, in hexadecimal digits.
    /// - Returns: false if it is no such thing; nothing is added then.
    package mutating func add(_ id: Int64, record: String) -> Bool {
        guard let bytes = Self.bytes(hexadecimal: record) else { return false }
        let shard = placement.shard(of: id)
        let isWhole = bytes.withUnsafeBytes { Self.append($0, to: &parts[shard].rows) }
        guard isWhole else { return false }
        parts[shard].ids.append(id)
        parts[shard].count += 1
        return true
    }

    /// A record has the count of its fields, and of each the type's OID, which differs between servers, and the length
    /// before its bytes (record_send in rowtypes.c); COPY has the same without the OIDs, and a shorter count.
    private static func append(_ record: UnsafeRawBufferPointer, to rows: inout [UInt8]) -> Bool {
        var reader = ByteReader(record)
        guard let fields = reader.integer(Int32.self), let count = Int16(exactly: fields), count >= 0 else {
            return false
        }
        let start = rows.count
        rows.append(bigEndian: count)
        for _ in 0..<count {
            guard reader.integer(UInt32.self) != nil, let length = reader.integer(Int32.self), length >= -1,
                let bytes = reader.run(Int(max(0, length)))
            else {
                rows.removeSubrange(start...)
                return false
            }
            rows.append(bigEndian: length)
            rows.append(contentsOf: bytes)
        }
        guard reader.left == 0 else {
            rows.removeSubrange(start...)
            return false
        }
        return true
    }

    private static func bytes(hexadecimal text: String) -> [UInt8]? {
        var text = text
        return text.withUTF8 { digits in
            guard digits.count.isMultiple(of: 2) else { return nil }
            var bytes: [UInt8] = []
            bytes.reserveCapacity(digits.count / 2)
            for place in stride(from: 0, to: digits.count, by: 2) {
                guard let high = value(digits[place]), let low = value(digits[place + 1]) else { return nil }
                bytes.append(high << 4 | low)
            }
            return bytes
        }
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit &- UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit &- UInt8(ascii: "a") &+ 10
        default: nil
        }
    }
}
