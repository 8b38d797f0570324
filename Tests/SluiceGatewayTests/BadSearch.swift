import NIOCore
import SluiceWire

/// A SEARCH that is refused before any shard is asked. Values that must not come back in a message are or contain
/// `BadSearch.secret`.
struct BadSearch: Sendable {
    var name: String
    var code: ErrorCode
    /// What the message says: the field above all.
    var words: [String]
    var write: @Sendable (inout ByteBuffer) -> Void

    static let secret = "s3cret"

    /// What is bad about a request that is good without the change.
    static func request(
        _ name: String, _ words: [String], _ code: ErrorCode = .invalidArgument, in collection: String = "programs",
        _ change: @Sendable (inout SearchRequest) -> Void
    ) -> BadSearch {
        var request = good(collection)
        change(&request)
        return BadSearch(name: name, code: code, words: words) { [request] in request.encode(into: &$0) }
    }

    static func good(_ collection: String = "programs") -> SearchRequest {
        SearchRequest(collections: [collection], vector: VectorBytes([1, 2, 3]), k: 3)
    }

    /// A field that no encoder writes, in a request without it.
    static func field(
        _ tag: UInt16, _ bytes: [UInt8], _ words: [String], _ code: ErrorCode = .malformed, times: Int = 1
    ) -> BadSearch {
        BadSearch(name: "field \(tag) with \(bytes.count) bytes", code: code, words: words) { buffer in
            writeGood(into: &buffer, without: tag)
            for _ in 0..<times { buffer.writeField(tag, bytes) }
        }
    }

    /// The same of a field whose value is a payload of its own.
    static func part(
        _ tag: UInt16, _ inner: [(UInt16, [UInt8])], _ words: [String], _ code: ErrorCode = .malformed
    ) -> BadSearch {
        var value = ByteBuffer()
        for (tag, bytes) in inner { value.writeField(tag, bytes) }
        return field(tag, Array(value.readableBytesView), words, code)
    }

    private static func writeGood(into buffer: inout ByteBuffer, without missing: UInt16) {
        let fields: [(tag: UInt16, bytes: [UInt8])] = [
            (1, Array("programs".utf8)), (2, Array(VectorBytes([1, 2, 3]).bytes.readableBytesView)), (3, [0, 0, 0, 3]),
        ]
        for field in fields where field.tag != missing { buffer.writeField(field.tag, field.bytes) }
    }

    /// Collections for what one of them alone can be asked.
    static let collections = """
          - {name: halves, table: t, type: halfvec, metric: l2, dimensions: 3}
          - {name: sparse, table: t, type: sparsevec, metric: l2, dimensions: 3}
          - {name: bits, table: t, type: bit, metric: hamming, dimensions: 3}
          - name: capped
            table: t
            metric: cosine
            dimensions: 3
            model: mini
            columns: [name, hidden]
            filterable: {name: text, size: int, score: float, flag: bool, made: timestamp, key: uuid, tags: "text[]"}
            caps: {ef_search: 100, probes: 10, max_scan_tuples: 5000, scan_memory_multiplier: 2, work_mem: 1MiB}
        """
}

extension ByteBuffer {
    fileprivate mutating func writeField(_ tag: UInt16, _ bytes: [UInt8]) {
        writeMultipleIntegers(tag, UInt32(clamping: bytes.count))
        writeBytes(bytes)
    }
}

// MARK: Ranges

