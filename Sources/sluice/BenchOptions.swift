import ArgumentParser
import SluiceBench
import SluiceClient
import SluiceTools

extension ArrivalSchedule.Spacing: ExpressibleByArgument {}
extension FaultPlan.Kind: ExpressibleByArgument {}

/// When requests begin, and for how long.
struct PaceOptions: ParsableArguments {
    @Option(help: "How long to measure.")
    var seconds = 10.0

    @Option(help: "How long to run before measuring.")
    var warmup = 1.0

    @Option(help: "How many requests are in flight on each connection.")
    var concurrency = 16

    @Option(
        help: """
            How many connections (default: 1); with --direct to each shard (default: as many as requests in flight, at \
            most 64).
            """)
    var connections: Int?

    @Option(help: "Requests a second, begun on time whatever has been answered, instead of a closed loop.")
    var rate: Double?

    @Option(help: "How requests at a rate follow one another: poisson, as those of many users (the default), or even.")
    var arrivals: ArrivalSchedule.Spacing?

    @Option(
        help: "The most requests at a rate that are in flight; the rest is not sent, and an error (default: 16384).")
    var maxInFlight: Int?

    @Option(help: "Raise the rate until it is too much: FROM:TO or FROM:TO:STEPS requests a second.")
    var sweep: String?

    @Option(help: "With --sweep: a rate is too much if the p99 is above this, like 20ms.")
    var kneeP99: String?

    @Option(help: "How often to measure, each time anew.")
    var repeats = 1

    @Option(help: "Requests come in the same order with the same number.")
    var seed: UInt64?

    func validate() throws {
        guard seconds > 0, seconds <= 86_400, warmup >= 0, warmup <= 3_600 else {
            throw ValidationError("--seconds must be above 0, --warmup at least 0")
        }
        guard (1...65_536).contains(concurrency), (1...4_096).contains(connections ?? 1) else {
            throw ValidationError("--concurrency must be 1 to 65536, --connections 1 to 4096")
        }
        guard concurrency * (connections ?? 1) <= 65_536 else {
            throw ValidationError("--concurrency times --connections must be at most 65536")
        }
        guard rate != nil || sweep != nil || (arrivals == nil && maxInFlight == nil) else {
            throw ValidationError("--arrivals and --max-in-flight go with --rate or --sweep")
        }
        if let rate, !(0.1...1_000_000).contains(rate) { throw ValidationError("--rate must be 0.1 to 1000000") }
        guard (1...1_000_000).contains(mostInFlight) else {
            throw ValidationError("--max-in-flight must be 1 to 1000000")
        }
        guard (1...1_000).contains(repeats) else { throw ValidationError("--repeats must be 1 to 1000") }
        guard rate == nil || sweep == nil else { throw ValidationError("give --rate or --sweep, not both") }
        if let kneeP99 {
            guard sweep != nil else { throw ValidationError("--knee-p99 goes with --sweep") }
            guard let time = DurationText.parse(kneeP99), time > .zero else {
                throw ValidationError("--knee-p99 is a time like 20ms, not \"\(kneeP99)\"")
            }
        }
        _ = try rates()
    }

    var spacing: ArrivalSchedule.Spacing { arrivals ?? .poisson }
    var mostInFlight: Int { maxInFlight ?? 16_384 }

    func rates() throws -> RateSweep? {
        guard let sweep else { return nil }
        do { return try RateSweep(parsing: sweep) } catch { throw ValidationError("--sweep: \(error.description)") }
    }
}

/// What is asked.
struct AskOptions: ParsableArguments {
    @Option(help: "A collection to search; repeat it to search several at once.")
    var collection: [String] = []

    @Option(
        help: """
            What to ask and how often, like search=70,get=20,batch=10; or one kind alone. There are ping, search, \
            filtered, multi, batch, get and load.
            """)
    var mix: String?

    @Flag(help: "Send pings instead of searches.")
    var ping = false

    @Option(help: "A .npy, .fvecs or .fbin file to draw the vectors from; else they are those of rows.")
    var vectorFile: String?

    @Option(name: [.customShort("k"), .customLong("k")], help: "How many neighbours.")
    var k = 10

