import SluiceCore
import Testing

@Suite struct ShardMachineTests {
    private let now = Instant(nanoseconds: 0)

    private func shard(_ replicas: Int, _ change: (inout ShardMachine.Configuration) -> Void = { _ in }) -> ShardMachine
    {
        var configuration = ShardMachine.Configuration()
        change(&configuration)
        return ShardMachine(
            configuration, replicas: Array(repeating: .init(), count: replicas), now: now)
    }

    private func ask(
        _ shard: inout ShardMachine, _ kind: AttemptKind = .first, tried: [Int] = [], mayRepeat: Bool = false,
        at instant: Instant? = nil, seed: UInt64 = 1
    ) -> ShardMachine.Choice {
        var random = SplitMix64(seed: seed)
        var set = ReplicaSet()
        for replica in tried { set.insert(replica) }
        return shard.attemptRequested(kind, tried: set, mayRepeat: mayRepeat, now: instant ?? now, using: &random)
    }

    private func end(
        _ shard: inout ShardMachine, _ choice: ShardMachine.Choice, _ result: ShardMachine.AttemptResult,
        retryAfter: Duration? = nil, at instant: Instant? = nil
    ) {
        guard case .ask(let pick) = choice else { return }
        var random = SplitMix64(seed: 2)
        _ = shard.attemptEnded(pick, result, retryAfter: retryAfter, now: instant ?? now, using: &random)
    }

    private func later(_ milliseconds: Int64) -> Instant { now.advanced(by: .milliseconds(milliseconds)) }

    private func replica(_ choice: ShardMachine.Choice) -> Int? {
        if case .ask(let pick) = choice { pick.replica } else { nil }
    }

    @Test(arguments: 0..<20)
    func aRetryGoesToAnotherReplicaAndToTheSameOnlyIfThatIsWorthIt(seed: UInt64) {
        var two = shard(2)
        #expect(replica(ask(&two, .retry, tried: [0], seed: seed)) == 1)
        var one = shard(1)
        #expect(ask(&one, .retry, tried: [0]) == .refuse(.unreachable))
        #expect(replica(ask(&one, .retry, tried: [0], mayRepeat: true)) == 0)
    }

    @Test func aServerUnderTwoNamesIsAskedOnce() {
        var shard = ShardMachine(
            .init(), replicas: [.init(server: 3), .init(server: 3), .init(server: 4)], now: now)
        #expect(replica(ask(&shard, .hedge, tried: [1])) == 2)
        var alone = ShardMachine(.init(), replicas: [.init(server: 3), .init(server: 3)], now: now)
        #expect(ask(&alone, .retry, tried: [0]) == .refuse(.unreachable))
    }

    @Test func extraAttemptsStayWithinTheirBudget() {
        var shard = shard(2) { $0.budget = .init(share: 0.2, minimumPerSecond: 0, capacity: 10) }
        var extra = 0
        for _ in 0..<1_000 {
            let first = ask(&shard)
            end(&shard, first, .failed(.saturated, took: .zero))
            if case .ask = ask(&shard, .retry, tried: [0]) { extra += 1 }
        }
        #expect(extra <= 200 && extra >= 150)
        #expect(shard.refusedExtraAttempts > 0)
    }

    @Test func anOpenBreakerGetsNothingAndThenOneProbe() {
        var shard = shard(1)
        for _ in 0..<5 { end(&shard, ask(&shard), .failed(.connectionLost, took: .zero)) }
        #expect(ask(&shard) == .refuse(.breakerOpen))
        let later = now.advanced(by: .seconds(2))
        let probe = ask(&shard, at: later)
        guard case .ask(let pick) = probe else {
            Issue.record("no probe")
            return
        }
        #expect(pick.isProbe)
        #expect(ask(&shard, at: later) == .refuse(.breakerOpen), "one at a time")
    }

    @Test(arguments: [AttemptFailure.saturated, .statement, .cancelled, .recoveryConflict, .unreachable])
    func whatIsNotTheBackendsFaultNeverOpensItsBreaker(failure: AttemptFailure) {
        var shard = shard(1)
        for _ in 0..<1_000 { end(&shard, ask(&shard), .failed(failure, took: .milliseconds(1))) }
        #expect(replica(ask(&shard)) == 0)
    }

