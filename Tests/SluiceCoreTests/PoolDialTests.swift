import SluiceCore
import Testing

@Suite struct PoolDialTests {
    @Test func warmUpDialsTheMinimumAFewAtATime() {
        var bench = PoolBench(minSize: 5, maxSize: 8, maxDialling: 2)
        let first = bench.pool.started().dials
        #expect(first.count == 2)
        expect(bench.pool.started().dials, [])
        let third = bench.establish(first[0])
        #expect(third.action == .park)
        #expect(third.dials.count == 1)
        #expect(bench.pool.occupancy.dialling == 2)
        var pending = [first[1]] + third.dials
        while let connection = pending.popLast() { pending += bench.establish(connection).dials }
        #expect(bench.pool.idleCount == 5)
        #expect(bench.pool.counters.dials == 5)
    }

    @Test func demandBeyondWhatIsUpDialsOneConnectionAWaiter() throws {
        var bench = PoolBench(maxSize: 2)
        let first = try bench.dialled(1)
        let second = try bench.dialled(2)
        expect(bench.lease(3), .wait(dial: nil))
        expect(bench.establish(second).action, .grant(WaiterID(1)))
        expect(bench.establish(first).action, .grant(WaiterID(2)))
        expect(bench.release(second).action, .grant(WaiterID(3)))
    }

    @Test func aDialThatAlreadyRunsServesAWaiter() {
        var bench = PoolBench(minSize: 2, maxSize: 8)
        let dials = bench.pool.started().dials
        expect(bench.lease(1), .wait(dial: nil))
        expect(bench.lease(2), .wait(dial: nil))
        #expect(dials.count == 2)
        guard case .wait(.some) = bench.lease(3) else {
            Issue.record("the third needs a dial of its own")
            return
        }
    }

    @Test func aDialWhoseWaiterLeftIsParked() throws {
        var bench = PoolBench(maxSize: 2)
        let dial = try bench.dialled(1)
        expect(bench.pool.waiterCancelled(WaiterID(1)), true)
        expect(bench.establish(dial).action, .park)
        expect(bench.lease(2), .grant(dial, mustCheck: false))
    }

    @Test func dialsForWaitersAreBoundedAndContinue() throws {
        var bench = PoolBench(maxSize: 8, maxDialling: 1)
        let first = try bench.dialled(1)
        expect(bench.lease(2), .wait(dial: nil))
        let available = bench.establish(first)
        #expect(available.action == .grant(WaiterID(1)))
        #expect(available.dials.count == 1)
    }

    @Test func withNothingUpWaitersAreToldAndNewOnesRefusedUntilADialSucceeds() throws {
        var bench = PoolBench(maxSize: 1)
        let first = try bench.dialled(1)
        expect(bench.lease(2), .wait(dial: nil))
        let lost = bench.lose(first)
        #expect(lost.refused == [WaiterID(1), WaiterID(2)])
        #expect(lost.refusal == .unreachable)
        #expect(lost.dials.isEmpty)
        #expect(!bench.pool.isReachable && !bench.pool.isAccepting)
        expect(bench.lease(3), .refuse(.unreachable))
        #expect(bench.pool.occupancy.backingOff == 1)
        // The minimum is 0 and nobody waits, and still it is dialled: else nobody would ever ask again.
        bench.clock = 100
        let redial = bench.maintain().dials
        try #require(redial.count == 1)
        expect(bench.lease(4), .refuse(.unreachable))
        expect(bench.establish(redial[0]).action, .park)
        #expect(bench.pool.isReachable && bench.pool.isAccepting)
        expect(bench.lease(5), .grant(redial[0], mustCheck: false))
    }

    @Test func whileTheBackendIsDownOneDialAtATimeIsMadeWithGrowingPauses() throws {
        var bench = PoolBench(minSize: 4, maxSize: 8)
        let dials = bench.pool.started().dials
        #expect(dials.count == 4)
        for dial in dials { expect(bench.lose(dial).dials, []) }
        // Four failures side by side are one round.
        var longest: Int64 = 0
        for round in 0..<40 {
            let due = try #require(bench.pool.nextMaintenance)
            let pause = due.nanoseconds - bench.now.nanoseconds
            #expect(pause <= min(1_000_000_000, 100_000_000 << Int64(min(round, 10))))
            longest = max(longest, pause)
            bench.clock = due.nanoseconds / 1_000_000 + 1
            let redial = bench.maintain().dials
            try #require(redial.count == 1)
            #expect(bench.pool.nextMaintenance == nil)
            expect(bench.lose(redial[0]).dials, [])
        }
        #expect(longest > 500_000_000)
        #expect(bench.pool.counters.dialFailures == 44)
        bench.clock += 1_000
        let last = bench.maintain().dials
        let available = bench.establish(last[0])
        #expect(available.dials.count == 3)
    }

