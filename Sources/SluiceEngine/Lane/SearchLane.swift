public import Logging
public import SluiceCore

/// One reactor's share of the gateway: its slice of every pool, and the searches of its sessions, from planning to
/// merging. Everything here happens on one thread, so the way of a search takes no lock.
public actor SearchLane {
    public struct Configuration: Sendable {
        public var maximumK: Int
        public var acquireTimeout: Duration
        public var connectTimeout: Duration
        /// The most bytes of cells that one leg may bring.
        public var maximumLegBytes: Int

        public init(maximumK: Int, acquireTimeout: Duration, connectTimeout: Duration, maximumLegBytes: Int) {
            self.maximumK = maximumK
            self.acquireTimeout = acquireTimeout
            self.connectTimeout = connectTimeout
            self.maximumLegBytes = maximumLegBytes
        }
    }

    /// A replica with the share of its pool that this lane holds.
    public struct BackendSlice: Sendable {
        public var backend: any SearchBackend
        public var pool: PoolMachine.Configuration

        public init(backend: any SearchBackend, pool: PoolMachine.Configuration) {
            self.backend = backend
            self.pool = pool
        }
    }

    public nonisolated let index: Int
    public nonisolated let executor: any LaneExecutor
    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    let configuration: Configuration
    let logger: Logger
    var planner: Planner
    var backends: [BackendState]
    var waiters: [WaiterID: PendingLease] = [:]
    var nextWaiter: UInt64 = 0
    var random = SplitMix64(seed: .random(in: .min ... .max))

    public init(
        index: Int, executor: any LaneExecutor, catalogue: Catalogue, backends: [BackendSlice],
        configuration: Configuration, logger: Logger
    ) {
        self.index = index
        self.executor = executor
        self.configuration = configuration
        self.logger = logger
        planner = Planner(catalogue: catalogue, maximumK: configuration.maximumK)
        self.backends = backends.map { BackendState(backend: $0.backend, machine: PoolMachine($0.pool)) }
    }

    /// Plans, runs and merges one search. Cancelling the task ends it with `cancelled`.
    public func search(_ search: Search) async -> SearchOutcome {
        let started = executor.now()
        let plan: SearchPlan
        do throws(SearchError) {
            guard search.deadline > started else {
                throw SearchError(.deadlineExceeded, "the deadline had passed when the search arrived")
            }
            plan = try planner.plan(search)
        } catch {
            return SearchOutcome(result: .failure(error))
        }
        return await fanOut(plan, for: search, since: started)
    }

    // MARK: Fan-out

    private func fanOut(_ plan: SearchPlan, for search: Search, since started: Instant) async -> SearchOutcome {
        var results: [LegResult?] = Array(repeating: nil, count: plan.legs.count)
        var machine = FanOutMachine(legCount: plan.legs.count, allowsPartial: search.allowsPartial)
        var verdict: FanOutMachine.Verdict?
        if plan.legs.count == 1, let only = plan.legs.first {
            let result = await runLeg(only, plan.settings, search)
            verdict = Self.decide(&machine, 0, result)
            results[0] = result
        } else {
            await withTaskGroup(of: (Int, LegResult).self) { group in
                for (index, leg) in plan.legs.enumerated() {
                    group.addTask { (index, await self.runLeg(leg, plan.settings, search)) }
                }
                while let (index, result) = await group.next() {
                    results[index] = result
                    guard verdict == nil else { continue }
                    verdict = Self.decide(&machine, index, result)
                    // Those that still run can change nothing; they end at once, and their connections settle behind
                    // the fence.
                    if verdict != nil { group.cancelAll() }
                }
            }
        }
        let finished = results.compactMap(\.self)
        let unsettled = finished.flatMap(\.unsettled)
        return SearchOutcome(result: conclude(verdict, finished, plan, search, started), unsettled: unsettled)
    }

    private static func decide(
        _ machine: inout FanOutMachine, _ leg: Int, _ result: LegResult
    ) -> FanOutMachine.Verdict? {
        let action = result.report.status == .ok ? machine.legSucceeded(leg) : machine.legFailed(leg)
        guard case .finish(let verdict) = action else { return nil }
        return verdict
    }

    private func conclude(
        _ verdict: FanOutMachine.Verdict?, _ results: [LegResult], _ plan: SearchPlan, _ search: Search,
        _ started: Instant
    ) -> Result<SearchAnswer, SearchError> {
        let legs = results.map(\.report)
        switch verdict {
        case .answer(let coverage):
            let hits = merge(legs, plan, k: search.k)
            return .success(
                SearchAnswer(
                    hits: hits, legs: legs, coverage: coverage, elapsed: started.duration(to: executor.now())))
        case .fail(let leg) where legs.indices.contains(leg):
            return .failure(Self.error(for: legs[leg], all: legs))
        case .fail, nil:
            return .failure(SearchError(.unavailable, "no shard answered", legs: legs))
        }
    }

    private func merge(_ legs: [LegReport], _ plan: SearchPlan, k: Int) -> [Candidate] {
        var merge = TopKMerge(k: k)
        for (index, leg) in legs.enumerated() {
            let rank = plan.legs[index].collectionRank
            for row in 0..<leg.rows.count {
                merge.offer(
                    Candidate(
                        distance: leg.rows.distances[row], collection: rank, id: leg.rows.ids[row], leg: index,
                        row: row))
            }
        }
        return merge.finish()
    }

    /// The reply to a search that one leg decided: what happened, where, and what to do.
    private static func error(for leg: LegReport, all legs: [LegReport]) -> SearchError {
        let place = "collection \"\(leg.collection)\", shard \(leg.shard)"
        switch leg.status {
        case .timeout:
            return SearchError(.deadlineExceeded, "\(place): no answer before the deadline", legs: legs)
        case .unavailable:
            return SearchError(
                .unavailable, "\(place) has no replica that can be reached; ask again later or allow partial answers",
                retryAfter: .milliseconds(500), legs: legs)
        case .saturated:
            return SearchError(
                .busy, "\(place): temporarily busy, retry after 100 ms", retryAfter: .milliseconds(100), legs: legs)
        case .cancelled:
            return SearchError(.cancelled, "the search was cancelled", legs: legs)
        case .backendError, .invalid, .ok:
            let state = leg.sqlState.map { " (SQLSTATE \($0))" } ?? ""
            let message = leg.message ?? "the server refused the statement"
            return SearchError(.backendError, "\(place), replica \(leg.replica): \(message)\(state)", legs: legs)
        }
    }
}
