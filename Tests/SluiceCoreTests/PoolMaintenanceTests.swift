import SluiceCore
import Testing

@Suite struct PoolMaintenanceTests {
    @Test func aConnectionIdleForTooLongIsClosedDownToTheMinimum() throws {
        var bench = PoolBench(minSize: 1, maxSize: 3, maxIdle: .milliseconds(100))
        _ = bench.warmUp()
        #expect(bench.pool.nextMaintenance == nil)
        let first = try bench.granted(1)
        let second = try bench.dialled(2)
        _ = bench.establish(second)
        bench.clock = 50
        _ = bench.release(first)
        bench.clock = 80
        _ = bench.release(second)
        expect(bench.pool.nextMaintenance, Instant(nanoseconds: 150_000_000))
        bench.clock = 149
        expect(bench.maintain(), PoolMachine.Actions())
        bench.clock = 150
        expect(bench.maintain().closes, [first])
        #expect(bench.pool.nextMaintenance == nil)
        bench.clock = 1_000
        expect(bench.maintain(), PoolMachine.Actions())
        #expect(bench.pool.idleCount == 1)
        #expect(bench.pool.occupancy.closing == 1)
    }

    @Test func reuseOfTheNewestLetsTheOthersAgeOut() throws {
        var bench = PoolBench(maxSize: 3, maxIdle: .milliseconds(100))
        let dials = try (1...3).map { try bench.dialled($0) }
        for dial in dials { _ = bench.establish(dial) }
        for dial in dials { _ = bench.release(dial) }
        var closed: [ConnectionID] = []
        for round in 0..<20 {
            bench.clock += 10
            let connection = try bench.granted(UInt64(10 + round))
            #expect(connection == dials[2])
            if let due = bench.pool.nextMaintenance, due <= bench.now { closed += bench.maintain().closes }
            _ = bench.release(connection)
        }
        #expect(closed == [dials[0], dials[1]])
    }

    @Test func aConnectionThatMakesTheOldestOneTooManyIsNoticed() throws {
        var bench = PoolBench(minSize: 1, maxSize: 2, maxIdle: .milliseconds(100))
        let up = bench.warmUp()
        let leased = try bench.granted(1)
        let second = try bench.dialled(2)
        expect(bench.release(leased).action, .grant(WaiterID(2)))
        expect(bench.release(leased).action, .park)
        bench.clock = 500
        expect(bench.establish(second).action, .park)
        #expect(bench.pool.nextMaintenance.map { $0 <= bench.now } == true)
        expect(bench.maintain().closes, up)
    }

    @Test func lifetimesAreJitteredByUpToATenthAndNeverExceeded() {
        var bench = PoolBench(minSize: 200, maxSize: 200, maxLifetime: .milliseconds(1_000), maxDialling: 200)
        _ = bench.warmUp()
        expect(bench.maintain(), PoolMachine.Actions())
        bench.clock = 899
        expect(bench.maintain().closes.count, 0)
        bench.clock = 950
        let half = bench.maintain().closes.count
        #expect((60...140).contains(half))
        #expect(bench.pool.nextMaintenance.map { $0 > bench.now } == true)
        bench.clock = 1_000
        expect(bench.maintain().closes.count, 200 - half)
    }

    @Test func anOverAgeIdleConnectionIsReplacedOnceItsPlaceIsFree() throws {
        var bench = PoolBench(minSize: 1, maxSize: 1, maxLifetime: .milliseconds(1_000))
        let up = bench.warmUp()
        bench.clock = 1_000
        let actions = bench.maintain()
        #expect(actions.closes == up)
        #expect(actions.dials.isEmpty)
        expect(bench.lease(1), .wait(dial: nil))
        let dials = bench.pool.connectionClosed(up[0]).dials
        try #require(dials.count == 1)
        expect(bench.pool.connectionClosed(up[0]), PoolMachine.Actions())
        expect(bench.establish(dials[0]).action, .grant(WaiterID(1)))
    }

    @Test func anOverAgeConnectionIsReplacedAtOnceWhereThereIsRoom() {
        var bench = PoolBench(minSize: 1, maxSize: 2, maxLifetime: .milliseconds(1_000))
        let up = bench.warmUp()
        bench.clock = 1_000
        let actions = bench.maintain()
        #expect(actions.closes == up)
        #expect(actions.dials.count == 1)
    }

