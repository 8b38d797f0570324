import NIOCore
import SluiceWire

// MARK: Types on the wire

extension BadSearch {
    /// Values that are a byte too long for the field's type.
    static let lengths: [BadSearch] = {
        let fields: [(tag: UInt16, size: Int)] = [
            (3, 4), (5, 8), (6, 4), (7, 1), (8, 1), (9, 8), (10, 1), (11, 1), (13, 1), (16, 1), (18, 8), (19, 1),
            (20, 8), (25, 4), (26, 1), (27, 1),
        ]
        let parts: [(tag: UInt16, name: String, inner: UInt16, size: Int)] = [
            (15, "override", 3, 1), (15, "override", 4, 4), (15, "override", 7, 1), (17, "settings", 1, 4),
            (17, "settings", 2, 1), (17, "settings", 3, 4), (17, "settings", 4, 8), (17, "settings", 5, 4),
            (21, "group", 2, 4), (22, "text", 2, 8), (22, "text", 3, 8), (22, "text", 4, 1), (22, "text", 5, 8),
            (22, "text", 6, 4), (23, "two_phase", 1, 1), (23, "two_phase", 2, 4), (28, "by_id", 2, 8),
        ]
        return fields.map { field in
            BadSearch.field(
                field.tag, Array(repeating: 0, count: field.size + 1),
                ["SEARCH: field \(field.tag) must be an integer of \(field.size) bytes"])
        }
            + parts.map { part in
                BadSearch.part(
                    part.tag, [(part.inner, Array(repeating: 0, count: part.size + 1))],
                    ["\(part.name): field \(part.inner) must be an integer of \(part.size) bytes"])
            }
    }()

    /// Bytes that no flag and no choice has.
    static let choices: [BadSearch] =
        ([7, 8, 10, 11, 16, 19, 26, 27] as [UInt16]).map { field($0, [2], ["SEARCH: field \($0) must be 0 or 1"]) }
        + [
            field(13, [4], ["SEARCH: field 13", "not 4"]), part(17, [(2, [3])], ["settings: field 2", "not 3"]),
            part(22, [(4, [2])], ["text: field 4", "not 2"]), part(23, [(1, [2])], ["two_phase: field 1", "not 2"]),
            part(15, [(3, [4])], ["override: field 3", "not 4"]),
            part(15, [(7, [2])], ["override: field 7 must be 0 or 1"]),
        ]

    static let texts: [BadSearch] = {
        let long = Array(repeating: UInt8(ascii: "x"), count: 1_025)
        let broken: [([UInt8], String)] = [([0xC3, 0x28], "UTF-8"), ([0x61, 0], "NUL"), (long, "at most 1024 bytes")]
        return broken.flatMap { bytes, word in
            ([1, 4, 24] as [UInt16]).map { field($0, bytes, ["SEARCH: field \($0)", word]) }
                + [
                    part(15, [(1, bytes)], ["override: field 1", word]),
                    part(15, [(5, bytes)], ["override: field 5", word]),
                    part(21, [(1, bytes)], ["group: field 1", word]), part(28, [(1, bytes)], ["by_id: field 1", word]),
                ]
        }
    }()

    static let missing: [BadSearch] = [
        BadSearch(name: "nothing", code: .malformed, words: ["SEARCH: without a collection"]) { _ in },
        request("no vector", ["SEARCH: without a vector"], .malformed) { $0.vectors = [] },
        field(3, [], ["SEARCH: without k"], times: 0), part(15, [], ["override: without a collection"]),
        part(21, [(2, [0, 0, 0, 1])], ["group: without a column"]), part(22, [], ["text: without a query"]),
        part(23, [(2, [0, 0, 0, 1])], ["two_phase: without its coarse form"]),
        part(28, [(1, [0x61])], ["by_id: without a collection or an id"]),
    ]

