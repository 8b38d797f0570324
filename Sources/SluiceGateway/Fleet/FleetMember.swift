internal import Logging
package import SluiceCore
internal import SluicePostgres
internal import SluiceReactor
internal import Synchronization

/// Until when a pool may dial by what its gateway has seen of the others.
package final class DialPermit: Sendable {
    private let end = Atomic(Int64.max)
    private let closings = Atomic(0)

    package init() {}

    /// Nothing may be dialled from now on, and whoever waits does so in vain: there may be less room afterwards.
    package func close() {
        end.store(.min, ordering: .sequentiallyConsistent)
        closings.add(1, ordering: .sequentiallyConsistent)
    }

    /// Whether dialling is allowed at last. Returns when it is, at the deadline, when the permit is closed, or when the
    /// task is cancelled.
    package func wait(until deadline: Instant, now: () -> Instant) async -> Bool {
        let closings = closings.load(ordering: .sequentiallyConsistent)
        while !allows(now()) {
            guard now() < deadline, (try? await Task.sleep(for: Self.step)) != nil,
                self.closings.load(ordering: .sequentiallyConsistent) == closings
            else { return false }
        }
        return true
    }

    private static let step: Duration = .milliseconds(50)

    package func extend(to instant: Instant) { end.store(instant.nanoseconds, ordering: .sequentiallyConsistent) }

    func allows(_ now: Instant) -> Bool { now.nanoseconds < end.load(ordering: .sequentiallyConsistent) }
}

/// One server's pool, as far as a budget is concerned.
struct FleetPool: Sendable {
    var shard: String
    var replica: String
    var minSize: Int
    var maxSize: Int
    var lanes: Int
    var permit: DialPermit
    /// Gives all slices their parts of these bounds.
    var resize: @Sendable (_ minSize: Int, _ maxSize: Int) async -> Void
    var holding: @Sendable () async -> FleetShare.Holding
}

/// What a gateway knows of those that share one server with it.
struct FleetReport: Hashable, Sendable {
    var budget: Int
    /// Nil if it does not see them.
    var gateways: Int?
}

