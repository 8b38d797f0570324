import NIOCore
import SluiceCore
import SluiceTools
import SluiceWire

/// The first byte chooses: rows of a CSV or JSONL file, packed rows as LOAD_ROWS and WRITE have them, values to be
/// packed, or a text on a command line.
enum RowsTarget {
    static func run(_ input: UnsafeRawBufferPointer) throws(FuzzFinding) {
        var control = FuzzControl(input)
        switch control.byte() % 5 {
        case 0: try csv(control.rest)
        case 1: try jsonl(control.rest)
        case 2: try packed(&control)
        case 3: try values(ByteBuffer(bytes: control.rest))
        default: try texts(String(decoding: control.rest, as: UTF8.self))
        }
    }

    // MARK: Files

    private static func csv(_ bytes: UnsafeRawBufferPointer) throws(FuzzFinding) {
        guard let (names, rows) = try read(bytes, "csv") else { return }
        let lines = ([names.map { FieldValue.text($0) }] + rows).map { $0.map(quoted).joined(separator: ",") + "\r\n" }
        let again = Array(lines.joined().utf8)
        let same = try again.withBytes { bytes throws(FuzzFinding) in try read(bytes, "csv") }
        try expect(same?.names == names && same?.rows == rows, "written again, it is another file")
    }

