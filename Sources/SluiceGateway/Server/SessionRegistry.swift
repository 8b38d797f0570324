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
        var waiters: [(atMost: Int, continuation: CheckedContinuation<Void, Never>)] = []
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
        let served = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            state.entries[id] = nil
            let count = state.entries.count
            defer { state.waiters.removeAll { $0.atMost >= count } }
            return state.waiters.filter { $0.atMost >= count }.map(\.continuation)
        }
        for waiter in served { waiter.resume() }
    }

    func goAway() {
        for entry in state.withLock({ Array($0.entries.values) }) { entry.goAway() }
    }

    func closeAll() {
        for entry in state.withLock({ Array($0.entries.values) }) { entry.channel.close(promise: nil) }
    }

    /// Returns when no more than this many sessions are open.
    func wait(untilAtMost count: Int) async {
        await withCheckedContinuation { continuation in
            let isServed = state.withLock { state in
                let isServed = state.entries.count <= count
                if !isServed { state.waiters.append((count, continuation)) }
                return isServed
            }
            if isServed { continuation.resume() }
        }
    }
}
