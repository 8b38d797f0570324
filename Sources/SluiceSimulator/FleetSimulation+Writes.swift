internal import SluiceCore

/// One write on its way, as a gateway's lanes take it.
struct SimulatedWrite {
    let life: FleetSimulation.Life
    let shard: Int
    let arrived: Instant
    let deadline: Instant
    /// Before it is tried again.
    var pause = Duration.milliseconds(50)
    /// The server it goes to, and the timeline that is to be on.
    var member = 0
    var timeline: UInt32 = 0
    /// Counts how often it was sent or taken back.
    var attempt = 0
}

/// Writes: who leads is asked when a connection is chosen, right before the write is sent, and when it is answered.
extension FleetSimulation {
    private static let writePatience = Duration.seconds(2)
    private static let fencePause = Duration.milliseconds(100)

    mutating func writeComes() {
        let pause = 1_000_000 / (2 * clusters.count)
        timeline.plan(.writeComes, in: .microseconds(Int.random(in: 0...2 * pause, using: &random)))
        let gateway = Int.random(in: gateways.indices, using: &random)
        let shard = Int.random(in: clusters.indices, using: &random)
        guard gateways[gateway].isAlive else { return }
        nextWrite += 1
        writes[nextWrite] = SimulatedWrite(
            life: life(gateway), shard: shard, arrived: timeline.now,
            deadline: timeline.now.advanced(by: Self.writePatience))
        checkers.tally.writes += 1
        timeline.plan(.writeDue(nextWrite), in: .zero)
    }

    /// A connection to the leader is to be had.
    mutating func writeDue(_ id: Int) {
        guard let write = writes[id] else { return }
        guard lives(write.life) else { return end(id, .unanswered) }
        guard timeline.now < write.deadline else { return end(id, .refused) }
        let place = place(write.life.gateway, write.shard)
        let now = clock(write.life.gateway)
        if bug == .fenceTrustsRecovery {
            guard let member = clusters[write.shard].servers.firstIndex(where: { $0.isUp && $0.isPrimary }) else {
                return tryAgain(id)
            }
            return lease(id, member, clusters[write.shard].servers[member].timeline)
        }
        views[place].settle(clusters[write.shard], now: timeline.now)
        let leader: MemberPlace
        switch views[place].machine.verdict(now: now) {
        case .refused: return tryAgain(id)
        case .writable(let named): leader = named
        }
        let member = SimulatedCluster.member(at: leader)
        guard let found = timelineOfPrimary(write, member) else {
            lookAgain(write.life, write.shard)
            return tryAgain(id)
        }
        guard refusal(write, member, found) == nil else { return tryAgain(id) }
        lease(id, member, found)
    }

    /// Nil if the named leader does not say, as far as is known, that it is the primary.
    private func timelineOfPrimary(_ write: SimulatedWrite, _ member: Int) -> UInt32? {
        let server = clusters[write.shard].servers[member]
        if bug == .timelinesAreForgotten { return server.isPrimary ? server.timeline : nil }
        let choice = routes[place(write.life.gateway, write.shard)].primary(namedAs: member)
        guard case .found(_, let timeline) = choice else { return nil }
        return timeline
    }

    /// Now and then it takes long until a connection is free.
    private mutating func lease(_ id: Int, _ member: Int, _ timeline: UInt32) {
        writes[id]?.member = member
        writes[id]?.timeline = timeline
        let isLong = Int.random(in: 0..<20, using: &random) == 0
        self.timeline.plan(.writeSent(id), in: soon(0...(isLong ? 1_500 : 20)))
    }

    private mutating func tryAgain(_ id: Int) {
        guard let write = writes[id] else { return }
        writes[id]?.attempt += 1
        askAgain(write.life, write.shard, in: .milliseconds(250))
        timeline.plan(.writeDue(id), in: write.pause)
        writes[id]?.pause = min(write.pause * 2, .milliseconds(200))
    }

