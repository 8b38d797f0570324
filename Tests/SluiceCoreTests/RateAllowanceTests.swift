import SluiceCore
import Testing

@Suite struct RateAllowanceTests {
    private func took(_ allowance: inout RateAllowance, _ units: Int = 1, now: Instant) -> Bool {
        allowance.tryTake(units, now: now)
    }

    private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test func aBurstIsThereAtOnceAndOneMoreIsNot() {
        var allowance = RateAllowance(perSecond: 10, burst: 3, now: at(0))
        for _ in 0..<3 { #expect(took(&allowance, now: at(0))) }
        #expect(!took(&allowance, now: at(0)))
        #expect(!took(&allowance, now: at(99)))
        #expect(took(&allowance, now: at(100)))
        #expect(!took(&allowance, now: at(100)))
    }

    @Test func itSavesNoMoreThanItsBurst() {
        var allowance = RateAllowance(perSecond: 1_000, burst: 5, now: at(0))
        var taken = 0
        while allowance.tryTake(now: at(1_000_000)) { taken += 1 }
        #expect(taken == 5)
    }

    @Test func overAnyTimeItGivesTheRateAndTheBurst() {
        var random = SplitMix64(seed: 7)
        for _ in 0..<200 {
            let rate = Int.random(in: 1...5_000, using: &random)
            let burst = Int.random(in: 1...500, using: &random)
            var allowance = RateAllowance(perSecond: rate, burst: burst, now: at(0))
            var now: Int64 = 0
            var taken = 0
            for _ in 0..<500 {
                now += Int64.random(in: 0...20, using: &random)
                let units = Int.random(in: 0...10, using: &random)
                if allowance.tryTake(units, now: at(now)) { taken += units }
            }
            #expect(taken <= burst + rate * Int(now) / 1_000)
        }
    }

    @Test func theWaitIsJustLongEnough() {
        var allowance = RateAllowance(perSecond: 3, burst: 1, now: at(0))
        #expect(took(&allowance, now: at(0)))
        let wait = allowance.wait()
        #expect(wait > .milliseconds(333) && wait < .milliseconds(334))
        #expect(took(&allowance, now: at(0).advanced(by: wait)))
    }

    @Test func whatIsOverdrawnFillsUpFirst() {
        var allowance = RateAllowance(perSecond: 100, now: at(0))
        allowance.take(150, now: at(0))
        #expect(!took(&allowance, now: at(500)))
        #expect(took(&allowance, now: at(510)))
        // However much it was, never for longer than its capacity takes.
        allowance.take(.max, now: at(600))
        #expect(took(&allowance, now: at(1_700)))
    }

    @Test func theExtremesDoNotTrap() {
        var allowance = RateAllowance(perSecond: .max, burst: .max, now: Instant(nanoseconds: .min))
        #expect(took(&allowance, RateAllowance.largest, now: .distantFuture))
        #expect(!took(&allowance, .max, now: .distantFuture))
        allowance.take(-5, now: Instant(nanoseconds: 0))
        var small = RateAllowance(perSecond: -1, burst: 0, now: at(0))
        #expect(took(&small, now: at(0)))
        #expect(small.wait() > .milliseconds(999))
        #expect(took(&small, now: .distantFuture))
    }
}
