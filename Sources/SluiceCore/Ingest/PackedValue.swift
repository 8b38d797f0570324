/// A column's value as a packed row carries it, with the same kinds as a filter's values and null.
enum PackedValue {
    case null
    case bool(Bool)
    case int(Int64)
    case float(Double)
    case text(UnsafeRawBufferPointer)
    /// Microseconds since 2000-01-01 UTC.
    case timestamp(Int64)
    case uuid(UnsafeRawBufferPointer)
    /// Each with its u32 length before it.
    case texts(count: Int, UnsafeRawBufferPointer)

    /// Nil if the bytes end before the value does, or are no value.
    init?(_ reader: inout ByteReader) {
        guard let kind = reader.integer(UInt8.self) else { return nil }
        switch kind {
        case 0: self = .null
        case 1:
            guard let flag = reader.integer(UInt8.self), flag < 2 else { return nil }
            self = .bool(flag == 1)
        case 2:
            guard let integer = reader.integer(Int64.self) else { return nil }
            self = .int(integer)
        case 3:
            guard let bits = reader.integer(UInt64.self) else { return nil }
            self = .float(Double(bitPattern: bits))
        case 4:
            guard let length = reader.integer(UInt32.self), let text = reader.run(Int(length)) else { return nil }
            self = .text(text)
        case 5:
            guard let microseconds = reader.integer(Int64.self) else { return nil }
            self = .timestamp(microseconds)
        case 6:
            guard let bytes = reader.run(16) else { return nil }
            self = .uuid(bytes)
        case 7:
            guard let texts = Self.texts(&reader) else { return nil }
            self = texts
        default: return nil
        }
    }

    private static func texts(_ reader: inout ByteReader) -> PackedValue? {
        guard let count = reader.integer(UInt16.self) else { return nil }
        var ahead = reader
        for _ in 0..<count {
            guard let length = ahead.integer(UInt32.self), ahead.run(Int(length)) != nil else { return nil }
        }
        guard let all = reader.run(ahead.position - reader.position) else { return nil }
        return .texts(count: Int(count), all)
    }
}

extension RowFormat.Column {
    private var wrong: RowProblem { .type(column: name, expected: kind.expected) }
    private var outOfRange: RowProblem { .outOfRange(column: name, type: kind.rawValue) }

    /// Appends the value in the binary form of the column's type.
    func append(_ value: PackedValue, to rows: inout [UInt8]) throws(RowProblem) {
        switch kind {
        case .bool: rows.append(try bool(value) ? 1 : 0)
        case .int2: rows.append(bigEndian: try integer(value, Int16.self))
        case .int4: rows.append(bigEndian: try integer(value, Int32.self))
        case .int8: rows.append(bigEndian: try integer(value, Int64.self))
        case .float4: rows.append(bigEndian: Float(try number(value)).bitPattern)
        case .float8: rows.append(bigEndian: try number(value).bitPattern)
        case .text, .json: try appendText(value, to: &rows)
        case .jsonb:
            // The version of the form comes first (jsonb_recv).
            rows.append(1)
            try appendText(value, to: &rows)
        case .uuid: try appendUUID(value, to: &rows)
        case .timestamp: rows.append(bigEndian: try timestamp(value))
        case .date: rows.append(bigEndian: try day(value))
        case .textArray: try appendTexts(value, to: &rows)
        }
    }

    private func bool(_ value: PackedValue) throws(RowProblem) -> Bool {
        switch value {
        case .bool(let flag): return flag
        case .text(let bytes):
            switch try text(bytes).lowercased() {
            case "t", "true", "1", "yes", "on": return true
            case "f", "false", "0", "no", "off": return false
            default: throw wrong
            }
        default: throw wrong
        }
    }

    private func integer<Integer: FixedWidthInteger>(
        _ value: PackedValue, _: Integer.Type
    ) throws(RowProblem) -> Integer {
        let wide: Int64
        switch value {
        case .int(let integer): wide = integer
        case .float(let number):
            guard let exact = Int64(exactly: number) else { throw wrong }
            wide = exact
        case .text(let bytes):
            guard let read = Int64(try text(bytes)) else { throw wrong }
            wide = read
        default: throw wrong
        }
        guard let narrow = Integer(exactly: wide) else { throw outOfRange }
        return narrow
    }

    private func number(_ value: PackedValue) throws(RowProblem) -> Double {
        switch value {
        case .int(let integer): return Double(integer)
        case .float(let number): return number
        case .text(let bytes):
            guard let number = Double(try text(bytes)) else { throw wrong }
            return number
        default: throw wrong
        }
    }

    private func timestamp(_ value: PackedValue) throws(RowProblem) -> Int64 {
        switch value {
        case .timestamp(let microseconds): return microseconds
        case .text(let bytes):
            guard let microseconds = TimestampText.microseconds(try text(bytes)) else { throw wrong }
            return microseconds
        default: throw wrong
        }
    }

    /// Days since 2000-01-01.
    private func day(_ value: PackedValue) throws(RowProblem) -> Int32 {
        let microseconds = try timestamp(value)
        let days = microseconds / Self.day - (microseconds % Self.day < 0 ? 1 : 0)
        guard let day = Int32(exactly: days) else { throw outOfRange }
        return day
    }

    private static let day: Int64 = 86_400_000_000

    private func text(_ bytes: UnsafeRawBufferPointer) throws(RowProblem) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw wrong }
        return text
    }

    private func appendText(_ value: PackedValue, to rows: inout [UInt8]) throws(RowProblem) {
        switch value {
        case .text(let bytes): try appendChecked(bytes, to: &rows)
        case .int(let integer): rows.append(contentsOf: String(integer).utf8)
        case .float(let number): rows.append(contentsOf: String(number).utf8)
        case .bool(let flag): rows.append(contentsOf: (flag ? "true" : "false").utf8)
        default: throw wrong
        }
    }

    /// PostgreSQL has no text with a NUL, and takes no bytes that are not UTF-8.
    private func appendChecked(_ bytes: UnsafeRawBufferPointer, to rows: inout [UInt8]) throws(RowProblem) {
        guard !bytes.contains(0), String(validating: bytes, as: UTF8.self) != nil else { throw wrong }
        rows.append(contentsOf: bytes)
    }

    private func appendUUID(_ value: PackedValue, to rows: inout [UInt8]) throws(RowProblem) {
        switch value {
        case .uuid(let bytes): rows.append(contentsOf: bytes)
        case .text(let bytes):
            guard let (high, low) = UUIDText.parse(try text(bytes)) else { throw wrong }
            rows.append(bigEndian: high)
            rows.append(bigEndian: low)
        default: throw wrong
        }
    }

    /// An array of one dimension without nulls (array_recv in utils/adt/arrayfuncs.c).
    private func appendTexts(_ value: PackedValue, to rows: inout [UInt8]) throws(RowProblem) {
        guard case .texts(let count, let bytes) = value else { throw wrong }
        rows.append(bigEndian: Int32(count == 0 ? 0 : 1))
        rows.append(bigEndian: Int32(0))
        rows.append(bigEndian: Self.textType)
        if count == 0 { return }
        rows.append(bigEndian: Int32(clamping: count))
        rows.append(bigEndian: Int32(1))
        var reader = ByteReader(bytes)
        while let length = reader.integer(UInt32.self), let element = reader.run(Int(length)) {
            rows.append(bigEndian: length)
            try appendChecked(element, to: &rows)
        }
    }

    /// `text`'s OID (pg_type.dat).
    private static let textType: UInt32 = 25
}