    private static func quoted(_ field: FieldValue) -> String {
        guard case .text(let text) = field else { return "" }
        var scalars = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if scalar == "\"" { scalars.append(scalar) }
            scalars.append(scalar)
        }
        return "\"\(String(scalars))\""
    }

    private static func jsonl(_ bytes: UnsafeRawBufferPointer) throws(FuzzFinding) { _ = try read(bytes, "jsonl") }

    /// Nil if the file has a problem.
    private static func read(
        _ bytes: UnsafeRawBufferPointer, _ ending: String
    ) throws(FuzzFinding) -> (names: [String], rows: [[FieldValue]])? {
        let file = try ScratchFile(ending: ending)
        try file.write(bytes)
        var rows: [FileRow] = []
        let names: [String]
        do {
            let reader = try RowReader(path: file.path)
            while let row = try reader.next() { rows.append(row) }
            names = reader.names
        } catch {
            let problem = error as? FileProblem
            let lines = bytes.count { $0 == UInt8(ascii: "\n") } + 1
            try expect(problem?.path == file.path, "not a problem of the file: \(error)")
            try expect(
                problem?.line.map { (1...lines).contains($0) } != false, "line \(problem?.line ?? 0) of \(lines)")
            return nil
        }
        try expect(rows.allSatisfy { $0.fields.count == names.count }, "a row of another width")
        try expect(zip(rows, rows.dropFirst()).allSatisfy { $0.line < $1.line }, "lines out of order")
        return (names, rows.map(\.fields))
    }

    // MARK: Packed rows

    private static func packed(_ control: inout FuzzControl) throws(FuzzFinding) {
        let format = format(&control)
        var copied: [UInt8] = []
        var count = 0
        let bytes = control.rest
        var rows = PackedRows(bytes)
        var taken = 0
        while let row = try? rows.next() {
            count += 1
            taken += row.byteCount
            let before = copied.count
            do throws(RowProblem) { try format.append(row, of: bytes, to: &copied) } catch {
                guard copied.count == before else { throw FuzzFinding("a bad row has left something") }
            }
        }
        try expect(taken <= bytes.count && 16 * count <= bytes.count, "\(count) rows of \(bytes.count) bytes")
        try checkCopy(copied, fields: format.columns.count + 2)
    }

    private static func format(_ control: inout FuzzControl) -> RowFormat {
        let shape = Int(control.byte())
        let kinds = ColumnKind.allCases
        let columns = (0..<shape % 4).map { place in
            let byte = Int(control.byte())
            return RowFormat.Column(name: "c\(place)", kind: kinds[byte % kinds.count], isRequired: byte >= 128)
        }
        let ids: [ColumnKind] = [.int8, .int4, .int2]
        let forms = SluiceCore.VectorForm.allCases
        return RowFormat(
            idKind: ids[shape / 4 % 3], form: forms[shape / 12 % forms.count], dimensions: 1 + shape / 48 % 6,
            isVectorRequired: shape.isMultiple(of: 5), columns: columns)
    }

    /// Rows of a binary COPY: fields, each with its length.
    private static func checkCopy(_ bytes: [UInt8], fields: Int) throws(FuzzFinding) {
        var rest = ByteBuffer(bytes: bytes)
        while rest.readableBytes > 0 {
            try expect(rest.readInteger(as: Int16.self).map { Int($0) } == fields, "another number of fields")
            for _ in 0..<fields {
                guard let length = rest.readInteger(as: Int32.self), length >= -1,
                    length == -1 || rest.readSlice(length: Int(length)) != nil
                else { throw FuzzFinding("a field that is longer than its row") }
            }
        }
    }

    /// What a client packs, the gateway's reader takes apart.
    private static func values(_ bytes: ByteBuffer) throws(FuzzFinding) {
        guard case .oneOf(_, let values) = try? FilterExpression(decoding: bytes) else { return }
        var writer = RowWriter()
        guard (try? writer.append(id: -5, vector: VectorBytes([1]), values: values)) != nil else { return }
        let packed = Array(writer.bytes.readableBytesView)
        try packed.withBytes { bytes throws(FuzzFinding) in
            var rows = PackedRows(bytes)
            let row = try? rows.next()
            let end = (try? rows.next()) ?? nil
            try expect(row?.id == -5 && row?.byteCount == bytes.count && end == nil, "a row does not come back")
        }
    }

    // MARK: Texts

    private static func texts(_ text: String) throws(FuzzFinding) {
        if let floats = try? VectorText.parse(text) {
            let again = try? VectorText.parse("[\(floats.map { "\($0)" }.joined(separator: ","))]")
            try expect(again?.map(\.bitPattern) == floats.map(\.bitPattern) || hasNaN(floats), "another vector")
        }
        _ = try? VectorText.parseArray(text)
        if let sparse = try? VectorText.parseSparse(text) {
            try expect(sparse.indices.count == sparse.values.count, "indices and values differ in number")
            let ascends = zip(sparse.indices, sparse.indices.dropFirst()).allSatisfy { $0 < $1 }
            let isWithin = sparse.indices.allSatisfy { (0..<max(0, sparse.dimensions)).contains($0) }
            try expect(ascends && isWithin, "indices that are none")
        }
        if let bits = try? VectorText.parseBits(text) { try expect(bits.count == text.count, "another number of bits") }
        if let time = DurationText.parse(text) { try expect(time >= .zero, "a negative time") }
        if let memory = MemoryText.kibibytes(text) { try expect(memory >= 0, "a negative size") }
    }

    private static func hasNaN(_ floats: [Float]) -> Bool { floats.contains { $0.isNaN } }

    // MARK: Seeds

    static let dictionary = [
        "\\\"", "\\\"\\\"", "\\x0D\\x0A", "\\\\u0041", "\\\\ud83d\\\\ude00", "[1, -0.25, 3e0]", "{\\\"a\\\": ", "null",
        "true", "[\\\"x\\\"]", "\\xEF\\xBB\\xBF", "\\xFF\\xFF\\xFF\\xFF", "{1:0.5,7:-2}/9", "1e400", "nan", "-inf",
    ]

    static var seeds: [FuzzSeed] {
        let csv = ["id,name\r\n1,a\r\n2,\"b\"\"c\nd\"\n3,\n", "\u{FEFF}id\n1\n", "id,id\n", "", "a\n\"", "a,b\n1\n"]
        let jsonl = [
            "{\"id\": 1, \"e\": [1, -0.25, 3e0], \"t\": [\"x\"]}\n{\"id\": 2, \"e\": null}\n",
            "{\"a\": \"\\ud83d\\ude00\\u0041\\n\", \"b\": {\"c\": [1, {}]}, \"d\": 1e400}", "{\"a\": 01, \"a\": 2}",
            "[]",
            "{\"a\": " + String(repeating: "[", count: 80), "{\"a\": \"\\ud800\"}", "{\"a\": 9223372036854775808}",
        ]
        let texts = ["[1, -2.5,3e-4]", "{1:0.5,7:-2}/9", "0110", "250us", "1.5h", "64MB", "[nan,inf,-0]", "{}/3"]
        return csv.enumerated().map { FuzzSeed("csv-\($0)", [0] + Array($1.utf8)) }
            + jsonl.enumerated().map { FuzzSeed("jsonl-\($0)", [1] + Array($1.utf8)) }
            + texts.enumerated().map { FuzzSeed("text-\($0)", [4] + Array($1.utf8)) } + packedSeeds + valueSeeds
    }

    private static var packedSeeds: [FuzzSeed] {
        ColumnKind.allCases.enumerated().map { place, kind in
            var writer = RowWriter()
            let value: FilterValue =
                switch kind {
                case .bool: .bool(true)
                case .int2, .int4, .int8: .int(7)
                case .float4, .float8: .double(1.5)
                case .text, .json, .jsonb: .text("{}")
                case .uuid: .uuid(high: 1, low: 2)
                case .timestamp, .date: .timestamp(86_400_000_000)
                case .textArray: .textArray(["a", ""])
                }
            for id in [Int64(1), -1] { try? writer.append(id: id, vector: VectorBytes([1]), values: [value]) }
            try? writer.append(id: 2, vector: nil, values: [nil])
            // One column, ids of 64 bits, the form `vector`, one dimension.
            return FuzzSeed("packed-\(kind.rawValue)", [2, 1, UInt8(place)] + writer.bytes.readableBytesView)
        }
    }

    private static var valueSeeds: [FuzzSeed] {
        let values: [FilterValue] = [
            .int(1), .double(0.5), .text("x"), .bool(false), .timestamp(0), .uuid(high: 0, low: 1), .textArray(["a"]),
        ]
        var bytes = ByteBuffer()
        try? FilterExpression.oneOf(column: "c", values).encode(into: &bytes)
        return [FuzzSeed("values", [3] + bytes.readableBytesView)]
    }
}
