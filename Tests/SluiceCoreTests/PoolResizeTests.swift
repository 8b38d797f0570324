import SluiceCore
import Testing

@Suite struct PoolResizeTests {
    @Test func aSliceOfSizeZeroRefusesAndDialsNothing() {
        var bench = PoolBench(minSize: 3, maxSize: 0)
        expect(bench.pool.started(), PoolMachine.Actions())
        expect(bench.lease(1), .refuse(.queueFull(depth: 0)))
        expect(bench.maintain(), PoolMachine.Actions())
        #expect(bench.pool.isReachable && !bench.pool.isAccepting)
        #expect(bench.pool.nextMaintenance == nil)
        #expect(bench.pool.occupancy.limit == 0)
    }

    @Test func aPoolThatGrowsDialsItsNewMinimum() {
        var bench = PoolBench(minSize: 0, maxSize: 0)
        expect(bench.pool.resized(minSize: 2, maxSize: 4).dials.count, 2)
        #expect(bench.pool.occupancy.limit == 4)
    }

    @Test func aPoolThatGrowsServesWhoWaits() throws {
        var bench = PoolBench(minSize: 1, maxSize: 1)
        _ = bench.warmUp()
        for waiter in 1...3 { _ = bench.lease(UInt64(waiter)) }
        let dials = bench.pool.resized(minSize: 1, maxSize: 8).dials
        try #require(dials.count == 2)
        expect(bench.establish(dials[0]).action, .grant(WaiterID(2)))
        expect(bench.establish(dials[1]).action, .grant(WaiterID(3)))
    }

    @Test func aPoolThatShrinksClosesIdleConnectionsNowAndLeasedOnesAsTheyComeBack() throws {
        var bench = PoolBench(minSize: 4, maxSize: 4)
        let up = bench.warmUp()
        let leased = try (1...3).map { try bench.granted($0) }
        let actions = bench.pool.resized(minSize: 2, maxSize: 2)
        #expect(actions.closes == up.filter { !leased.contains($0) })
        #expect(bench.pool.occupancy.leased == 3)
        expect(bench.release(leased[0]).action, .close)
        // Two that close have not been reported, and still no more than two are given up.
        expect(bench.release(leased[1]).action, .park)
        expect(bench.release(leased[2]).action, .park)
        for closed in actions.closes + [leased[0]] {
            expect(bench.pool.connectionClosed(closed), PoolMachine.Actions())
        }
        #expect(bench.pool.occupancy.idle == 2)
        #expect(bench.pool.occupancy.closing == 0)
    }

    @Test func aDialThatEndsInAShrunkPoolIsClosed() {
        var bench = PoolBench(minSize: 2, maxSize: 2)
        let dials = bench.pool.started().dials
        _ = bench.pool.resized(minSize: 1, maxSize: 1)
        expect(bench.establish(dials[0]).action, .close)
        expect(bench.establish(dials[1]).action, .park)
        expect(bench.pool.connectionClosed(dials[0]).dials, [])
        #expect(bench.pool.occupancy.idle == 1)
    }

    @Test func placesThatAreClosingAreNotDialledBeforeTheServerLetGo() {
        var bench = PoolBench(minSize: 2, maxSize: 2)
        _ = bench.warmUp()
        let closes = bench.pool.resized(minSize: 1, maxSize: 1).closes
        expect(bench.pool.resized(minSize: 2, maxSize: 2).dials, [])
        expect(bench.pool.connectionClosed(closes[0]).dials.count, 1)
    }

    @Test func shrinkingToNothingRefusesWhoWaits() throws {
        var bench = PoolBench(minSize: 1, maxSize: 1)
        let up = bench.warmUp()
        for waiter in 1...3 { _ = bench.lease(UInt64(waiter)) }
        let actions = bench.pool.resized(minSize: 0, maxSize: 0)
        #expect(actions.refused == [WaiterID(2), WaiterID(3)])
        #expect(actions.refusal == .queueFull(depth: 2))
        expect(bench.release(up[0]).action, .close)
        expect(bench.pool.connectionClosed(up[0]), PoolMachine.Actions())
    }

    @Test func sizesOutOfRangeAreClamped() {
        var bench = PoolBench(minSize: 1, maxSize: 1)
        _ = bench.warmUp()
        #expect(!bench.pool.resized(minSize: 9, maxSize: -1).closes.isEmpty)
        #expect(bench.pool.configuration.maxSize == 0 && bench.pool.configuration.minSize == 0)
        expect(bench.pool.resized(minSize: .max, maxSize: .max).dials.count, 8)
    }

    @Test func drainingClosesRefusesAndEndsWhenNothingIsLeft() throws {
        var bench = PoolBench(minSize: 2, maxSize: 2)
        let up = bench.warmUp()
        let leased = try [bench.granted(1), bench.granted(2)]
        _ = bench.lease(3)
        _ = bench.release(leased[0])
        _ = bench.release(leased[0])
        let actions = bench.pool.drain()
        #expect(actions.closes.count == 1)
        expect(bench.lease(4), .refuse(.draining))
        #expect(!bench.pool.isAccepting && bench.pool.isDraining && !bench.pool.isDrained)
        expect(bench.release(leased[1]).action, .close)
        for connection in up { expect(bench.pool.connectionClosed(connection), PoolMachine.Actions()) }
        #expect(bench.pool.isDrained)
        #expect(bench.pool.nextMaintenance == nil)
        expect(bench.pool.undrain().dials.count, 2)
        #expect(!bench.pool.isDrained && !bench.pool.isDraining)
        expect(bench.pool.undrain(), PoolMachine.Actions())
    }

    @Test func drainingRefusesWhoWaitsAndClosesADialThatEnds() throws {
        var bench = PoolBench(maxSize: 1)
        let dial = try bench.dialled(1)
        let actions = bench.pool.drain()
        #expect(actions.refused == [WaiterID(1)])
        #expect(actions.refusal == .draining)
        expect(bench.establish(dial).action, .close)
        #expect(!bench.pool.isDrained)
        _ = bench.pool.connectionClosed(dial)
        #expect(bench.pool.isDrained)
    }

    @Test func aDrainedPoolWhoseBackendWasDownDialsAgainWithCare() throws {
        var bench = PoolBench(minSize: 4, maxSize: 4)
        for dial in bench.pool.started().dials { _ = bench.lose(dial) }
        _ = bench.pool.drain()
        #expect(bench.pool.nextMaintenance == nil && bench.pool.isDrained)
        expect(bench.pool.undrain().dials.count, 1)
    }

    @Test func shutDownRefusesAndClosesAsConnectionsComeBackForEver() throws {
        var bench = PoolBench(minSize: 2, maxSize: 2)
        _ = bench.warmUp()
        let leased = try bench.granted(1)
        expect(bench.pool.shutDown().closes.count, 1)
        expect(bench.pool.shutDown(), PoolMachine.Actions())
        expect(bench.lease(2), .refuse(.shutDown))
        expect(bench.lose(leased), PoolMachine.Actions())
        expect(bench.pool.drain(), PoolMachine.Actions())
        expect(bench.pool.undrain(), PoolMachine.Actions())
        #expect(!bench.pool.isReachable)
    }
}
