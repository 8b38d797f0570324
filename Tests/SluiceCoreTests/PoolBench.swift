import SluiceCore
import Testing

/// `#expect` cannot hold a mutating call: the value is made first.
func expect<Value: Equatable>(
    _ value: Value, _ expected: Value, sourceLocation: SourceLocation = #_sourceLocation
) {
    #expect(value == expected, sourceLocation: sourceLocation)
}

/// A pool machine with a clock that the test moves, for event scripts.
struct PoolBench {
    var pool: PoolMachine
    var random = SplitMix64(seed: 1)
    /// Milliseconds since the clock's start.
    var clock: Int64 = 0

    /// Without jitter, a redial comes at any time up to its ceiling: 100 ms, 200 ms, ... 1 s.
    static let redial = Backoff(base: .milliseconds(100), cap: .seconds(1))

    init(
        minSize: Int = 0, maxSize: Int, maxWaiting: Int = 16, maxIdle: Duration? = nil, maxLifetime: Duration? = nil,
        checkAfterIdle: Duration? = nil, maxDialling: Int = 8
    ) {
        pool = PoolMachine(
            .init(
                minSize: minSize, maxSize: maxSize, maxWaiting: maxWaiting, maxIdle: maxIdle, maxLifetime: maxLifetime,
                checkAfterIdle: checkAfterIdle, maxDialling: maxDialling, redial: Self.redial))
    }

    var now: Instant { Instant(nanoseconds: clock * 1_000_000) }

    /// Warms the pool up, one dial after another.
    mutating func warmUp() -> [ConnectionID] {
        var pending = pool.started().dials
        var up: [ConnectionID] = []
        while let connection = pending.popLast() {
            pending += establish(connection).dials
            up.append(connection)
        }
        return up
    }

    mutating func lease(_ waiter: UInt64, within milliseconds: Int64 = 1_000) -> PoolMachine.LeaseAction {
        pool.leaseRequested(
            by: WaiterID(waiter), deadline: now.advanced(by: .milliseconds(milliseconds)), now: now)
    }

    /// For a lease that must be granted at once.
    mutating func granted(
        _ waiter: UInt64, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> ConnectionID {
        let action = lease(waiter)
        guard case .grant(let connection, _) = action else {
            Issue.record("not granted but \(action)", sourceLocation: sourceLocation)
            throw Refused()
        }
        return connection
    }

    /// For a lease that must wait for a dial of its own.
    mutating func dialled(
        _ waiter: UInt64, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> ConnectionID {
        let action = lease(waiter)
        guard case .wait(let dial?) = action else {
            Issue.record("no dial but \(action)", sourceLocation: sourceLocation)
            throw Refused()
        }
        return dial
    }

    mutating func establish(_ connection: ConnectionID) -> PoolMachine.Available {
        pool.connectionEstablished(connection, now: now, using: &random)
    }

    mutating func release(_ connection: ConnectionID) -> PoolMachine.Available {
        pool.connectionReleased(connection, now: now)
    }

    mutating func lose(_ connection: ConnectionID) -> PoolMachine.Actions {
        pool.connectionLost(connection, now: now, using: &random)
    }

    /// Somebody waits for this server, said some milliseconds after the clock.
    mutating func awaitConnection(after milliseconds: Int64 = 0) {
        pool.connectionAwaited(now: now.advanced(by: .milliseconds(milliseconds)), using: &random)
    }

    mutating func maintain() -> PoolMachine.Actions { pool.maintenanceDue(now: now) }

    struct Refused: Error {}
}
