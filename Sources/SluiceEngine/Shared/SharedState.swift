public import CoreMetrics
public import SluiceCore
internal import Synchronization

/// What all lanes of a gateway share.
public final class SharedState: Sendable {
    public let admission: Admission
    public let memory: MemoryBudget
    public let journal: Journal
    let cursors: CursorShelf<SearchAnswer>
    let loads = LoadCount()
    let leaderWaits = LeaderWaits()
    private let looks = SharedLooks()
    public let roles = RoleWatch()
    public let fences = FenceBook()
    public let moved = MovedCollections()
    /// Answers that were not the request's own.
    let integrityFailures = Atomic<UInt64>(0)
    private let served: Mutex<Topology>
    private let lanes = Mutex<[SearchLane]>([])

    /// - Parameter metrics: what keeps the measurements.
    public init(
        catalogue: Catalogue, backends: [any SearchBackend], shards: [ShardState], admission: Admission, lanes: Int,
        holding: HoldingLimits = .init(), memory: MemoryBudget = .init(limit: .max),
        metrics: any MetricsFactory = NOOPMetricsHandler.instance, journal: Journal = Journal(slow: nil)
    ) {
        self.journal = journal
        self.admission = admission
        self.memory = memory
        cursors = CursorShelf(
            mostBytes: holding.cursorBytes, mostBytesPerCursor: holding.cursorBytesEach,
            timeToLive: holding.cursorTime)
        served = Mutex(
            Topology(
                catalogue: catalogue, backends: backends, shards: shards, lanes: lanes, cache: holding.cache,
                metrics: metrics))
    }

    /// What is served just now. A lane may have another one for a moment: its own is what its numbers stand for.
    public var topology: Topology { served.withLock { $0 } }

    public var catalogue: Catalogue { topology.catalogue }
    public var meters: EngineMeters { topology.meters }

    /// Has every lane serve something else, without ending anything that runs. One change at a time.
    /// - Parameters:
    ///   - orders: what becomes of each backend's pool on a lane, by the lane's number.
    public func serve(
        _ topology: Topology, configuration: SearchLane.Configuration, _ orders: (Int) -> [PoolOrder]
    ) async {
        let lanes = allLanes
        for lane in lanes { await lane.makeRoom(for: topology, orders(lane.index)) }
        served.withLock { $0 = topology }
        for lane in lanes { await lane.serve(topology, orders(lane.index), configuration) }
        lookAtAll()
    }

    /// Has every server that is served say what it is.
    public func lookAtAll() { for backend in catalogue.backends { roles.look(at: backend) } }

    /// A search has come; as `Admission.arrived`, and counted if it is refused.
    public func arrived(
        _ priority: SearchPriority, of session: UInt64 = 0, deadline: Instant, now: Instant
    ) throws(SearchError) -> Admission.Ticket {
        do throws(SearchError) {
            return try admission.arrived(priority, of: session, deadline: deadline, now: now)
        } catch {
            meters.shed(.admission)
            throw error
        }
    }

    /// Tells the lanes of each other. Once, before the first search.
    public func introduce(_ lanes: [SearchLane]) { self.lanes.withLock { $0 = lanes } }

    var allLanes: [SearchLane] { lanes.withLock { $0 } }

    func lane(_ index: Int) -> SearchLane? {
        lanes.withLock { $0.indices.contains(index) ? $0[index] : nil }
    }

    /// An answer made a replica's role doubtful. Where one has changed its role, others of its shard have, too.
    func questionRole(of backend: Int) {
        let catalogue = catalogue
        let shards = Set(catalogue.served(by: backend).map(\.shard))
        for shard in shards {
            for replica in catalogue.shards[shard].replicas { roles.look(at: replica.backend) }
        }
    }

    /// Has all of a shard's replicas say again what they are, and waits for that: a second at most, as one that does
    /// not answer by then is silent.
    public func lookAgain(at shard: String) async {
        guard let shard = catalogue.shards.first(where: { $0.name == shard }) else { return }
        let lanes = allLanes
        await looks.look(at: shard.name) {
            await withTaskGroup(of: Void.self) { group in
                for backend in Set(shard.replicas.map(\.backend)) {
                    group.addTask { await RoleWatch.inspect(backend, lanes) }
                }
            }
        }
    }

    /// Has one backend say what it is and how far it has got, on whatever lane has a connection.
    func inspect(_ backend: Int) async {
        await RoleWatch.inspect(backend, allLanes, withTables: false)
    }

    func noteIntegrityFailure() { integrityFailures.add(1, ordering: .relaxed) }

    public var integrityFailureCount: UInt64 { integrityFailures.load(ordering: .relaxed) }

    /// Lets go of what has been held for long enough; uses do that too, so this is for quiet times.
    public func expire(now: Instant) {
        topology.answers.expire(now: now)
        cursors.expire(now: now)
    }
}

/// How much is held for searches to come, and how long.
public struct HoldingLimits: Sendable {
    public var cache = ResultCache<Search, SearchAnswer>.Configuration()
    /// Of all lists together that wait for their next page.
    public var cursorBytes = 64 << 20
    public var cursorBytesEach = 4 << 20
    public var cursorTime: Duration = .seconds(60)

    public init() {}
}
