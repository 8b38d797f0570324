import SluiceCore
import Testing

/// What comes next when a collection moves to other shards, as scripts of events.
@Suite struct ReshardMachineTests {
    private typealias Round = ReshardMachine.Round

    private static let difference = RangeDifference(
        HashCell(shard: 1, range: 7), old: RowSum(count: 2, sum: 9), new: RowSum(count: 1, sum: 4))

    private static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    private static func quick(_ ids: [Int64] = [], waiting: Int = 0) -> Round {
        Round(ids: ids, waiting: waiting, took: .milliseconds(5))
    }

    /// As another process left it.
    private static func machine(
        _ phase: ReshardRecord.Phase, sources: Int = 2, _ change: (inout ReshardMachine.Limits) -> Void = { _ in }
    ) -> ReshardMachine {
        var record = ReshardRecord(sources: sources)
        record.phase = phase
        var limits = ReshardMachine.Limits()
        change(&limits)
        return ReshardMachine(record, limits: limits)
    }

    /// Compared and fenced at 0 ms.
    private static func fenced(_ change: (inout ReshardMachine.Limits) -> Void = { _ in }) -> ReshardMachine {
        var machine = Self.machine(.catchUp, change)
        machine.caughtUp(quick(), now: at(0))
        machine.compared([])
        machine.caughtUp(quick(), now: at(0))
        machine.fenced(now: at(10))
        return machine
    }

    @Test func aMoveWithoutWritesGoesStraightThrough() {
        var machine = Self.machine(.prepare)
        #expect(machine.step == .prepare)
        machine.prepared()
        #expect(machine.step == .copy(source: 0, after: nil))
        machine.copied(100, upTo: 250, isAll: false)
        #expect(machine.step == .copy(source: 0, after: 250) && machine.record.phase == .copy)
        machine.copied(0, upTo: nil, isAll: true)
        #expect(machine.step == .copy(source: 1, after: nil))
        #expect(machine.record.sources[0].rows == 100 && machine.record.sources[0].lastID == 250)
        machine.copied(40, upTo: 99, isAll: true)
        #expect(machine.step == .buildIndexes && machine.record.phase == .index)
        machine.indexesBuilt()
        #expect(machine.step == .catchUp && machine.record.phase == .catchUp)
        machine.caughtUp(Self.quick(), now: Self.at(0))
        #expect(machine.step == .compare)
        machine.compared([])
        #expect(machine.step == .catchUp)
        machine.caughtUp(Self.quick([1, 2]), now: Self.at(100))
        #expect(machine.step == .fence(until: Self.at(7_100)) && machine.record.phase == .fence)
        machine.fenced(now: Self.at(150))
        #expect(machine.step == .drain(until: Self.at(7_100)))
        machine.caughtUp(Self.quick([3]), now: Self.at(160))
        #expect(machine.step == .drain(until: Self.at(7_100)))
        machine.caughtUp(Self.quick(), now: Self.at(170))
        #expect(machine.step == .compareTouched([1, 2, 3], until: Self.at(7_100)))
        machine.touchedCompared([], now: Self.at(180))
        #expect(machine.step == .switchOver && machine.record.phase == .switchOver)
        #expect(!machine.record.canBeAborted)
        machine.switchedOver()
        #expect(machine.step == .awaitGateways(.seconds(3)))
        machine.gatewaysHadTime()
        #expect(machine.step == .liftNewFence)
        machine.newFenceLifted()
        #expect(machine.step == .end(.switched) && machine.record.phase == .done)
    }

    @Test func itGoesOnWhereTheLastProcessEnded() {
        var record = ReshardRecord(sources: 2)
        record.phase = .copy
        record.sources[0].isCopied = true
        record.sources[1].lastID = 17
        #expect(ReshardMachine(record).step == .copy(source: 1, after: 17))
        record.sources[1].isCopied = true
        #expect(ReshardMachine(record).step == .buildIndexes)
        #expect(Self.machine(.index).step == .buildIndexes)
        #expect(Self.machine(.catchUp).step == .catchUp)
        #expect(Self.machine(.switchOver).step == .switchOver)
        #expect(Self.machine(.done).step == .end(.switched))
    }

    /// Nobody knows how long the last process has kept writers waiting.
    @Test func whoWasKilledUnderTheFenceLiftsItFirst() {
        var machine = Self.machine(.fence)
        #expect(machine.step == .liftOldFence)
        machine.oldFenceLifted()
        #expect(machine.record.phase == .catchUp)
        #expect(machine.step == .pause(.seconds(1)))
        machine.paused()
        #expect(machine.step == .catchUp)
    }

    @Test func aLongLogOrASlowRoundIsNotGoodEnough() {
        var machine = Self.machine(.catchUp)
        machine.caughtUp(Self.quick([1], waiting: 5_000), now: Self.at(0))
        #expect(machine.step == .catchUp)
        machine.caughtUp(Round(ids: [1], waiting: 0, took: .seconds(2)), now: Self.at(0))
        #expect(machine.step == .catchUp)
        machine.caughtUp(Self.quick(Array(0..<999), waiting: 1), now: Self.at(0))
        #expect(machine.step == .compare)
    }

    @Test func aDifferenceStopsItBeforeWritersNotice() {
        var machine = Self.machine(.catchUp)
        machine.caughtUp(Self.quick(), now: Self.at(0))
        machine.compared([Self.difference])
        #expect(machine.step == .end(.stopped(.differs([Self.difference]))))
        #expect(machine.record.phase == .catchUp && machine.record.canBeAborted)
    }

