internal import SluiceCore

/// One run of a fleet: clusters under agents that hold keys in a store, and gateways in front of them with the real
/// machines, against a virtual clock. What breaks a rule ends it.
public struct FleetSimulation {
    /// Work of a gateway's process that another one, started later, does not do.
    struct Life: Hashable {
        var gateway: Int
        var number: Int
    }

    enum Event {
        case faultBegan(Int)
        case faultEnded(Int)
        case gatewayStarts(Int)
        // Agents and servers
        case agentDue(Int, Int, epoch: Int)
        case keyExpired(Int, epoch: Int)
        case promoted(Int, Int, epoch: Int)
        case serverUp(Int, Int, epoch: Int)
        // What a gateway hears
        case round(Life)
        case readingDue(Life, shard: Int)
        case reading(Life, shard: Int, version: Int, asked: Instant)
        case changed(Life, shard: Int, version: Int)
        case looks(Life)
        case look(Life, shard: Int)
        // Writes
        case writeComes
        case writeDue(Int)
        case writeSent(Int)
        case writeWatched(Int, attempt: Int)
        case writeMet(Int)
        case writeReplicated(Int)
        case writeAnswered(Int)
        // Searches
        case searchComes
        case legDue(Int, AttemptKind)
        case attemptEnded(Int)
        // Budgets
        case seat(Seat, Seat.Step)
        case lingerEnded(server: Int, presence: Int, isLook: Bool)
        case lockTimedOut(server: Int, grant: Int)
    }

    enum Victim {
        case agent(Int, Int)
        case node(Int, Int)
        case gateway(Int)
    }

    let bug: FleetBug?
    let scenario: FleetScenario
    var random: SplitMix64
    var timeline = Timeline<Event>(now: Instant(nanoseconds: 0))
    var clusters: [SimulatedCluster] = []
    var gateways: [SimulatedGateway] = []
    /// By gateway, then shard.
    var views: [SimulatedView] = []
    var routes: [ShardMachine] = []
    var writes: [Int: SimulatedWrite] = [:]
    var legs: [Int: SimulatedLeg] = [:]
    var budgets: [SimulatedBudget] = []
    /// By gateway, then the server that has a budget.
    var seats: [SimulatedSeat] = []
    /// Whom each fault has hit.
    var victims: [Int: [Victim]] = [:]
    var sourceOutages = 0
    var nextWrite = 0
    var nextLeg = 0
    var checkers: FleetCheckers
    private let trace: ((String) -> Void)?

    private static let mostSeats = 30

    public var tally: FleetTally { checkers.tally }

    public init(
        seed: UInt64, scale: FleetScale = FleetScale(), bug: FleetBug? = nil, trace: ((String) -> Void)? = nil
    ) {
        self.bug = bug
        self.trace = trace
        scenario = FleetScenario(seed: seed, scale: scale)
        random = SplitMix64(seed: seed ^ 0x5A5A_A5A5)
        checkers = FleetCheckers(scenario)
        for _ in 0..<scale.shards {
            clusters.append(SimulatedCluster(replicas: scale.replicas, now: timeline.now, using: &random))
        }
        for number in 0..<scale.gateways {
            gateways.append(
                SimulatedGateway(
                    zone: number % scale.zones,
                    clockOrigin: Int64.random(in: -1_000_000_000_000_000...1_000_000_000_000_000, using: &random),
                    clockDrift: Int64.random(in: -1_000...1_000, using: &random)))
            for shard in 0..<scale.shards {
                views.append(SimulatedView(ShardTopology(topology)))
                routes.append(route(number, shard))
            }
        }
        // Some of one shard's servers have budgets: those of the others would be the same again.
        for member in 0..<min(scale.replicas, max(1, Self.mostSeats / scale.gateways)) {
            budgets.append(SimulatedBudget(member: member))
        }
        for gateway in gateways.indices { for server in budgets.indices { seats.append(seat(gateway, server)) } }
    }

    /// Runs to the end of the scenario.
    /// - Throws: the first rule that was broken.
    public mutating func run() throws(Violation) {
        start()
        let end = Instant(nanoseconds: 0).advanced(by: FleetScenario.end)
        while let event = timeline.next(), timeline.now < end {
            trace?("\(Duration.nanoseconds(timeline.now.nanoseconds)) \(event)")
            if let end = endOfStandstill(for: event) { timeline.plan(event, at: end) } else { handle(event) }
            if let problem = checkers.problem { throw problem }
        }
        checkEnd()
        if let problem = checkers.problem { throw problem }
    }

