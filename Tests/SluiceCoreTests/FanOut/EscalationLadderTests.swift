import SluiceCore
import Testing

@Suite struct EscalationLadderTests {
    private typealias Rung = EscalationLadder.Rung
    private let ladder = EscalationLadder()

    /// A filtered leg that was asked for 10 rows with `ef_search` 40, took 1 ms and has a second left.
    private func filtered(_ returned: Int, _ rung: Rung = .asAsked) -> EscalationLadder.Situation {
        EscalationLadder.Situation(
            rung: rung, asked: 10, returned: returned, mayUnderReturn: true, wantsComplete: true, efSearch: 40,
            timeLeft: .seconds(1), lastTook: .milliseconds(1))
    }

    @Test func enoughRowsAreComplete() {
        for rung in Rung.allCases { #expect(ladder.decide(filtered(10, rung)) == .accept(isComplete: true)) }
    }

    @Test func tooFewAreSaidToBeSoUnlessCompleteIsWanted() {
        var situation = filtered(4)
        situation.wantsComplete = false
        #expect(ladder.decide(situation) == .accept(isComplete: false))
    }

    @Test func exactIsAlwaysComplete() {
        #expect(ladder.decide(filtered(0, .exact)) == .accept(isComplete: true))
    }

    @Test func withoutAFilterFewRowsAreAllThereAre() {
        var situation = filtered(4)
        situation.mayUnderReturn = false
        #expect(ladder.decide(situation) == .accept(isComplete: true))
        situation.efSearch = nil
        #expect(ladder.decide(situation) == .accept(isComplete: true))
    }

    @Test func withoutAFilterASmallEfSearchCutsShort() {
        var situation = filtered(40)
        situation.mayUnderReturn = false
        situation.asked = 100
        #expect(ladder.decide(situation) == .escalate(.widerSearch))
        situation.asked = 200
        #expect(ladder.decide(situation) == .escalate(.iterativeScan), "160 is not enough either")
        situation.rung = .iterativeScan
        #expect(ladder.decide(situation) == .accept(isComplete: true), "it went on, and there was no more")
    }

    @Test func climbsRungByRung() {
        #expect(ladder.decide(filtered(4)) == .escalate(.widerSearch))
        #expect(ladder.decide(filtered(4, .widerSearch)) == .escalate(.iterativeScan))
        #expect(ladder.decide(filtered(4, .iterativeScan)) == .escalate(.exact))
    }

    @Test func aWiderSearchThatWouldNotBeEnoughIsSkipped() {
        #expect(ladder.decide(filtered(3)) == .escalate(.widerSearch), "12 of 160")
        #expect(ladder.decide(filtered(2)) == .escalate(.iterativeScan), "8 of 160")
        var situation = filtered(4)
        situation.efSearch = 1_000
        #expect(ladder.decide(situation) == .escalate(.iterativeScan))
        situation = filtered(2)
        situation.canIterate = false
        #expect(ladder.decide(situation) == .escalate(.widerSearch), "there is no other use of the index")
        situation.rung = .widerSearch
        #expect(ladder.decide(situation) == .escalate(.exact))
    }

    @Test func whatWouldNotBeReadyInTimeIsNotTried() {
        var situation = filtered(4)
        situation.timeLeft = .microseconds(3_999)
        #expect(ladder.decide(situation) == .escalate(.iterativeScan), "four times the work against two and a half")
        situation.timeLeft = .microseconds(2_499)
        #expect(ladder.decide(situation) == .accept(isComplete: false))
        situation.timeLeft = .zero
        #expect(ladder.decide(situation) == .accept(isComplete: false))
    }

    @Test func aScanThatFoundNothingGoesOnToItsBound() {
        var situation = filtered(0)
        situation.timeLeft = .milliseconds(500)
        #expect(ladder.decide(situation) == .escalate(.iterativeScan), "20,000 rows, 500 times as many as 40")
        situation.timeLeft = .milliseconds(499)
        #expect(ladder.decide(situation) == .accept(isComplete: false))
    }

    @Test func exactComesFirstWhereItIsTheQuickest() {
        var situation = filtered(4)
        situation.exactRows = 1_000
        #expect(ladder.decide(situation) == .escalate(.exact), "2 ms against 4")
        situation.exactRows = 10_000
        #expect(ladder.decide(situation) == .escalate(.widerSearch))
    }

    @Test func exactIsTriedLastOnlyIfItCanBeDone() {
        var situation = filtered(4, .iterativeScan)
        situation.exactRows = 500_001
        #expect(ladder.decide(situation) == .accept(isComplete: false), "more than a second")
        situation.exactRows = 500_000
        #expect(ladder.decide(situation) == .escalate(.exact))
        situation.exactRows = nil
        situation.lastTook = .seconds(2)
        #expect(ladder.decide(situation) == .accept(isComplete: false))
    }

    @Test(arguments: [(1, 4), (40, 160), (250, 1_000), (251, 1_000), (1_000, 1_000), (Int.max, 1_000), (Int.min, 4)])
    func aWiderSearchIsFourTimesAsWideUpToTheBound(efSearch: Int, wider: Int) {
        #expect(EscalationLadder.widerEfSearch(efSearch) == wider)
    }

    /// Whatever the situation: it goes up, so a leg is over after three more rungs, and nothing traps.
    @Test(arguments: 0..<300)
    func alwaysComesToAnEnd(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        var ladder = EscalationLadder()
        func number() -> Int {
            [Int.min, -1, 0, 1, 10, 40, 1_000, .max].randomElement(using: &generator) ?? 0
        }
        func time() -> Duration {
            let choices = [Duration.seconds(Int64.min), .zero, .milliseconds(1), .seconds(1), .seconds(Int64.max)]
            return choices.randomElement(using: &generator) ?? .zero
        }
        ladder.mostScannedRows = number()
        ladder.exactRowsPerSecond = [.nan, -1, 0, 1e6, .infinity].randomElement(using: &generator) ?? 1
        var rung = Rung.asAsked
        for _ in 0..<4 {
            var situation = EscalationLadder.Situation(
                rung: rung, asked: number(), returned: number(), mayUnderReturn: .random(using: &generator),
                wantsComplete: .random(using: &generator), efSearch: Bool.random(using: &generator) ? number() : nil,
                timeLeft: time(), lastTook: time())
            situation.canIterate = .random(using: &generator)
            situation.exactRows = Bool.random(using: &generator) ? number() : nil
            switch ladder.decide(situation) {
            case .accept(let isComplete):
                #expect(isComplete == !EscalationLadder.isUnderReturned(situation))
                return
            case .escalate(let next):
                #expect(next > rung && situation.wantsComplete && situation.timeLeft > .zero)
                rung = next
            }
        }
        Issue.record("seed \(seed): more rungs than there are")
    }
}
