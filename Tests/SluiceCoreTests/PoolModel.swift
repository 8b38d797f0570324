import SluiceCore

/// A driver of a pool machine that has no connections: it remembers what the machine told it, and what breaks a rule.
struct PoolModel {
    private(set) var pool: PoolMachine
    var random: SplitMix64
    var now = Instant(nanoseconds: 0)
    private(set) var violations: [String] = []

    private(set) var dialling: [ConnectionID] = []
    private(set) var idle: [ConnectionID] = []
    private(set) var leased: [ConnectionID] = []
    private(set) var closing: [ConnectionID] = []
    /// Earlier connections, for reports that come too late.
    private(set) var gone: [ConnectionID] = []
    /// In order of arrival.
    private(set) var waiting: [(id: WaiterID, deadline: Instant)] = []
    private(set) var served = 0
    private var lastWaiter: UInt64 = 0
    private var lastTotal = 0

    init(_ configuration: PoolMachine.Configuration, seed: UInt64) {
        pool = PoolMachine(configuration)
        random = SplitMix64(seed: seed)
    }

    private var total: Int { dialling.count + idle.count + leased.count + closing.count }
    private var limit: Int { pool.configuration.maxSize }

    private mutating func check(_ isRight: Bool, _ rule: String) {
        if !isRight, violations.count < 5 { violations.append(rule) }
    }

    // MARK: What the machine tells

    private mutating func dial(_ connections: [ConnectionID]) {
        if connections.isEmpty { return }
        if !pool.isReachable { check(dialling.isEmpty && connections.count == 1, "one dial at a time while down") }
        for connection in connections {
            let others = dialling + idle + leased + closing
            check(!others.contains { $0.slot == connection.slot }, "a place is dialled while it is in use")
            check(!gone.contains(connection), "an identity comes back")
            dialling.append(connection)
        }
        check(dialling.count <= pool.configuration.maxDialling, "too many dials")
    }

    private mutating func obey(_ actions: PoolMachine.Actions) {
        for connection in actions.closes {
            check(take(connection, from: \.idle), "only an idle connection is closed")
            closing.append(connection)
        }
        check(actions.refused.isEmpty || actions.refused == waiting.map(\.id), "all waiters are refused, in order")
        check(actions.refused.isEmpty == (actions.refusal == nil), "a refusal has a reason")
        if !actions.refused.isEmpty { waiting.removeAll() }
        dial(actions.dials)
        checkState()
    }

    private mutating func obey(_ available: PoolMachine.Available, _ connection: ConnectionID) {
        for waiter in available.expired {
            check(waiting.first?.id == waiter, "waiters expire in order")
            check(waiting.first.map { $0.deadline <= now } == true, "expired too early")
            if !waiting.isEmpty { waiting.removeFirst() }
        }
        switch available.action {
        case .grant(let waiter):
            check(dialling.count + idle.count + leased.count < limit, "excess is given up, not granted again")
            check(waiting.first?.id == waiter, "first come, first served")
            check(waiting.first.map { $0.deadline > now } == true, "served after the deadline")
            if !waiting.isEmpty { waiting.removeFirst() }
            leased.append(connection)
            served += 1
        case .park: idle.append(connection)
        case .close: closing.append(connection)
        }
        dial(available.dials)
        checkState()
    }

    private mutating func checkState() {
        let occupancy = pool.occupancy
        check(occupancy.idle == idle.count && occupancy.leased == leased.count, "idle and leased are counted")
        check(occupancy.dialling == dialling.count && occupancy.closing == closing.count, "dialling, closing counted")
        check(occupancy.waiting == waiting.count && pool.load == leased.count + waiting.count, "waiters are counted")
        check(occupancy.limit == limit && pool.idleCount == idle.count, "limit and idle count")
        check(total <= max(limit, lastTotal), "the limit holds, and in a shrink the sum only falls")
        check(idle.isEmpty || total - closing.count <= limit, "excess is given up, not kept idle")
        check(waiting.isEmpty || idle.isEmpty, "nobody waits beside an idle connection")
        check(waiting.isEmpty || leased.count + dialling.count + closing.count > 0, "somebody waits for nothing")
        check(Set(dialling + idle + leased + closing).count == total, "a connection is in one state")
        lastTotal = total
    }

    private mutating func take(
        _ connection: ConnectionID, from list: WritableKeyPath<PoolModel, [ConnectionID]>
    ) -> Bool {
        guard let place = self[keyPath: list].firstIndex(of: connection) else { return false }
        self[keyPath: list].remove(at: place)
        return true
    }

    private mutating func takeAny(from list: WritableKeyPath<PoolModel, [ConnectionID]>) -> ConnectionID? {
        guard let place = self[keyPath: list].indices.randomElement(using: &random) else { return nil }
        return self[keyPath: list].remove(at: place)
    }

