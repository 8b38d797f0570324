internal import NIOCore

/// What a part of a request must be, beyond being readable.
enum Rules {
    static func wrong(_ what: String) -> WireError { WireError(.invalidArgument, what) }

    static func check(_ value: Int?, in range: ClosedRange<Int>, _ name: String) throws(WireError) {
        guard let value, !range.contains(value) else { return }
        throw wrong("\(name) is \(value); it must be from \(range.lowerBound) to \(range.upperBound)")
    }

    /// A NaN is in no range.
    static func check(_ value: Double?, in range: ClosedRange<Double>, _ name: String) throws(WireError) {
        guard let value, !range.contains(value) else { return }
        throw wrong("\(name) is \(value); it must be from \(range.lowerBound) to \(range.upperBound)")
    }

    static func check(name text: String, _ what: String) throws(WireError) {
        guard (1...1_024).contains(text.utf8.count), !text.utf8.contains(0) else {
            throw wrong("\(what) must have 1 to 1024 bytes without NUL")
        }
    }
}

/// How the index scans of one search are to work, instead of as their collection's configuration says. The gateway may
/// set narrower bounds.
public struct ScanSettings: Hashable, Sendable {
    /// pgvector's iterative index scans: whether a scan whose rows the filter has thrown out goes on.
    public enum Iteration: UInt8, Hashable, Sendable, CaseIterable {
        case off = 0
        /// Rows may come a little out of order; the gateway sorts them.
        case relaxed = 1
        case strict = 2
    }

    /// `ivfflat.probes`: how many lists are looked at.
    public var probes: Int?
    /// `hnsw.iterative_scan` and `ivfflat.iterative_scan`; the latter has no `strict`.
    public var iterativeScan: Iteration?
    /// `hnsw.max_scan_tuples`: where an iterative scan ends.
    public var maxScanTuples: Int?
    /// `hnsw.scan_mem_multiplier`, of `work_mem`.
    public var scanMemoryMultiplier: Double?
    /// `work_mem`, in KiB.
    public var workMemKiB: Int?

    // pgvector's and PostgreSQL's own ranges (ivfflat.h, hnsw.c, guc_tables.c).
    public static let probeRange = 1...32_768
    public static let scanTupleRange = 1...Int(Int32.max)
    public static let memoryMultiplierRange = 1.0...1_000.0
    public static let workMemRange = 64...Int(Int32.max)

    public init(
        probes: Int? = nil, iterativeScan: Iteration? = nil, maxScanTuples: Int? = nil,
        scanMemoryMultiplier: Double? = nil, workMemKiB: Int? = nil
    ) {
        self.probes = probes
        self.iterativeScan = iterativeScan
        self.maxScanTuples = maxScanTuples
        self.scanMemoryMultiplier = scanMemoryMultiplier
        self.workMemKiB = workMemKiB
    }

    public var isEmpty: Bool { self == ScanSettings() }

    public func validate() throws(WireError) {
        try Rules.check(probes, in: Self.probeRange, "probes")
        try Rules.check(maxScanTuples, in: Self.scanTupleRange, "max_scan_tuples")
        try Rules.check(scanMemoryMultiplier, in: Self.memoryMultiplierRange, "scan_memory_multiplier")
        try Rules.check(workMemKiB, in: Self.workMemRange, "work_mem_kib")
    }
}

/// The best so many of each value of a column.
public struct Grouping: Hashable, Sendable {
    public var column: String
    /// How many of each group, at least 1; k then counts groups.
    public var size: Int

    public static let sizeRange = 1...10_000

    public init(column: String, size: Int) {
        self.column = column
        self.size = size
    }

    public func validate() throws(WireError) {
        try Rules.check(name: column, "the column to group by")
        try Rules.check(size, in: Self.sizeRange, "the size of a group")
    }
}

/// How a full-text list and a vector list become one.
public struct TextSearch: Hashable, Sendable {
    public enum Fusion: UInt8, Hashable, Sendable, CaseIterable {
        /// The sum of weight ÷ (rank constant + rank) over the lists that have the row.
        case reciprocalRank = 0
        /// The sum of weight × (score scaled to 0...1 within its list).
        case normalisedScoreSum = 1
    }

    /// As `websearch_to_tsquery` reads it.
    public var query: String
    public var textWeight: Double
    public var vectorWeight: Double
    public var fusion: Fusion
    /// Only for `reciprocalRank`.
    public var rankConstant: Double
    /// How long each of the two lists is before they are fused; nil for the gateway's default.
    public var candidates: Int?

    public static let maximumQueryBytes = 4_096
    public static let weightRange = 0.0...1e6
    public static let rankConstantRange = 0.0...1e6
    public static let candidateRange = 1...1_000_000

    public init(
        _ query: String, textWeight: Double = 1, vectorWeight: Double = 1, fusion: Fusion = .reciprocalRank,
        rankConstant: Double = 60, candidates: Int? = nil
    ) {
        self.query = query
        self.textWeight = textWeight
        self.vectorWeight = vectorWeight
        self.fusion = fusion
        self.rankConstant = rankConstant
        self.candidates = candidates
    }

    public func validate() throws(WireError) {
        guard (1...Self.maximumQueryBytes).contains(query.utf8.count), !query.utf8.contains(0) else {
            throw Rules.wrong("the text to search for must have 1 to \(Self.maximumQueryBytes) bytes without NUL")
        }
        try Rules.check(textWeight, in: Self.weightRange, "text_weight")
        try Rules.check(vectorWeight, in: Self.weightRange, "vector_weight")
        guard textWeight > 0 || vectorWeight > 0 else { throw Rules.wrong("text_weight and vector_weight are both 0") }
        try Rules.check(rankConstant, in: Self.rankConstantRange, "rank_constant")
        try Rules.check(candidates, in: Self.candidateRange, "the number of candidates")
    }
}

/// Coarse candidates from a smaller index first, the distances of the best of them exactly then.
public struct TwoPhase: Hashable, Sendable {
    public enum Coarse: UInt8, Hashable, Sendable, CaseIterable {
        /// An expression index over `binary_quantize(…)::bit(n)`.
        case binary = 0
        /// An expression index over `…::halfvec(n)`.
        case half = 1
    }

    public var coarse: Coarse
    /// How many are re-ranked, over all shards; nil for the gateway's default.
    public var candidates: Int?

    public static let candidateRange = 1...1_000_000

    public init(_ coarse: Coarse, candidates: Int? = nil) {
        self.coarse = coarse
        self.candidates = candidates
    }

    public func validate() throws(WireError) {
        try Rules.check(candidates, in: Self.candidateRange, "the number of candidates")
    }
}

/// A row, whose vector is the one to search for.
public struct RowReference: Hashable, Sendable {
    public var collection: String
    public var id: Int64

    public init(collection: String, id: Int64) {
        self.collection = collection
        self.id = id
    }
}
