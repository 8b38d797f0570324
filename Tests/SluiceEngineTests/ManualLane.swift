import SluiceCore
import SluiceEngine
import SluiceGateway
import SluiceReactor
import Synchronization

/// A lane's thread whose clock stands still until a test moves it.
final class ManualLane: LaneExecutor {
    private struct State {
        var now = Instant(nanoseconds: 0)
        var timers: [LaneTimer: (at: Instant, body: @Sendable () -> Void)] = [:]
        var nextTimer: UInt64 = 0
    }

    private let reactor: Reactor
    private let state = Mutex(State())

    init(name: String) throws { reactor = try Reactor(name: name) }

    var timerCount: Int { state.withLock(\.timers.count) }

    /// Fires what is due by then, unless the thread is to be late with its timers.
    func advance(by duration: Duration, firingTimers: Bool = true) {
        let due = state.withLock { state -> [@Sendable () -> Void] in
            let now = state.now.advanced(by: duration)
            state.now = now
            guard firingTimers else { return [] }
            let due = state.timers.filter { $0.value.at <= now }
            for timer in due.keys { state.timers[timer] = nil }
            return due.values.map(\.body)
        }
        for body in due { execute(body) }
    }

    func stop() { reactor.stop() }

    func now() -> Instant { state.withLock(\.now) }

    func schedule(at instant: Instant, _ body: @escaping @Sendable () -> Void) -> LaneTimer {
        reactor.preconditionOnReactor()
        let (timer, isDue) = state.withLock { state in
            state.nextTimer += 1
            let timer = LaneTimer(rawValue: state.nextTimer)
            let isDue = instant <= state.now
            if !isDue { state.timers[timer] = (instant, body) }
            return (timer, isDue)
        }
        if isDue { execute(body) }
        return timer
    }

    func cancel(_ timer: LaneTimer) {
        reactor.preconditionOnReactor()
        state.withLock { $0.timers[timer] = nil }
    }

    func execute(_ body: @escaping @Sendable () -> Void) { reactor.execute(body) }
    func enqueue(_ job: consuming ExecutorJob) { reactor.enqueue(job) }
    func asUnownedSerialExecutor() -> UnownedSerialExecutor { reactor.asUnownedSerialExecutor() }
    func asUnownedTaskExecutor() -> UnownedTaskExecutor { reactor.asUnownedTaskExecutor() }
}