    // MARK: Events

    mutating func start() { obey(pool.started()) }

    mutating func request(within nanoseconds: Int64) {
        lastWaiter += 1
        let waiter = WaiterID(lastWaiter)
        let deadline = now.advanced(by: .nanoseconds(nanoseconds))
        switch pool.leaseRequested(by: waiter, deadline: deadline, now: now) {
        case .grant(let connection, _):
            check(idle.last == connection, "the newest idle connection is granted")
            check(take(connection, from: \.idle), "only an idle connection is granted")
            leased.append(connection)
            served += 1
        case .wait(let connection):
            waiting.append((waiter, deadline))
            if let connection { dial([connection]) }
        case .refuse(.queueFull(let depth)):
            check(idle.isEmpty && depth == waiting.count, "refused though there was something")
            check(limit == 0 || depth >= pool.configuration.maxWaiting, "refused though there was room")
        case .refuse(.unreachable): check(idle.isEmpty && leased.isEmpty, "unreachable though something is up")
        case .refuse(.draining), .refuse(.shutDown): check(!pool.isAccepting, "refused without a reason")
        }
        checkState()
    }

    mutating func establish() {
        guard let connection = takeAny(from: \.dialling) else { return }
        obey(pool.connectionEstablished(connection, now: now, using: &random), connection)
    }

    mutating func release() {
        guard let connection = takeAny(from: \.leased) else { return }
        obey(pool.connectionReleased(connection, now: now), connection)
    }

    mutating func loseDialled() { lose(takeAny(from: \.dialling)) }
    mutating func loseIdle() { lose(takeAny(from: \.idle)) }
    mutating func loseLeased() { lose(takeAny(from: \.leased)) }
    mutating func loseClosing() { lose(takeAny(from: \.closing)) }

    private mutating func lose(_ connection: ConnectionID?) {
        guard let connection else { return }
        gone.append(connection)
        obey(pool.connectionLost(connection, now: now, using: &random))
    }

    mutating func close() {
        guard let connection = takeAny(from: \.closing) else { return }
        gone.append(connection)
        obey(pool.connectionClosed(connection))
    }

    mutating func cancel() {
        guard let place = waiting.indices.randomElement(using: &random) else { return }
        let waiter = waiting.remove(at: place).id
        check(pool.waiterCancelled(waiter), "a waiter can be cancelled")
        check(!pool.waiterCancelled(waiter), "but only once")
        checkState()
    }

    /// Also when nothing is due: then nothing may happen, or `nextMaintenance` would have been late.
    mutating func maintain() {
        let isDue = pool.nextMaintenance.map { $0 <= now } ?? false
        let actions = pool.maintenanceDue(now: now)
        check(isDue || actions == PoolMachine.Actions(), "maintenance was due earlier than announced")
        check(pool.nextMaintenance.map { $0 > now } ?? true, "maintenance leaves nothing due")
        obey(actions)
    }

    mutating func resize(minSize: Int, maxSize: Int) { obey(pool.resized(minSize: minSize, maxSize: maxSize)) }
    mutating func drain() { obey(pool.drain()) }
    mutating func undrain() { obey(pool.undrain()) }

    mutating func shutDown() {
        obey(pool.shutDown())
        check(waiting.isEmpty && idle.isEmpty, "nothing stays after the end")
    }

    /// Reports that come late or twice change nothing.
    mutating func reportAgain() {
        let counters = pool.counters
        if let connection = gone.randomElement(using: &random) {
            check(pool.connectionReleased(connection, now: now).action == .close, "a stale connection is closed")
            check(
                pool.connectionEstablished(connection, now: now, using: &random).action == .close, "so is a late one")
            check(pool.connectionLost(connection, now: now, using: &random) == .init(), "a stale loss is ignored")
            check(pool.connectionClosed(connection) == .init(), "a stale close is ignored")
        }
        if let connection = idle.randomElement(using: &random) {
            check(pool.connectionReleased(connection, now: now).action == .park, "a second release changes nothing")
            check(pool.connectionClosed(connection) == .init(), "a close nobody asked for is ignored")
        }
        check(pool.counters == counters, "repeated reports do not count")
        checkState()
    }

    /// The world is well from here on: every dial succeeds, every lease and every close ends.
    mutating func settle(until isDone: (PoolModel) -> Bool) {
        for _ in 0..<500 where !isDone(self) {
            if !dialling.isEmpty {
                establish()
            } else if !closing.isEmpty {
                close()
            } else if !leased.isEmpty {
                release()
            } else if let due = pool.nextMaintenance {
                now = max(now, due)
                maintain()
            }
        }
        check(isDone(self), "the pool does not recover")
    }
}