    @Test func aDifferenceUnderTheFenceLetsWritersGoOnFirst() {
        var machine = Self.fenced()
        machine.caughtUp(Self.quick(), now: Self.at(20))
        machine.touchedCompared([Self.difference], now: Self.at(30))
        #expect(machine.step == .liftOldFence && machine.record.phase == .fence)
        machine.oldFenceLifted()
        #expect(machine.step == .end(.stopped(.differs([Self.difference]))))
        #expect(machine.record.phase == .catchUp)
    }

    @Test func thePauseIsNoLongerThanItMayBe() {
        for lateAt in 0..<4 {
            var machine = Self.machine(.catchUp)
            machine.caughtUp(Self.quick(), now: Self.at(0))
            machine.compared([])
            machine.caughtUp(Self.quick(), now: Self.at(0))
            #expect(machine.step == .fence(until: Self.at(7_000)))
            func now(_ place: Int) -> Instant { Self.at(place == lateAt ? 7_000 : 6_999) }
            machine.fenced(now: now(0))
            machine.caughtUp(Self.quick([4], waiting: 1), now: now(1))
            machine.caughtUp(Self.quick(), now: now(2))
            machine.touchedCompared([], now: now(3))
            #expect(machine.step == .liftOldFence, "late at event \(lateAt)")
            machine.oldFenceLifted()
            #expect(machine.step == .pause(.seconds(1)))
        }
    }

    @Test func afterSomePausesInVainItGivesUp() {
        var machine = Self.machine(.fence) { $0.mostFences = 3 }
        machine.oldFenceLifted()
        for pause in [1, 2] {
            #expect(machine.step == .pause(.seconds(pause)))
            machine.paused()
            machine.caughtUp(Self.quick(), now: Self.at(0))
            machine.compared([])
            machine.caughtUp(Self.quick(), now: Self.at(0))
            machine.ranOutOfTime()
            #expect(machine.step == .liftOldFence)
            machine.oldFenceLifted()
        }
        #expect(machine.step == .end(.stopped(.pauseTooShort(fences: 3))))
    }

    /// What was compared stays compared over a pause in vain, but for the rows that change.
    @Test func afterAPauseInVainOnlyChangedRowsAreComparedAgain() {
        var machine = Self.fenced()
        machine.caughtUp(Self.quick([8]), now: Self.at(20))
        machine.ranOutOfTime()
        machine.oldFenceLifted()
        machine.paused()
        machine.caughtUp(Self.quick([9]), now: Self.at(2_000))
        #expect(machine.step == .fence(until: Self.at(9_000)))
        machine.fenced(now: Self.at(2_010))
        machine.caughtUp(Self.quick(), now: Self.at(2_020))
        #expect(machine.step == .compareTouched([8, 9], until: Self.at(9_000)))
    }

    @Test func moreChangesThanCanBeListedAreComparedAnew() {
        var machine = Self.machine(.catchUp) {
            $0.mostTouched = 3
            $0.mostComparisons = 2
        }
        for _ in 0..<2 {
            machine.caughtUp(Self.quick(), now: Self.at(0))
            #expect(machine.step == .compare)
            machine.compared([])
            machine.caughtUp(Self.quick([1, 2, 3, 4], waiting: 2_000), now: Self.at(0))
        }
        machine.caughtUp(Self.quick(), now: Self.at(0))
        #expect(machine.step == .end(.stopped(.changesTooMuch)))
    }

    @Test func writersThatAreFasterStopIt() {
        var machine = Self.machine(.catchUp) { $0.roundsPerLook = 10 }
        for round in 0..<19 {
            machine.caughtUp(Self.quick([1], waiting: 5_000 + round), now: Self.at(0))
            #expect(machine.step == .catchUp)
        }
        machine.caughtUp(Self.quick([1], waiting: 9_000), now: Self.at(0))
        #expect(machine.step == .end(.stopped(.writesAreFaster(waiting: 9_000))))
    }

    /// Servers so slow that the pause would never be long enough.
    @Test func roundsThatStaySlowStopIt() {
        var machine = Self.machine(.catchUp) { $0.roundsPerLook = 3 }
        for _ in 0..<2 {
            machine.caughtUp(Round(ids: [], waiting: 2, took: .seconds(2)), now: Self.at(0))
            #expect(machine.step == .catchUp)
        }
        machine.caughtUp(Round(ids: [], waiting: 2, took: .seconds(2)), now: Self.at(0))
        #expect(machine.step == .end(.stopped(.writesAreFaster(waiting: 2))))
    }

    @Test func aLogThatBecomesShorterIsWaitedFor() {
        var machine = Self.machine(.catchUp) { $0.roundsPerLook = 2 }
        for round in 0..<40 {
            machine.caughtUp(Self.quick([1], waiting: 90_000 - round * 1_000), now: Self.at(0))
            #expect(machine.step == .catchUp)
        }
    }

    @Test func eventsThatDoNotBelongChangeNothing() {
        var machine = Self.machine(.copy)
        let before = machine.step
        machine.prepared()
        machine.indexesBuilt()
        machine.caughtUp(Self.quick(), now: Self.at(0))
        machine.compared([])
        machine.fenced(now: Self.at(0))
        machine.ranOutOfTime()
        machine.touchedCompared([], now: Self.at(0))
        machine.oldFenceLifted()
        machine.paused()
        machine.switchedOver()
        machine.gatewaysHadTime()
        machine.newFenceLifted()
        #expect(machine.step == before && machine.record.phase == .copy)
    }
}