    private mutating func start() {
        for shard in clusters.indices {
            publish(shard)
            for member in clusters[shard].agents.indices { planAgent(shard, member, in: soon(1...5_000)) }
            renew(shard)
        }
        // No more at a time than the reserve is for.
        for gateway in gateways.indices {
            timeline.plan(
                .gatewayStarts(gateway), in: FleetScenario.startPause * (gateway / scenario.share.reserve))
        }
        for (number, fault) in scenario.faults.enumerated() {
            timeline.plan(.faultBegan(number), in: fault.begin)
            timeline.plan(.faultEnded(number), in: fault.end)
        }
        timeline.plan(.writeComes, in: .seconds(3))
        timeline.plan(.searchComes, in: .seconds(3))
    }

    mutating func soon(_ milliseconds: ClosedRange<Int>) -> Duration {
        .milliseconds(Int.random(in: milliseconds, using: &random))
    }

    func place(_ gateway: Int, _ shard: Int) -> Int { gateway * scenario.scale.shards + shard }

    func clock(_ gateway: Int) -> Instant { gateways[gateway].clock(timeline.now) }

    func life(_ gateway: Int) -> Life { Life(gateway: gateway, number: gateways[gateway].life) }

    /// Whether the process that an event belongs to is still there.
    func lives(_ life: Life) -> Bool { gateways[life.gateway].isAlive && gateways[life.gateway].life == life.number }

    /// When a gateway goes on that stands still, and was to do this.
    private func endOfStandstill(for event: Event) -> Instant? {
        let gateway: Int? =
            switch event {
            case .round(let life), .looks(let life): life.gateway
            case .readingDue(let life, _), .reading(let life, _, _, _), .changed(let life, _, _), .look(let life, _):
                life.gateway
            case .writeDue(let write), .writeSent(let write), .writeWatched(let write, _), .writeAnswered(let write):
                writes[write]?.life.gateway
            case .legDue(let leg, _), .attemptEnded(let leg): legs[leg]?.life.gateway
            case .seat(let seat, _): seat.gateway
            default: nil
            }
        guard let gateway, gateways[gateway].frozenUntil > timeline.now else { return nil }
        return gateways[gateway].frozenUntil
    }

    private mutating func handle(_ event: Event) {
        switch event {
        case .faultBegan(let fault): begin(fault)
        case .faultEnded(let fault): end(fault)
        case .gatewayStarts(let gateway): startGateway(gateway)
        case .agentDue(let shard, let member, let epoch): agentDue(shard, member, epoch)
        case .keyExpired(let shard, let epoch): keyExpired(shard, epoch)
        case .promoted(let shard, let member, let epoch): promoted(shard, member, epoch)
        case .serverUp(let shard, let member, let epoch): serverUp(shard, member, epoch)
        case .round(let life): round(life)
        case .readingDue(let life, let shard): readingDue(life, shard)
        case .reading(let life, let shard, let version, let asked): reading(life, shard, version, asked)
        case .changed(let life, let shard, let version): changed(life, shard, version)
        case .looks(let life): looks(life)
        case .look(let life, let shard): look(life, shard)
        case .writeComes: writeComes()
        case .writeDue(let write): writeDue(write)
        case .writeSent(let write): writeSent(write)
        case .writeWatched(let write, let attempt): writeWatched(write, attempt)
        case .writeMet(let write): writeMet(write)
        case .writeReplicated(let write): writeReplicated(write)
        case .writeAnswered(let write): writeAnswered(write)
        case .searchComes: searchComes()
        case .legDue(let leg, let kind): legDue(leg, kind)
        case .attemptEnded(let leg): attemptEnded(leg)
        case .seat(let seat, let step): take(step, at: seat)
        case .lingerEnded(let server, let presence, let isLook): lingerEnded(server, presence, isLook)
        case .lockTimedOut(let server, let grant): lockTimedOut(server, grant)
        }
    }

    private mutating func checkEnd() {
        for shard in clusters.indices {
            let cluster = clusters[shard]
            guard cluster.isWell(isSynchronous: scenario.isSynchronous), let leader = cluster.leader else {
                checkers.complain("shard s\(shard) has not become well again", at: timeline.now)
                continue
            }
            checkers.clusterEnded(shard, log: cluster.servers[leader].log, at: timeline.now)
        }
        for server in budgets.indices { checkShares(server) }
        checkers.checkLoad(at: timeline.now)
    }
}
