internal import SluiceCore

/// A search's part on one shard: each leg chooses for itself, so they come one by one here.
struct SimulatedLeg {
    let life: FleetSimulation.Life
    let shard: Int
    /// All is well, so that it counts for the load's spread.
    let isMeasured: Bool
    var machine: LegMachine
    var pick: ShardMachine.Pick?
    var failure: AttemptFailure?
    var began = Instant(nanoseconds: 0)
}

extension FleetSimulation {
    private static let legPatience = Duration.seconds(1)
    /// Of each server, while the load is measured: chance makes some of them 1.1 times as many at the most.
    private static let measuredLegs = 400
    /// Of each shard a second, before.
    private static let usualLegs = 6

    mutating func searchComes() {
        let elapsed = Duration.nanoseconds(timeline.now.nanoseconds)
        // Legs that began before have ended when the measurement begins.
        let isMeasured = elapsed >= FleetScenario.healed
        let window = (FleetScenario.end - FleetScenario.healed).microseconds
        let servers = Int64(scenario.scale.shards * scenario.scale.replicas)
        let pause =
            isMeasured
            ? window * 1_000 / (servers * Int64(Self.measuredLegs))
            : 1_000_000_000 / Int64(Self.usualLegs * scenario.scale.shards)
        timeline.plan(.searchComes, in: .nanoseconds(Int64.random(in: 0...2 * pause, using: &random)))
        let gateway = Int.random(in: gateways.indices, using: &random)
        guard gateways[gateway].isAlive, gateways[gateway].frozenUntil <= timeline.now else { return }
        let shard = Int.random(in: clusters.indices, using: &random)
        nextLeg += 1
        let now = clock(gateway)
        var leg = SimulatedLeg(
            life: life(gateway), shard: shard, isMeasured: isMeasured,
            machine: LegMachine(policy: .init(), deadline: now.advanced(by: Self.legPatience)))
        let action = leg.machine.started(now: now)
        legs[nextLeg] = leg
        checkers.legBegan(zone: gateways[gateway].zone, shard: shard, isMeasured: isMeasured)
        follow(action, nextLeg)
    }

    private mutating func follow(_ action: LegMachine.Action, _ id: Int) {
        guard let leg = legs[id] else { return }
        switch action {
        case .attempt(let kind, let due):
            let delay = clock(leg.life.gateway).duration(to: due)
            if delay <= .zero { return legDue(id, kind) }
            timeline.plan(.legDue(id, kind), in: delay)
        case .wait: break
        case .succeed: legs[id] = nil
        case .fail:
            legs[id] = nil
            checkers.legFailed(leg, at: timeline.now)
        }
    }

    mutating func legDue(_ id: Int, _ kind: AttemptKind) {
        guard let leg = legs[id] else { return }
        guard lives(leg.life) else {
            legs[id] = nil
            return
        }
        let gateway = leg.life.gateway
        let choice = routes[place(gateway, leg.shard)].attemptRequested(
            kind, tried: leg.machine.tried, mayRepeat: leg.failure?.advice == .anywhere, now: clock(gateway),
            using: &random)
        switch choice {
        case .refuse(let reason):
            guard let action = legs[id]?.machine.attemptRefused(kind, reason) else { return }
            follow(action, id)
        case .ask(let pick):
            let isUp = clusters[leg.shard].servers[pick.replica].isUp
            legs[id]?.machine.attemptStarted(kind, replica: pick.replica)
            legs[id]?.pick = pick
            legs[id]?.failure = isUp ? nil : .connectionLost
            legs[id]?.began = timeline.now
            if isUp, leg.isMeasured { checkers.served(leg.shard, pick.replica) }
            let isNear = zone(of: pick.replica, leg.shard) == gateways[gateway].zone
            let time = isUp ? Int.random(in: 500...4_000, using: &random) + (isNear ? 0 : 1_000) : 200
            timeline.plan(.attemptEnded(id), in: .microseconds(time))
        }
    }

    mutating func attemptEnded(_ id: Int) {
        guard let leg = legs[id], let pick = leg.pick else { return }
        guard lives(leg.life) else {
            legs[id] = nil
            return
        }
        let gateway = leg.life.gateway
        let now = clock(gateway)
        let took = leg.began.duration(to: timeline.now)
        _ = routes[place(gateway, leg.shard)].attemptEnded(
            pick, leg.failure.map { .failed($0, took: took) } ?? .rows(took: took), now: now, using: &random)
        if leg.failure?.questionsRole == true { lookAgain(leg.life, leg.shard) }
        let action =
            if let failure = leg.failure {
                legs[id]?.machine.attemptFailed(failure, now: now, using: &random)
            } else {
                legs[id]?.machine.attemptSucceeded()
            }
        if let action { follow(action, id) }
    }
}
