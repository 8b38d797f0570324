internal import SluiceCore

/// How big a fleet is.
public struct FleetScale: Hashable, Sendable {
    public var shards: Int
    /// Servers of each shard.
    public var replicas: Int
    public var gateways: Int
    /// Over which gateways and the servers of each shard are spread.
    public var zones: Int

    /// Counts are clamped to what can be simulated.
    public init(shards: Int = 8, replicas: Int = 3, gateways: Int = 12, zones: Int = 3) {
        self.shards = min(max(1, shards), 1_024)
        self.replicas = min(max(1, replicas), 16)
        self.gateways = min(max(2, gateways), 1_000)
        self.zones = min(max(1, zones), self.replicas)
    }

    /// The whole fleet.
    public static let full = FleetScale(shards: 64, replicas: 3, gateways: 100, zones: 3)
}

/// What one seed draws for a fleet: how it is configured, and what goes wrong when.
struct FleetScenario: Sendable {
    let scale: FleetScale
    /// Commits wait for a standby, and gateways ask for one.
    let isSynchronous: Bool
    let share: FleetShare.Configuration
    let poolSize: Int
    private(set) var faults: [FleetFault] = []

    /// A leader's key lives so long without being renewed.
    static let ttl = Duration.seconds(30)
    /// Between two looks of an agent at its server and at the store.
    static let loopWait = Duration.seconds(10)
    /// An agent that cannot renew its key for so long demotes its server.
    static let retryTimeout = Duration.seconds(10)
    /// How long gateways write without hearing from the source, and how often they ask it and the servers.
    static let lease = Duration.seconds(3)
    static let sourceInterval = Duration.seconds(1)
    static let roleInterval = Duration.seconds(5)
    /// After some gateways have started until others do.
    static let startPause = Duration.seconds(2.5)
    /// The last fault has ended by then.
    static let calm = Duration.seconds(100)
    /// All is well again: a key that was left behind has ended, the agents have looked, and a server was promoted.
    static let healed = calm + ttl + loopWait + .seconds(8)
    /// Until then the load is measured.
    static let end = healed + .seconds(12)

    init(seed: UInt64, scale: FleetScale) {
        self.scale = scale
        var random = SplitMix64(seed: seed)
        isSynchronous = scale.replicas > 1 && Bool.random(using: &random)
        let losesZone = scale.zones > 1 && Int.random(in: 0..<6, using: &random) == 0
        // Those that may start within a few seconds, and at least the floor.
        let reserve =
            max(5, (scale.gateways + 3) / 4) + (losesZone ? (scale.gateways + scale.zones - 1) / scale.zones : 0)
        let part = Int.random(in: 4...9, using: &random)
        share = FleetShare.Configuration(
            budget: scale.gateways * part + reserve, reserve: reserve, floor: 2, overhead: 1)
        poolSize = .random(in: part...part + 8, using: &random)
        drawClusterFaults(using: &random)
        drawGatewayFaults(using: &random)
        if losesZone {
            add(.zoneLost(.random(in: 0..<scale.zones, using: &random)), 20...55, for: 20...35, using: &random)
        }
        faults.sort { $0.begin < $1.begin }
    }

    private mutating func add(
        _ kind: FleetFault.Kind, _ begin: ClosedRange<Int>, for time: ClosedRange<Int>, using random: inout SplitMix64
    ) {
        let begin = Duration.milliseconds(
            Int.random(in: begin.lowerBound * 1_000...begin.upperBound * 1_000, using: &random))
        let end =
            begin + .milliseconds(Int.random(in: time.lowerBound * 1_000...time.upperBound * 1_000, using: &random))
        faults.append(FleetFault(kind: kind, begin: begin, end: min(end, Self.calm)))
    }

