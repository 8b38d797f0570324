/// What a table's rows are, and how packed rows become rows of a binary COPY.
public struct RowFormat: Hashable, Sendable {
    public struct Column: Hashable, Sendable {
        public var name: String
        public var kind: ColumnKind
        public var isRequired: Bool

        public init(name: String, kind: ColumnKind, isRequired: Bool = false) {
            self.name = name
            self.kind = kind
            self.isRequired = isRequired
        }
    }

    /// `int8`, `int4` or `int2`.
    public var idKind: ColumnKind
    public var form: VectorForm
    public var dimensions: Int
    public var isVectorRequired: Bool
    /// What follows id and vector, in the rows' order.
    public var columns: [Column]

    public init(
        idKind: ColumnKind, form: VectorForm, dimensions: Int, isVectorRequired: Bool = false, columns: [Column]
    ) {
        self.idKind = idKind
        self.form = form
        self.dimensions = dimensions
        self.isVectorRequired = isVectorRequired
        self.columns = columns
    }

    /// What a binary COPY begins and ends with.
    /// Source: PostgreSQL, COPY, "Binary Format".
    public static let copyHeader: [UInt8] =
        Array("PGCOPY\n".utf8) + [0xFF, 0x0D, 0x0A, 0x00] + [UInt8](repeating: 0, count: 8)
    public static let copyTrailer: [UInt8] = [0xFF, 0xFF]
    /// The count of fields, before a row's cells.
    public static let rowPrefix = 2

    /// Appends one row as COPY has it: i16 count of fields, then each with its i32 length (−1 is null).
    ///
    /// Nothing is appended if the row is bad.
    public func append(
        _ row: PackedRow, of bytes: UnsafeRawBufferPointer, to rows: inout [UInt8]
    ) throws(RowProblem) {
        let start = rows.count
        do throws(RowProblem) {
            var reader = ByteReader(bytes, row.body)
            rows.append(bigEndian: Int16(clamping: columns.count + 2))
            try appendID(row.id, to: &rows)
            try appendVector(&reader, to: &rows)
            for column in columns { try appendValue(of: column, &reader, to: &rows) }
            guard reader.left == 0 else { throw .shape(columns: columns.count) }
        } catch {
            rows.removeSubrange(start...)
            throw error
        }
    }

    private func appendID(_ id: Int64, to rows: inout [UInt8]) throws(RowProblem) {
        switch idKind {
        case .int2:
            guard let id = Int16(exactly: id) else { throw .idOutOfRange }
            rows.append(bigEndian: Int32(2))
            rows.append(bigEndian: id)
        case .int4:
            guard let id = Int32(exactly: id) else { throw .idOutOfRange }
            rows.append(bigEndian: Int32(4))
            rows.append(bigEndian: id)
        default:
            rows.append(bigEndian: Int32(8))
            rows.append(bigEndian: id)
        }
    }

    private func appendVector(_ reader: inout ByteReader, to rows: inout [UInt8]) throws(RowProblem) {
        guard let length = reader.integer(UInt32.self) else { throw .shape(columns: columns.count) }
        if length == .max {
            if isVectorRequired { throw .noVector }
            return rows.append(bigEndian: Int32(-1))
        }
        guard let vector = reader.run(Int(length)) else { throw .shape(columns: columns.count) }
        if let problem = VectorCell.problem(vector, form: form, dimensions: dimensions) { throw problem }
        rows.append(bigEndian: Int32(clamping: vector.count))
        rows.append(contentsOf: vector)
    }

    private func appendValue(
        of column: Column, _ reader: inout ByteReader, to rows: inout [UInt8]
    ) throws(RowProblem) {
        guard let value = PackedValue(&reader) else { throw .shape(columns: columns.count) }
        if case .null = value {
            if column.isRequired { throw .null(column: column.name) }
            return rows.append(bigEndian: Int32(-1))
        }
        let lengthAt = rows.count
        rows.append(bigEndian: Int32(column.kind.width ?? 0))
        try column.append(value, to: &rows)
        if column.kind.width == nil {
            rows.replace(at: lengthAt, withBigEndian: Int32(clamping: rows.count - lengthAt - 4))
        }
    }
}

/// A row's place in a run of packed rows, and its id.
public struct PackedRow: Hashable, Sendable {
    public let id: Int64
    /// What follows the id: the vector and the values.
    let body: Range<Int>

    /// All that it takes of the packed rows.
    public var byteCount: Int { body.count + 12 }
}

/// Walks over packed rows: each is u32 length, i64 id, u32 vector length (all ones: null) and the vector, then a value
/// for each column.
public struct PackedRows {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    public init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// Nil at the end.
    /// - Throws: `MalformedRows` if a row is longer than what there is, or too short for an id and a vector.
    public mutating func next() throws(MalformedRows) -> PackedRow? {
        var reader = ByteReader(bytes, position..<bytes.count)
        if reader.left == 0 { return nil }
        guard let length = reader.integer(UInt32.self), length >= 12, Int(length) <= reader.left,
            let id = reader.integer(Int64.self)
        else { throw MalformedRows() }
        position = reader.position + Int(length) - 8
        return PackedRow(id: id, body: reader.position..<position)
    }
}

/// Bytes that are not whole packed rows.
public struct MalformedRows: Error, Hashable, Sendable {}
