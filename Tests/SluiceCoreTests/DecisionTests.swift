import SluiceCore
import Testing

@Suite struct LegMachineTests {
    private let now = Instant(nanoseconds: 0)
    private let deadline = Instant(nanoseconds: 1_000_000_000)
    private let eager = LegMachine.Policy(maxAttempts: 3, backoff: Backoff(base: .zero, cap: .zero))

    private func started(_ policy: LegMachine.Policy) -> LegMachine {
        var leg = LegMachine(policy: policy, deadline: deadline)
        #expect(leg.started(now: now) == .attempt(.first, at: now))
        leg.attemptStarted(.first, replica: 0)
        return leg
    }

    @Test(arguments: AttemptFailure.allCases)
    func aFailureIsRetriedOnlyIfItIsWorthIt(failure: AttemptFailure) {
        var random = SplitMix64(seed: 1)
        var leg = started(eager)
        let action = leg.attemptFailed(failure, now: now, using: &random)
        #expect(action == (failure.advice == .never ? .fail(failure) : .attempt(.retry, at: now)))
    }

    @Test func attemptsEndAtTheirLimit() {
        var random = SplitMix64(seed: 1)
        var leg = started(eager)
        #expect(leg.attemptFailed(.connectionLost, now: now, using: &random) == .attempt(.retry, at: now))
        leg.attemptStarted(.retry, replica: 1)
        #expect(leg.attemptFailed(.connectionLost, now: now, using: &random) == .attempt(.retry, at: now))
        leg.attemptStarted(.retry, replica: 0)
        #expect(leg.attemptFailed(.unreachable, now: now, using: &random) == .fail(.unreachable))
        #expect(leg.attempts == 3 && leg.tried.contains(0) && leg.tried.contains(1) && !leg.tried.contains(2))
    }

    @Test func aRetryThatWouldComeAfterTheDeadlineIsNotMade() {
        var random = SplitMix64(seed: 3)
        var leg = started(.init(maxAttempts: 3, backoff: Backoff(base: .seconds(1_000), cap: .seconds(1_000))))
        #expect(leg.attemptFailed(.connectionLost, now: now, using: &random) == .fail(.connectionLost))
        var late = started(eager)
        #expect(late.attemptFailed(.connectionLost, now: deadline, using: &random) == .fail(.timedOut))
    }

    @Test func aHedgeIsMadeOnceAndTheFirstAnswerWins() {
        var random = SplitMix64(seed: 1)
        var leg = started(eager)
        #expect(leg.hedgeDue(now: now) == .attempt(.hedge, at: now))
        leg.attemptStarted(.hedge, replica: 1)
        #expect(leg.hedgeDue(now: now) == .wait)
        #expect(leg.attemptFailed(.connectionLost, now: now, using: &random) == .wait, "the hedge still runs")
        #expect(leg.attemptSucceeded() == .succeed)
        #expect(leg.attemptFailed(.cancelled, now: now, using: &random) == .wait, "it is over")
        #expect(leg.hedges == 1 && leg.attempts == 2)
    }

    @Test func aRefusedRetryReportsWhatWasMet() {
        var random = SplitMix64(seed: 1)
        var leg = started(eager)
        _ = leg.attemptFailed(.outOfResources, now: now, using: &random)
        #expect(leg.attemptRefused(.retry, .unreachable) == .fail(.outOfResources))
        var first = LegMachine(policy: eager, deadline: deadline)
        _ = first.started(now: now)
        #expect(first.attemptRefused(.first, .breakerOpen) == .fail(.breakerOpen))
    }
}

@Suite struct FanOutMachineTests {
    private let zero = Instant(nanoseconds: 0)

    private func machine(_ legs: Int, weight: Double? = nil, _ policy: FanOutMachine.Policy) -> FanOutMachine {
        FanOutMachine(
            legCount: legs, totalWeight: weight ?? Double(legs), policy: policy, started: zero,
            deadline: zero.advanced(by: .seconds(10)))
    }

    @Test func answersWhenAllLegsHave() {
        var machine = machine(2, .init())
        #expect(machine.legSucceeded(0, weight: 1, now: zero) == .wait)
        #expect(machine.legSucceeded(0, weight: 1, now: zero) == .wait, "a leg counts once")
        #expect(machine.legSucceeded(1, weight: 1, now: zero) == .finish(.answer(coverage: 1)))
    }