    /// What may be there once.
    static let twice: [BadSearch] =
        ([7, 8, 10, 11, 13, 16, 19, 26, 27] as [UInt16]).map {
            field($0, [0], ["SEARCH: field \($0) is there twice"], times: 2)
        } + [
            field(3, [0, 0, 0, 3], ["SEARCH: field 3 is there twice"], times: 2),
            part(17, [(1, [0, 0, 0, 1]), (1, [0, 0, 0, 1])], ["settings: field 1 is there twice"]),
            part(22, [(1, [0x61]), (1, [0x61])], ["text: field 1 is there twice"]),
        ]
}

// MARK: Vectors

extension BadSearch {
    private static func vector(
        _ name: String, _ words: [String], code: ErrorCode = .invalidArgument, in collection: String = "programs",
        _ vector: VectorBytes
    ) -> BadSearch {
        request(name, words, code, in: collection) { $0.vector = vector }
    }

    private static func raw(_ numbers: [Int32], _ form: VectorForm) -> VectorBytes {
        var bytes = ByteBuffer()
        for number in numbers { bytes.writeInteger(number) }
        return VectorBytes(unchecked: bytes, form: form)
    }

    static let vectors: [BadSearch] = [
        vector("no dimensions", ["0 dimensions", "1 to 16000"], VectorBytes([])),
        vector("16001 dimensions", ["16001", "16000"], VectorBytes(Array(repeating: 1, count: 16_001))),
        vector("fewer bytes than it says", ["declares 3 dimensions"], raw([3 << 16, 0, 0], .vector)),
        vector("a second field that is not 0", ["second field"], raw([3 << 16 | 1, 0, 0, 0], .vector)),
        vector("NaN halves", ["component 2"], in: "halves", VectorBytes(half: [1, 2, .nan])),
        vector("infinite halves", ["component 0"], in: "halves", VectorBytes(half: [-.infinity, 2, 3])),
        vector("a sparse zero", ["component 1", "zero"], in: "sparse", sparse([0, 2], [1, 0])),
        vector("a sparse NaN", ["component 0"], in: "sparse", sparse([0, 2], [.nan, 1])),
        vector("a sparse infinity", ["component 1"], in: "sparse", sparse([0, 2], [1, .infinity])),
        vector("indices that descend", ["index 1", "ascend"], in: "sparse", sparse([2, 0], [1, 1])),
        vector("an index twice", ["index 1", "ascend"], in: "sparse", sparse([1, 1], [1, 1])),
        vector("an index out of range", ["index 0", "0 to 2"], in: "sparse", sparse([3], [1])),
        vector("more components than dimensions", ["4 components"], in: "sparse", raw([3, 4, 0], .sparsevec)),
        vector("a count without components", ["declares 3 dimensions"], in: "sparse", raw([3, 2, 0], .sparsevec)),
        vector("a third field that is not 0", ["third field"], in: "sparse", raw([3, 0, 1], .sparsevec)),
        vector("no bits", ["0 dimensions", "1 to 64000"], in: "bits", raw([0], .bit)),
        vector("bits after the last", ["zeros after its last bit"], in: "bits", trailing),
        vector("bits without bytes", ["declares 3 dimensions"], in: "bits", raw([3], .bit)),
        request("the second of a batch", ["vector 1 of the batch", "component 0"]) {
            $0.vectors += [VectorBytes([.infinity, 1, 2])]
        },
        vector("2 halves", ["halves", "3", "2"], code: .dimensionMismatch, in: "halves", VectorBytes(half: [1, 2])),
        vector("4 dimensions", ["sparse", "4"], code: .dimensionMismatch, in: "sparse", sparse([0], [1], of: 4)),
        vector("2 bits", ["bits", "3", "2"], code: .dimensionMismatch, in: "bits", VectorBytes(bits: [true, false])),
    ]

    private static func sparse(_ indices: [Int], _ values: [Float], of dimensions: Int = 3) -> VectorBytes {
        VectorBytes(sparse: dimensions, indices: indices, values: values)
    }