extension BadSearch {
    static let numbers: [BadSearch] = [
        request("k of all ones", ["k is 4294967295", "1 to 1000"]) { $0.k = Int(UInt32.max) },
        request("probes of 0", ["probes is 0", "1 to 32768"]) { $0.settings.probes = 0 },
        request("probes of 32769", ["probes is 32769"]) { $0.settings.probes = 32_769 },
        request("max_scan_tuples of 0", ["max_scan_tuples is 0", "1 to 2147483647"]) { $0.settings.maxScanTuples = 0 },
        request("max_scan_tuples of 2^31", ["max_scan_tuples is 2147483648"]) { $0.settings.maxScanTuples = 1 << 31 },
        request("work_mem_kib of 63", ["work_mem_kib is 63", "64 to 2147483647"]) { $0.settings.workMemKiB = 63 },
        request("work_mem_kib of 2^31", ["work_mem_kib is 2147483648"]) { $0.settings.workMemKiB = 1 << 31 },
        request("page_size of 0", ["page_size is 0"]) { $0.pageSize = 0 },
        request("groups of 0", ["the size of a group is 0", "1 to 10000"]) { $0.group = .init(column: "a", size: 0) },
        request("groups of 10001", ["the size of a group is 10001"]) { $0.group = .init(column: "a", size: 10_001) },
        request("groups by nothing", ["the column to group by"]) { $0.group = .init(column: "", size: 1) },
        request("no candidates for text", ["candidates is 0", "1 to 1000000"]) {
            $0.text = .init(secret, candidates: 0)
        },
        request("too many candidates for text", ["candidates is 1000001"]) {
            $0.text = .init(secret, candidates: 1_000_001)
        },
        request("no coarse candidates", ["candidates is 0"]) { $0.twoPhase = .init(.binary, candidates: 0) },
        request("too many coarse candidates", ["candidates is 1000001"]) {
            $0.twoPhase = .init(.half, candidates: 1_000_001)
        },
        request("both weights 0", ["text_weight", "vector_weight"]) {
            $0.text = .init(secret, textWeight: 0, vectorWeight: 0)
        },
        request("an empty text", ["text", "1 to 4096 bytes"]) { $0.text = .init("") },
        request("a text of 4097 bytes", ["text: field 1", "4096"], .malformed) {
            $0.text = .init(String(repeating: "x", count: 4_097))
        },
        request("a text with NUL", ["text: field 1", "NUL"], .malformed) { $0.text = .init("\(secret)\0") },
        request("a model without a name", ["model"]) { $0.model = "" },
        request("another model", ["capped", "mini", "maxi"], .modelMismatch, in: "capped") { $0.model = "maxi" },
    ]

    /// Each outside its range, and never a number.
    static let fractions: [BadSearch] = {
        let fields: [(name: String, beyond: [Double], write: @Sendable (inout SearchRequest, Double) -> Void)] = [
            ("scan_memory_multiplier", [0.99, 1_000.5, -1], { $0.settings.scanMemoryMultiplier = $1 }),
            ("max_distance", [], { $0.maxDistance = $1 }),
            ("min_coverage", [-0.01, 1.01], { $0.minCoverage = $1 }),
            ("probability", [0, -0.5, 1.000_1], { $0.probability = $1 }),
            ("text_weight", [-1, 1_000_001], { $0.text = .init(secret, textWeight: $1) }),
            ("vector_weight", [-1, 1_000_001], { $0.text = .init(secret, vectorWeight: $1) }),
            ("rank_constant", [-1, 1_000_001], { $0.text = .init(secret, rankConstant: $1) }),
        ]
        return fields.flatMap { field in
            (field.beyond + [.nan, .infinity, -.infinity]).map { number in
                request("\(field.name) of \(number)", ["\(field.name) is \(number)"]) { field.write(&$0, number) }
            }
        }
    }()

    /// What a collection's caps do not allow.
    static let caps: [BadSearch] = [
        request("ef_search", ["ef_search is 101", "capped", "at most 100"], in: "capped") { $0.efSearch = 101 },
        request("probes", ["probes is 11", "capped", "at most 10"], in: "capped") { $0.settings.probes = 11 },
        request("max_scan_tuples", ["max_scan_tuples is 5001", "capped", "at most 5000"], in: "capped") {
            $0.settings.maxScanTuples = 5_001
        },
        request("scan_memory_multiplier", ["scan_memory_multiplier is 2.5", "capped", "at most 2"], in: "capped") {
            $0.settings.scanMemoryMultiplier = 2.5
        },
        request("work_mem", ["work_mem_kib is 1025", "capped", "at most 1024"], in: "capped") {
            $0.settings.workMemKiB = 1_025
        },
        request("of one of two collections", ["probes is 11", "capped"]) {
            $0.collections = ["programs", "capped"]
            $0.settings.probes = 11
        },
    ]