    /// What the server says of itself is taken note of first, as the gateway's fence does. What the shard's others have
    /// said counts, too.
    private mutating func refusal(_ write: SimulatedWrite, _ member: Int, _ timeline: UInt32) -> WriteRefusal? {
        if bug == .fenceTrustsRecovery { return nil }
        let place = place(write.life.gateway, write.shard)
        views[place].settle(clusters[write.shard], now: self.timeline.now)
        let server = SimulatedCluster.place(write.shard, member)
        _ = views[place].machine.serverSaid(server, timeline: timeline)
        let refusal = views[place].machine.refusal(of: server, on: timeline, now: clock(write.life.gateway))
        guard refusal == nil, bug != .timelinesAreForgotten else { return refusal }
        return timeline < routes[place].latestTimeline ? .timelineBack : nil
    }

    mutating func writeSent(_ id: Int) {
        guard let write = writes[id] else { return }
        guard lives(write.life) else { return end(id, .unanswered) }
        guard refusal(write, write.member, write.timeline) == nil else { return tryAgain(id) }
        let isMisled = gateways[write.life.gateway].misledUntil > timeline.now
        checkers.writeSent(write, to: clusters[write.shard], isMisled: isMisled, at: timeline.now)
        // Now and then a row's lock is in the way.
        let isLong = Int.random(in: 0..<10, using: &random) == 0
        let time = Int.random(in: 200...(isLong ? 4_000_000 : 3_000), using: &random)
        timeline.plan(.writeMet(id), in: .microseconds(time))
        if bug != .supersededIsAcknowledged { watch(id, write.attempt) }
    }

    private mutating func watch(_ id: Int, _ attempt: Int) {
        timeline.plan(.writeWatched(id, attempt: attempt), in: Self.fencePause)
    }

    /// While it is under way its gateway looks whether its server may still be written to, and stops it if not.
    mutating func writeWatched(_ id: Int, _ attempt: Int) {
        guard let write = writes[id], write.attempt == attempt else { return }
        guard lives(write.life) else { return end(id, .unanswered) }
        guard refusal(write, write.member, write.timeline) == nil else { return end(id, .unknown) }
        watch(id, attempt)
    }

    /// The server takes it, if it is what the write's own transaction asks it to be.
    mutating func writeMet(_ id: Int) {
        guard let write = writes[id] else { return }
        guard clusters[write.shard].servers[write.member].isUp else { return end(id, .unknown) }
        guard isPrimary(write) else {
            lookAgain(write.life, write.shard)
            return tryAgain(id)
        }
        clusters[write.shard].servers[write.member].log.append(.init(write: id, at: timeline.now))
        if let standby = clusters[write.shard].servers[write.member].waitsFor, bug != .standbyIsNotWaitedFor {
            let lag = clusters[write.shard].servers[standby].lag
            timeline.plan(.writeReplicated(id), in: lag + .milliseconds(1))
        } else {
            timeline.plan(.writeAnswered(id), in: .microseconds(300))
        }
    }

    private func isPrimary(_ write: SimulatedWrite) -> Bool {
        let server = clusters[write.shard].servers[write.member]
        return server.isUp && server.isPrimary && server.timeline == write.timeline
    }

    /// Without its standby a commit waits for ever.
    mutating func writeReplicated(_ id: Int) {
        guard let write = writes[id] else { return }
        guard isPrimary(write), let standby = clusters[write.shard].servers[write.member].waitsFor,
            clusters[write.shard].streams(standby, from: write.member)
        else { return end(id, .unknown) }
        clusters[write.shard].receive(standby, now: timeline.now)
        guard clusters[write.shard].servers[standby].log.last(where: { $0.write == id }) != nil else {
            return end(id, .unknown)
        }
        timeline.plan(.writeAnswered(id), in: .microseconds(300))
    }

    mutating func writeAnswered(_ id: Int) {
        guard let write = writes[id] else { return }
        guard lives(write.life) else { return end(id, .unanswered) }
        if bug != .supersededIsAcknowledged, refusal(write, write.member, write.timeline) != nil {
            return end(id, .unknown)
        }
        checkers.writeAcknowledged(id, write, at: timeline.now)
        end(id, .committed)
    }

    private mutating func end(_ id: Int, _ outcome: FleetCheckers.WriteOutcome) {
        guard let write = writes.removeValue(forKey: id) else { return }
        checkers.writeEnded(
            write, outcome, clusterWellSince: clusters[write.shard].wellSince,
            gatewayWellSince: gateways[write.life.gateway].wellSince, at: timeline.now)
    }
}