    @Test func failsAtOnceIfEverythingIsAskedFor() {
        var machine = machine(3, .init())
        #expect(machine.legFailed(2, weight: 1, now: zero) == .finish(.fail(leg: 2)))
    }

    @Test func failsAsSoonAsTheCoverageCannotBeReached() {
        var machine = machine(4, .init(minCoverage: 0.6))
        #expect(machine.legFailed(0, weight: 1, now: zero) == .wait)
        #expect(machine.legFailed(1, weight: 1, now: zero) == .finish(.fail(leg: 0)))
    }

    @Test func aPartialAnswerSaysWhatItCoversByRows() {
        var machine = machine(3, weight: 100, .init(minCoverage: 0))
        #expect(machine.legFailed(0, weight: 70, now: zero) == .wait)
        #expect(machine.legSucceeded(1, weight: 20, now: zero) == .wait)
        #expect(machine.legSucceeded(2, weight: 10, now: zero) == .finish(.answer(coverage: 0.3)))
    }

    @Test func nothingAnsweredIsNoAnswer() {
        var machine = machine(2, .init(minCoverage: 0))
        #expect(machine.legFailed(1, weight: 1, now: zero) == .wait)
        #expect(machine.legFailed(0, weight: 1, now: zero) == .finish(.fail(leg: 1)))
    }

    @Test func laggardsGetAShareOfWhatTheOthersTook() {
        let laggards = AdaptiveTimeout(factor: 0.5, minimum: .milliseconds(1), maximum: .seconds(1))
        var machine = machine(3, .init(minCoverage: 0.6, laggards: laggards))
        let later = zero.advanced(by: .milliseconds(100))
        #expect(machine.legSucceeded(0, weight: 1, now: later) == .wait)
        let until = later.advanced(by: .milliseconds(50))
        #expect(machine.legSucceeded(1, weight: 1, now: later) == .giveUpLaggards(at: until))
        #expect(machine.legFailed(2, weight: 1, now: until) == .finish(.answer(coverage: 2.0 / 3)))
    }

    @Test func coverageIsNeverOverstated() {
        var machine = machine(2, weight: 10, .init(minCoverage: 0))
        _ = machine.legSucceeded(0, weight: 1e9, now: zero)
        #expect(machine.coverage < 1)
    }
}

@Suite struct ShardMachineTests {
    private let now = Instant(nanoseconds: 0)

    private func shard(_ replicas: Int, _ change: (inout ShardMachine.Configuration) -> Void = { _ in }) -> ShardMachine
    {
        var configuration = ShardMachine.Configuration()
        change(&configuration)
        return ShardMachine(
            configuration, replicas: Array(repeating: .init(), count: replicas), lanes: 1, now: now)
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
        at instant: Instant? = nil
    ) {
        guard case .ask(let pick) = choice else { return }
        var random = SplitMix64(seed: 2)
        _ = shard.attemptEnded(pick, result, now: instant ?? now, using: &random)
    }

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

    @Test(arguments: [AttemptFailure.saturated, .statement, .cancelled, .recoveryConflict])
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
        shard.roleProbed(0, .primary)
        shard.roleProbed(1, .standby)
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
}

@Suite struct BackoffTests {
    @Test func staysBelowItsCeilingAndItsCap() {
        var random = SplitMix64(seed: 7)
        let backoff = Backoff(base: .milliseconds(100), cap: .seconds(5))
        for attempt in 0..<200 {
            let ceiling = min(Duration.milliseconds(100) * (1 << min(attempt, 10)), .seconds(5))
            for _ in 0..<20 {
                let delay = backoff.delay(attempt: attempt, using: &random)
                #expect(delay >= .zero && delay <= ceiling)
            }
        }
    }
}

@Suite struct InstantTests {
    @Test func arithmeticSaturates() {
        let now = Instant(nanoseconds: 5)
        #expect(now.advanced(by: .seconds(Int64.max)) == .distantFuture)
        #expect(now.advanced(by: .seconds(Int64.min)).nanoseconds < 0)
        #expect(Instant(nanoseconds: .min).duration(to: .distantFuture) == .nanoseconds(Int64.max))
        #expect(Duration.milliseconds(40).microseconds == 40_000)
    }
}
