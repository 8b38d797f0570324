/// How many connections to one server this gateway may have, where several gateways share a budget.
///
/// Each gateway shows a claim: the most connections that it may have there, all told. A claim grows only while its
/// gateway holds a lock that all share, and only by what the budget leaves beside what the others hold; the pool grows
/// after that. A claim shrinks after the pool has. So the claims never add up to more than the budget less its reserve,
/// whoever comes or goes in between. How the budget is to be divided is reckoned by each for itself, from the same
/// claims, and only says who lets go and who may ask.
///
/// A gateway that cannot see the others takes its floor, unasked: that, and the connections of gateways that are not
/// seen yet, is what the reserve is for.
public struct FleetShare: Sendable {
    public struct Configuration: Hashable, Sendable {
        /// Connections of all gateways together.
        public var budget: Int
        /// Those of them that nobody claims.
        public var reserve: Int
        /// What this gateway may have while it does not see the others, `overhead` included.
        public var floor: Int
        /// Connections to the server besides the pool's: 1 if it is looked at by one of its own, else 0.
        public var overhead: Int
        /// How long a claim that is not shown any more counts: its gateway may not have noticed yet, and longer than a
        /// dial that it had begun may take.
        public var grace: Duration
        /// For how long the pool may dial after a look: less than it takes to lose connections to a network that has
        /// gone, as the server may have those still.
        public var trust: Duration
        /// For how long the pool keeps its size after a look.
        public var patience: Duration

        /// Counts are clamped to what a server may have.
        public init(
            budget: Int, reserve: Int, floor: Int, overhead: Int, grace: Duration = .seconds(4),
            trust: Duration = .seconds(3), patience: Duration = .seconds(10)
        ) {
            self.budget = FleetShare.clamped(budget)
            self.reserve = FleetShare.clamped(reserve)
            self.floor = FleetShare.clamped(floor)
            self.overhead = min(1, max(0, overhead))
            self.grace = grace
            self.trust = trust
            self.patience = patience
        }
    }

    /// What there is to see of one gateway.
    public struct Sighting: Hashable, Sendable {
        public var id: String
        /// Nil if there are connections of it and it shows no claim.
        public var claim: Int?
        /// The most that it has use for.
        public var want: Int
        /// At the server just now.
        public var connections: Int

        /// Counts are clamped to what a server may have.
        public init(id: String, claim: Int?, want: Int = 0, connections: Int) {
            self.id = id
            self.claim = claim.map(FleetShare.clamped)
            self.want = FleetShare.clamped(want)
            self.connections = FleetShare.clamped(connections)
        }
    }

    /// What this gateway's own pool has.
    public struct Holding: Hashable, Sendable {
        /// Connections that have been made and have not ended: the server must have those.
        public var made: Int
        /// The same and those being dialled, which the server may have.
        public var open: Int
        /// The most that they can become before the pool is given another size.
        public var most: Int

        public init(made: Int, open: Int, most: Int) {
            self.made = made
            self.open = max(made, open)
            self.most = max(made, open, most)
        }
    }

    /// What follows from a look: show the claim, then give the pool the size.
    public struct Order: Hashable, Sendable {
        public var claim: Int
        public var want: Int
        public var size: Int
        /// When the look began.
        public var asked: Instant
        /// The claim, or the want, is not the one that is shown.
        public var mustShow: Bool
        /// There is room for a larger claim; look again under the lock.
        public var mayGrow: Bool
        /// Nothing is left to do until somebody comes or goes.
        public var isSettled: Bool
    }

    private enum Memory {
        /// A claim, and when it was seen last.
        case claim(Int, Instant)
        /// Connections without a claim, which this gateway has never seen with one, and since when.
        case stranger(Instant)
    }

    public let id: String
    public var configuration: Configuration
    /// The most that the pool has use for.
    public var poolSize: Int
    /// What the pool may have now.
    public private(set) var size = 0
    /// Those that show a claim, this one among them; nil if it does not see them.
    public private(set) var gateways: Int?
    /// What its claim would be if the others had let go of what they have too much.
    public private(set) var target = 0

    private var lastLook: Instant?
    private var memory: [String: Memory] = [:]
    /// Connections that the server had at the last look, and the pool did not.
    private var surplus = 0
    private var isCut = false

    public init(id: String, _ configuration: Configuration, poolSize: Int) {
        self.id = id
        self.configuration = configuration
        self.poolSize = poolSize
    }

    /// The claim to show as soon as there is a connection to show it by, before the first look.
    public func firstClaim(_ holding: Holding) -> Int { held(holding) + configuration.overhead }

    /// Without sight of the server nothing is dialled.
    private func held(_ holding: Holding) -> Int { isCut ? holding.open : max(holding.most, size) }

    /// What this gateway has use for, all told.
    public var want: Int { Self.clamped(poolSize) + configuration.overhead }

