internal import SluiceCore

/// Agents as Patroni's, and the servers that they start, stop and promote.
extension FleetSimulation {
    var isSourceOut: Bool { sourceOutages > 0 }

    mutating func planAgent(_ shard: Int, _ member: Int, in delay: Duration) {
        clusters[shard].agents[member].epoch += 1
        timeline.plan(.agentDue(shard, member, epoch: clusters[shard].agents[member].epoch), in: delay)
    }

    mutating func wakeAgents(_ shard: Int) {
        for member in clusters[shard].agents.indices { planAgent(shard, member, in: soon(50...800)) }
    }

    /// Its look at its server and the store.
    mutating func agentDue(_ shard: Int, _ member: Int, _ epoch: Int) {
        guard clusters[shard].agents[member].epoch == epoch else { return }
        planAgent(shard, member, in: soon(9_500...10_000))
        let now = timeline.now
        let server = clusters[shard].servers[member]
        let agent = clusters[shard].agents[member]
        guard agent.isAwake else { return }
        if isSourceOut {
            if server.isPrimary, agent.renewed.duration(to: now) >= FleetScenario.retryTimeout {
                demote(shard, member)
            }
            return noteWellness(shard)
        }
        switch clusters[shard].leader {
        case member? where !server.isUp:
            // Its server has died: another one may lead.
            clusters[shard].lead(nil, now: now)
            wakeAgents(shard)
        case member?:
            renew(shard)
            if server.isPrimary { careForStandby(shard, member) } else { promote(shard, member) }
        case nil:
            if clusters[shard].mayLead(member, isSynchronous: scenario.isSynchronous, now: now) {
                clusters[shard].lead(member, now: now)
                renew(shard)
                if !server.isPrimary { promote(shard, member) }
            } else if server.isPrimary {
                demote(shard, member)
            }
        case .some:
            if server.isPrimary { demote(shard, member) }
            clusters[shard].follow(member, now: now)
        }
        clusters[shard].keys[member] = .init(
            timeline: clusters[shard].servers[member].timeline, isRunning: clusters[shard].servers[member].isUp)
        publish(shard)
    }

    // MARK: The leader's key

    mutating func renew(_ shard: Int) {
        guard let leader = clusters[shard].leader else { return }
        clusters[shard].agents[leader].renewed = timeline.now
        extendKey(shard)
    }

    private mutating func extendKey(_ shard: Int) {
        clusters[shard].keyEpoch += 1
        timeline.plan(.keyExpired(shard, epoch: clusters[shard].keyEpoch), in: FleetScenario.ttl)
    }

    mutating func keyExpired(_ shard: Int, _ epoch: Int) {
        // A store that is out lets no key end.
        guard clusters[shard].keyEpoch == epoch, clusters[shard].leader != nil, !isSourceOut else { return }
        clusters[shard].lead(nil, now: timeline.now)
        wakeAgents(shard)
        publish(shard)
    }

    /// Whoever could not reach it can again, and all keys live for their whole time once more.
    private mutating func sourceReturned() {
        for shard in clusters.indices {
            if clusters[shard].leader != nil { extendKey(shard) }
            wakeAgents(shard)
            noteWellness(shard)
        }
    }

    /// What the store has is another thing by now, or may be.
    mutating func publish(_ shard: Int) {
        noteWellness(shard)
        guard clusters[shard].publish(shard, isSynchronous: scenario.isSynchronous, now: timeline.now) else { return }
        let version = clusters[shard].versions.count - 1
        for gateway in gateways.indices where gateways[gateway].isAlive {
            // A watch is broken now and then; the next reading tells.
            guard Int.random(in: 0..<10, using: &random) > 0 else { continue }
            timeline.plan(.changed(life(gateway), shard: shard, version: version), in: soon(1...200))
        }
    }

    func hears(_ gateway: Int) -> Bool { !isSourceOut && gateways[gateway].cuts == 0 }

    mutating func noteWellness(_ shard: Int) {
        let isWell = !isSourceOut && clusters[shard].isWell(isSynchronous: scenario.isSynchronous)
        if !isWell {
            clusters[shard].wellSince = nil
        } else if clusters[shard].wellSince == nil {
            clusters[shard].wellSince = timeline.now
        }
    }

    // MARK: Servers

    private mutating func promote(_ shard: Int, _ member: Int) {
        guard clusters[shard].servers[member].isUp, !clusters[shard].servers[member].isPromoting else { return }
        clusters[shard].servers[member].isPromoting = true
        let epoch = clusters[shard].servers[member].epoch
        timeline.plan(.promoted(shard, member, epoch: epoch), in: soon(200...1_000))
    }

