internal import NIOCore
internal import Synchronization

/// The sessions that are open, so that they can be counted, told to go away and closed.
final class SessionRegistry: Sendable {
    struct Entry: Sendable {
        var channel: any Channel
        var goAway: @Sendable () -> Void
    }

    private struct State {
        var entries: [UInt64: Entry] = [:]
        /// Sessions that are being set up.
        var reserved: Set<UInt64> = []
        var opened: UInt64 = 0
        var isGoingAway = false
        var count: Int { entries.count + reserved.count }
        var waiters: [(atMost: Int, continuation: CheckedContinuation<Void, Never>)] = []
    }

    private let limit: Int
    private let state = Mutex(State())

    init(limit: Int) { self.limit = limit }

    /// A number and a place for a new session; nil if there are as many as there may be, or nobody is let in any more.
    /// `remove` must follow.
    func open() -> UInt64? {
        state.withLock { state in
            guard !state.isGoingAway, state.count < limit else { return nil }
            state.opened += 1
            state.reserved.insert(state.opened)
            return state.opened
        }
    }

    func add(_ id: UInt64, _ entry: Entry) {
        let isGoingAway = state.withLock { state in
            if state.reserved.remove(id) != nil { state.entries[id] = entry }
            return state.isGoingAway
        }
        // It came while the others were told.
        if isGoingAway { entry.goAway() }
    }

    func remove(_ id: UInt64) {
        let served = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            state.entries[id] = nil
            state.reserved.remove(id)
            let count = state.count
            defer { state.waiters.removeAll { $0.atMost >= count } }
            return state.waiters.filter { $0.atMost >= count }.map(\.continuation)
        }
        for waiter in served { waiter.resume() }
    }

    /// Tells every session to go, and lets no new one in.
    func goAway() {
        let entries = state.withLock { state in
            state.isGoingAway = true
            return Array(state.entries.values)
        }
        for entry in entries { entry.goAway() }
    }

    func closeAll() {
        for entry in state.withLock({ Array($0.entries.values) }) { entry.channel.close(promise: nil) }
    }

    /// Returns when no more than this many sessions are open.
    func wait(untilAtMost count: Int) async {
        await withCheckedContinuation { continuation in
            let isServed = state.withLock { state in
                let isServed = state.count <= count
                if !isServed { state.waiters.append((count, continuation)) }
                return isServed
            }
            if isServed { continuation.resume() }
        }
    }
}