/// Looks at one server from time to time, and keeps the pool within this gateway's share of its budget.
actor FleetMember {
    private let ledger: FleetLedger
    private let interval: Duration
    private let logger: Logger
    private let wakes = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    private let firstShare = AsyncStream.makeStream(of: Void.self)
    private let end = AsyncStream.makeStream(of: Void.self)
    private nonisolated let known: Mutex<FleetReport>
    private var pool: FleetPool
    private var share: FleetShare
    private var session: FleetLedger.Session?
    /// The bounds that the pool has.
    private var given: (minSize: Int, maxSize: Int)?
    private var hasLeft = false
    /// As it was last said.
    private var said: (gateways: Int?, isTight: Bool) = (0, false)

    init(
        ledger: FleetLedger, _ configuration: FleetShare.Configuration, pool: FleetPool, every interval: Duration,
        logger: Logger
    ) {
        self.ledger = ledger
        self.interval = interval
        self.pool = pool
        known = Mutex(FleetReport(budget: configuration.budget, gateways: nil))
        share = FleetShare(id: ledger.id, configuration, poolSize: pool.maxSize)
        var logger = logger
        logger[metadataKey: "shard"] = "\(pool.shard)"
        logger[metadataKey: "replica"] = "\(pool.replica)"
        self.logger = logger
    }

    nonisolated var report: FleetReport { known.withLock { $0 } }

    // MARK: Life

    /// Nothing is dialled before the first share is known.
    func hold() async { await give() }

    /// Runs until it is told to stop.
    func run() async {
        var timer: Task<Void, Never>?
        wakes.continuation.yield()
        for await _ in wakes.stream {
            timer?.cancel()
            let pause = await round()
            if share.size > 0 || share.gateways == nil { firstShare.continuation.finish() }
            timer = Task { [wakes] in
                guard (try? await Task.sleep(for: pause)) != nil else { return }
                wakes.continuation.yield()
            }
        }
        timer?.cancel()
        firstShare.continuation.finish()
        end.continuation.finish()
    }

    /// Ends `run` after the look that is under way. The share stays as it is.
    nonisolated func stop() { wakes.continuation.finish() }

    /// Returns when `run` has, or when the task is cancelled.
    nonisolated func awaitEnd() async { for await _ in end.stream {} }

    /// Returns when there is a share, or the others are not seen; or when it has stopped, or the task is cancelled.
    nonisolated func awaitFirstShare() async { for await _ in firstShare.stream {} }

    /// Takes the claim away. Once the pool has no connection any more; a look that is under way ends, too.
    func leave() async {
        hasLeft = true
        await session.take()?.leave()
    }

    /// Other bounds by an operator's word; soon the pool has the smaller ones of these and the share.
    func resize(minSize: Int, maxSize: Int) {
        (pool.minSize, pool.maxSize) = (minSize, maxSize)
        share.poolSize = maxSize
        wakes.continuation.yield()
    }

    // MARK: One look

    /// - Returns: how long to wait for the next.
    private func round() async -> Duration {
        if let session, session.isOver {
            self.session = nil
            await lost()
        }
        do throws(PostgresFailure) {
            let session = try await opened()
            let order = try await look(session)
            share.shown(order)
            await give()
            pool.permit.extend(to: share.dialsUntil)
            if session.isOver { pool.permit.close() }
            tell(nil)
            // What others let go of, or this pool, is seen sooner.
            return order.isSettled ? interval : interval / 4
        } catch {
            await failed(error)
            return interval
        }
    }

    private func opened() async throws(PostgresFailure) -> FleetLedger.Session {
        if let session { return session }
        let claim = share.firstClaim(await pool.holding())
        let opened = try await ledger.open(claim: claim, want: share.want) { [permit = pool.permit, wakes] in
            // Others may take what is not claimed any more.
            permit.close()
            wakes.continuation.yield()
        }
        if hasLeft {
            await opened.close()
            throw PostgresFailure(.cancelled, "the gateway is shutting down")
        }
        session = opened
        return opened
    }

    private func look(_ session: FleetLedger.Session) async throws(PostgresFailure) -> FleetShare.Order {
        let before = await pool.holding()
        var unlocked: FleetShare.Order?
        if !ledger.alwaysLocks {
            let asked = Self.now
            let seen = try await session.look()
            let order = share.looked(seen, await holding(before), isLocked: false, asked: asked)
            if !order.mayGrow {
                if order.mustShow { try await session.show(claim: order.claim, want: order.want) }
                return order
            }
            unlocked = order
        }
        let asked = Self.now
        let seen: [FleetShare.Sighting]
        do throws(PostgresFailure) {
            seen = try await session.lookLocked()
        } catch {
            // Somebody else holds the lock. The others have been seen, and so has the claim: it does not grow yet.
            guard error.sqlState == "55P03", let unlocked, await session.recovered() else { throw error }
            if unlocked.mustShow { try await session.show(claim: unlocked.claim, want: unlocked.want) }
            return unlocked
        }
        let order = share.looked(seen, await holding(before), isLocked: true, asked: asked)
        let mustShow = order.mustShow || ledger.alwaysLocks
        try await session.unlock(showing: mustShow ? order.claim : nil, want: order.want)
        return order
    }

    /// What holds from before the look until after it.
    private func holding(_ before: FleetShare.Holding) async -> FleetShare.Holding {
        let after = await pool.holding()
        return .init(
            made: min(before.made, after.made), open: max(before.open, after.open), most: max(before.most, after.most))
    }

    private func failed(_ failure: PostgresFailure) async {
        if let session, await session.recovered() {
            share.lookFailed(now: Self.now)
            guard share.gateways == nil else { return }
            await give()
            pool.permit.extend(to: share.dialsUntil)
        } else {
            await session.take()?.close()
            await lost()
        }
        tell(failure)
    }

    private func lost() async {
        share.lost()
        // Those that wait are as many as the larger pool had a use for.
        if await give() { pool.permit.close() }
        pool.permit.extend(to: share.dialsUntil)
    }

    /// Of the share and the pool's own bounds the smaller ones.
    /// - Returns: whether the pool had others.
    @discardableResult
    private func give() async -> Bool {
        let size = min(share.size, pool.maxSize)
        let bounds = (minSize: min(pool.minSize, size), maxSize: size)
        if let given, given == bounds { return false }
        given = bounds
        await pool.resize(bounds.minSize, bounds.maxSize)
        return true
    }

    private static var now: Instant { Instant(nanoseconds: Reactor.now()) }

    // MARK: What people are told

    private func tell(_ failure: PostgresFailure?) {
        if hasLeft { return }
        known.withLock { $0.gateways = share.gateways }
        let isTight = share.gateways != nil && share.target - share.configuration.overhead < pool.lanes
        defer { said = (share.gateways, isTight) }
        if share.gateways == nil {
            guard said.gateways != nil else { return }
            logger.warning(
                """
                the other gateways cannot be seen, so this one takes no more than fleet.floor of the server's \
                connections: \(failure?.description ?? "the connection has ended")
                """)
        } else if share.gateways != said.gateways {
            logger.notice(
                "gateways share the server's connections",
                metadata: [
                    "gateways": "\(share.gateways ?? 0)", "budget": "\(share.configuration.budget)",
                    "share": "\(share.target)",
                ])
        }
        if isTight, !said.isTight {
            logger.warning(
                """
                its share of the connections is too small for every reactor to have one, so searches will be told \
                that it is busy; raise connection_budget, or have fewer reactors or gateways
                """, metadata: ["share": "\(share.target)"])
        }
    }
}
