internal import SluiceCore

/// What happened to a fleet, counted.
public struct FleetTally: Sendable {
    public internal(set) var writes = 0
    public internal(set) var acknowledged = 0
    /// Acknowledged, and not there in the end.
    public internal(set) var lost = 0
    public internal(set) var unknown = 0
    public internal(set) var refused = 0
    public internal(set) var promotions = 0
    public internal(set) var legs = 0
    public internal(set) var failedLegs = 0
    /// Commits waited for a standby.
    public internal(set) var isSynchronous = false
    /// The highest share of a server's even load.
    public internal(set) var spread = 0.0
    /// The highest part of its budget that a server's connections took.
    public internal(set) var fill = 0.0

    public init() {}
}

/// What must hold in a fleet, kept apart from the machines: it counts for itself, from what reached a gateway and from
/// what the world knows.
struct FleetCheckers {
    enum WriteOutcome: Hashable {
        case committed
        case refused
        /// It may have been committed.
        case unknown
        /// Its gateway has gone.
        case unanswered
    }

    /// A write succeeds that comes to a shard and a gateway that have been well for so long. A leader's key is read
    /// within 1.1 s, the answer takes 0.25 s, and then writes that wait look each 0.2 s.
    static let recovery = Duration.seconds(2.5)
    static let spread = 1.3

    private let scenario: FleetScenario
    private(set) var problem: Violation?
    var tally = FleetTally()
    /// By gateway and shard: the highest timeline that the source, or a server that said it is a primary, has told.
    private var told: [UInt32]
    private var shown: [UInt32]
    private var acknowledged: [Int: Int] = [:]
    /// Measured legs, by shard and the gateway's zone, and by shard and the server.
    private var measuredLegs: [Int]
    private var servedLegs: [Int]

    init(_ scenario: FleetScenario) {
        self.scenario = scenario
        let scale = scenario.scale
        tally.isSynchronous = scenario.isSynchronous
        told = Array(repeating: 0, count: scale.gateways * scale.shards)
        shown = told
        measuredLegs = Array(repeating: 0, count: scale.shards * scale.zones)
        servedLegs = Array(repeating: 0, count: scale.shards * scale.replicas)
    }

    mutating func complain(_ rule: String, at now: Instant) {
        if problem == nil { problem = Violation(rule: rule, at: .nanoseconds(now.nanoseconds)) }
    }

    // MARK: Writes

    /// A process that begins knows what its state file has, which is what the source has said.
    mutating func restarted(at place: Int) { shown[place] = 0 }

    mutating func heard(of timeline: UInt32, at place: Int) { told[place] = max(told[place], timeline) }

    mutating func saw(_ timeline: UInt32, at place: Int) { shown[place] = max(shown[place], timeline) }

    private func visible(_ write: SimulatedWrite) -> UInt32 {
        let place = write.life.gateway * scenario.scale.shards + write.shard
        return max(told[place], shown[place])
    }

    mutating func writeSent(
        _ write: SimulatedWrite, to cluster: SimulatedCluster, isMisled: Bool, at now: Instant
    ) {
        let words = "gateway g\(write.life.gateway) wrote to n\(write.member) of shard s\(write.shard)"
        if write.timeline < visible(write) {
            complain("\(words) on timeline \(write.timeline) after it had seen \(visible(write))", at: now)
        }
        // A clock that is too slow makes it a little longer.
        let lease = FleetScenario.lease + .milliseconds(5)
        if !isMisled, !cluster.hasLed(write.member, since: now.advanced(by: .zero - lease)) {
            complain("\(words), which has not been the leader for longer than the lease", at: now)
        }
    }

    mutating func writeAcknowledged(_ id: Int, _ write: SimulatedWrite, at now: Instant) {
        if write.timeline < visible(write) {
            complain(
                "gateway g\(write.life.gateway) acknowledged a write to shard s\(write.shard) on timeline "
                    + "\(write.timeline) after it had seen \(visible(write))", at: now)
        }
        acknowledged[id] = write.shard
        tally.acknowledged += 1
    }

    mutating func writeEnded(
        _ write: SimulatedWrite, _ outcome: WriteOutcome, clusterWellSince: Instant?, gatewayWellSince: Instant?,
        at now: Instant
    ) {
        switch outcome {
        case .committed, .unanswered: return
        case .refused: tally.refused += 1
        case .unknown: tally.unknown += 1
        }
        guard let cluster = clusterWellSince, let gateway = gatewayWellSince,
            max(cluster, gateway).advanced(by: Self.recovery) <= write.arrived
        else { return }
        complain(
            "a write to shard s\(write.shard) by gateway g\(write.life.gateway) was not committed (\(outcome)), though "
                + "both have been well for \(max(cluster, gateway).duration(to: now))", at: now)
    }

    /// Everything has had its time: what was acknowledged is in the leader's log, or lost.
    mutating func clusterEnded(_ shard: Int, log: [SimulatedServer.Entry], at now: Instant) {
        let present = Set(log.map(\.write))
        let lost = acknowledged.count { $0.value == shard && !present.contains($0.key) }
        tally.lost += lost
        if lost > 0, scenario.isSynchronous {
            complain("\(lost) acknowledged writes of shard s\(shard) are lost in synchronous mode", at: now)
        }
    }

    // MARK: Searches

    mutating func legBegan(zone: Int, shard: Int, isMeasured: Bool) {
        tally.legs += 1
        if isMeasured { measuredLegs[shard * scenario.scale.zones + zone] += 1 }
    }

    mutating func served(_ shard: Int, _ member: Int) { servedLegs[shard * scenario.scale.replicas + member] += 1 }

    mutating func legFailed(_ leg: SimulatedLeg, at now: Instant) {
        tally.failedLegs += 1
        if leg.isMeasured { complain("a search failed at shard s\(leg.shard) though all is well", at: now) }
    }

    /// What gateways of a zone are asked is spread evenly over the servers of that zone, or over all if it has none.
    mutating func checkLoad(at now: Instant) {
        let scale = scenario.scale
        for shard in 0..<scale.shards {
            var even = Array(repeating: 0.0, count: scale.replicas)
            for zone in 0..<scale.zones {
                let near = (0..<scale.replicas).filter { (shard + $0) % scale.zones == zone }
                let servers = near.isEmpty ? Array(0..<scale.replicas) : near
                for server in servers {
                    even[server] += Double(measuredLegs[shard * scale.zones + zone]) / Double(servers.count)
                }
            }
            for server in 0..<scale.replicas where even[server] >= 100 {
                let share = Double(servedLegs[shard * scale.replicas + server]) / even[server]
                tally.spread = max(tally.spread, share)
                if share > Self.spread {
                    complain("n\(server) of shard s\(shard) served \(share) times its even share", at: now)
                }
            }
        }
    }

    // MARK: Budgets

    mutating func connected(_ connections: Int, of most: Int, to member: Int, at now: Instant) {
        tally.fill = max(tally.fill, Double(connections) / Double(scenario.share.budget))
        if connections > most {
            complain("n\(member) has \(connections) connections of \(most)", at: now)
        }
    }
}
