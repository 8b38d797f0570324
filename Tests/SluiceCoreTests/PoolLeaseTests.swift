import SluiceCore
import Testing

@Suite struct PoolLeaseTests {
    @Test func aFreeConnectionIsGrantedAtOnce() {
        var bench = PoolBench(minSize: 1, maxSize: 1)
        let up = bench.warmUp()
        expect(bench.lease(1), .grant(up[0], mustCheck: false))
        expect(bench.lease(2), .wait(dial: nil))
        #expect(bench.pool.occupancy.leased == 1)
        #expect(bench.pool.occupancy.waiting == 1)
        #expect(bench.pool.load == 2)
        #expect(bench.pool.idleCount == 0)
    }

    @Test func theMostRecentlyUsedConnectionIsReusedFirst() throws {
        var bench = PoolBench(minSize: 3, maxSize: 3)
        _ = bench.warmUp()
        let leased = try (1...3).map { try bench.granted($0) }
        for connection in leased { expect(bench.release(connection).action, .park) }
        let again = try (4...6).map { try bench.granted($0) }
        #expect(again == leased.reversed())
    }

    @Test func aConnectionLostInTheMiddleOfTheIdleOnesLeavesTheOthers() throws {
        var bench = PoolBench(minSize: 3, maxSize: 3)
        _ = bench.warmUp()
        let leased = try (1...3).map { try bench.granted($0) }
        for connection in leased { _ = bench.release(connection) }
        bench.clock = 60_000
        expect(bench.lose(leased[1]).dials.count, 1)
        #expect(bench.pool.idleCount == 2)
        expect(try bench.granted(4), leased[2])
        expect(try bench.granted(5), leased[0])
        expect(bench.lease(6), .wait(dial: nil))
    }

    @Test func waitersAreServedInOrderOfArrival() {
        var bench = PoolBench(minSize: 1, maxSize: 1)
        let up = bench.warmUp()
        for waiter in 1...4 { _ = bench.lease(UInt64(waiter)) }
        expect(bench.release(up[0]).action, .grant(WaiterID(2)))
        expect(bench.pool.waiterCancelled(WaiterID(3)), true)
        expect(bench.release(up[0]).action, .grant(WaiterID(4)))
        expect(bench.release(up[0]).action, .park)
    }

    @Test func aWaiterWhoseDeadlinePassedIsToldAndNotServed() {
        var bench = PoolBench(minSize: 1, maxSize: 1)
        let up = bench.warmUp()
        _ = bench.lease(1)
        _ = bench.lease(2, within: 10)
        _ = bench.lease(3, within: 50)
        bench.clock = 10
        let available = bench.release(up[0])
        #expect(available.expired == [WaiterID(2)])
        #expect(available.action == .grant(WaiterID(3)))
        #expect(bench.pool.counters.expired == 1)
    }

    @Test func ifEveryDeadlinePassedTheConnectionIsParked() {
        var bench = PoolBench(minSize: 1, maxSize: 1)
        let up = bench.warmUp()
        for waiter in 1...3 { _ = bench.lease(UInt64(waiter), within: 10) }
        bench.clock = 20
        let available = bench.release(up[0])
        #expect(available.expired == [WaiterID(2), WaiterID(3)])
        #expect(available.action == .park)
    }

    @Test func cancellingAfterTheGrantIsReportedAndTheLeaseGoesOnToTheNext() {
        var bench = PoolBench(minSize: 1, maxSize: 1)
        let up = bench.warmUp()
        for waiter in 1...3 { _ = bench.lease(UInt64(waiter)) }
        expect(bench.release(up[0]).action, .grant(WaiterID(2)))
        expect(bench.pool.waiterCancelled(WaiterID(2)), false)
        expect(bench.release(up[0]).action, .grant(WaiterID(3)))
    }

    @Test func aWaiterIsCancelledOnce() {
        var bench = PoolBench(minSize: 1, maxSize: 1)
        _ = bench.warmUp()
        _ = bench.lease(1)
        _ = bench.lease(2)
        expect(bench.pool.waiterCancelled(WaiterID(2)), true)
        expect(bench.pool.waiterCancelled(WaiterID(2)), false)
        expect(bench.pool.waiterCancelled(WaiterID(99)), false)
        #expect(bench.pool.occupancy.waiting == 0)
    }

    @Test func manyCancelledWaitersDoNotHideTheLast() {
        var bench = PoolBench(minSize: 1, maxSize: 1, maxWaiting: 1_000)
        let up = bench.warmUp()
        for waiter in 1...901 { _ = bench.lease(UInt64(waiter)) }
        for waiter in 2...900 { expect(bench.pool.waiterCancelled(WaiterID(UInt64(waiter))), true) }
        expect(bench.release(up[0]).action, .grant(WaiterID(901)))
    }

