internal import Synchronization

/// Those who ask the lanes from outside of any session, and the end, after which nobody may: a lane that has been shut
/// down answers nobody.
final class ReportGate: Sendable {
    private struct State {
        var isClosed = false
        var inside = 0
        var closer: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    /// - Returns: nil if it is closed.
    func pass<Answer: Sendable>(_ ask: () async -> Answer) async -> Answer? {
        let mayPass = state.withLock { state in
            if !state.isClosed { state.inside += 1 }
            return !state.isClosed
        }
        guard mayPass else { return nil }
        defer { leave() }
        return await ask()
    }

    private func leave() {
        let closer = state.withLock { state in
            state.inside -= 1
            return state.inside == 0 ? state.closer.take() : nil
        }
        closer?.resume()
    }

    /// Returns when nobody is inside any more. Once.
    func close() async {
        await withCheckedContinuation { continuation in
            let isEmpty = state.withLock { state in
                state.isClosed = true
                if state.inside > 0 { state.closer = continuation }
                return state.inside == 0
            }
            if isEmpty { continuation.resume() }
        }
    }
}
