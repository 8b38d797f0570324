import ArgumentParser
import SluiceClient
import SluiceTools

/// The filter of a search or a count.
struct FilterOption: ParsableArguments {
    @Option(help: "Only rows of which it is true, like \"section = 'net' and installed_kib < 5000\".")
    var filter: String?

    func validate() throws {
        // The error's text has the place under a caret.
        do { _ = try parsed() } catch { throw ValidationError("--filter: \(error)") }
    }

    func parsed() throws(FilterSyntaxError) -> Filter? {
        guard let filter else { return nil }
        return try Filter(parsing: filter)
    }
}

/// How fresh the replicas must be that answer.
struct FreshnessOptions: ParsableArguments {
    @Option(help: "Only replicas that have replayed what this token of a write stands for.")
    var after: String?

    @Option(help: "Only replicas that are no further behind, like 5s.")
    var maxStaleness: String?

    @Flag(help: "If no replica is as fresh as that, let another answer.")
    var allowStale = false

    var token: ConsistencyToken? { after.flatMap { ConsistencyToken($0) } }
    var limit: Duration? { maxStaleness.flatMap(DurationText.parse) }

    func validate() throws {
        if after != nil, token == nil {
            throw ValidationError("--after is a token as a write prints it, like s0:16/B374D848,s1:0/3000060")
        }
        if let maxStaleness, limit == nil {
            throw ValidationError("--max-staleness is a time like 500ms or 5s, not \"\(maxStaleness)\"")
        }
        if allowStale, after == nil, maxStaleness == nil {
            throw ValidationError("--allow-stale goes with --after or --max-staleness")
        }
    }
}

/// Everything that makes a search more than a vector and a k.
struct QueryOptions: ParsableArguments {
    enum Fusion: String, ExpressibleByArgument, CaseIterable {
        case rrf
        case sum
    }

    enum Coarse: String, ExpressibleByArgument, CaseIterable {
        case binary
        case half
    }

    enum Iteration: String, ExpressibleByArgument, CaseIterable {
        case off
        case relaxed
        case strict
    }

    @OptionGroup var condition: FilterOption

    @Flag(help: "If fewer than k are found while more may match, search harder.")
    var complete = false

    @Option(parsing: .unconditional, help: "Only rows at most so far away.")
    var maxDistance: Double?

    @Option(help: "The best of each value of this column; k counts groups.")
    var groupBy: String?

    @Option(help: "How many of each group (default: 1).")
    var groupSize: Int?

    @Option(help: "Search for these words, too, and fuse the two lists.")
    var text: String?

    @Option(help: "How to fuse them: rrf (by ranks, the default) or sum (of normalised scores).")
    var fusion: Fusion?

    @Option(help: "Search a small index first, then rank exactly: binary or half.")
    var twoPhase: Coarse?

    @Option(help: "How many rows --two-phase ranks exactly, and how long the lists of --text are.")
    var candidates: Int?

    @Option(help: "ivfflat.probes for this search.")
    var probes: Int?

    @Option(help: "What an index scan does when the filter leaves too few rows: off, relaxed or strict.")
    var iterativeScan: Iteration?

    @Option(help: "work_mem for this search, like 64MB.")
    var workMem: String?

    @Option(help: "The model that made the vector; collections of another refuse it.")
    var model: String?

    @Flag(help: "Neither the cache nor another search's execution answers.")
    var bypassCache = false

    @OptionGroup var freshness: FreshnessOptions

    func validate() throws {
        try check(groupSize, in: 1...10_000, "--group-size")
        try check(candidates, in: 1...1_000_000, "--candidates")
        try check(probes, in: 1...32_768, "--probes")
        if let maxDistance, !maxDistance.isFinite { throw ValidationError("--max-distance must be finite") }
        if let text, !(1...4_096).contains(text.utf8.count) { throw ValidationError("--text has 1 to 4096 bytes") }
        if let workMem { try check(memory: workMem) }
        if groupSize != nil, groupBy == nil { throw ValidationError("--group-size goes with --group-by") }
        if fusion != nil, text == nil { throw ValidationError("--fusion goes with --text") }
        if candidates != nil, text == nil, twoPhase == nil {
            throw ValidationError("--candidates goes with --text or --two-phase")
        }
    }

    private func check(memory text: String) throws {
        guard let kibibytes = MemoryText.kibibytes(text) else {
            throw ValidationError("--work-mem is an amount like 64MB or 4096kB, not \"\(text)\"")
        }
        try check(kibibytes, in: 64...Int(Int32.max), "--work-mem in kB")
    }

    private func check(_ value: Int?, in range: ClosedRange<Int>, _ name: String) throws {
        guard let value, !range.contains(value) else { return }
        throw ValidationError("\(name) must be from \(range.lowerBound) to \(range.upperBound), not \(value)")
    }

    func apply(to query: inout SearchQuery) throws {
        query.filter = try condition.parsed()
        query.complete = complete
        query.maxDistance = maxDistance
        query.group = groupBy.map { .init(by: $0, size: groupSize ?? 1) }
        query.text = text.map {
            .init($0, fusion: fusion == .sum ? .scoreSum : .reciprocalRank(), candidates: candidates)
        }
        query.twoPhase = twoPhase.map { .init($0 == .binary ? .binary : .half, candidates: candidates) }
        query.settings.probes = probes
        query.settings.iterativeScan = iterativeScan.map { scan in
            switch scan {
            case .off: .off
            case .relaxed: .relaxed
            case .strict: .strict
            }
        }
        query.settings.workMemKiB = workMem.flatMap(MemoryText.kibibytes)
        query.model = model
        query.bypassCache = bypassCache
        query.after = freshness.token
        query.maxStaleness = freshness.limit
        query.allowStale = freshness.allowStale
    }
}