    @Test func deadlinesOfAMillisecondDoNotOpenABreakerButLongOnesDo() {
        var shard = shard(1)
        for _ in 0..<1_000 { end(&shard, ask(&shard), .failed(.timedOut, took: .milliseconds(1))) }
        #expect(replica(ask(&shard)) == 0)
        for _ in 0..<5 { end(&shard, ask(&shard), .failed(.timedOut, took: .milliseconds(500))) }
        #expect(ask(&shard) == .refuse(.breakerOpen))
    }

    @Test func slownessNeverEjectsAll() {
        var shard = shard(2) {
            $0.breaker.slowThreshold = .milliseconds(10)
            $0.breaker.minimumVolume = 10
        }
        for _ in 0..<200 { end(&shard, ask(&shard), .rows(took: .milliseconds(50))) }
        #expect(shard.replicas.allSatisfy { $0.breaker.ejection == .slowness })
        #expect(replica(ask(&shard)) != nil)
    }

    @Test func theUnreachableAreNotAskedUntilTheyAreBack() {
        var shard = shard(2)
        shard.reachabilityChanged(0, onLane: 0, to: false, now: now)
        for seed in 0..<20 { #expect(replica(ask(&shard, seed: UInt64(seed))) == 1) }
        shard.reachabilityChanged(1, onLane: 0, to: false, now: now)
        #expect(ask(&shard) == .refuse(.unreachable))
        shard.reachabilityChanged(0, onLane: 0, to: true, now: now)
        #expect(replica(ask(&shard)) == 0)
    }

    @Test func thePreferredRoleIsAskedFirstAndTheOtherIfItIsGone() {
        var shard = shard(2) { $0.preference = .standby }
        shard.roleProbed(0, ReplicaReport(role: .primary, asked: now))
        shard.roleProbed(1, ReplicaReport(role: .standby, asked: now))
        for seed in 0..<20 { #expect(replica(ask(&shard, seed: UInt64(seed))) == 1) }
        shard.reachabilityChanged(1, onLane: 0, to: false, now: now)
        #expect(replica(ask(&shard)) == 0)
    }

    @Test func aHedgeIsPlannedOnlyIfThereIsSomebodyElse() {
        func hedge(_ replicas: Int) -> Duration? {
            var shard = shard(replicas)
            for _ in 0..<100 { end(&shard, ask(&shard), .rows(took: .milliseconds(20))) }
            guard case .ask(let pick) = ask(&shard) else { return nil }
            return pick.hedgeAfter
        }
        #expect(hedge(1) == nil)
        let delay = hedge(2)
        #expect(delay.map { $0 >= .milliseconds(19) && $0 <= .milliseconds(24) } == true)
    }

    @Test func aBackendThatAskedForARestGetsNoExtraAttempts() {
        var shard = shard(2)
        var asked = ask(&shard)
        while replica(asked) != 1 { asked = ask(&shard, seed: .random(in: 0...1_000)) }
        end(&shard, asked, .failed(.saturated, took: .zero), retryAfter: .milliseconds(100))
        #expect(ask(&shard, .retry, tried: [0]) == .refuse(.unreachable))
        #expect(ask(&shard, .hedge, tried: [0], at: later(99)) == .refuse(.unreachable))
        #expect(replica(ask(&shard, .retry, tried: [0], at: later(100))) == 1)
        end(&shard, asked, .failed(.saturated, took: .zero), retryAfter: .seconds(86_400))
        #expect(replica(ask(&shard, .retry, tried: [0], at: later(30_001))) == 1, "half a minute at most")
    }

    @Test func aHedgeGoesOnlyToABackendWithRoom() {
        var shard = ShardMachine(.init(), replicas: [.init(), .init(capacity: 4)], now: now)
        var hedges: [ShardMachine.Choice] = []
        for _ in 0..<8 { hedges.append(ask(&shard, .hedge, tried: [0])) }
        #expect(hedges.compactMap(replica).count == 1, "the budget's floor is one a second")
        var roomy = ShardMachine(.init(), replicas: [.init(weight: 1), .init(weight: 100, capacity: 4)], now: now)
        var inFlight = 0
        while inFlight < 4 { if replica(ask(&roomy, seed: .random(in: 0...1_000))) == 1 { inFlight += 1 } }
        #expect(replica(ask(&roomy, .hedge, tried: [0])) == nil, "four of four places are taken")
    }

    /// A frozen replica loses every race against its hedge: that is slowness, although nothing ever times out.
    @Test func losingEveryRaceEjects() {
        var shard = shard(2) { $0.breaker.minimumVolume = 10 }
        for step in 0..<20 {
            end(&shard, ask(&shard, at: later(Int64(step))), .rows(took: .milliseconds(2)), at: later(Int64(step)))
            let frozen = ask(&shard, tried: [0], at: later(Int64(step)))
            end(&shard, frozen, .lostRace(after: .milliseconds(8)), at: later(Int64(step)))
        }
        #expect(shard.replicas[1].breaker.ejection == .slowness)
    }

    @Test func aProbeThatTakesTooLongHasFailed() {
        var shard = shard(2)
        for _ in 0..<100 { end(&shard, ask(&shard), .rows(took: .milliseconds(20))) }
        while shard.replicas[1].breaker.isClosed {
            let choice = ask(&shard, seed: .random(in: 0...1_000))
            let isVictim = replica(choice) == 1
            end(
                &shard, choice,
                isVictim ? .failed(.connectionLost, took: .zero) : .rows(took: .milliseconds(20)))
        }
        for result in [
            ShardMachine.AttemptResult.lostRace(after: .milliseconds(21)),
            .failed(.timedOut, took: .milliseconds(30)),
        ] {
            var copy = shard
            let probe = ask(&copy, at: later(2_000))
            #expect(replica(probe) == 1)
            end(&copy, probe, result, at: later(2_040))
            #expect(copy.replicas[1].breaker.isOpen(now: later(2_041)), "\(result)")
            #expect(replica(ask(&copy, at: later(2_041))) == 0)
        }
        #expect(replica(ask(&shard, .hedge, tried: [0], at: later(2_000))) == nil, "no probe by an extra attempt")
    }

    @Test func whoCanBeReachedAgainIsProbedAtOnce() {
        var shard = shard(1)
        for _ in 0..<5 { end(&shard, ask(&shard), .failed(.connectionLost, took: .zero)) }
        #expect(ask(&shard) == .refuse(.breakerOpen))
        shard.reachabilityChanged(0, onLane: 0, to: false, now: now)
        #expect(ask(&shard) == .refuse(.unreachable))
        shard.reachabilityChanged(0, onLane: 0, to: true, now: later(10))
        guard case .ask(let pick) = ask(&shard, at: later(10)) else {
            Issue.record("not probed")
            return
        }
        #expect(pick.isProbe)
    }

    @Test func aLaneThatNeverDialledSaysNothing() {
        var shard = shard(1)
        shard.reachabilityChanged(0, onLane: 3, to: false, now: now)
        #expect(shard.replicas[0].isReachable == false)
        shard.reachabilityChanged(0, onLane: 1, to: true, now: now)
        #expect(shard.replicas[0].isReachable)
        shard.reachabilityChanged(0, onLane: 1, to: false, now: now)
        shard.reachabilityChanged(0, onLane: 3, to: true, now: now)
        #expect(shard.replicas[0].isReachable)
    }

    @Test func legsAreComparedWithTheirOwnKind() {
        var shard = ShardMachine(.init(), replicas: [.init(), .init()], latencyClasses: 2, now: now)
        var random = SplitMix64(seed: 3)
        func pick(_ kind: Int) -> ShardMachine.Pick? {
            let choice = shard.attemptRequested(
                .first, latencyClass: kind, tried: ReplicaSet(), mayRepeat: false, now: now, using: &random)
            if case .ask(let pick) = choice { return pick }
            return nil
        }
        for step in 0..<400 {
            guard let pick = pick(step % 2) else { continue }
            let took = Duration.milliseconds(step % 2 == 0 ? 10 : 800)
            _ = shard.attemptEnded(pick, .rows(took: took), now: now, using: &random)
        }
        #expect(pick(0)?.hedgeAfter.map { $0 < .milliseconds(20) } == true)
        #expect(pick(1)?.hedgeAfter.map { $0 > .milliseconds(600) } == true)
        #expect(pick(-7) != nil && pick(1_000_001) != nil && pick(.min + 1) != nil)
    }
}
