internal import NIOCore
internal import Synchronization

/// The sessions that are open, so that they can be counted, told to go away and closed.
final class SessionRegistry: Sendable {
    struct Entry: Sendable {
        var channel: any Channel
        var goAway: @Sendable () -> Void
        /// Looks again at what the session may do.
        var accessChanged: @Sendable () -> Void
    }

    private struct State {
        var entries: [UInt64: Entry] = [:]
        /// Sessions that are being set up.
        var reserved: Set<UInt64> = []
        var opened: UInt64 = 0
        var isGoingAway = false
        var count: Int { entries.count + reserved.count }
        var waiters: [UInt64: (atMost: Int, continuation: CheckedContinuation<Void, Never>)] = [:]
        var nextWaiter: UInt64 = 0

        /// Those who waited for this many sessions or more.
        mutating func takeServed() -> [CheckedContinuation<Void, Never>] {
            let served = waiters.filter { $0.value.atMost >= count }
            for key in served.keys { waiters[key] = nil }
            return served.values.map(\.continuation)
        }
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
            return state.takeServed()
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

    /// Has every session look again at what it may do.
    func accessChanged() {
        for entry in state.withLock({ Array($0.entries.values) }) { entry.accessChanged() }
    }

    func closeAll() {
        for entry in state.withLock({ Array($0.entries.values) }) { entry.channel.close(promise: nil) }
    }

    /// Returns when no more than this many sessions are open, or the task is cancelled.
    func wait(untilAtMost count: Int) async {
        let number = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isServed = state.withLock { state in
                    let isServed = state.count <= count || Task.isCancelled
                    if !isServed { state.waiters[number] = (count, continuation) }
                    return isServed
                }
                if isServed { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: number) }?.continuation.resume()
        }
    }
}
