public import Logging
public import SluiceCore

/// One reactor's share of the gateway: its slice of every pool, and the searches of its sessions, from planning to
/// merging. Everything here happens on one thread, so the way of a search takes no lock of its own; what all lanes must
/// agree on is in `SharedState`.
public actor SearchLane {
    public struct Configuration: Sendable {
        public var maximumK: Int
        public var acquireTimeout: Duration
        public var connectTimeout: Duration
        /// The most bytes of cells that one leg may bring.
        public var maximumLegBytes: Int
        public var legs = LegMachine.Policy()
        public var hedges = true
        public var laggards = AdaptiveTimeout()

        public init(maximumK: Int, acquireTimeout: Duration, connectTimeout: Duration, maximumLegBytes: Int) {
            self.maximumK = maximumK
            self.acquireTimeout = acquireTimeout
            self.connectTimeout = connectTimeout
            self.maximumLegBytes = maximumLegBytes
        }
    }

    public nonisolated let index: Int
    public nonisolated let executor: any LaneExecutor
    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    let configuration: Configuration
    let logger: Logger
    let shared: SharedState
    var planner: Planner
    var backends: [BackendState]
    var waiters: [WaiterID: PendingLease] = [:]
    var nextWaiter: UInt64 = 0
    var dials: [UInt64: Task<Void, Never>] = [:]
    var nextDial: UInt64 = 0
    /// Whoever waits for the last connection to go.
    var drainWaiter: CheckedContinuation<Void, Never>?
    var legs = SlotTable<RunningLeg>()
    var random = SplitMix64(seed: .random(in: .min ... .max))

    /// - Parameter pools: this lane's slice of each backend's pool, in the order of the shared state's backends.
    public init(
        index: Int, executor: any LaneExecutor, shared: SharedState, pools: [PoolMachine.Configuration],
        configuration: Configuration, logger: Logger
    ) {
        self.index = index
        self.executor = executor
        self.shared = shared
        self.configuration = configuration
        self.logger = logger
        planner = Planner(catalogue: shared.catalogue, maximumK: configuration.maximumK)
        backends = zip(shared.backends, pools).enumerated().map { place, pair in
            BackendState(
                backend: pair.0, served: shared.catalogue.served(by: place), machine: PoolMachine(pair.1))
        }
    }

    /// Admits, plans, runs and merges one search. Cancelling the task ends it with `cancelled`.
    public func search(_ search: Search) async -> SearchOutcome {
        do throws(SearchError) {
            let ticket = try shared.admission.arrived(search.priority, deadline: search.deadline, now: executor.now())
            return await self.search(search, admittedBy: ticket)
        } catch {
            return SearchOutcome(result: .failure(error))
        }
    }

    /// The same for a search that has asked for admission already.
    public func search(_ search: Search, admittedBy ticket: Admission.Ticket) async -> SearchOutcome {
        let started = executor.now()
        let plan: SearchPlan
        do throws(SearchError) {
            guard search.deadline > started else {
                throw SearchError(.deadlineExceeded, "the deadline had passed when the search arrived")
            }
            plan = try planner.plan(search)
        } catch {
            shared.admission.turnedAway(ticket, now: started)
            return SearchOutcome(result: .failure(error))
        }
        do throws(SearchError) {
            try await shared.admission.enter(ticket, on: executor)
        } catch {
            return SearchOutcome(result: .failure(error))
        }
        let admitted = executor.now()
        let running = RunningSearch(search: search, plan: plan, started: admitted, arrived: started)
        let outcome = await fanOut(running)
        shared.admission.left(admitted, outcome.result, now: executor.now())
        return outcome
    }

    // MARK: Fan-out

    private func fanOut(_ running: RunningSearch) async -> SearchOutcome {
        let plan = running.plan
        var machine = FanOutMachine(
            legCount: plan.legs.count, totalWeight: running.totalWeight, policy: fanOutPolicy(running.search),
            started: running.started, deadline: running.search.deadline)
        if plan.legs.count == 1 {
            let result = await runLeg(open(0, running))
            let action = decide(&machine, 0, result, running)
            return outcome(action, [result], running)
        }
        let places = plan.legs.indices.map { open($0, running) }
        var results: [LegResult?] = Array(repeating: nil, count: plan.legs.count)
        var decided = FanOutMachine.Action.wait
        var laggardTimer: LaneTimer?
        await withTaskGroup(of: (Int, LegResult).self) { group in
            for (index, place) in places.enumerated() {
                group.addTask { (index, await self.runLeg(place)) }
            }
            while let (index, result) = await group.next() {
                results[index] = result
                if case .finish = decided { continue }
                decided = decide(&machine, index, result, running)
                switch decided {
                case .wait: break
                case .giveUpLaggards(let instant):
                    laggardTimer = executor.schedule(at: instant) {
                        self.assumeIsolated { lane in for place in places { lane.giveUpLeg(place) } }
                    }
                // Those that still run can change nothing; they end at once, and their connections settle behind the
                // fence.
                case .finish: group.cancelAll()
                }
            }
        }
        if let laggardTimer { executor.cancel(laggardTimer) }
        return outcome(decided, results.compactMap(\.self), running)
    }

    private func fanOutPolicy(_ search: Search) -> FanOutMachine.Policy {
        guard let minCoverage = search.minCoverage else {
            return .init(minCoverage: search.allowsPartial ? 0 : 1)
        }
        return .init(minCoverage: minCoverage, laggards: configuration.laggards)
    }

    private func decide(
        _ machine: inout FanOutMachine, _ leg: Int, _ result: LegResult, _ running: RunningSearch
    ) -> FanOutMachine.Action {
        let weight = running.weight(of: leg)
        let now = executor.now()
        return result.report.status == .ok
            ? machine.legSucceeded(leg, weight: weight, now: now) : machine.legFailed(leg, weight: weight, now: now)
    }

    private func outcome(
        _ decided: FanOutMachine.Action, _ results: [LegResult], _ running: RunningSearch
    ) -> SearchOutcome {
        let legs = results.map(\.report)
        let unsettled = results.flatMap(\.unsettled)
        guard case .finish(let verdict) = decided else {
            return SearchOutcome(
                result: .failure(SearchError(.unavailable, "no shard answered", legs: legs)), unsettled: unsettled)
        }
        switch verdict {
        case .answer(let coverage):
            let answer = SearchAnswer(
                hits: merge(legs, k: running.search.k, within: running.plan.maxDistance), legs: legs,
                coverage: coverage,
                elapsed: running.arrived.duration(to: executor.now()))
            // Too late is of no use to anybody, and says so.
            guard executor.now() <= running.search.deadline else {
                let late = SearchError(.deadlineExceeded, "the answer was not ready by the deadline", legs: legs)
                return SearchOutcome(result: .failure(late), unsettled: unsettled)
            }
            return SearchOutcome(result: .success(answer), unsettled: unsettled)
        case .fail(let leg):
            return SearchOutcome(result: .failure(SearchError(leg, of: legs)), unsettled: unsettled)
        }
    }

    private func merge(_ legs: [LegReport], k: Int, within maxDistance: Double) -> [Candidate] {
        var merge = TopKMerge(k: k)
        for (index, leg) in legs.enumerated() {
            for row in 0..<leg.rows.count where !(leg.rows.distances[row] > maxDistance) {
                merge.offer(
                    Candidate(
                        distance: leg.rows.distances[row], collection: leg.leg.collectionRank, id: leg.rows.ids[row],
                        leg: index, row: row))
            }
        }
        return merge.finish()
    }
}
