import SluiceCore
import Testing

@Suite struct RetryBudgetTests {
    private static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test func aFifthOfTheFirstAttempts() {
        var budget = RetryBudget(.init(share: 0.2, minimumPerSecond: 0), now: Self.at(0))
        #expect(budget.tryWithdraw(now: Self.at(0)) == false)
        for _ in 0..<4 { budget.firstAttemptStarted(now: Self.at(0)) }
        #expect(budget.tryWithdraw(now: Self.at(0)) == false)
        budget.firstAttemptStarted(now: Self.at(0))
        #expect(budget.tryWithdraw(now: Self.at(0)) == true)
        #expect(budget.tryWithdraw(now: Self.at(1_000_000)) == false)
    }

    @Test func theFloorGivesOneASecondAndSavesNothing() {
        var budget = RetryBudget(.init(share: 0, minimumPerSecond: 1), now: Self.at(0))
        #expect(budget.tryWithdraw(now: Self.at(0)) == true)
        #expect(budget.tryWithdraw(now: Self.at(999)) == false)
        #expect(budget.tryWithdraw(now: Self.at(1_000)) == true)
        #expect(budget.tryWithdraw(now: Self.at(100_000)) == true)
        #expect(budget.tryWithdraw(now: Self.at(100_001)) == false, "99 quiet seconds are not 99 attempts")
    }

    /// The time between two questions may be too short for a thousandth of an attempt.
    @Test func askingOftenDoesNotStarveTheFloor() {
        var budget = RetryBudget(.init(share: 0, minimumPerSecond: 1), now: Self.at(0))
        var granted = 0
        for step in 1...10_000_000 where budget.tryWithdraw(now: Instant(nanoseconds: Int64(step) * 1_500)) {
            granted += 1
        }
        #expect(granted == 16, "one at the start and one for each of 15 seconds")
    }

    /// Every search fails on a dead shard and would be retried: attempts stay within 1.2 times the searches.
    @Test(arguments: [6, 50, 1_000])
    func aDeadShardCostsAFifth(perSecond: Int64) {
        var budget = RetryBudget(now: Self.at(0))
        var extra = 0
        for search in 1...20_000 {
            let now = Instant(nanoseconds: Int64(search) * 1_000_000_000 / perSecond)
            budget.firstAttemptStarted(now: now)
            for _ in 0..<3 where budget.tryWithdraw(now: now) { extra += 1 }
            #expect(search < 5 || extra * 5 <= search)
        }
        #expect(extra == 4_000)
    }

    @Test func savesUpToTheCapacity() {
        var budget = RetryBudget(.init(share: 1, minimumPerSecond: 0, capacity: 3), now: Self.at(0))
        for _ in 0..<100 { budget.firstAttemptStarted(now: Self.at(0)) }
        #expect(budget.available == 3)
        let granted = (0..<10).filter { _ in budget.tryWithdraw(now: Self.at(0)) }
        #expect(granted.count == 3)
    }

    @Test(arguments: 0..<200)
    func neverMoreThanItSays(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        let share = Double(Int.random(in: 0...10, using: &generator)) / 10
        let floor = Int.random(in: 0...20, using: &generator)
        let start = Instant(nanoseconds: Int64.random(in: -1_000_000_000_000...1_000_000_000_000, using: &generator))
        var budget = RetryBudget(
            .init(share: share, minimumPerSecond: floor, capacity: Int.random(in: 1...50, using: &generator)),
            now: start)
        var first = 0
        var extra = 0
        var now = start
        let eagerness = Int.random(in: 0...9, using: &generator)
        for _ in 0..<5_000 {
            now = now.advanced(by: .microseconds(Int64.random(in: 0...20_000, using: &generator)))
            if Int.random(in: 0..<10, using: &generator) < eagerness {
                first += 1
                budget.firstAttemptStarted(now: now)
            } else if budget.tryWithdraw(now: now) {
                extra += 1
            }
            let seconds = Double(start.duration(to: now).nanoseconds) / 1e9
            #expect(Double(extra) <= share * Double(first) + Double(floor) * (seconds + 1) + 1e-6)
        }
    }

    @Test(arguments: [Int64.min, -1, 0, .max])
    func noInputTrapsIt(nanoseconds: Int64) {
        for configuration in [
            RetryBudget.Configuration(share: .nan, minimumPerSecond: .max, capacity: .max),
            RetryBudget.Configuration(share: .infinity, minimumPerSecond: .min, capacity: .min),
        ] {
            var budget = RetryBudget(configuration, now: Instant(nanoseconds: nanoseconds))
            for now in [nanoseconds, .max, .min, 0].map(Instant.init(nanoseconds:)) {
                budget.firstAttemptStarted(now: now)
                _ = budget.tryWithdraw(now: now)
            }
        }
    }
}
