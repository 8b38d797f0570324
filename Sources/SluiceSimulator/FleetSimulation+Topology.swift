internal import SluiceCore

/// What gateways hear from the source, and from the servers themselves.
extension FleetSimulation {
    var topology: ShardTopology.Configuration {
        .init(
            leaderLease: bug == .leaseNeverEnds ? .seconds(3_600) : FleetScenario.lease,
            requiresSynchronousStandby: scenario.isSynchronous)
    }

    /// Over which zone a shard's servers are spread.
    func zone(of member: Int, _ shard: Int) -> Int { (shard + member) % scenario.scale.zones }

    func route(_ gateway: Int, _ shard: Int) -> ShardMachine {
        var configuration = ShardMachine.Configuration()
        configuration.hedging.isEnabled = false
        let zone = gateways[gateway].zone
        let replicas = (0..<scenario.scale.replicas).map { member in
            let isSame = bug == .zonesAreMistaken ? member == 0 : self.zone(of: member, shard) == zone
            return ShardMachine.Replica(isSameZone: isSame)
        }
        return ShardMachine(configuration, replicas: replicas, now: clock(gateway))
    }

    /// A gateway's process begins; a state file has what an earlier one knew.
    mutating func startGateway(_ gateway: Int) {
        gateways[gateway].life += 1
        gateways[gateway].isAlive = true
        for shard in clusters.indices {
            let place = place(gateway, shard)
            let before = views[place].machine
            views[place] = SimulatedView(
                ShardTopology(topology, highestTimeline: before.highestTimeline, members: before.places))
            routes[place] = route(gateway, shard)
            checkers.restarted(at: place)
        }
        noteGateways()
        timeline.plan(.round(life(gateway)), in: soon(1...50))
        timeline.plan(.looks(life(gateway)), in: soon(1...50))
        for server in budgets.indices { occupy(server, gateway) }
    }

    // MARK: The source

    /// The version that a gateway is told of when it asks now.
    private func current(_ gateway: Int, _ shard: Int) -> Int {
        guard gateways[gateway].misleadings > 0 else { return clusters[shard].versions.count - 1 }
        return clusters[shard].version(at: timeline.now.advanced(by: .zero - Self.staleness))
    }

    private static let staleness = Duration.seconds(20)

    /// It asks the source about each shard.
    mutating func round(_ life: Life) {
        guard lives(life) else { return }
        let interval = FleetScenario.sourceInterval * (bug == .sourceIsAskedRarely ? 12 : 1)
        timeline.plan(.round(life), in: interval * Double.random(in: 0.9...1.1, using: &random))
        let asked = clock(life.gateway)
        for shard in clusters.indices {
            let place = place(life.gateway, shard)
            guard hears(life.gateway) else {
                views[place].roundFailed(clusters[shard], asked: asked, now: timeline.now)
                continue
            }
            let version = current(life.gateway, shard)
            let answer = timeline.now.advanced(by: soon(1...250))
            if version == views[place].version {
                views[place].asked(asked, until: answer, now: timeline.now)
            } else {
                timeline.plan(.reading(life, shard: shard, version: version, asked: asked), at: answer)
            }
        }
    }

    /// Sooner than the next round.
    mutating func askAgain(_ life: Life, _ shard: Int, in delay: Duration) {
        let place = place(life.gateway, shard)
        guard !views[place].isAskingAgain, bug != .sourceIsAskedRarely else { return }
        views[place].isAskingAgain = true
        timeline.plan(.readingDue(life, shard: shard), in: delay)
    }

    mutating func readingDue(_ life: Life, _ shard: Int) {
        guard lives(life) else { return }
        views[place(life.gateway, shard)].isAskingAgain = false
        guard hears(life.gateway) else { return }
        timeline.plan(
            .reading(
                life, shard: shard, version: current(life.gateway, shard), asked: clock(life.gateway)),
            in: soon(1...250))
    }

    mutating func reading(_ life: Life, _ shard: Int, _ version: Int, _ asked: Instant) {
        guard lives(life), hears(life.gateway) else { return }
        // What its watch has told meanwhile is not untold by an answer to a question of before.
        let known = gateways[life.gateway].misleadings > 0 ? 0 : views[place(life.gateway, shard)].version ?? 0
        hear(life, shard, max(version, known), asked: asked)
    }

    /// The watch tells. That is no sign of life of the leader: its lease counts from the last reading.
    mutating func changed(_ life: Life, _ shard: Int, _ version: Int) {
        guard lives(life), hears(life.gateway), gateways[life.gateway].misleadings == 0,
            bug != .sourceIsAskedRarely
        else { return }
        let place = place(life.gateway, shard)
        views[place].settle(clusters[shard], now: timeline.now)
        guard let heard = views[place].heard, let known = views[place].version, version > known else { return }
        let hasOtherLeader = leaders(shard, version) != leaders(shard, known)
        hear(life, shard, version, asked: heard)
        if hasOtherLeader { askAgain(life, shard, in: .zero) }
    }

    private func leaders(_ shard: Int, _ version: Int) -> [String] {
        clusters[shard].versions[version].statement.report.leaders
    }

    private mutating func hear(_ life: Life, _ shard: Int, _ version: Int, asked: Instant) {
        let place = place(life.gateway, shard)
        views[place].settle(clusters[shard], now: timeline.now)
        if bug == .timelinesAreForgotten {
            views[place].machine = ShardTopology(topology, members: views[place].machine.places)
        }
        views[place].take(clusters[shard], version, asked: asked)
        let timelines = clusters[shard].versions[version].statement.report.members.compactMap(\.timeline)
        checkers.heard(of: timelines.max() ?? 0, at: place)
    }

    // MARK: The servers

    mutating func looks(_ life: Life) {
        guard lives(life) else { return }
        timeline.plan(.looks(life), in: FleetScenario.roleInterval * Double.random(in: 0.9...1.1, using: &random))
        for shard in clusters.indices { lookAtServers(life.gateway, shard) }
    }

    mutating func lookAgain(_ life: Life, _ shard: Int) {
        let place = place(life.gateway, shard)
        guard !views[place].isLookingAgain else { return }
        views[place].isLookingAgain = true
        timeline.plan(.look(life, shard: shard), in: soon(1...30))
    }

    mutating func look(_ life: Life, _ shard: Int) {
        guard lives(life) else { return }
        views[place(life.gateway, shard)].isLookingAgain = false
        lookAtServers(life.gateway, shard)
    }

    private mutating func lookAtServers(_ gateway: Int, _ shard: Int) {
        let place = place(gateway, shard)
        let now = clock(gateway)
        for member in clusters[shard].servers.indices {
            let server = clusters[shard].servers[member]
            if routes[place].replicas[member].role != .unknown, bug == .rolesAreBelievedForEver { continue }
            _ = routes[place].reachabilityChanged(member, onLane: 0, to: server.isUp, now: now)
            guard server.isUp else {
                _ = routes[place].lookFailed(member, asked: now)
                continue
            }
            _ = routes[place].roleProbed(
                member,
                ReplicaReport(
                    role: server.isPrimary ? .primary : .standby, timeline: server.isPrimary ? server.timeline : nil,
                    incarnation: server.incarnation, asked: now))
            if server.isPrimary { checkers.saw(server.timeline, at: place) }
        }
    }
}