    /// Until when the pool may dial without another look.
    public var dialsUntil: Instant {
        if isCut { return Instant(nanoseconds: .min) }
        guard gateways != nil, let lastLook else { return .distantFuture }
        return lastLook.advanced(by: configuration.trust)
    }

    // MARK: Events

    /// The server, or the table, has shown who is there.
    /// - Parameters:
    ///   - sightings: one for each gateway, this one among them if it shows anything.
    ///   - isLocked: nobody else's claim can grow until this one's is shown.
    ///   - asked: when the look began.
    public mutating func looked(
        _ sightings: [Sighting], _ holding: Holding, isLocked: Bool, asked: Instant
    ) -> Order {
        let own = sightings.first { $0.id == id }
        let held = held(holding) + configuration.overhead
        let claim = own?.claim ?? held
        let others = sightings.filter { $0.id != id }
        gateways = 1 + others.count { $0.claim != nil }

        let (shown, unshown) = holdings(of: others, now: asked)
        let free = configuration.budget - configuration.reserve
        target = share(of: free - (unshown ?? 0), others)
        // While it is not known what somebody holds, nobody grows.
        let room = unshown.map { free - shown - $0 } ?? 0
        let possible = min(target, room)
        var next = claim
        if possible > claim, isLocked { next = possible }
        if target < claim { next = min(claim, max(target, held)) }

        // Seen twice, so that it is not just one that came or went while the server was looked at.
        let seen = max(0, (own?.connections ?? 0) - configuration.overhead - holding.made)
        let lingering = min(seen, surplus)
        surplus = seen
        return Order(
            claim: next, want: want, size: max(0, min(next, target) - configuration.overhead - lingering),
            asked: asked, mustShow: own?.claim != next || own?.want != want, mayGrow: possible > claim && !isLocked,
            isSettled: next == target && lingering == 0)
    }

    /// The order's claim is shown. The pool may dial again as soon as it has its size.
    public mutating func shown(_ order: Order) {
        size = order.size
        lastLook = order.asked
        isCut = false
    }

    /// There was no answer; what was seen before is good for a while.
    public mutating func lookFailed(now: Instant) {
        if gateways != nil, let lastLook, lastLook.advanced(by: configuration.patience) > now { return }
        fallBack()
    }

    /// There is no connection to look by, so nothing shows the claim. If it was to the server itself, none can be made
    /// to it now; those that it had may be there still, and the next look will tell.
    public mutating func lost() {
        isCut = configuration.overhead > 0
        surplus = Self.clamped(.max)
        fallBack()
    }

    private mutating func fallBack() {
        gateways = nil
        size = max(0, min(configuration.floor, want) - configuration.overhead)
    }

    // MARK: Reckoning

    /// What others hold: those that show a claim, and those that do not (nil if that is not known).
    private mutating func holdings(of others: [Sighting], now: Instant) -> (shown: Int, unshown: Int?) {
        var shown = 0
        var unshown: Int? = 0
        var present: Set<String> = []
        for other in others {
            present.insert(other.id)
            if let claim = other.claim {
                memory[other.id] = .claim(claim, now)
                shown += max(claim, other.connections)
                continue
            }
            switch memory[other.id] {
            case .claim(let claim, let seen) where isFresh(seen, now):
                unshown = unshown.map { $0 + max(claim, other.connections) }
            case .stranger(let since) where isFresh(since, now): unshown = nil
            case nil:
                memory[other.id] = .stranger(now)
                unshown = nil
            // It does not see the others, and has its floor.
            default: unshown = unshown.map { $0 + max(configuration.floor, other.connections) }
            }
        }
        memory = memory.filter { id, memory in
            if present.contains(id) { return true }
            guard case .claim(let claim, let seen) = memory, isFresh(seen, now) else { return false }
            unshown = unshown.map { $0 + claim }
            return true
        }
        return (shown, unshown)
    }

    private func isFresh(_ seen: Instant, _ now: Instant) -> Bool { seen.advanced(by: configuration.grace) > now }

    /// This gateway's part of so many connections: as much as the others', or what those leave that want less.
    private func share(of whole: Int, _ others: [Sighting]) -> Int {
        let wants = others.filter { $0.claim != nil }.map { (want: $0.want, id: $0.id) } + [(want: want, id: id)]
        var left = max(0, whole)
        let order = wants.sorted { ($0.want, $0.id) < ($1.want, $1.id) }
        for (place, each) in order.enumerated() {
            let part = min(each.want, left / (order.count - place))
            if each.id == id { return max(configuration.overhead, part) }
            left -= part
        }
        return configuration.overhead
    }

    /// PostgreSQL has no more connections than that, and no process more gateways: sums cannot overflow.
    static func clamped(_ count: Int) -> Int { min(max(0, count), PoolMachine.Configuration.largestSize) }
}
