/// How many connections each gateway needs to one server, and whether the server has so many.
///
/// A pool is taken for a queue that searches reach at random and leave in the order of arrival, each holding one of `c`
/// connections for a random time (M/M/c). Arrivals a second × mean time are the connections busy in the mean (Little's
/// law); one that arrives finds all of them busy with the probability of Erlang's C formula.
public struct PoolPlan: Hashable, Sendable {
    /// What is asked of the server.
    public struct Demand: Hashable, Sendable {
        /// Gateways that share it evenly: 1...100,000.
        public var gateways: Int
        /// By all gateways together, a second: 0 or more, finite.
        public var statements: Double
        /// The mean time that a statement holds a connection.
        public var queryTime: Duration

        /// Values out of range are clamped into it.
        public init(gateways: Int, statements: Double, queryTime: Duration) {
            self.gateways = min(max(1, gateways), 100_000)
            self.statements = statements.isFinite ? max(0, statements) : 0
            self.queryTime = max(.zero, queryTime)
        }

        /// Statements that the server works on at a time, in the mean.
        public var busy: Double { statements * (queryTime / .seconds(1)) }
    }

    /// What the server can give.
    public struct Supply: Hashable, Sendable {
        /// Its `max_connections`: 1...262,143.
        public var connections: Int
        /// Those that it keeps for itself: superusers, replication, monitoring.
        public var reserved: Int
        /// Those of other programs.
        public var others: Int
        /// Gateways that run besides all others for a while, when a new version takes over.
        public var surge: Int
        /// Its processors, if known.
        public var processors: Int?

        /// Values out of range are clamped into it.
        public init(connections: Int, reserved: Int, others: Int = 0, surge: Int = 1, processors: Int? = nil) {
            self.connections = min(max(1, connections), 262_143)
            self.reserved = min(max(0, reserved), 262_143)
            self.others = min(max(0, others), 262_143)
            self.surge = min(max(0, surge), 100_000)
            self.processors = processors.map { max(1, $0) }
        }

        /// What is left for gateways.
        public var forGateways: Int { max(0, connections - reserved - others) }
    }

    public enum Verdict: String, Hashable, Sendable {
        /// Every gateway gets what it needs.
        case fits
        /// The rate can be held, but statements wait more often than they should.
        case tight
        /// More statements arrive than the connections, or the processors, can work on.
        case overloaded
    }

    public let demand: Demand
    public let supply: Supply
    /// Connections that a gateway keeps up: as many as it has busy in the mean.
    public let minSize: Int
    /// The most that a gateway opens.
    public let maxSize: Int
    /// What a gateway would have for its `max_size`, if the server had it: with one gateway fewer to share the work,
    /// one statement in a hundred waits. Nil beyond `largestPool`.
    public let neededSize: Int?

    /// A statement in a hundred: a pool that waits less often holds connections that are hardly ever used.
    public static let waitShareAimed = 0.01
    /// What `pool.max_size` may be.
    public static let largestPool = 1_000

    public init(_ demand: Demand, _ supply: Supply) {
        self.demand = demand
        self.supply = supply
        let load = Self.loadWithOneLost(demand)
        neededSize = Self.connections(forLoad: load, waitShare: Self.waitShareAimed)
        maxSize = min(neededSize ?? Self.largestPool, Self.allowance(demand, supply))
        minSize = min(maxSize, max(1, Int(min(demand.busy / Double(demand.gateways), 1e6).rounded(.up))))
    }

    /// What each gateway may open, so that the server has enough for all of them and those that take over.
    public var allowance: Int { Self.allowance(demand, supply) }

    /// What a gateway has busy in the mean.
    public var load: Double { demand.busy / Double(demand.gateways) }

    /// The same when one of several gateways has gone, and the others do its work.
    public var loadWithOneLost: Double { Self.loadWithOneLost(demand) }

    /// Of the statements, all gateways being there.
    public var waitShare: Double { Self.waitShare(connections: maxSize, load: load) }

    /// Of a statement, in the mean over all of them; nil if they wait for ever.
    public var wait: Duration? {
        guard Double(maxSize) > load else { return nil }
        return demand.queryTime * (waitShare / (Double(maxSize) - load))
    }

    /// What the server sees at most, when a new version takes over.
    public var mostAtServer: Int { maxSize * (demand.gateways + supply.surge) }

    public var verdict: Verdict {
        if Double(maxSize) <= load { return .overloaded }
        if let processors = supply.processors, demand.busy >= Double(processors) { return .overloaded }
        guard let neededSize, neededSize <= maxSize else { return .tight }
        return .fits
    }

    private static func allowance(_ demand: Demand, _ supply: Supply) -> Int {
        min(supply.forGateways / (demand.gateways + supply.surge), largestPool)
    }

    private static func loadWithOneLost(_ demand: Demand) -> Double {
        demand.busy / Double(max(1, demand.gateways - 1))
    }

    /// The fewest connections with which no larger share of the statements waits; nil if there are none so few.
    static func connections(forLoad load: Double, waitShare most: Double) -> Int? {
        guard load < Double(largestPool) else { return nil }
        return (max(1, Int(load))...largestPool).first { waitShare(connections: $0, load: load) <= most }
    }

    /// Erlang's C formula, from his B formula by its recursion B(n) = aB(n - 1) / (n + aB(n - 1)), B(0) = 1, which
    /// neither overflows nor cancels: C = B / (1 - ρ(1 - B)), ρ = a/c.
    /// - Returns: the share of arrivals that wait: 0...1.
    static func waitShare(connections: Int, load: Double) -> Double {
        guard Double(connections) > load else { return 1 }
        var blocked = 1.0
        for number in 1...connections { blocked = load * blocked / (Double(number) + load * blocked) }
        return blocked / (1 - load / Double(connections) * (1 - blocked))
    }
}