    @Test func anOverAgeLeasedConnectionIsClosedWhenItComesBack() throws {
        var bench = PoolBench(minSize: 1, maxSize: 1, maxLifetime: .milliseconds(1_000))
        let up = bench.warmUp()
        _ = try bench.granted(1)
        expect(bench.lease(2, within: 10_000), .wait(dial: nil))
        bench.clock = 1_000
        expect(bench.maintain(), PoolMachine.Actions())
        expect(bench.release(up[0]).action, .close)
        #expect(bench.pool.occupancy.closing == 1)
        #expect(bench.pool.occupancy.waiting == 1)
        expect(bench.release(up[0]).action, .close)
        let dials = bench.pool.connectionClosed(up[0]).dials
        try #require(dials.count == 1)
        expect(bench.establish(dials[0]).action, .grant(WaiterID(2)))
    }

    @Test func whileDialsFailAnOverAgeConnectionStillServesWhoWaits() throws {
        var bench = PoolBench(maxSize: 2, maxLifetime: .milliseconds(1_000))
        let kept = try bench.dialled(1)
        _ = bench.establish(kept)
        let failed = try bench.dialled(2)
        _ = bench.lose(failed)
        expect(bench.lease(3, within: 10_000), .wait(dial: nil))
        bench.clock = 1_000
        expect(bench.release(kept).action, .grant(WaiterID(3)))
        expect(bench.release(kept).action, .close)
    }

    @Test func aLossReportedWhileClosingFreesThePlaceOnce() {
        var bench = PoolBench(minSize: 1, maxSize: 1, maxLifetime: .milliseconds(1_000))
        let up = bench.warmUp()
        bench.clock = 1_000
        _ = bench.maintain()
        expect(bench.lose(up[0]).dials.count, 1)
        expect(bench.pool.connectionClosed(up[0]), PoolMachine.Actions())
        #expect(bench.pool.occupancy.dialling == 1)
        #expect(bench.pool.isReachable)
    }

    @Test(arguments: [Int64.min, -1, 0, Int64.max - 1, Int64.max])
    func aClockAtItsLimitsDoesNoHarm(nanoseconds: Int64) throws {
        let now = Instant(nanoseconds: nanoseconds)
        var random = SplitMix64(seed: 3)
        var pool = PoolMachine(
            .init(
                minSize: 1, maxSize: 2, maxWaiting: 2, maxIdle: .seconds(Int64.max), maxLifetime: .seconds(Int64.max),
                checkAfterIdle: .seconds(Int64.max),
                redial: Backoff(base: .seconds(Int64.max), cap: .seconds(Int64.max))))
        let dial = try #require(pool.started().dials.first)
        #expect(pool.connectionLost(dial, now: now, using: &random).dials.isEmpty)
        let redials = pool.maintenanceDue(now: now).dials + pool.maintenanceDue(now: .distantFuture).dials
        let connection = try #require(redials.first)
        expect(pool.connectionEstablished(connection, now: now, using: &random).action, .park)
        for other in [Int64.min, 0, Int64.max] {
            let then = Instant(nanoseconds: other)
            guard case .grant(connection, _) = pool.leaseRequested(by: WaiterID(1), deadline: then, now: then) else {
                Issue.record("not granted")
                return
            }
            _ = pool.leaseRequested(by: WaiterID(2), deadline: then, now: then)
            expect(pool.waiterCancelled(WaiterID(2)), true)
            _ = pool.connectionReleased(connection, now: now)
            _ = pool.nextMaintenance
            #expect(pool.retryAfter >= .milliseconds(10) && pool.retryAfter <= .seconds(5))
        }
    }

    @Test func durationsBelowZeroCountAsZeroAndSizesAreClamped() {
        let configuration = PoolMachine.Configuration(
            minSize: .max, maxSize: .max, maxWaiting: .min, maxIdle: .seconds(-1), maxLifetime: .seconds(Int64.min),
            checkAfterIdle: .seconds(-1), maxDialling: .min)
        #expect(configuration.maxSize == PoolMachine.Configuration.largestSize)
        #expect(configuration.minSize == configuration.maxSize)
        #expect(configuration.maxWaiting == 0)
        #expect(configuration.maxDialling == 1)
        #expect(configuration.maxIdle == .zero && configuration.maxLifetime == .zero)
        #expect(configuration.checkAfterIdle == .zero)
        let negative = PoolMachine.Configuration(minSize: -1, maxSize: -1, maxWaiting: 0)
        #expect(negative.minSize == 0 && negative.maxSize == 0)
    }
}