    @Test func aFullQueueRefusesWithItsDepth() {
        var bench = PoolBench(minSize: 1, maxSize: 1, maxWaiting: 2)
        _ = bench.warmUp()
        for waiter in 1...3 { _ = bench.lease(UInt64(waiter)) }
        expect(bench.lease(4), .refuse(.queueFull(depth: 2)))
        #expect(bench.pool.counters.refused == 1)
    }

    @Test func withoutAQueueALegStillWaitsForItsOwnDial() throws {
        var bench = PoolBench(maxSize: 2, maxWaiting: 0)
        let first = try bench.dialled(1)
        _ = try bench.dialled(2)
        expect(bench.lease(3), .refuse(.queueFull(depth: 2)))
        expect(bench.establish(first).action, .grant(WaiterID(1)))
        expect(bench.lease(4), .refuse(.queueFull(depth: 1)))
    }

    @Test func aConnectionIdleForLongMustBeChecked() throws {
        var bench = PoolBench(minSize: 1, maxSize: 1, checkAfterIdle: .milliseconds(500))
        let up = bench.warmUp()
        bench.clock = 500
        expect(bench.lease(1), .grant(up[0], mustCheck: false))
        _ = bench.release(up[0])
        bench.clock = 1_001
        expect(bench.lease(2), .grant(up[0], mustCheck: true))
        _ = bench.lease(3)
        // The leg that came next is not made to check what has just been used.
        expect(bench.release(up[0]).action, .grant(WaiterID(3)))
    }

    @Test func theRetryHintFollowsServiceTimeAndDepthWithinBounds() {
        var bench = PoolBench(minSize: 1, maxSize: 1, maxWaiting: 1_000)
        let up = bench.warmUp()
        #expect(bench.pool.retryAfter == .milliseconds(10))
        _ = bench.lease(1)
        bench.clock = 40
        _ = bench.release(up[0])
        #expect(bench.pool.retryAfter == .milliseconds(40))
        for waiter in 2...4 { _ = bench.lease(UInt64(waiter)) }
        #expect(bench.pool.retryAfter == .milliseconds(120))
        for waiter in 5...900 { _ = bench.lease(UInt64(waiter)) }
        #expect(bench.pool.retryAfter == .seconds(5))
    }

    @Test func reportsAboutAnEarlierConnectionAreIgnored() throws {
        var bench = PoolBench(minSize: 1, maxSize: 1)
        let up = bench.warmUp()
        bench.clock = 10_000
        let next = bench.lose(up[0]).dials
        #expect(next.count == 1 && next != up && next.first?.slot == up[0].slot)
        expect(bench.release(up[0]).action, .close)
        expect(bench.establish(up[0]).action, .close)
        expect(bench.lose(up[0]), PoolMachine.Actions())
        expect(bench.pool.connectionClosed(up[0]), PoolMachine.Actions())
        #expect(bench.pool.occupancy.dialling == 1)
        for slot in [Int.min, -1, 1, Int.max] {
            expect(bench.release(ConnectionID(slot: slot, generation: 1)).action, .close)
            expect(bench.lose(ConnectionID(slot: slot, generation: 1)), PoolMachine.Actions())
        }
    }

    @Test func aRepeatedReportChangesNothing() throws {
        var bench = PoolBench(minSize: 1, maxSize: 1)
        let up = bench.warmUp()
        expect(bench.establish(up[0]).action, .park)
        expect(bench.release(up[0]).action, .park)
        #expect(bench.pool.idleCount == 1)
        _ = try bench.granted(1)
        expect(bench.establish(up[0]).action, .park)
        expect(bench.pool.connectionClosed(up[0]), PoolMachine.Actions())
        #expect(bench.pool.occupancy.leased == 1)
        bench.clock = 10_000
        expect(bench.lose(up[0]).dials.count, 1)
        expect(bench.lose(up[0]).dials.count, 0)
        #expect(bench.pool.occupancy.dialling == 1)
    }

    @Test func countersTellLeasesWaitsAndDials() {
        var bench = PoolBench(minSize: 1, maxSize: 1)
        let up = bench.warmUp()
        _ = bench.lease(1)
        _ = bench.lease(2)
        _ = bench.release(up[0])
        let counters = bench.pool.counters
        #expect(counters.leases == 2)
        #expect(counters.waits == 1)
        #expect(counters.dials == 1)
        #expect(counters.dialFailures == 0)
    }
}
