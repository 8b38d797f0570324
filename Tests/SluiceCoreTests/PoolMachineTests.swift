import SluiceCore
import Testing

/// `#expect` cannot hold a mutating call: the value is made first.
private func expect<Value: Equatable>(
    _ value: Value, _ expected: Value, sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(value == expected, sourceLocation: sourceLocation)
}

@Suite struct PoolMachineTests {
    private var random = SplitMix64(seed: 1)
    private let soon = Instant(nanoseconds: 1_000)
    private let now = Instant(nanoseconds: 0)

    private func established(size: Int, maxWaiting: Int = 4) -> (PoolMachine, [ConnectionID]) {
        var pool = PoolMachine(.init(size: size, maxWaiting: maxWaiting))
        let dialled = pool.started()
        for connection in dialled {
            expect(pool.connectionEstablished(connection, now: now).action, .park)
        }
        return (pool, dialled)
    }

    @Test func aFreeConnectionIsGrantedAtOnce() {
        var (pool, dialled) = established(size: 1)
        expect(pool.leaseRequested(by: WaiterID(1), deadline: soon), .grant(dialled[0]))
        expect(pool.leaseRequested(by: WaiterID(2), deadline: soon), .wait)
        #expect(pool.occupancy.leased == 1)
        #expect(pool.occupancy.waiting == 1)
    }

    @Test func waitersAreServedInOrderOfArrival() {
        var (pool, dialled) = established(size: 1)
        _ = pool.leaseRequested(by: WaiterID(1), deadline: soon)
        for waiter in 2...4 { _ = pool.leaseRequested(by: WaiterID(UInt64(waiter)), deadline: soon) }
        expect(pool.connectionReleased(dialled[0], now: now).action, .grant(WaiterID(2)))
        expect(pool.waiterCancelled(WaiterID(3)), true)
        expect(pool.connectionReleased(dialled[0], now: now).action, .grant(WaiterID(4)))
        expect(pool.connectionReleased(dialled[0], now: now).action, .park)
    }

    @Test func aWaiterWhoseDeadlinePassedIsToldAndNotServed() {
        var (pool, dialled) = established(size: 1)
        _ = pool.leaseRequested(by: WaiterID(1), deadline: soon)
        _ = pool.leaseRequested(by: WaiterID(2), deadline: soon)
        _ = pool.leaseRequested(by: WaiterID(3), deadline: Instant(nanoseconds: 9_000))
        let available = pool.connectionReleased(dialled[0], now: Instant(nanoseconds: 2_000))
        #expect(available.expired == [WaiterID(2)])
        #expect(available.action == .grant(WaiterID(3)))
    }

    @Test func cancellingAfterTheGrantIsReported() {
        var (pool, dialled) = established(size: 1)
        _ = pool.leaseRequested(by: WaiterID(1), deadline: soon)
        _ = pool.leaseRequested(by: WaiterID(2), deadline: soon)
        expect(pool.connectionReleased(dialled[0], now: now).action, .grant(WaiterID(2)))
        expect(pool.waiterCancelled(WaiterID(2)), false)
    }

    @Test func aFullQueueRefuses() {
        var (pool, _) = established(size: 1, maxWaiting: 1)
        _ = pool.leaseRequested(by: WaiterID(1), deadline: soon)
        _ = pool.leaseRequested(by: WaiterID(2), deadline: soon)
        expect(pool.leaseRequested(by: WaiterID(3), deadline: soon), .refuse(.queueFull(depth: 1)))
    }

    @Test mutating func withNothingUpWaitersAreToldAndNewOnesRefused() {
        var pool = PoolMachine(.init(size: 1, maxWaiting: 4))
        let first = pool.started()[0]
        expect(pool.leaseRequested(by: WaiterID(1), deadline: soon), .wait)
        let lost = pool.connectionLost(first, using: &random)
        #expect(lost.failed == [WaiterID(1)])
        expect(pool.leaseRequested(by: WaiterID(2), deadline: soon), .refuse(.unreachable))
        guard let redial = lost.redial else {
            Issue.record("a lost connection must be dialled again")
            return
        }
        expect(pool.redialDue(redial.connection), true)
        expect(pool.redialDue(redial.connection), false)
        expect(pool.connectionEstablished(redial.connection, now: now).action, .park)
        #expect(pool.isReachable)
    }

    @Test mutating func reportsAboutAnEarlierConnectionAreIgnored() {
        var (pool, dialled) = established(size: 1)
        let redial = pool.connectionLost(dialled[0], using: &random).redial
        #expect(redial != nil)
        expect(pool.connectionReleased(dialled[0], now: now).action, .close)
        expect(pool.connectionLost(dialled[0], using: &random).redial, nil)
        expect(pool.connectionEstablished(dialled[0], now: now).action, .close)
    }

    @Test func shutDownRefusesAndClosesAsConnectionsComeBack() {
        var (pool, dialled) = established(size: 2)
        _ = pool.leaseRequested(by: WaiterID(1), deadline: soon)
        let (refused, closing) = pool.shutDown()
        #expect(refused.isEmpty)
        #expect(closing.count == 1)
        let leased = dialled.filter { !closing.contains($0) }
        expect(pool.connectionReleased(leased[0], now: now).action, .close)
        expect(pool.leaseRequested(by: WaiterID(2), deadline: soon), .refuse(.shutDown))
    }

    /// Random events: the size is never exceeded, a connection has one holder, and no waiter is lost.
    @Test(arguments: 0..<100)
    func conservesConnectionsAndWaiters(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var pool = PoolMachine(.init(size: 3, maxWaiting: 5))
        var dialling = pool.started()
        var leased: Set<ConnectionID> = []
        var waiting: Set<WaiterID> = []
        var redials: [ConnectionID] = []
        func take(_ available: PoolMachine.Available, _ connection: ConnectionID) {
            waiting.subtract(available.expired)
            if case .grant(let waiter) = available.action {
                #expect(waiting.remove(waiter) != nil)
                leased.insert(connection)
            }
        }
        for step in 0..<400 {
            let instant = Instant(nanoseconds: Int64(step))
            switch Int.random(in: 0..<6, using: &random) {
            case 0, 1:
                let waiter = WaiterID(UInt64(step))
                switch pool.leaseRequested(by: waiter, deadline: instant.advanced(by: .nanoseconds(40))) {
                case .grant(let connection): #expect(leased.insert(connection).inserted)
                case .wait: waiting.insert(waiter)
                case .refuse: break
                }
            case 2:
                guard let connection = leased.popFirst() else { continue }
                take(pool.connectionReleased(connection, now: instant), connection)
            case 3:
                guard let connection = dialling.popLast() else { continue }
                take(pool.connectionEstablished(connection, now: instant), connection)
            case 4:
                guard let connection = Bool.random(using: &random) ? leased.popFirst() : dialling.popLast() else {
                    continue
                }
                let lost = pool.connectionLost(connection, using: &random)
                waiting.subtract(lost.failed)
                if let redial = lost.redial { redials.append(redial.connection) }
            default:
                if let waiter = waiting.randomElement(using: &random), Bool.random(using: &random) {
                    expect(pool.waiterCancelled(waiter), true)
                    waiting.remove(waiter)
                } else if let connection = redials.popLast(), pool.redialDue(connection) {
                    dialling.append(connection)
                }
            }
            let occupancy = pool.occupancy
            #expect(occupancy.leased == leased.count)
            #expect(occupancy.waiting == waiting.count)
            #expect(occupancy.idle + occupancy.leased + occupancy.dialling + occupancy.backingOff == 3)
        }
    }
}
