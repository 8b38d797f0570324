internal import CoreMetrics
internal import Logging
internal import SluiceCore
internal import SluiceEngine
// Reactor is a LaneExecutor there.
internal import SluiceGateway
internal import SluiceMetrics
internal import SluiceReactor

/// What runs on a reactor: the way there and back, and whole searches whose backends answer at once, so that all that
/// is left is Sluice's own work. The threads decide among themselves how often each is woken, so no instruction of
/// these is guarded.
let laneBenchmarks =
    [
        Benchmark(
            "reactor-round-trip", "from a thread of Swift's pool to a reactor and back",
            threads: {
                let home = ReactorHome(try Reactor(name: "bench"))
                return { count in
                    var sum = 0
                    for _ in 0..<count { sum &+= await home.visit() }
                    return sum
                }
            })
    ]
    + [1, 2, 8].flatMap { legs in
        [
            search(legs: legs, "engine-search-\(legs)", "without metrics") { NOOPMetricsHandler.instance },
            search(legs: legs, "engine-measured-\(legs)", "and every metric kept") { MetricsRegistry() },
        ]
    }

private func search(
    legs: Int, _ name: String, _ detail: String, metrics: @escaping @Sendable () -> any MetricsFactory
) -> Benchmark {
    let size = legs == 1 ? "1 leg" : "\(legs) legs"
    let about = "a search of \(size) with 10 rows each through the engine, PostgreSQL left out, \(detail)"
    return Benchmark(
        name, about,
        threads: {
            let reactor = try Reactor(name: "bench")
            let lane = InstantLane.make(legs: legs, on: reactor, metrics: metrics())
            await lane.start()
            return { count in
                try await Task(executorPreference: reactor) {
                    var sum = 0
                    for _ in 0..<count {
                        switch await lane.search(InstantLane.search).result {
                        case .success(let answer): sum &+= answer.hits.count
                        case .failure(let error): throw Unexpected("a search failed: \(error.message)")
                        }
                    }
                    return sum
                }.value
            }
        })
}

private actor ReactorHome {
    private let reactor: Reactor
    private var visits = 0
    nonisolated var unownedExecutor: UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }

    init(_ reactor: Reactor) { self.reactor = reactor }

    func visit() -> Int {
        visits &+= 1
        return visits
    }
}

/// A lane over shards of one replica each.
private enum InstantLane {
    static var search: Search {
        Search(
            collections: ["programs"],
            vector: QueryVector(dimensions: 3, bytes: [0, 3, 0, 0] + Array(repeating: 0, count: 12)),
            k: 10, columns: ["name", "section"],
            deadline: Instant(nanoseconds: Reactor.now()).advanced(by: .seconds(30)),
            exact: false, allowsPartial: false)
    }

    static func make(legs: Int, on reactor: Reactor, metrics: any MetricsFactory) -> SearchLane {
        let backends = (0..<legs).map { InstantBackend(shardName: "s\($0)", replicaName: "s\($0)-a") }
        let collection = SluiceEngine.Collection(
            name: "programs", schema: "public", table: "programs", idColumn: "id", vectorColumn: "embedding",
            metric: .cosine, dimensions: 3, columns: ["name", "section"], shards: Array(0..<legs))
        let catalogue = Catalogue(
            shards: backends.enumerated().map { place, backend in
                Catalogue.Shard(
                    name: backend.shardName, replicas: [.init(name: backend.replicaName, backend: place)])
            },
            collections: [collection])
        let now = Instant(nanoseconds: Reactor.now())
        let shared = SharedState(
            catalogue: catalogue, backends: backends,
            shards: backends.map {
                ShardState(
                    name: $0.shardName, .init(), replicas: [.init()], latencyClasses: catalogue.latencyClasses, now: now
                )
            },
            admission: Admission(nil), lanes: 1, metrics: metrics)
        var logger = Logger(label: "bench")
        logger.logLevel = .critical
        let lane = SearchLane(
            index: 0, executor: reactor, shared: shared,
            pools: backends.map { _ in .init(minSize: 2, maxSize: 2, maxWaiting: 10) },
            configuration: .init(
                plans: PlanLimits(maximumK: 100), acquireTimeout: .seconds(5), connectTimeout: .seconds(5),
                maximumLegBytes: 1 << 20),
            logger: logger)
        shared.introduce([lane])
        return lane
    }
}

/// A replica that answers every search at once with the same ten rows.
private struct InstantBackend: SearchBackend {
    let shardName: String
    let replicaName: String

    func connect(
        lane: Int, deadline: Instant, onClose: @escaping @Sendable () -> Void
    ) async throws(BackendFailure) -> any BackendConnection {
        InstantConnection()
    }
}

private struct InstantConnection: BackendConnection {
    private static let rows = 10
    private static let cells = (0..<rows).map(Samples.cells(row:))
    private static let offsets = cells.reduce(into: [0]) { $0.append(($0.last ?? 0) + $1.count) }
    private static let flat = cells.flatMap(\.self)
    private static let distances = (0..<rows).map { Double($0) / 1_000 }

    let role = ReplicaRole.primary
    let incarnation: UInt64? = 1
    private let ids: [Int64]

    init() {
        let first = Int64.random(in: 0..<1 << 40)
        ids = (0..<Int64(Self.rows)).map { first + $0 }
    }

    func search(_ request: BackendSearch, deadline: Instant) async throws(BackendFailure) -> LegRows {
        LegRows(
            ids: ids, distances: Self.distances, columnTypes: [25, 25], cells: Self.flat, offsets: Self.offsets)
    }

    func explain(_ request: BackendSearch, deadline: Instant) async throws(BackendFailure) -> PlanOutline {
        throw Self.isNoServer
    }

    func interrupt() {}

    func settle() async -> Bool { true }

    func inspect(_ tables: [TableName], deadline: Instant) async throws(BackendFailure) -> BackendFacts {
        BackendFacts(role: .primary, incarnation: 1, estimatedRows: tables.map { _ in 1_000 })
    }

    func run(_ commands: [WriteCommand], deadline: Instant) async throws(BackendFailure) -> [WriteResult] {
        throw Self.isNoServer
    }

    func copy(
        _ command: CopyCommand, _ rows: [ArraySlice<UInt8>], deadline: Instant
    ) async throws(BackendFailure) -> Int {
        throw Self.isNoServer
    }

    func close() async {}

    private static let isNoServer = BackendFailure(.statement, detail: "only searches are answered here")
}
