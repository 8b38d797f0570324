import Logging
import SluiceCore
import SluiceEngine
import SluiceGateway
import SluiceReactor
import Synchronization

/// A replica that does what a test says, and counts what is asked of it.
final class ScriptedBackend: SearchBackend {
    enum Step: Sendable {
        case rows([(id: Int64, distance: Double)])
        case fail(AttemptFailure, sqlState: String?)
        /// Answers only when the task is cancelled or the search interrupted.
        case hang
        /// Answers when `releaseOne` says so, in the order of their beginnings.
        case hold
    }

    struct Seen: Sendable {
        var dials = 0
        var searches: [BackendSearch] = []
        var explained: [BackendSearch] = []
        var settled = 0
        var open = 0
        var openMost = 0
        /// How many commands each run had.
        var runs: [Int] = []
    }

    let shardName: String
    let replicaName: String
    private let isUp: Bool
    private let step: Step
    /// Lanes whose dials succeed; nil: all.
    private let lanesUp: Set<Int>?
    private let holds = Mutex<(begun: Int, waiting: [CheckedContinuation<Void, Never>])>((0, []))
    private let holdCount = AsyncStream.makeStream(of: Void.self)
    private let hangs = AsyncStream.makeStream(of: Void.self)
    let seen = Mutex(Seen())
    /// What it says when it is asked what it is.
    private let facts: @Sendable () -> BackendFacts
    let begun = AsyncStream.makeStream(of: Void.self)
    /// What it says of its plans; nil: it fails.
    private let outline: PlanOutline?
    /// What commands bring; nil: they fail.
    private let runs: (@Sendable ([WriteCommand]) throws(BackendFailure) -> [WriteResult])?

    init(
        shard: String = "s0", replica: String = "s0-a", isUp: Bool = true, _ step: Step = .rows([]),
        lanesUp: Set<Int>? = nil, outline: PlanOutline? = nil,
        facts: @escaping @Sendable () -> BackendFacts = { BackendFacts(role: .primary, estimatedRows: []) },
        runs: (@Sendable ([WriteCommand]) throws(BackendFailure) -> [WriteResult])? = nil
    ) {
        self.runs = runs
        self.facts = facts
        self.outline = outline
        self.lanesUp = lanesUp
        shardName = shard
        replicaName = replica
        self.isUp = isUp
        self.step = step
    }

    func connect(
        lane: Int, deadline: Instant, onClose: @escaping @Sendable () -> Void
    ) async throws(BackendFailure) -> any BackendConnection {
        seen.withLock { $0.dials += 1 }
        guard isUp, lanesUp?.contains(lane) != false else { throw BackendFailure(.unreachable, detail: "scripted") }
        return Connection(backend: self)
    }

    /// Returns when this many searches have begun to be held, in all.
    func held(_ count: Int) async {
        var changes = holdCount.stream.makeAsyncIterator()
        while holds.withLock({ $0.begun < count }) { _ = await changes.next() }
    }

    /// Returns when something hangs.
    func hung() async { for await _ in hangs.stream { return } }

    func releaseOne() { holds.withLock { $0.waiting.isEmpty ? nil : $0.waiting.removeFirst() }?.resume() }

    private func hold() async {
        await withCheckedContinuation { continuation in
            holds.withLock { holds in
                holds.begun += 1
                holds.waiting.append(continuation)
            }
            holdCount.continuation.yield()
        }
    }

    private final class Connection: BackendConnection {
        let backend: ScriptedBackend
        let role: ReplicaRole
        let incarnation: UInt64?
        private let hanging = Mutex<AsyncStream<Void>.Continuation?>(nil)

        init(backend: ScriptedBackend) {
            self.backend = backend
            let facts = backend.facts()
            (role, incarnation) = (facts.role, facts.incarnation)
        }

        func interrupt() { hanging.withLock { $0 }?.finish() }

        func inspect(_ tables: [TableName], deadline: Instant) async throws(BackendFailure) -> BackendFacts {
            var facts = backend.facts()
            facts.estimatedRows = Array(repeating: nil, count: tables.count)
            return facts
        }

        func search(_ request: BackendSearch, deadline: Instant) async throws(BackendFailure) -> LegRows {
            backend.seen.withLock { seen in
                seen.searches.append(request)
                seen.open += 1
                seen.openMost = max(seen.openMost, seen.open)
            }
            defer { backend.seen.withLock { $0.open -= 1 } }
            backend.begun.continuation.yield()
            switch backend.step {
            case .rows(let rows):
                await Task.yield()
                return LegRows(
                    ids: rows.map(\.id), distances: rows.map(\.distance),
                    offsets: Array(repeating: 0, count: rows.count + 1))
            case .fail(let reason, let sqlState):
                throw BackendFailure(reason, sqlState: sqlState, detail: "scripted")
            case .hold:
                await backend.hold()
                return LegRows()
            case .hang:
                try await hang()
                return LegRows()
            }
        }

        private func hang() async throws(BackendFailure) {
            let forever = AsyncStream.makeStream(of: Void.self)
            hanging.withLock { $0 = forever.continuation }
            backend.hangs.continuation.yield()
            for await _ in forever.stream {}
            throw BackendFailure(.cancelled, detail: "scripted")
        }

