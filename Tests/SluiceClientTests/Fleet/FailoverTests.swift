import NIOCore
import SluiceClient
import Testing

@Suite struct FailoverTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000_000)

    private func next(
        _ repetition: Failover.Repetition, gateways: Int, after failure: Failover.Failure, isInTime: Bool = true
    ) -> Failover.Next {
        var budgets = RepetitionBudgets(now: Self.start)
        var failover = Failover(repetition, gateways: gateways)
        return failover.next(after: failure, isInTime: isInTime, budgets: &budgets, now: Self.start)
    }

    @Test func whatWasNotBegunGoesAnywhere() {
        for gateways in [1, 2, 9] {
            #expect(next(.never, gateways: gateways, after: .unsent) == .any)
            #expect(next(.never, gateways: gateways, after: .unsent, isInTime: false) == .none)
        }
    }

    @Test func whatMayHaveRunIsRepeatedOnlyIfThatDoesNoHarm() {
        #expect(next(.always, gateways: 2, after: .lost) == .any)
        #expect(next(.afterRefusal, gateways: 2, after: .lost) == .none)
        #expect(next(.never, gateways: 2, after: .lost) == .none)
        #expect(next(.always, gateways: 1, after: .lost) == .none)
    }

    @Test func aRefusalIsTakenToAnotherGatewayOnly() {
        #expect(next(.always, gateways: 2, after: .refused) == .other)
        #expect(next(.afterRefusal, gateways: 2, after: .refused) == .other)
        #expect(next(.never, gateways: 2, after: .refused) == .none)
        #expect(next(.always, gateways: 1, after: .refused) == .none)
        #expect(next(.always, gateways: 2, after: .other) == .none)
    }

    @Test(arguments: [Failover.Failure.unsent, .lost, .refused], [1, 2, 3, 200])
    func thereIsAnEndToIt(failure: Failover.Failure, gateways: Int) {
        var budgets = RepetitionBudgets(now: Self.start)
        var failover = Failover(.always, gateways: gateways)
        var attempts = 1
        while failover.next(after: failure, isInTime: true, budgets: &budgets, now: Self.start) != .none, attempts < 99
        {
            attempts += 1
        }
        #expect(attempts <= min(4, gateways + 1))
    }

    @Test func aBudgetHoldsAShareOfTheFirstAttemptsAndAFewASecond() {
        var budget = RepetitionBudget(capacity: 10, now: Self.start)
        func taken(_ most: Int, at now: NIODeadline) -> Int { (0..<most).count { _ in budget.tryWithdraw(now: now) } }
        #expect(taken(99, at: Self.start) == 10)
        for _ in 0..<25 { budget.firstAttemptStarted() }
        #expect(taken(99, at: Self.start) == 5)
        #expect(taken(99, at: Self.start + .milliseconds(500)) == 5)
        #expect(taken(99, at: Self.start + .hours(1)) == 10)
        #expect(taken(99, at: Self.start) == 0, "time that goes back gives nothing")
    }

    /// For all sequences: no more than was saved up, the share, and the floor.
    @Test(arguments: 0..<20)
    func aBudgetIsNeverOverdrawn(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        var budget = RepetitionBudget(share: 200, perSecond: 10, capacity: 50, now: Self.start)
        var (now, firsts, extras) = (Self.start, 0, 0)
        for _ in 0..<5_000 {
            now = now + .microseconds(Int64.random(in: 0...2_000, using: &generator))
            if Bool.random(using: &generator) {
                budget.firstAttemptStarted()
                firsts += 1
            } else if budget.tryWithdraw(now: now) {
                extras += 1
            }
            let seconds = Double((now - Self.start).nanoseconds) / 1e9
            #expect(Double(extras) <= 50 + 0.2 * Double(firsts) + 10 * seconds + 1e-6)
        }
    }

    @Test func namesAreLookedUpAgainInTime() {
        var clock = RefreshClock()
        func begins(_ time: TimeAmount) -> Bool { clock.begin(now: Self.start + time) }
        #expect(begins(.zero) && !begins(.zero))
        clock.succeeded(timeToLive: 300, now: Self.start)
        #expect(!begins(.seconds(29)))
        #expect(begins(.seconds(30)), "not later than the interval")
        clock.succeeded(timeToLive: 0, now: Self.start)
        #expect(!begins(.milliseconds(999)) && begins(.seconds(1)))
        clock.succeeded(timeToLive: 300, now: Self.start)
        clock.connectionFailed(now: Self.start + .seconds(10))
        #expect(begins(.seconds(10)))
        clock.failed(now: Self.start)
        #expect(!begins(.seconds(4)) && begins(.seconds(5)))
        clock.failed(now: Self.start)
        clock.connectionFailed(now: Self.start)
        #expect(!begins(.zero) && begins(.seconds(1)))
    }
}
