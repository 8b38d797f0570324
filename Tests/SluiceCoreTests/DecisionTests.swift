import SluiceCore
import Testing

@Suite struct LegMachineTests {
    private let now = Instant(nanoseconds: 0)
    private let deadline = Instant(nanoseconds: 100)

    @Test func asksAnotherReplicaWhenTheFailureWasTheFirstOnesOwn() {
        var leg = LegMachine(order: [1, 0], deadline: deadline)
        #expect(leg.started(now: now) == .attempt(replica: 1))
        #expect(leg.attemptFailed(.connectionLost, now: now) == .attempt(replica: 0))
        #expect(leg.attemptFailed(.unreachable, now: now) == .fail(.unreachable))
        #expect(leg.attempts == 2)
    }

    @Test(arguments: [AttemptFailure.statement, .timedOut, .cancelled])
    func doesNotRepeatWhatWouldFailAgain(failure: AttemptFailure) {
        var leg = LegMachine(order: [0, 1], deadline: deadline)
        _ = leg.started(now: now)
        #expect(leg.attemptFailed(failure, now: now) == .fail(failure))
    }

    @Test func stopsAtTheDeadline() {
        var leg = LegMachine(order: [0, 1], deadline: deadline)
        _ = leg.started(now: now)
        #expect(leg.attemptFailed(.connectionLost, now: deadline) == .fail(.timedOut))
    }
}

@Suite struct FanOutMachineTests {
    @Test func answersWhenAllLegsHave() {
        var machine = FanOutMachine(legCount: 2, allowsPartial: false)
        #expect(machine.legSucceeded(0) == .wait)
        #expect(machine.legSucceeded(0) == .wait, "a leg counts once")
        #expect(machine.legSucceeded(1) == .finish(.answer(coverage: 1)))
    }

    @Test func failsAtOnceUnlessPartialAnswersAreAllowed() {
        var machine = FanOutMachine(legCount: 3, allowsPartial: false)
        #expect(machine.legFailed(2) == .finish(.fail(leg: 2)))
    }

    @Test func aPartialAnswerSaysWhatItCovers() {
        var machine = FanOutMachine(legCount: 4, allowsPartial: true)
        #expect(machine.legFailed(0) == .wait)
        #expect(machine.legSucceeded(1) == .wait)
        #expect(machine.legSucceeded(2) == .wait)
        #expect(machine.legSucceeded(3) == .finish(.answer(coverage: 0.75)))
    }

    @Test func nothingAnsweredIsNoAnswer() {
        var machine = FanOutMachine(legCount: 2, allowsPartial: true)
        #expect(machine.legFailed(1) == .wait)
        #expect(machine.legFailed(0) == .finish(.fail(leg: 1)))
    }
}

@Suite struct ReplicaChoiceTests {
    @Test(arguments: 0..<50)
    func eachReplicaIsAskedOnceAndUnreachableOnesLast(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let loads = [
            ReplicaLoad(isReachable: false, load: 0), ReplicaLoad(isReachable: true, load: 9),
            ReplicaLoad(isReachable: true, load: 1),
        ]
        let order = ReplicaChoice.order(loads, using: &random)
        #expect(order == [2, 1, 0], "of two, the one with less load comes first")
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