    private mutating func drawClusterFaults(using random: inout SplitMix64) {
        if Int.random(in: 0..<3, using: &random) == 0 { add(.sourceOut, 12...60, for: 2...40, using: &random) }
        let most = max(4, scale.shards / 2)
        for _ in 0..<Int.random(in: most / 2...most, using: &random) {
            let shard = Int.random(in: 0..<scale.shards, using: &random)
            // Nil is whoever leads then.
            let member = Bool.random(using: &random) ? nil : Int.random(in: 0..<scale.replicas, using: &random)
            switch Int.random(in: 0..<5, using: &random) {
            case 0, 1: freezeAgent(of: shard, using: &random)
            case 2: add(.serverKilled(shard, member), 12...70, for: 3...8, using: &random)
            case 3: add(.nodeLost(shard, member), 12...60, for: 15...40, using: &random)
            default: add(.switchover(shard), 12...80, for: 0...1, using: &random)
            }
        }
    }

    /// The leader's agent stands still until long after another server has been promoted. Meanwhile some gateways are
    /// answered by a source that has stood still, too: it names the leader of before.
    private mutating func freezeAgent(of shard: Int, using random: inout SplitMix64) {
        let begin = Int.random(in: 12...50, using: &random)
        add(.agentFrozen(shard), begin...begin, for: 42...50, using: &random)
        guard Bool.random(using: &random) else { return }
        for gateway in 0..<scale.gateways where Int.random(in: 0..<3, using: &random) == 0 {
            add(.gatewayMisled(gateway), begin + 33...begin + 34, for: 4...7, using: &random)
        }
    }

    private mutating func drawGatewayFaults(using random: inout SplitMix64) {
        // No more start within a few seconds than the reserve is for.
        var lastJoin = 0
        for _ in 0..<Int.random(in: 3...4 + scale.gateways / 8, using: &random) {
            let gateway = Int.random(in: 0..<scale.gateways, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0, 1:
                let begin = Int.random(in: 12...60, using: &random)
                let end = max(lastJoin + 3, begin + Int.random(in: 3...10, using: &random))
                guard end < 95 else { continue }
                lastJoin = end
                let isKilled = Bool.random(using: &random)
                add(
                    isKilled ? .gatewayKilled(gateway) : .gatewayLeft(gateway), begin...begin,
                    for: end - begin...end - begin, using: &random)
            case 2, 3: add(.gatewayCut(gateway), 12...60, for: 4...40, using: &random)
            case 4: add(.gatewayFrozen(gateway), 12...80, for: 1...8, using: &random)
            default: add(.lookEnded(gateway), 12...80, for: 0...0, using: &random)
            }
        }
    }
}

/// Something that is wrong with a part of a fleet for a while.
struct FleetFault: Sendable {
    enum Kind: Hashable, Sendable {
        /// The agent of the shard's leader stands still; its server does not.
        case agentFrozen(Int)
        /// A server's process is killed, and started again by its agent.
        case serverKilled(Int, Int?)
        /// Server and agent are killed.
        case nodeLost(Int, Int?)
        /// Another server is to lead.
        case switchover(Int)
        /// Neither agents nor gateways reach the store.
        case sourceOut
        /// One gateway does not.
        case gatewayCut(Int)
        /// It is answered with what was true some time ago.
        case gatewayMisled(Int)
        case gatewayKilled(Int)
        case gatewayLeft(Int)
        /// Its process stands still.
        case gatewayFrozen(Int)
        /// The connections by which it looks at its share of the budgets are ended.
        case lookEnded(Int)
        /// Servers, agents and gateways of one zone.
        case zoneLost(Int)
    }

    var kind: Kind
    var begin: Duration
    var end: Duration
}

/// Mistakes that can be planted in a fleet, to see that its checkers bite.
public enum FleetBug: String, CaseIterable, Sendable {
    /// Any server that says it is a primary is written to.
    case fenceTrustsRecovery
    case leaseNeverEnds
    case timelinesAreForgotten
    /// An answer counts, wherever it came from.
    case supersededIsAcknowledged
    case sourceIsAskedRarely
    case standbyIsNotWaitedFor
    case budgetForgetsLeavers
    case claimsGrowUnlocked
    case sharesAreNotDividedAnew
    case zonesAreMistaken
    case rolesAreBelievedForEver
}