    @Test func aServerThatIsWaitedForIsDialledSoonHoweverLongItWasAway() throws {
        var bench = PoolBench(minSize: 1, maxSize: 1)
        let first = bench.pool.started().dials
        expect(bench.lose(try #require(first.first)).dials, [])
        var pauses: Set<Int64> = []
        for _ in 0..<40 {
            // What is said again does not move it: each who waits says it, and gateways must not come all at once.
            bench.awaitConnection()
            let due = try #require(bench.pool.nextMaintenance)
            bench.awaitConnection(after: 50)
            #expect(bench.pool.nextMaintenance == due)
            pauses.insert(due.nanoseconds - bench.now.nanoseconds)
            bench.clock = due.nanoseconds / 1_000_000 + 1
            let redial = bench.maintain().dials
            try #require(redial.count == 1)
            // One that is under way is not made twice.
            bench.awaitConnection()
            #expect(bench.pool.nextMaintenance == nil)
            expect(bench.lose(redial[0]).dials, [])
        }
        #expect(pauses.allSatisfy { 0...200_000_000 ~= $0 })
        #expect(pauses.contains { $0 > 100_000_000 } && pauses.count > 20)
    }

    @Test func aFailedDialDoesNotRefuseWaitersWhileAnotherConnectionWorks() throws {
        var bench = PoolBench(maxSize: 2)
        let first = try bench.dialled(1)
        _ = bench.establish(first)
        let second = try bench.dialled(2)
        #expect(bench.lose(second).refused.isEmpty)
        #expect(bench.pool.isReachable)
        expect(bench.lease(3), .wait(dial: nil))
        expect(bench.release(first).action, .grant(WaiterID(2)))
        bench.clock = 100
        expect(bench.maintain().dials.count, 1)
    }

    @Test func aHungDialHoldsTheRedialAndEndsInAnotherPause() {
        var bench = PoolBench(minSize: 2, maxSize: 2)
        let dials = bench.pool.started().dials
        _ = bench.lose(dials[0])
        bench.clock = 100
        expect(bench.maintain().dials, [])
        #expect(bench.pool.nextMaintenance == nil)
        bench.clock = 5_000
        expect(bench.lose(dials[1]).dials, [])
        #expect(bench.pool.nextMaintenance != nil)
    }

    @Test func aConnectionThatWorkedIsDialledAgainAtOnce() throws {
        var bench = PoolBench(minSize: 1, maxSize: 1)
        _ = bench.warmUp()
        let leased = try bench.granted(1)
        _ = bench.release(leased)
        _ = try bench.granted(2)
        let lost = bench.lose(leased)
        #expect(lost.dials.count == 1)
        #expect(lost.refused.isEmpty)
        #expect(bench.pool.isReachable)
    }

    @Test func aServerThatAcceptsAndHangsUpIsNotDialledInATightLoop() throws {
        var bench = PoolBench(minSize: 1, maxSize: 1)
        var pending = bench.pool.started().dials
        var pauses: [Int64] = []
        for _ in 0..<20 {
            try #require(pending.count == 1)
            let dial = pending[0]
            expect(bench.establish(dial).action, .park)
            expect(bench.lose(dial).dials, [])
            let due = try #require(bench.pool.nextMaintenance)
            pauses.append(due.nanoseconds - bench.now.nanoseconds)
            bench.clock = due.nanoseconds / 1_000_000 + 1
            pending = bench.maintain().dials
        }
        #expect(pauses.max() ?? 0 > 300_000_000)
    }

    @Test func aLossWhileLeasedFreesThePlaceForTheWaiter() throws {
        var bench = PoolBench(minSize: 1, maxSize: 1)
        let up = bench.warmUp()
        _ = bench.lease(1)
        _ = bench.release(up[0])
        _ = bench.lease(2)
        expect(bench.lease(3), .wait(dial: nil))
        let dials = bench.lose(up[0]).dials
        try #require(dials.count == 1)
        #expect(bench.pool.occupancy.leased == 0)
        expect(bench.establish(dials[0]).action, .grant(WaiterID(3)))
        expect(bench.release(up[0]).action, .close)
    }
}
