internal import Synchronization

/// The wish to end a measurement early. What was measured is reported and what was done is undone, so only what waits
/// and what loads is cancelled, not the measurement's own task.
package final class Interruption: Sendable {
    private struct State {
        var isWanted = false
        var running: [Int: Task<Void, Never>] = [:]
        var next = 0
    }

    private let state = Mutex(State())

    package init() {}

    package var isWanted: Bool { state.withLock { $0.isWanted } }

    /// Ends what runs, and what will be run.
    package func end() {
        let running = state.withLock { state in
            state.isWanted = true
            return Array(state.running.values)
        }
        for task in running { task.cancel() }
    }

    /// Runs the body, cancelled if the end is wanted.
    func run(_ body: @escaping @Sendable () async -> Void) async {
        let task = Task { await body() }
        let (number, isWanted) = state.withLock { state in
            state.next += 1
            state.running[state.next] = task
            return (state.next, state.isWanted)
        }
        if isWanted { task.cancel() }
        await withTaskCancellationHandler {
            await task.value
        } onCancel: {
            task.cancel()
        }
        state.withLock { _ = $0.running.removeValue(forKey: number) }
    }

    /// - Returns: false if it was woken before its time.
    func sleep(until instant: ContinuousClock.Instant) async -> Bool {
        await run { try? await Task.sleep(until: instant, tolerance: .zero, clock: .continuous) }
        return !isWanted && !Task.isCancelled
    }
}
