import Logging
import NIOCore
import NIOEmbedded
import SluiceCore
import SluiceEngine
import SluiceGateway
import SluiceWire
import Synchronization

/// A gateway without sockets and threads: one session over a channel in memory, one lane, two shards of a scripted
/// database. Everything happens on the caller's thread.
final class FuzzWorld {
    let channel: EmbeddedChannel
    private let loop = EmbeddedEventLoop()
    private let lane = InlineLane()
    private let searches: SearchLane
    private let shared: SharedState
    private let session: SessionPort
    private let backends: [FuzzBackend]

    /// - Parameters:
    ///   - script: how the databases answer, see `FuzzBackend`.
    ///   - isTenants: only the tenant is let in.
    init(limits: GatewayConfig.Limits, script: UInt8, isTenants: Bool) throws(FuzzFinding) {
        let shards = ["s0", "s1"]
        let backends = shards.map { FuzzBackend(shard: $0, script: script, isTenants: isTenants) }
        self.backends = backends
        let rules = isTenants ? FuzzTenant.rules : AccessRules()
        guard let rules else { throw FuzzFinding("no token can be made") }
        let now = lane.now()
        shared = SharedState(
            catalogue: Self.catalogue(shards), backends: backends,
            shards: shards.map {
                ShardState(name: $0, .init(), replicas: [.init()], latencyClasses: 16, now: now)
            },
            admission: Admission(.init(limit: .init(minimum: 1, maximum: 4, initial: 4), maxWaiting: 4)), lanes: 1)
        var configuration = SearchLane.Configuration(
            plans: PlanLimits(maximumK: limits.maxK, maximumRows: limits.maxRows), acquireTimeout: .seconds(1),
            connectTimeout: .seconds(1), maximumLegBytes: limits.maxReply)
        configuration.maximumStreamedLegBytes = limits.maxStream
        searches = SearchLane(
            index: 0, executor: lane, shared: shared,
            pools: backends.map { _ in PoolMachine.Configuration(minSize: 1, maxSize: 2, maxWaiting: 4) },
            configuration: configuration, logger: Self.logger)
        shared.introduce([searches])
        channel = EmbeddedChannel(loop: loop)
        do {
            session = try SessionPort(
                on: channel, lane: searches, shared: shared, limits: limits, collections: Self.listed,
                access: rules, logger: Self.logger)
        } catch { throw FuzzFinding("no session: \(error)") }
        let (searches, shared) = (searches, shared)
        try finish { await searches.start() }
        try finish { for shard in shared.catalogue.shards { await shared.lookAgain(at: shard.name) } }
        do { try channel.connect(to: SocketAddress(unixDomainSocketPath: "/nowhere")).wait() } catch {
            throw FuzzFinding("no channel: \(error)")
        }
    }

    private static let logger = {
        var logger = Logger(label: "fuzz") { _ in SwiftLogNoOpLogHandler() }
        logger.logLevel = .critical
        return logger
    }()

    // MARK: Time

    /// Until nothing is left to do at this time.
    func settle() {
        repeat { loop.run() } while lane.run()
    }

    func advance(by duration: Duration) {
        lane.advance(by: duration)
        loop.advanceTime(by: TimeAmount(duration))
        settle()
    }

    /// Runs a task to its end, however much time has to pass for it.
    private func finish(_ body: @escaping @Sendable () async -> Void) throws(FuzzFinding) {
        let end = Flag()
        Task(executorPreference: lane) {
            await body()
            end.set()
        }
        settle()
        var steps = 0
        while !end.isSet, steps < 1_000, let pause = lane.timeToNextTimer {
            advance(by: pause)
            steps += 1
        }
        try expect(end.isSet, "what was begun does not end")
    }

    private final class Flag: Sendable {
        private let flag = Atomic<Bool>(false)
        var isSet: Bool { flag.load(ordering: .relaxed) }
        func set() { flag.store(true, ordering: .relaxed) }
    }

    // MARK: The session

    func receive(_ bytes: ArraySlice<UInt8>) { _ = try? channel.writeInbound(ByteBuffer(bytes: bytes)) }

    /// Whether the client takes what is sent to it.
    func setWritable(_ isWritable: Bool) {
        channel.isWritable = isWritable
        channel.pipeline.fireChannelWritabilityChanged()
        settle()
    }

    func goAway() {
        session.goAway()
        settle()
    }

    /// What the gateway has said.
    func output() -> ByteBuffer {
        var all = ByteBuffer()
        while let bytes = try? channel.readOutbound(as: ByteBuffer.self) { all.writeImmutableBuffer(bytes) }
        return all
    }

    /// The client hangs up, and the lane ends: what ran for it must be gone.
    func end() throws(FuzzFinding) {
        _ = try? channel.finish(acceptAlreadyClosed: true)
        settle()
        let searches = searches
        // Statements that do not answer end with their deadlines, or as soon as nobody waits for them.
        advance(by: .seconds(120))
        let leased = Leases()
        try finish { leased.note(await searches.pools) }
        try expect(leased.count == 0, "\(leased.count) connections are still leased")
        try finish { await searches.shutDown() }
        for backend in backends {
            if let complaint = backend.complaint.withLock({ $0 }) { throw FuzzFinding(complaint) }
        }
        // Lanes and what they share know each other.
        shared.introduce([])
    }

    private final class Leases: Sendable {
        private let leased = Atomic<Int>(0)
        var count: Int { leased.load(ordering: .relaxed) }
        func note(_ pools: [PoolState]) {
            leased.store(pools.reduce(0) { $0 + $1.occupancy.leased }, ordering: .relaxed)
        }
    }

    // MARK: What it serves

    private static func catalogue(_ shards: [String]) -> Catalogue {
        Catalogue(
            shards: shards.enumerated().map { place, name in
                Catalogue.Shard(name: name, replicas: [.init(name: "\(name)-a", backend: place)])
            },
            collections: collections)
    }

    private static let dimensions = ["bits": 9, "three": 3]

    /// Among them those of the golden vectors.
    private static let collections = ["programs", "libraries", "three", "halves", "bits"].map { name in
        var collection = SluiceEngine.Collection(
            name: name, schema: "public", table: name, idColumn: "id", vectorColumn: "embedding",
            metric: name == "bits" ? .hamming : .cosine, dimensions: dimensions[name] ?? 1,
            columns: ["name", "section", "n"], shards: [0, 1])
        collection.filterable = [
            "name": .text, "section": .text, "n": .int, "at": .timestamp, "u": .uuid, "tags": .textArray, "b": .bool,
            "x": .float, "tenant": .int,
        ]
        collection.form = name == "bits" ? .bit : name == "halves" ? .halfvec : .vector
        collection.text = TextColumn(column: "words", language: "simple")
        collection.coarse = name == "bits" ? [] : [.half, .binary]
        collection.sharesSearches = name == "libraries"
        collection.isCached = name == "libraries"
        return collection
    }

    private static let listed = collections.map {
        CollectionDescription(
            name: $0.name, metric: $0.metric.rawValue, dimensions: $0.dimensions, columns: $0.columns,
            shards: ["s0", "s1"])
    }
}
