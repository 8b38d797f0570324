internal import SluiceCore
internal import Synchronization

/// The bytes that a gateway holds for its clients, of which there may be so many: what has come from them, what waits
/// for them, and what is held for the requests at work. Counting is a few atomic additions; only near the limit is
/// there a lock, for `MemoryPressure` to say who has to stop.
public final class MemoryBudget: Sendable {
    private struct State {
        var pressure: MemoryPressure
        var accounts: [UInt64: MemoryAccount] = [:]
    }

    private let most: Atomic<Int>
    private let lowWater: Atomic<Int>
    private let total = Atomic<Int>(0)
    private let nextLook: Atomic<Int>
    private let hasStopped = Atomic<Bool>(false)
    private let state: Mutex<State>

    /// - Parameter limit: in bytes.
    public init(limit: Int) {
        let pressure = MemoryPressure(limit: limit)
        most = Atomic(pressure.limit)
        lowWater = Atomic(pressure.lowWater)
        nextLook = Atomic(pressure.nextLook)
        state = Mutex(State(pressure: pressure))
    }

    /// In bytes.
    public var limit: Int { most.load(ordering: .relaxed) }

    /// In bytes.
    public var held: Int { total.load(ordering: .relaxed) }

    /// True while nothing new should be begun.
    public var isExhausted: Bool { held > limit }

    /// What new work is told while it is exhausted.
    public var busy: SearchError {
        SearchError(busyBecause: "the gateway's memory", retryAfter: .milliseconds(200), depth: nil)
    }

    /// How many sessions are not read from just now.
    public var stoppedCount: Int { state.withLock { $0.pressure.stopped.count } }

    /// Counts bytes that are held for no session in particular; less if negative.
    public func add(_ bytes: Int) {
        // Sequential consistency: whoever goes below the low-water mark sees that somebody was stopped before, or is
        // seen by who stops (`look`).
        let now = total.add(bytes, ordering: .sequentiallyConsistent).newValue
        if now >= nextLook.load(ordering: .relaxed) {
            look()
        } else if bytes < 0, now < lowWater.load(ordering: .relaxed), hasStopped.load(ordering: .sequentiallyConsistent)
        {
            goOn()
        }
    }

    /// Counts bytes that are about to be taken, if they fit.
    public func reserve(_ bytes: Int) -> Bool {
        guard held <= limit - bytes else { return false }
        add(bytes)
        return true
    }

    /// An account for a session. `close` must follow.
    /// - Parameter setReading: whether it may be read from; called on any thread, under a lock: it must not count bytes
    ///   itself.
    public func open(_ id: UInt64, setReading: @escaping @Sendable (Bool) -> Void) -> MemoryAccount {
        let account = MemoryAccount(id: id, budget: self, setReading: setReading)
        state.withLock { $0.accounts[id] = account }
        return account
    }

    fileprivate func close(_ id: UInt64) {
        state.withLock { state in
            state.accounts[id] = nil
            state.pressure.left(id)
        }
    }

    // Who has to stop, and who may go on, is told under the lock: told later, the two could cross, and a session would
    // not be read from ever again.

    /// From now on there may be so many bytes.
    public func limitChanged(to limit: Int) {
        state.withLock { state in
            state.pressure.limitChanged(to: limit)
            most.store(state.pressure.limit, ordering: .relaxed)
            lowWater.store(state.pressure.lowWater, ordering: .relaxed)
            nextLook.store(state.pressure.nextLook, ordering: .relaxed)
        }
        add(0)
        if held < lowWater.load(ordering: .relaxed) { goOn() }
    }

    private func look() {
        state.withLock { state in
            let now = total.load(ordering: .relaxed)
            guard now >= state.pressure.nextLook else { return }
            let holders = state.accounts.values.lazy.map { MemoryPressure.Holder(id: $0.id, held: $0.held) }
            let greediest = state.pressure.grew(to: now, holders)
            nextLook.store(state.pressure.nextLook, ordering: .relaxed)
            hasStopped.store(true, ordering: .sequentiallyConsistent)
            for id in greediest { state.accounts[id]?.setReading(false) }
        }
        if total.load(ordering: .sequentiallyConsistent) < lowWater.load(ordering: .relaxed) { goOn() }
    }

    private func goOn() {
        state.withLock { state in
            let now = total.load(ordering: .sequentiallyConsistent)
            guard now < state.pressure.lowWater else { return }
            hasStopped.store(false, ordering: .sequentiallyConsistent)
            let resumed = state.pressure.shrank(to: now)
            nextLook.store(state.pressure.nextLook, ordering: .relaxed)
            for id in resumed { state.accounts[id]?.setReading(true) }
        }
    }
}

/// What one session holds, as part of the budget.
public final class MemoryAccount: Sendable {
    fileprivate let id: UInt64
    private let budget: MemoryBudget
    fileprivate let setReading: @Sendable (Bool) -> Void
    private let bytes = Atomic<Int>(0)

    fileprivate init(id: UInt64, budget: MemoryBudget, setReading: @escaping @Sendable (Bool) -> Void) {
        self.id = id
        self.budget = budget
        self.setReading = setReading
    }

    /// In bytes.
    public var held: Int { bytes.load(ordering: .relaxed) }

    /// Counts bytes that the session holds; less if negative. From any thread.
    public func add(_ count: Int) {
        if count == 0 { return }
        bytes.add(count, ordering: .relaxed)
        budget.add(count)
    }

    /// The session is over. What is still counted for it is counted down by whoever holds it.
    public func close() { budget.close(id) }
}
