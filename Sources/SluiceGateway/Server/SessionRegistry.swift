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
        var opened: UInt64 = 0
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let limit: Int
    private let state = Mutex(State())

    init(limit: Int) { self.limit = limit }

    /// A number for a new session; nil if there are as many as there may be.
    func open() -> UInt64? {
        state.withLock { state in
            guard state.entries.count < limit else { return nil }
            state.opened += 1
            return state.opened
        }
    }

    func add(_ id: UInt64, _ entry: Entry) { state.withLock { $0.entries[id] = entry } }

    func remove(_ id: UInt64) {
        let waiters = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            state.entries[id] = nil
            guard state.entries.isEmpty else { return [] }
            defer { state.waiters.removeAll() }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }

    func goAway() {
        for entry in state.withLock({ Array($0.entries.values) }) { entry.goAway() }
    }

    func closeAll() {
        for entry in state.withLock({ Array($0.entries.values) }) { entry.channel.close(promise: nil) }
    }

    /// Returns when no session is open.
    func waitUntilEmpty() async {
        await withCheckedContinuation { continuation in
            let isEmpty = state.withLock { state in
                if !state.entries.isEmpty { state.waiters.append(continuation) }
                return state.entries.isEmpty
            }
            if isEmpty { continuation.resume() }
        }
    }
}