    mutating func promoted(_ shard: Int, _ member: Int, _ epoch: Int) {
        guard clusters[shard].servers[member].epoch == epoch, clusters[shard].servers[member].isUp else { return }
        clusters[shard].receive(member, now: timeline.now)
        clusters[shard].receiveAll(from: member, now: timeline.now)
        clusters[shard].highestTimeline += 1
        clusters[shard].servers[member].timeline = clusters[shard].highestTimeline
        clusters[shard].servers[member].isPrimary = true
        clusters[shard].servers[member].isPromoting = false
        clusters[shard].servers[member].upstream = nil
        clusters[shard].servers[member].waitsFor = nil
        clusters[shard].synchronousLeader = member
        clusters[shard].synchronousStandby = nil
        clusters[shard].joining = nil
        checkers.tally.promotions += 1
        wakeAgents(shard)
        publish(shard)
    }

    /// It goes down, and comes up as a standby.
    private mutating func demote(_ shard: Int, _ member: Int) { stop(shard, member, upIn: soon(500...2_000)) }

    private mutating func stop(_ shard: Int, _ member: Int, upIn delay: Duration?) {
        clusters[shard].receive(member, now: timeline.now)
        clusters[shard].receiveAll(from: member, now: timeline.now)
        clusters[shard].servers[member].epoch += 1
        clusters[shard].servers[member].isUp = false
        clusters[shard].servers[member].isPrimary = false
        clusters[shard].servers[member].isPromoting = false
        clusters[shard].servers[member].upstream = nil
        clusters[shard].servers[member].waitsFor = nil
        if let delay {
            let epoch = clusters[shard].servers[member].epoch
            timeline.plan(.serverUp(shard, member, epoch: epoch), in: delay)
        }
        if shard == 0 { connectionsBroke(member) }
        tellGateways(of: shard)
        noteWellness(shard)
    }

    mutating func serverUp(_ shard: Int, _ member: Int, _ epoch: Int) {
        guard clusters[shard].servers[member].epoch == epoch, clusters[shard].agents[member].isAlive else { return }
        clusters[shard].servers[member].isUp = true
        clusters[shard].servers[member].incarnation = random.next()
        if shard == 0 { serverReturned(member) }
        if clusters[shard].agents[member].isAwake { planAgent(shard, member, in: soon(50...500)) }
        tellGateways(of: shard)
        noteWellness(shard)
    }

    /// Their connections break, or can be made again.
    private mutating func tellGateways(of shard: Int) {
        for gateway in gateways.indices where gateways[gateway].isAlive {
            timeline.plan(.look(life(gateway), shard: shard), in: soon(1...400))
        }
    }

    // MARK: Synchronous mode

    /// A standby that is gone is struck off before commits stop waiting for it, and another one is entered after it has
    /// got what came before they wait for it. So whoever is entered has all that was answered.
    private mutating func careForStandby(_ shard: Int, _ leader: Int) {
        guard scenario.isSynchronous else { return }
        if let standby = clusters[shard].synchronousStandby {
            if clusters[shard].streams(standby, from: leader) { return }
            clusters[shard].synchronousStandby = nil
            clusters[shard].servers[leader].waitsFor = nil
        }
        if let joining = clusters[shard].joining, clusters[shard].streams(joining.member, from: leader),
            clusters[shard].servers[leader].waitsFor == joining.member
        {
            let lag = clusters[shard].servers[joining.member].lag
            if joining.since.duration(to: timeline.now) > lag {
                clusters[shard].synchronousStandby = joining.member
                clusters[shard].joining = nil
                return
            }
        } else {
            clusters[shard].joining = nil
            let next = clusters[shard].servers.indices.first { clusters[shard].streams($0, from: leader) }
            clusters[shard].servers[leader].waitsFor = next
            guard let next else { return }
            clusters[shard].joining = (next, timeline.now)
        }
        planAgent(shard, leader, in: .milliseconds(300))
    }

    // MARK: Faults

