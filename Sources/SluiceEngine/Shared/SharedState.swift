public import CoreMetrics
public import SluiceCore
internal import Synchronization

/// What all lanes of a gateway share.
public final class SharedState: Sendable {
    public let catalogue: Catalogue
    /// In the order of the catalogue's backend numbers.
    public let backends: [any SearchBackend]
    /// In the order of the catalogue's shards.
    public let shards: [ShardState]
    public let admission: Admission
    public let memory: MemoryBudget
    public let meters: EngineMeters
    public let journal: Journal
    let answers: SharedAnswers<Search, SearchAnswer>
    let cursors: CursorShelf<SearchAnswer>
    let board: LaneBoard
    let loads = LoadCount()
    public let roles = RoleWatch()
    /// Answers that were not the request's own.
    let integrityFailures = Atomic<UInt64>(0)
    private let lanes = Mutex<[SearchLane]>([])

    /// - Parameter metrics: what keeps the measurements.
    public init(
        catalogue: Catalogue, backends: [any SearchBackend], shards: [ShardState], admission: Admission, lanes: Int,
        holding: HoldingLimits = .init(), memory: MemoryBudget = .init(limit: .max),
        metrics: any MetricsFactory = NOOPMetricsHandler.instance, journal: Journal = Journal(slow: nil)
    ) {
        self.journal = journal
        meters = EngineMeters(catalogue, factory: metrics)
        self.catalogue = catalogue
        self.backends = backends
        self.shards = shards
        self.admission = admission
        self.memory = memory
        answers = SharedAnswers(
            cache: holding.cache, size: { $0.bytes + $1.bytes }, mayStore: { $0.coverage >= 1 && !$0.isCurtailed },
            isOwn: { SharedAnswers<Search, SearchAnswer>.isOwnFailure($0) || $0.success?.isCurtailed == true })
        cursors = CursorShelf(
            mostBytes: holding.cursorBytes, mostBytesPerCursor: holding.cursorBytesEach,
            timeToLive: holding.cursorTime)
        board = LaneBoard(lanes: lanes, backends: backends.count)
    }

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

    func lane(_ index: Int) -> SearchLane? {
        lanes.withLock { $0.indices.contains(index) ? $0[index] : nil }
    }

    /// An answer made a replica's role doubtful. Where one has changed its role, others of its shard have, too.
    func questionRole(of backend: Int) {
        let shards = Set(catalogue.served(by: backend).map(\.shard))
        for shard in shards {
            for replica in catalogue.shards[shard].replicas { roles.look(at: replica.backend) }
        }
    }

    /// Has all of a shard's replicas say again what they are, and waits for that: a second at most, as one that does
    /// not answer by then is silent.
    public func lookAgain(atShard shard: Int) async {
        guard catalogue.shards.indices.contains(shard) else { return }
        let lanes = lanes.withLock { $0 }
        await withTaskGroup(of: Void.self) { group in
            for backend in Set(catalogue.shards[shard].replicas.map(\.backend)) {
                group.addTask { await RoleWatch.inspect(backend, lanes) }
            }
        }
    }

    /// Has one backend say what it is and how far it has got, on whatever lane has a connection.
    func inspect(_ backend: Int) async {
        await RoleWatch.inspect(backend, lanes.withLock { $0 }, withTables: false)
    }

    func noteIntegrityFailure() { integrityFailures.add(1, ordering: .relaxed) }

    public var integrityFailureCount: UInt64 { integrityFailures.load(ordering: .relaxed) }

    /// Lets go of what has been held for long enough; uses do that too, so this is for quiet times.
    public func expire(now: Instant) {
        answers.expire(now: now)
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
