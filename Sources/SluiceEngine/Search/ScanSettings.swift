internal import SluiceCore

/// How the index scans of a search work: what a request asks for, or a collection's defaults. Nil for the server's own.
public struct ScanSettings: Hashable, Sendable {
    public enum Iteration: UInt8, Hashable, Sendable, CaseIterable {
        case off
        case relaxed
        case strict
    }

    /// hnsw.ef_search, 1...1,000.
    public var efSearch: Int?
    /// ivfflat.probes, 1...32,768.
    public var probes: Int?
    /// hnsw.iterative_scan and ivfflat.iterative_scan.
    public var iterativeScan: Iteration?
    /// hnsw.max_scan_tuples, 1...2^31 - 1.
    public var maxScanTuples: Int?
    /// hnsw.scan_mem_multiplier, 1...1,000.
    public var scanMemoryMultiplier: Double?
    /// In KiB, 64...2^31 - 1.
    public var workMemKiB: Int?

    public init() {}

    var isEmpty: Bool {
        efSearch == nil && probes == nil && iterativeScan == nil && maxScanTuples == nil && scanMemoryMultiplier == nil
            && workMemKiB == nil
    }

    /// Whether the server's own settings find so many rows.
    static func suffices(for limit: Int) -> Bool { limit <= defaultEfSearch }

    /// HNSW finds at most ef_search rows, so less than the limit would cut the answer short.
    func efSearch(for limit: Int, caps: ScanSettings) -> Int {
        let needed = max(efSearch ?? Self.defaultEfSearch, min(limit, EscalationLadder.highestEfSearch))
        return min(needed, max(caps.efSearch ?? .max, efSearch ?? 1))
    }

    /// Whether a scan goes on where `ef_search` ends.
    func iterates(for limit: Int) -> Bool {
        iterativeScan.map { $0 != .off } ?? (limit > EscalationLadder.highestEfSearch)
    }

    /// What is not said here, from `others`.
    func filled(from others: ScanSettings) -> ScanSettings {
        var filled = self
        filled.efSearch = efSearch ?? others.efSearch
        filled.probes = probes ?? others.probes
        filled.iterativeScan = iterativeScan ?? others.iterativeScan
        filled.maxScanTuples = maxScanTuples ?? others.maxScanTuples
        filled.scanMemoryMultiplier = scanMemoryMultiplier ?? others.scanMemoryMultiplier
        filled.workMemKiB = workMemKiB ?? others.workMemKiB
        return filled
    }

    /// - Throws: `invalidArgument` that names the setting, the value and the range.
    func checkRanges() throws(SearchError) {
        try Self.check(efSearch.map(Double.init), "ef_search", 1...1_000)
        try Self.check(probes.map(Double.init), "probes", 1...32_768)
        try Self.check(maxScanTuples.map(Double.init), "max_scan_tuples", 1...2_147_483_647)
        try Self.check(scanMemoryMultiplier, "scan_memory_multiplier", 1...1_000)
        try Self.check(workMemKiB.map(Double.init), "work_mem_kib", 64...2_147_483_647)
    }

    /// - Throws: `invalidArgument` if it asks for more than a collection's caps allow.
    func check(within caps: ScanSettings, of collection: String) throws(SearchError) {
        let pairs: [(String, Double?, Double?)] = [
            ("ef_search", efSearch.map(Double.init), caps.efSearch.map(Double.init)),
            ("probes", probes.map(Double.init), caps.probes.map(Double.init)),
            ("max_scan_tuples", maxScanTuples.map(Double.init), caps.maxScanTuples.map(Double.init)),
            ("scan_memory_multiplier", scanMemoryMultiplier, caps.scanMemoryMultiplier),
            ("work_mem_kib", workMemKiB.map(Double.init), caps.workMemKiB.map(Double.init)),
        ]
        for case (let name, let asked?, let most?) in pairs where asked > most {
            throw SearchError(
                .invalidArgument,
                "\(name) is \(Self.text(asked)); collection \"\(collection)\" allows at most \(Self.text(most))")
        }
    }

    private static func check(
        _ value: Double?, _ name: String, _ range: ClosedRange<Double>
    ) throws(SearchError) {
        guard let value, !range.contains(value) else { return }
        throw SearchError(
            .invalidArgument,
            "\(name) is \(text(value)); it must be from \(text(range.lowerBound)) to \(text(range.upperBound))")
    }

    private static func text(_ number: Double) -> String {
        number == number.rounded() && abs(number) < 1e15 ? String(Int64(number)) : String(number)
    }

    // MARK: PostgreSQL

    /// The settings' names and values as PostgreSQL has them, in a fixed order.
    func assignments(limit: Int, caps: ScanSettings) -> [(name: String, value: String)] {
        var all: [(name: String, value: String)] = []
        let needed = efSearch(for: limit, caps: caps)
        if efSearch != nil || needed != Self.defaultEfSearch { all.append(("hnsw.ef_search", String(needed))) }
        if let probes { all.append(("ivfflat.probes", String(probes))) }
        if let iteration = iterativeScan ?? (limit > EscalationLadder.highestEfSearch ? .strict : nil) {
            all.append(("hnsw.iterative_scan", Self.words[Int(iteration.rawValue)]))
            // IVFFlat has no strict order; what is relaxed there is sorted here.
            all.append(("ivfflat.iterative_scan", iteration == .off ? "off" : "relaxed_order"))
        }
        // What this gateway turns on by itself keeps to the cap, too.
        if let maxScanTuples = maxScanTuples ?? (iterates(for: limit) ? caps.maxScanTuples : nil) {
            all.append(("hnsw.max_scan_tuples", String(maxScanTuples)))
        }
        if let scanMemoryMultiplier { all.append(("hnsw.scan_mem_multiplier", String(scanMemoryMultiplier))) }
        if let workMemAssignment { all.append(workMemAssignment) }
        return all
    }

    var workMemAssignment: (name: String, value: String)? { workMemKiB.map { ("work_mem", "\($0)kB") } }

    private static let words = ["off", "relaxed_order", "strict_order"]
    /// pgvector's.
    private static let defaultEfSearch = 40
}