    mutating func begin(_ number: Int) {
        switch scenario.faults[number].kind {
        case .agentFrozen(let shard):
            guard let leader = clusters[shard].leader else { return }
            victims[number] = [.agent(shard, leader)]
            clusters[shard].agents[leader].isFrozen = true
        case .serverKilled(let shard, let member):
            guard let member = member ?? clusters[shard].leader, clusters[shard].servers[member].isUp else { return }
            let fault = scenario.faults[number]
            stop(shard, member, upIn: fault.end - fault.begin)
        case .nodeLost(let shard, let member):
            if let member = member ?? clusters[shard].leader { lose(number, shard, member) }
        case .switchover(let shard): switchOver(shard)
        case .sourceOut:
            sourceOutages += 1
            for shard in clusters.indices { noteWellness(shard) }
        case .zoneLost(let zone):
            for shard in clusters.indices {
                for member in clusters[shard].servers.indices where self.zone(of: member, shard) == zone {
                    lose(number, shard, member)
                }
            }
            for gateway in gateways.indices where gateways[gateway].zone == zone { kill(number, gateway) }
        case .gatewayKilled(let gateway): kill(number, gateway)
        case .gatewayLeft(let gateway): kill(number, gateway, isAsked: true)
        case .gatewayCut(let gateway): gateways[gateway].cuts += 1
        case .gatewayMisled(let gateway):
            gateways[gateway].misleadings += 1
            let end = Instant(nanoseconds: 0).advanced(by: scenario.faults[number].end + FleetScenario.lease * 2)
            gateways[gateway].misledUntil = max(gateways[gateway].misledUntil, end)
        case .gatewayFrozen(let gateway):
            let fault = scenario.faults[number]
            let end = timeline.now.advanced(by: fault.end - fault.begin)
            gateways[gateway].frozenUntil = max(gateways[gateway].frozenUntil, end)
        case .lookEnded(let gateway): for server in budgets.indices { endLook(server, gateway) }
        }
        noteGateways()
    }

    mutating func end(_ number: Int) {
        switch scenario.faults[number].kind {
        case .sourceOut:
            sourceOutages -= 1
            if !isSourceOut { sourceReturned() }
        case .gatewayCut(let gateway): gateways[gateway].cuts -= 1
        case .gatewayMisled(let gateway): gateways[gateway].misleadings -= 1
        default: break
        }
        for victim in victims[number] ?? [] {
            switch victim {
            case .agent(let shard, let member):
                clusters[shard].agents[member].isFrozen = false
                planAgent(shard, member, in: soon(1...100))
            case .node(let shard, let member): restore(shard, member)
            case .gateway(let gateway): startGateway(gateway)
            }
        }
        noteGateways()
    }

    private mutating func lose(_ fault: Int, _ shard: Int, _ member: Int) {
        guard clusters[shard].agents[member].isAlive else { return }
        clusters[shard].agents[member].isAlive = false
        victims[fault, default: []].append(.node(shard, member))
        stop(shard, member, upIn: nil)
    }

    private mutating func restore(_ shard: Int, _ member: Int) {
        clusters[shard].agents[member].isAlive = true
        timeline.plan(.serverUp(shard, member, epoch: clusters[shard].servers[member].epoch), in: soon(500...3_000))
        planAgent(shard, member, in: soon(100...1_000))
    }

    /// The leader stops when a standby has everything, and lets its key go.
    private mutating func switchOver(_ shard: Int) {
        guard !isSourceOut, let leader = clusters[shard].leader, clusters[shard].servers[leader].isPrimary,
            clusters[shard].agents[leader].isAwake
        else { return }
        let candidate = clusters[shard].servers.indices.first { member in
            clusters[shard].streams(member, from: leader) && clusters[shard].agents[member].isAwake
                && (!scenario.isSynchronous || clusters[shard].synchronousStandby == member)
        }
        guard let candidate else { return }
        clusters[shard].servers[candidate].log = clusters[shard].servers[leader].log
        demote(shard, leader)
        clusters[shard].lead(nil, now: timeline.now)
        planAgent(shard, candidate, in: soon(50...300))
        publish(shard)
    }

    // MARK: Gateways

    /// - Parameter isAsked: it closes its connections before it goes.
    private mutating func kill(_ fault: Int, _ gateway: Int, isAsked: Bool = false) {
        guard gateways[gateway].isAlive else { return }
        gateways[gateway].isAlive = false
        gateways[gateway].frozenUntil = Instant(nanoseconds: .min)
        victims[fault, default: []].append(.gateway(gateway))
        for server in budgets.indices { vacate(server, gateway, isAsked: isAsked) }
    }

    mutating func noteGateways() {
        for gateway in gateways.indices {
            let state = gateways[gateway]
            if !state.isAlive || state.cuts > 0 || state.misleadings > 0 || state.frozenUntil > timeline.now {
                gateways[gateway].wellSince = nil
            } else if state.wellSince == nil {
                gateways[gateway].wellSince = timeline.now
            }
        }
    }
}
