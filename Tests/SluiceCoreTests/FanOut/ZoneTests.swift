import SluiceCore
import Testing

@Suite struct ZoneTests {
    private static let now = Instant(nanoseconds: 0)

    private static func near(_ capacity: Int) -> ShardMachine.Replica { .init(isSameZone: true, capacity: capacity) }
    private static func far(_ capacity: Int) -> ShardMachine.Replica { .init(isSameZone: false, capacity: capacity) }

    private func shard(_ replicas: [ShardMachine.Replica], spillOver: Double = 0.8) -> ShardMachine {
        var configuration = ShardMachine.Configuration()
        configuration.zoneSpillOver = spillOver
        configuration.slowStart = .zero
        return ShardMachine(configuration, replicas: replicas, now: Self.now)
    }

    private func ask(
        _ shard: inout ShardMachine, tried: [Int] = [], _ generator: inout SplitMix64
    ) -> ShardMachine.Pick? {
        var set = ReplicaSet()
        for replica in tried { set.insert(replica) }
        let choice = shard.attemptRequested(.first, tried: set, mayRepeat: false, now: Self.now, using: &generator)
        if case .ask(let pick) = choice { return pick }
        return nil
    }

    @Test func theOwnZoneComesFirstAndOthersFromTheShareOn() {
        var generator = SplitMix64(seed: 1)
        var shard = shard([Self.near(10), Self.far(10)])
        let asked = (0..<60).compactMap { _ in ask(&shard, &generator)?.replica }
        #expect(asked.prefix(8) == Array(repeating: 0, count: 8)[...])
        #expect(asked.dropFirst(8).contains(1))
        // Beyond that the less loaded of the two is asked.
        #expect(abs(shard.replicas[0].inFlight - shard.replicas[1].inFlight) <= 15)
    }

    @Test func theOwnZoneIsLeftWhenItsReplicasAreGone() {
        var generator = SplitMix64(seed: 1)
        var shard = shard([Self.near(10), Self.far(10)])
        #expect(ask(&shard, tried: [0], &generator)?.replica == 1)
        shard.reachabilityChanged(0, onLane: 0, to: false, now: Self.now)
        for _ in 0..<20 { #expect(ask(&shard, &generator)?.replica == 1) }
    }

    @Test func withZeroZonesMakeNoDifferenceAndWithOneOnlyAFullPoolDoes() {
        var generator = SplitMix64(seed: 1)
        var even = shard([Self.near(100), Self.far(100)], spillOver: 0)
        for _ in 0..<40 { _ = ask(&even, &generator) }
        #expect(even.replicas.allSatisfy { $0.inFlight >= 10 })
        var strict = shard([Self.near(10), Self.far(10)], spillOver: 1)
        for _ in 0..<10 { #expect(ask(&strict, &generator)?.replica == 0) }
        let next = (0..<20).compactMap { _ in ask(&strict, &generator)?.replica }
        #expect(next.contains(1))
    }

    /// The role is worth more than the zone: a full zone spills to replicas of the same role, not to another role.
    @Test func itDoesNotSpillIntoAnotherRole() {
        var generator = SplitMix64(seed: 1)
        var configuration = ShardMachine.Configuration()
        configuration.preference = .standby
        configuration.slowStart = .zero
        var shard = ShardMachine(
            configuration, replicas: [Self.near(100), Self.near(5), Self.far(100)], now: Self.now)
        _ = shard.roleProbed(
            0, ReplicaReport(role: .primary, timeline: 1, position: 100, incarnation: 1, asked: Self.now))
        for standby in [1, 2] {
            _ = shard.roleProbed(standby, ReplicaReport(role: .standby, position: 100, asked: Self.now))
        }
        for _ in 0..<4 { #expect(ask(&shard, &generator)?.replica == 1) }
        let next = (0..<60).compactMap { _ in ask(&shard, &generator)?.replica }
        #expect(next.contains(2) && !next.contains(0))
    }

    /// For all sequences of attempts that begin and end: while a replica of the own zone has room, and can be asked, no
    /// other zone is; and where none has, others get their part.
    @Test(arguments: 0..<60)
    func propertiesOverRandomLoads(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        let spillOver = Double(Int.random(in: 0...10, using: &generator)) / 10
        let replicas = (0..<Int.random(in: 2...6, using: &generator)).map { _ in
            let capacity = Int.random(in: 1...20, using: &generator)
            return Bool.random(using: &generator) ? Self.near(capacity) : Self.far(capacity)
        }
        var shard = shard(replicas, spillOver: spillOver)
        var running: [ShardMachine.Pick] = []
        var spilled = 0
        func hasRoom(_ place: Int) -> Bool {
            replicas[place].isSameZone
                && Double(shard.replicas[place].inFlight) < spillOver * Double(replicas[place].capacity)
        }
        for _ in 0..<1_000 {
            if Int.random(in: 0..<5, using: &generator) < 2, !running.isEmpty {
                let pick = running.remove(at: Int.random(in: 0..<running.count, using: &generator))
                _ = shard.attemptEnded(
                    pick, .rows(took: .milliseconds(5)), retryAfter: nil, now: Self.now, using: &generator)
                continue
            }
            let hadRoom = replicas.indices.contains(where: hasRoom)
            guard let pick = ask(&shard, &generator) else {
                Issue.record("nobody is asked")
                return
            }
            running.append(pick)
            let isFar = !replicas[pick.replica].isSameZone
            #expect(!(hadRoom && isFar), "\(pick.replica) was asked, and the own zone had room")
            if isFar { spilled += 1 }
        }
        // At the end far more are in flight than the own zone has room for.
        #expect(spilled > 0 || !replicas.contains { !$0.isSameZone })
    }
}