    @Option(help: "How many vectors each request of the kind batch has (1 to 64; 8 if only the mix asks for batches).")
    var batch: Int?

    @Option(help: "How many ids each request of the kind get has (default: 1).")
    var getIds: Int?

    @Option(help: "The kind get draws its ids from A to B, each as likely, instead of from some rows' ids: A:B.")
    var idRange: String?

    @Option(help: "The filter of the kind filtered; without it, values of rows.")
    var filter: String?

    @Option(help: "hnsw.ef_search for the searches; with --recall several, like 10,20,40,80,160.")
    var efSearch: String?

    @Option(help: "How long each request may take, like 40ms.")
    var deadline: String?

    @Flag(inversion: .prefixedNo, help: "Let the gateway ask a second replica when the first is slow.")
    var hedges = true

    @Flag(help: "Measure how many of the exact neighbours searches find, for each --ef-search.")
    var recall = false

    @Option(help: "How many searches --recall compares (default: 100).")
    var recallQueries: Int?

    @Option(help: "Where the kind load puts its rows; they are deleted at the end.")
    var loadCollection: String?

    @Option(help: "How many rows each request of the kind load has (default: 100).")
    var loadRows: Int?

    @Option(help: "The first id of loaded rows; no row may have it or a greater one (default: 2^40).")
    var loadFirstID: Int64?

    @Flag(help: "Leave the loaded rows there.")
    var keep = false

    /// Whatever is loaded in a day, the ids after it do not run out.
    private static let greatestFirstID: Int64 = 1 << 62
    static let recallEfSearch = [10, 20, 40, 80, 160]

    func validate() throws {
        guard ping || !collection.isEmpty else { throw ValidationError("give --collection, or --ping") }
        guard !ping || mix == nil else { throw ValidationError("give --ping or --mix, not both") }
        try Checks.search(k: k, efSearch: nil)
        guard (1...64).contains(batch ?? 1) else { throw ValidationError("--batch must be from 1 to 64") }
        guard (1...10_000).contains(getIds ?? 1) else { throw ValidationError("--get-ids must be from 1 to 10000") }
        if idRange != nil {
            guard try requests().has(.get) else { throw ValidationError("--id-range goes with get in --mix") }
            guard ids != nil else { throw ValidationError("--id-range is two ids like 1:1000000, the lesser first") }
        }
        guard (1...100_000).contains(rowsToLoad) else { throw ValidationError("--load-rows must be from 1 to 100000") }
        guard firstLoadedID <= Self.greatestFirstID else {
            throw ValidationError("--load-first-id must be at most \(Self.greatestFirstID)")
        }
        guard (1...10_000).contains(comparedQueries) else {
            throw ValidationError("--recall-queries must be from 1 to 10000")
        }
        if let deadline, DurationText.parse(deadline) == nil {
            throw ValidationError("--deadline is a time like 40ms or 2s, not \"\(deadline)\"")
        }
        let requests = try requests()
        if filter != nil { try checkFilter(requests) }
        guard requests.has(.load) == (loadCollection != nil) else {
            throw ValidationError("--load-collection goes with load in --mix")
        }
        if let loadCollection, !collection.contains(loadCollection), vectorFile != nil {
            throw ValidationError("with --vector-file, --load-collection is one of the --collection")
        }
        try checkOptionsThatGoTogether(requests)
        let values = try efSearches()
        guard recall || values.count <= 1 else { throw ValidationError("several --ef-search go with --recall") }
        // Of several kinds, the throughput beside the recall would be that of all.
        let isComparable = requests.parts.count == 1 && (requests.has(.search) || requests.has(.multi))
        guard !recall || isComparable else {
            throw ValidationError("--recall goes with the kind search or multi, alone")
        }
    }

    private func checkOptionsThatGoTogether(_ requests: RequestMix) throws {
        guard batch == nil || batch == 1 || requests.has(.batch) else {
            throw ValidationError("--batch goes with the kind batch")
        }
        guard getIds == nil || requests.has(.get) else { throw ValidationError("--get-ids goes with get in --mix") }
        guard requests.has(.load) || (loadRows == nil && loadFirstID == nil && !keep) else {
            throw ValidationError("--load-rows, --load-first-id and --keep go with load in --mix")
        }
        guard recall || recallQueries == nil else { throw ValidationError("--recall-queries goes with --recall") }
    }