        func explain(_ request: BackendSearch, deadline: Instant) async throws(BackendFailure) -> PlanOutline {
            backend.seen.withLock { $0.explained.append(request) }
            guard let outline = backend.outline else { throw BackendFailure(.timedOut, detail: "scripted") }
            return outline
        }

        func settle() async -> Bool {
            backend.seen.withLock { $0.settled += 1 }
            return true
        }

        func run(_ commands: [WriteCommand], deadline: Instant) async throws(BackendFailure) -> [WriteResult] {
            backend.seen.withLock { $0.runs.append(commands.count) }
            guard let runs = backend.runs else { throw BackendFailure(.statement, detail: "not scripted") }
            if case .hang = backend.step, commands.count > 2 { try await hang() }
            return try runs(commands)
        }

        func copy(
            _ command: CopyCommand, _ rows: [ArraySlice<UInt8>], deadline: Instant
        ) async throws(BackendFailure) -> Int {
            throw BackendFailure(.statement, detail: "not scripted")
        }

        func close() async {}
    }
}

/// A lane over scripted shards, each a list of replicas.
func withLane(
    _ shards: [[ScriptedBackend]], poolSize: Int = 2, maxWaiting: Int = 100, acquireTimeout: Duration = .seconds(5),
    shardConfiguration: ShardMachine.Configuration = .init(), legs: LegMachine.Policy = .init(),
    admission: AdmissionMachine.Configuration? = nil, journal: Journal = Journal(slow: nil),
    _ body: (SearchLane) async throws -> Void
) async throws {
    let pool = PoolMachine.Configuration(minSize: poolSize, maxSize: poolSize, maxWaiting: maxWaiting)
    try await withLanes(
        shards, slices: [pool], acquireTimeout: acquireTimeout, shardConfiguration: shardConfiguration, legs: legs,
        admission: admission, journal: journal
    ) { lanes, _ in try await body(lanes[0]) }
}

/// As many lanes as there are slices of each pool.
func withLanes(
    _ shards: [[ScriptedBackend]], slices: [PoolMachine.Configuration], acquireTimeout: Duration = .seconds(5),
    shardConfiguration: ShardMachine.Configuration = .init(), legs: LegMachine.Policy = .init(),
    admission: AdmissionMachine.Configuration? = nil, freshnessWait: Duration = .milliseconds(100),
    journal: Journal = Journal(slow: nil),
    _ body: ([SearchLane], SharedState) async throws -> Void
) async throws {
    let reactors = try slices.indices.map { try Reactor(name: "test-\($0)") }
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let backends = shards.flatMap(\.self)
    let shared = sharedState(shards, shardConfiguration, admission, lanes: slices.count, journal)
    var configuration = SearchLane.Configuration(
        plans: PlanLimits(maximumK: 100), acquireTimeout: acquireTimeout, connectTimeout: .seconds(5),
        maximumLegBytes: 1_000_000)
    configuration.legs = legs
    configuration.freshnessWait = freshnessWait
    let lanes = slices.enumerated().map { index, slice in
        SearchLane(
            index: index, executor: reactors[index], shared: shared, pools: backends.map { _ in slice },
            configuration: configuration, logger: logger)
    }
    shared.introduce(lanes)
    for lane in lanes { await lane.start() }
    try await body(lanes, shared)
    for lane in lanes { await lane.shutDown() }
    for reactor in reactors { reactor.stop() }
}

private func sharedState(
    _ shards: [[ScriptedBackend]], _ configuration: ShardMachine.Configuration,
    _ admission: AdmissionMachine.Configuration?, lanes: Int, _ journal: Journal
) -> SharedState {
    var next = 0
    let catalogueShards = shards.enumerated().map { index, replicas in
        let list = replicas.map { backend in
            defer { next += 1 }
            return Catalogue.Replica(name: backend.replicaName, backend: next)
        }
        return Catalogue.Shard(name: "s\(index)", replicas: list)
    }
    let all = Array(shards.indices)
    func collection(_ name: String, _ metric: Metric) -> Collection {
        Collection(
            name: name, schema: "public", table: name, idColumn: "id", vectorColumn: "embedding", metric: metric,
            dimensions: 3, columns: ["name"], shards: all)
    }
    let catalogue = Catalogue(
        shards: catalogueShards,
        collections: [collection("a", .cosine), collection("b", .cosine), collection("c", .l2)])
    return SharedState(
        catalogue: catalogue, backends: shards.flatMap(\.self),
        shards: shards.enumerated().map { index, replicas in
            ShardState(
                name: "s\(index)", configuration, replicas: replicas.map { _ in .init() }, latencyClasses: 1,
                now: Instant(nanoseconds: Reactor.now()))
        },
        admission: Admission(admission), lanes: lanes, journal: journal)
}

extension Search {
    static func of(
        _ collections: [String] = ["a"], k: Int = 3, columns: [String] = [], in time: Duration = .seconds(30),
        efSearch: Int? = nil, exact: Bool = false, partial: Bool = false
    ) -> Search {
        var search = Search(
            collections: collections, vector: QueryVector(dimensions: 3, bytes: [0, 3, 0, 0]), k: k, columns: columns,
            deadline: Instant(nanoseconds: Reactor.now()).advanced(by: time), exact: exact, allowsPartial: partial)
        search.settings.efSearch = efSearch
        return search
    }
}