    static let counts: [BadSearch] = [
        request("65 collections", ["at most 64 collections"]) { $0.collections = (0..<65).map { "c\($0)" } },
        request("64 collections", ["c0"], .unknownCollection) { $0.collections = (0..<64).map { "c\($0)" } },
        request("257 columns", ["at most 256 columns"]) { $0.columns = (0..<257).map { "c\($0)" } },
        request("256 columns", ["c0"], .unknownColumn) { $0.columns = (0..<256).map { "c\($0)" } },
        request("65 vectors", ["at most 64 vectors"]) {
            $0.vectors = Array(repeating: VectorBytes([1, 2, 3]), count: 65)
        },
        request("65 overrides", ["at most 64 overrides"]) {
            $0.overrides = Array(repeating: CollectionOverride(collection: "programs"), count: 65)
        },
        request("257 columns of a collection", ["at most 256 columns"]) {
            $0.overrides = [CollectionOverride(collection: "programs", columns: (0..<257).map { "c\($0)" })]
        },
    ]
}

// MARK: Fields together

extension BadSearch {
    static let combinations: [BadSearch] = {
        typealias Part = (name: String, add: @Sendable (inout SearchRequest) -> Void)
        let page: Part = ("page_size", { $0.pageSize = 2 })
        let batch: Part = ("a batch", { $0.vectors += [VectorBytes([1, 2, 3])] })
        let separate: Part = ("separate", { $0.separate = true })
        let stream: Part = ("stream", { $0.stream = true })
        let group: Part = ("group", { $0.group = .init(column: "name", size: 1) })
        let text: Part = ("text", { $0.text = .init(secret) })
        let exact: Part = ("exact", { $0.exact = true })
        let twoPhase: Part = ("two_phase", { $0.twoPhase = .init(.binary) })
        let pairs = [
            (page, batch), (page, separate), (page, stream), (page, group), (text, batch), (text, separate),
            (group, batch), (group, separate), (group, stream), (exact, twoPhase),
        ]
        let together = pairs.map { one, other in
            request("\(one.name) with \(other.name)", [one.name, other.name, "do not go together"]) {
                one.add(&$0)
                other.add(&$0)
            }
        }
        return together + [
            request("by_id with a vector", ["by_id", "vector"]) {
                $0.byID = RowReference(collection: "programs", id: 1)
            },
            request("a batch and an override's vector", ["batch", "override"]) {
                $0.vectors += [VectorBytes([1, 2, 3])]
                $0.overrides = [CollectionOverride(collection: "programs", vector: VectorBytes([1, 2, 3]))]
            },
            request("a vector for one of two collections", ["override with a vector for each collection"]) {
                $0.collections = ["programs", "capped"]
                $0.vectors = []
                $0.overrides = [CollectionOverride(collection: "programs", vector: VectorBytes([1, 2, 3]))]
            },
        ]
    }()

    static let overrides: [BadSearch] = [
        request("of what is not searched", ["capped", "not searched"]) {
            $0.overrides = [CollectionOverride(collection: "capped")]
        },
        request("twice", ["two overrides for programs"]) {
            $0.overrides = Array(repeating: CollectionOverride(collection: "programs"), count: 2)
        },
        request("with k of 0", ["k for programs is 0"]) {
            $0.overrides = [CollectionOverride(collection: "programs", k: 0)]
        },
        request("with k of 1001", ["k is 1001", "1 to 1000"]) {
            $0.overrides = [CollectionOverride(collection: "programs", k: 1_001)]
        },
        request("with a column that is not there", ["programs", "colour"], .unknownColumn) {
            $0.overrides = [CollectionOverride(collection: "programs", columns: ["colour"])]
        },
        request("with a column twice", ["name", "twice"]) {
            $0.overrides = [CollectionOverride(collection: "programs", columns: ["name", "name"])]
        },
        request("with NaN", ["component 1"]) {
            $0.overrides = [CollectionOverride(collection: "programs", vector: VectorBytes([1, .nan, 3]))]
        },
        request("with other dimensions", ["programs", "3 dimensions", "has 2"], .dimensionMismatch) {
            $0.overrides = [CollectionOverride(collection: "programs", vector: VectorBytes([1, 2]))]
        },
        request("with another type", ["programs", "vector", "halfvec"]) {
            $0.overrides = [CollectionOverride(collection: "programs", vector: VectorBytes(half: [1, 2, 3]))]
        },
        request("with a filter that does not fit", ["\"size\"", "int"], in: "capped") {
            let filter = FilterExpression.compare(column: "size", .equal, .text(secret))
            $0.overrides = [CollectionOverride(collection: "capped", filter: filter)]
        },
    ]
}