    var rowsToLoad: Int { loadRows ?? 100 }
    var firstLoadedID: Int64 { loadFirstID ?? 1 << 40 }
    var comparedQueries: Int { recallQueries ?? 100 }

    /// Nil if there are none, or they are no range.
    var ids: ClosedRange<Int64>? {
        let ends = (idRange ?? "").split(separator: ":", omittingEmptySubsequences: false).map { Int64($0) }
        guard ends.count == 2, let first = ends[0], let last = ends[1], first <= last else { return nil }
        return first...last
    }

    private func checkFilter(_ requests: RequestMix) throws {
        guard requests.has(.filtered) else { throw ValidationError("--filter goes with the kind filtered") }
        // The error's text has the place under a caret.
        do { _ = try parsedFilter() } catch { throw ValidationError("--filter: \(error)") }
    }

    func parsedFilter() throws(FilterSyntaxError) -> Filter? {
        guard let filter else { return nil }
        return try Filter(parsing: filter)
    }

    /// Without a mix: what the other options stand for.
    func requests() throws -> RequestMix {
        if let mix {
            do { return try RequestMix(parsing: mix) } catch { throw ValidationError("--mix: \(error.description)") }
        }
        if ping { return RequestMix(.ping) }
        if filter != nil { return RequestMix(.filtered) }
        if let batch, batch > 1 { return RequestMix(.batch) }
        return RequestMix(collection.count > 1 ? .multi : .search)
    }

    func efSearches() throws -> [Int] {
        guard let efSearch else { return recall ? Self.recallEfSearch : [] }
        let values = efSearch.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
        guard !values.isEmpty, values.count <= 100, values.allSatisfy({ ($0 ?? 0) >= 1 }) else {
            throw ValidationError("--ef-search must be at least 1, not \(efSearch)")
        }
        return values.compactMap { $0 }
    }

    var terms: Workload.Terms {
        var terms = Workload.Terms()
        terms.k = k
        terms.deadline = deadline.flatMap(DurationText.parse)
        terms.allowsHedges = hedges
        if let batch { terms.batch = batch }
        terms.getIDs = getIds ?? 1
        terms.idRange = ids
        return terms
    }
}

/// What is done to a replica meanwhile.
struct FaultOptions: ParsableArguments {
    @Option(help: "What to do to a local replica while measuring: kill, stop or slow.")
    var fault: FaultPlan.Kind?

    @Option(help: "To which one; any (the default) picks one that runs, for each run.")
    var faultReplica: String?

    @Option(help: "How many seconds after the measurement began (default: 5).")
    var faultAt: Double?

    @Option(help: "For how many seconds (default: 5).")
    var faultFor: Double?

    @Option(help: "The script that the replicas are made with (default: scripts/replicas).")
    var replicas: String?

    var replica: String { faultReplica ?? "any" }
    var from: Double { faultAt ?? 5 }
    var lasts: Double { faultFor ?? 5 }
    var script: String { replicas ?? "scripts/replicas" }

    func validate() throws {
        let isAlone = faultReplica == nil && faultAt == nil && faultFor == nil && replicas == nil
        guard fault != nil || isAlone else {
            throw ValidationError("--fault-replica, --fault-at, --fault-for and --replicas go with --fault")
        }
        guard from >= 0, from <= 86_400, lasts > 0, lasts <= 3_600 else {
            throw ValidationError("--fault-at must be at least 0, --fault-for above 0")
        }
    }

    var plan: FaultPlan? {
        fault.map { FaultPlan(kind: $0, from: .seconds(from), lasts: .seconds(lasts)) }
    }
}

/// Where the result goes.
struct ResultOptions: ParsableArguments {
    @Flag(help: "Print JSON (docs/cli.md describes it).")
    var json = false

    @Option(help: "Write the same JSON to a file.")
    var output: String?

    @Option(help: "Write the latencies to a file in HdrHistogram's text format.")
    var hgrm: String?

    @Option(help: "Write index.html, measurement.json and latency.hgrm to this folder.")
    var report: String?
}
