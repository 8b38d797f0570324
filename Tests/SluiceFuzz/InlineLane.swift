import DequeModule
import SluiceCore
import SluiceEngine
import Synchronization

/// A lane without a thread: jobs run when `run` is called, on the caller's thread, and time passes when `advance` says
/// so. The same input takes the same way each time.
final class InlineLane: LaneExecutor {
    private enum Work {
        case job(UnownedJob)
        case body(@Sendable () -> Void)
    }

    private struct State {
        var now = Instant(nanoseconds: 1_000_000_000)
        var work: Deque<Work> = []
        var timers: [LaneTimer: (at: Instant, body: @Sendable () -> Void)] = [:]
        var nextTimer: UInt64 = 0
    }

    private let state = Mutex(State())

    /// - Returns: true if there was something to do.
    func run() -> Bool {
        let (serial, tasks) = (asUnownedSerialExecutor(), asUnownedTaskExecutor())
        var hasRun = false
        while let next = state.withLock({ $0.work.popFirst() }) {
            hasRun = true
            switch next {
            case .job(let job): job.runSynchronously(isolatedTo: serial, taskExecutor: tasks)
            case .body(let body): body()
            }
        }
        return hasRun
    }

    /// Lets time pass, and makes the timers due that have come.
    func advance(by duration: Duration) {
        state.withLock { state in
            state.now = state.now.advanced(by: duration)
            let due = state.timers.filter { $0.value.at <= state.now }.sorted { $0.key.rawValue < $1.key.rawValue }
            for (timer, entry) in due {
                state.timers[timer] = nil
                state.work.append(.body(entry.body))
            }
        }
    }

    /// How long until the next timer; nil if there is none.
    var timeToNextTimer: Duration? {
        state.withLock { state in state.timers.values.map(\.at).min().map { state.now.duration(to: $0) } }
    }

    func now() -> Instant { state.withLock(\.now) }

    func schedule(at instant: Instant, _ body: @escaping @Sendable () -> Void) -> LaneTimer {
        state.withLock { state in
            state.nextTimer += 1
            let timer = LaneTimer(rawValue: state.nextTimer)
            if instant <= state.now { state.work.append(.body(body)) } else { state.timers[timer] = (instant, body) }
            return timer
        }
    }

    func cancel(_ timer: LaneTimer) { state.withLock { $0.timers[timer] = nil } }

    func execute(_ body: @escaping @Sendable () -> Void) { state.withLock { $0.work.append(.body(body)) } }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        state.withLock { $0.work.append(.job(job)) }
    }

    func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

    /// There is only the one thread.
    func checkIsolated() {}

    func isIsolatingCurrentContext() -> Bool? { true }
}
