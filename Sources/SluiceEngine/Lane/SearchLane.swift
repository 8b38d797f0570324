public import Logging
public import SluiceCore

/// One reactor's share of the gateway: its slice of every pool, and the searches of its sessions, from planning to
/// merging. Everything here happens on one thread, so the way of a search takes no lock of its own; what all lanes must
/// agree on is in `SharedState`.
public actor SearchLane {
    public struct Configuration: Sendable {
        public var plans: PlanLimits
        public var acquireTimeout: Duration
        public var connectTimeout: Duration
        /// The most bytes of cells that one leg may bring.
        public var maximumLegBytes: Int
        /// The same of a search whose answer leaves in parts.
        public var maximumStreamedLegBytes: Int
        public var legs = LegMachine.Policy()
        public var hedges = true
        public var laggards = AdaptiveTimeout()
        public var ladder = EscalationLadder()
        /// How long a leg waits for a replica that is as fresh as was asked for.
        public var freshnessWait: Duration = .milliseconds(100)
        /// How long a server keeps its connections that nothing is served by any more. A leg is on its way from its
        /// choice to its connection for less.
        public var farewell: Duration = .seconds(1)

        public init(plans: PlanLimits, acquireTimeout: Duration, connectTimeout: Duration, maximumLegBytes: Int) {
            self.plans = plans
            self.acquireTimeout = acquireTimeout
            self.connectTimeout = connectTimeout
            self.maximumLegBytes = maximumLegBytes
            maximumStreamedLegBytes = maximumLegBytes
        }
    }

    public nonisolated let index: Int
    public nonisolated let executor: any LaneExecutor
    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    var configuration: Configuration
    let logger: Logger
    let shared: SharedState
    /// What this lane serves, and its numbers stand for.
    var topology: Topology
    var planner: Planner
    var backends: [BackendState]
    var waiters: [WaiterID: PendingLease] = [:]
    var nextWaiter: UInt64 = 0
    var dials: [UInt64: Task<Void, Never>] = [:]
    var nextDial: UInt64 = 0
    /// Whoever waits for the last connection to go.
    var drainWaiter: CheckedContinuation<Void, Never>?
    var legs = SlotTable<RunningLeg>()
    var upserts = UpsertCache()
    var random = SplitMix64(seed: .random(in: .min ... .max))
    /// The backends that are being asked how far they are.
    var beingAsked: Set<Int> = []

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
        let topology = shared.topology
        self.topology = topology
        planner = Planner(topology, limits: configuration.plans)
        backends = zip(topology.backends, pools).enumerated().map { place, pair in
            BackendState(
                backend: pair.0, served: topology.catalogue.served(by: place), machine: PoolMachine(pair.1))
        }
    }

    // MARK: Requests

    /// Admits, plans, runs and merges one search. Cancelling the task ends it with `cancelled`.
    public func search(_ search: Search) async -> SearchOutcome {
        if let use = use(of: search) { return await self.search(search, sharing: use) }
        do throws(SearchError) {
            let ticket = try shared.arrived(search.priority, deadline: search.deadline, now: executor.now())
            return await self.search(search, admittedBy: ticket)
        } catch {
            return SearchOutcome(result: .failure(error))
        }
    }

    /// The same for a search that has asked for admission already.
    /// - Parameter stream: where hits go before the answer, which then has what is left.
    public func search(
        _ search: Search, admittedBy ticket: Admission.Ticket, stream: AnswerStream? = nil
    ) async -> SearchOutcome {
        paged(await execute(search, admittedBy: ticket, stream), search)
    }

    /// Plans and runs one search, and measures it.
    func execute(
        _ search: Search, admittedBy ticket: Admission.Ticket, _ stream: AnswerStream? = nil
    ) async -> SearchOutcome {
        let started = executor.now()
        let outcome = await execute(search, admittedBy: ticket, stream, started)
        let took = started.duration(to: executor.now())
        for name in search.collections {
            guard let collection = topology.catalogue.boxed[name]?.value.number else { continue }
            topology.meters.searchEnded(collection, coverage: outcome.result.success?.coverage, took: took)
        }
        if shared.journal.isSlow(took) { noteSlow(search, outcome.result, took: took) }
        return outcome
    }

    private func noteSlow(_ search: Search, _ result: Result<SearchAnswer, SearchError>, took: Duration) {
        let slow = Journal.SlowSearch(search, result, took: took)
        let (number, noted) = shared.journal.add(slow, at: executor.now())
        explainIfDue(search, result.success?.legs ?? result.failure?.legs ?? [], number: number)
        guard let unsaid = noted else { return }
        var metadata = Logger.Metadata(uniqueKeysWithValues: slow.metadata.map { ($0, .string($1)) })
        if unsaid > 0 { metadata["more_before"] = "\(unsaid)" }
        logger.notice("slow search", metadata: metadata)
    }

    @inline(__always)
    private func execute(
        _ search: Search, admittedBy ticket: Admission.Ticket, _ stream: AnswerStream?, _ started: Instant
    ) async -> SearchOutcome {
        let terms = search.terms(isStreamed: stream != nil)
        do throws(SearchError) {
            if let row = search.extras?.value.like {
                try planned(ticket, .search, search.deadline, started) { () throws(SearchError) in
                    try planner.check(search, like: row)
                }
                return await admitted(ticket, terms, started) { await $0.alike(search, row, $1, stream) }
            }
            let plan = try planned(ticket, .search, search.deadline, started) { () throws(SearchError) in
                try planner.plan(search)
            }
            let isMeasured = !search.exact && plan.vectorCount == 1
            return await admitted(ticket, terms, started, isMeasured: isMeasured) {
                await $0.answer(plan, $1, stream)
            }
        } catch {
            return SearchOutcome(result: .failure(error))
        }
    }

    /// The rows of some ids, in the order of the ids.
    public func rows(_ request: RowRequest, admittedBy ticket: Admission.Ticket) async -> SearchOutcome {
        let started = executor.now()
        var seen: Set<Int64> = []
        let ids = request.ids.filter { seen.insert($0).inserted }
        do throws(SearchError) {
            let stage = try planned(ticket, .get, request.deadline, started) { () throws(SearchError) in
                try planner.rows(request, ids: ids)
            }
            var terms = RequestTerms(kind: .get, deadline: request.deadline, allowsPartial: request.allowsPartial)
            terms.freshness = request.freshness
            terms.tenant = request.tenant
            terms.origin = request.origin
            return await admitted(ticket, terms, started) { await $0.rows(request, ids, stage, $1) }
        } catch {
            return SearchOutcome(result: .failure(error))
        }
    }

    /// How many rows a filter finds.
    public func count(_ question: CountQuestion, admittedBy ticket: Admission.Ticket) async -> Outcome<CountAnswer> {
        let started = executor.now()
        do throws(SearchError) {
            let stage = try planned(ticket, .count, question.deadline, started) { () throws(SearchError) in
                try planner.count(question)
            }
            let terms = RequestTerms(
                kind: .count, deadline: question.deadline, tenant: question.tenant, origin: question.origin)
            return await admitted(ticket, terms, started, isMeasured: false) { await $0.count(question, stage, $1) }
        } catch {
            return Outcome(result: .failure(error))
        }
    }

    /// A request's plan. One that is at fault itself, too late or not wanted any more gives its place back.
    private func planned<Plan>(
        _ ticket: Admission.Ticket, _ kind: RequestKind, _ deadline: Instant, _ arrived: Instant,
        _ plan: () throws(SearchError) -> Plan
    ) throws(SearchError) -> Plan {
        do throws(SearchError) {
            guard deadline > arrived else {
                throw SearchError(.deadlineExceeded, "the deadline had passed when the request arrived")
            }
            guard !Task.isCancelled else { throw .cancelled }
            return try plan()
        } catch {
            shared.admission.turnedAway(ticket, now: arrived)
            topology.meters.requestEnded(kind, error, took: arrived.duration(to: executor.now()))
            throw error
        }
    }

    /// Runs a request once it has been let in.
    func admitted<Answer: Sendable>(
        _ ticket: Admission.Ticket, _ terms: RequestTerms, _ arrived: Instant, isMeasured: Bool = true,
        mayBeLate: Bool = false, _ run: (isolated SearchLane, RunningSearch) async -> Outcome<Answer>
    ) async -> Outcome<Answer> {
        do throws(SearchError) {
            try await shared.admission.enter(ticket, on: executor)
        } catch {
            if error.code == .busy { topology.meters.shed(.admission) }
            topology.meters.requestEnded(terms.kind, error, took: arrived.duration(to: executor.now()))
            return Outcome(result: .failure(error))
        }
        let admitted = executor.now()
        topology.meters.queued(for: arrived.duration(to: admitted))
        let running = RunningSearch(terms, started: admitted, arrived: arrived)
        var outcome = await run(self, running)
        running.letGo(of: shared.memory)
        let now = executor.now()
        // Too late is of no use to anybody, and says so.
        if now > terms.deadline, !mayBeLate, case .success = outcome.result {
            outcome.result = .failure(SearchError(.deadlineExceeded, "the answer was not ready by the deadline"))
        }
        let failure = outcome.result.failure
        shared.admission.left(admitted, failure, isMeasured: isMeasured, now: now)
        if failure?.code == .busy { topology.meters.shed(.pool) }
        topology.meters.requestEnded(terms.kind, failure, took: arrived.duration(to: now))
        return outcome
    }
}

extension Result {
    var success: Success? { if case .success(let value) = self { value } else { nil } }

    var failure: Failure? { if case .failure(let error) = self { error } else { nil } }
}
