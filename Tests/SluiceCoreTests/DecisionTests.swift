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