    private static var trailing: VectorBytes {
        var bytes = raw([3], .bit).bytes
        bytes.writeInteger(UInt8(0b1010_0001))
        return VectorBytes(unchecked: bytes, form: .bit)
    }

    /// Each type where another is wanted.
    static let forms: [BadSearch] = {
        let vectors: [(name: String, type: String, vector: VectorBytes)] = [
            ("programs", "vector", VectorBytes([1, 2, 3])), ("halves", "halfvec", VectorBytes(half: [1, 2, 3])),
            ("sparse", "sparsevec", sparse([0], [1])), ("bits", "bit", VectorBytes(bits: [true, false, true])),
        ]
        return vectors.flatMap { collection in
            vectors.filter { $0.name != collection.name }.map { other in
                vector(
                    "\(other.type) in \(collection.name)",
                    [collection.name, "of type \(collection.type)", "request's is \(other.type)"],
                    in: collection.name, other.vector)
            }
        }
    }()
}

// MARK: Filters

extension BadSearch {
    static let filterBytes: [BadSearch] = {
        let leaf: [UInt8] = [7, 1, 0x61]
        let many = Array(repeating: leaf, count: 1_024).flatMap(\.self)
        let list = [5, 1, 0x61, 0x27, 0x11] + Array(repeating: [1, 1] as [UInt8], count: 10_001).flatMap(\.self)
        let limits: [(String, [UInt8])] = [
            ("more than 16 levels", Array(repeating: 3, count: 16) + leaf), ("more than 1024 nodes", [1, 4, 0] + many),
            ("a list has 10001 values", list),
            ("more than 65536 bytes", [8, 1, 0x61, 0, 1, 0, 0] + Array(repeating: 0x78, count: 65_536)),
            ("no operand", [2, 0, 0]), ("a column's name has 0 bytes", [7, 0]),
            ("NaN or infinite", [4, 1, 0x61, 1, 3, 0x7F, 0xF0, 0, 0, 0, 0, 0, 0]),
            ("timestamp is out of range", [4, 1, 0x61, 1, 5, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        ]
        return limits.map { field(14, $0.1, ["filter", $0.0], .invalidArgument) }
            + limits.map { part(15, [(1, Array("programs".utf8)), (6, $0.1)], ["filter", $0.0], .invalidArgument) }
            + [field(14, [], ["filter", "cut short"]), field(14, leaf + leaf, ["filter", "follow after its end"])]
    }()

    static let filters: [BadSearch] = {
        let day = FilterValue.text("yesterday \(secret)")
        let wrong: [(String, FilterExpression)] = [
            ("size", .compare(column: "size", .equal, .text(secret))),
            ("name", .compare(column: "name", .less, .int(5))), ("flag", .compare(column: "flag", .equal, .int(1))),
            ("score", .compare(column: "score", .equal, .bool(true))),
            ("made", .compare(column: "made", .less, day)), ("key", .oneOf(column: "key", [.text(secret)])),
            ("size", .between(column: "size", low: .int(1), high: .text(secret))),
            ("size", .hasPrefix(column: "size", secret)), ("name", .overlaps(column: "name", [secret])),
            ("tags", .compare(column: "tags", .less, .textArray([secret]))), ("tags", .oneOf(column: "tags", [])),
            ("tags", .between(column: "tags", low: .textArray([]), high: .textArray([]))),
            ("size", .not(.and([.isNull(column: "name"), .oneOf(column: "size", [.int(1), .text(secret)])]))),
        ]
        return wrong.map { column, filter in
            request("\(filter)", ["filter: column \"\(column)\" is"], in: "capped") { $0.filter = filter }
        } + [
            request("a column that is not filterable", ["capped", "hidden"], .unknownColumn, in: "capped") {
                $0.filter = .or([.isNull(column: "name"), .isNull(column: "hidden")])
            },
            request("a column of another collection", ["programs", "size"], .unknownColumn) {
                $0.collections = ["capped", "programs"]
                $0.filter = .isNull(column: "size")
            },
        ]
    }()
}
