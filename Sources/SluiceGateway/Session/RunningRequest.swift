internal import SluiceEngine
internal import Synchronization

/// A request that has been asked for and has not gone to its lane yet.
struct StartingRequest {
    let id: UInt32
    /// What it was sent in.
    let bytes: Int
    /// To be given back if it does not run.
    let ticket: Admission.Ticket
    let begin: () -> Void
}

/// A request's task, as the session holds it to cancel it. The task takes itself out when it ends, so that what it used
/// is freed on its own thread: freed on the session's, threads would wait for one another in the allocator.
final class RunningRequest: Sendable {
    private enum State {
        case starting
        case running(Task<Void, Never>)
        case ended
    }

    /// What it was sent in.
    let bytes: Int
    private let state = Mutex(State.starting)
    private let cancelled = Atomic<Bool>(false)

    /// - Parameter bytes: the payload that it was sent in.
    init(bytes: Int) { self.bytes = bytes }

    var isCancelled: Bool { cancelled.load(ordering: .relaxed) }

    func began(_ task: Task<Void, Never>) {
        state.withLock { state in if case .starting = state { state = .running(task) } }
    }

    /// By the task itself, as the last thing that it does.
    func ended() { state.withLock { $0 = .ended } }

    func cancel() {
        cancelled.store(true, ordering: .relaxed)
        let task: Task<Void, Never>? = state.withLock { state in
            if case .running(let task) = state { task } else { nil }
        }
        task?.cancel()
    }
}
