internal import Glibc
internal import Synchronization

/// A few threads for calls that block and cannot be told not to: DNS, and libpq's `PQcancel`.
///
/// Threads are started when there is work and none is idle, up to `limit`; work beyond a bounded queue is refused, so
/// that a black hole costs a handful of threads and no more.
public final class BlockingWorkers: Sendable {
    private struct State {
        var queue: [@Sendable () -> Void] = []
        var busy = 0
    }

    private let limit: Int
    private let queueLimit: Int
    private let state = Mutex(State())

    /// - Parameters:
    ///   - limit: threads at a time.
    ///   - queueLimit: what may wait for one. As much as `limit` unless said otherwise: whoever counts what runs, and
    ///     submits no more than `limit`, may be ahead of a thread that has done its work and not said so yet.
    public init(limit: Int, queueLimit: Int? = nil) {
        self.limit = max(1, limit)
        self.queueLimit = max(0, queueLimit ?? self.limit)
    }

    /// Runs `work` on a thread of its own choosing. False if it cannot take any more.
    public func submit(_ work: @escaping @Sendable () -> Void) -> Bool {
        state.withLock { state in
            if state.busy < limit {
                // Under the lock: nothing is left in the queue of a thread that could not be started.
                guard startThread(work) else { return false }
                state.busy += 1
                return true
            }
            guard state.queue.count < queueLimit else { return false }
            state.queue.append(work)
            return true
        }
    }

    /// Nil if no worker could take it.
    public func run<Result: Sendable>(_ work: @escaping @Sendable () -> Result) async -> Result? {
        await withCheckedContinuation { continuation in
            if !submit({ continuation.resume(returning: work()) }) { continuation.resume(returning: nil) }
        }
    }

    private final class Start {
        let workers: BlockingWorkers
        let first: @Sendable () -> Void

        init(workers: BlockingWorkers, first: @escaping @Sendable () -> Void) {
            self.workers = workers
            self.first = first
        }
    }

    private func startThread(_ work: @escaping @Sendable () -> Void) -> Bool {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(Start(workers: self, first: work)).toOpaque()
        let result = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                let start = Unmanaged<Start>.fromOpaque(context).takeRetainedValue()
                start.first()
                start.workers.drain()
                return nil
            }, context)
        if result == 0 {
            pthread_detach(thread)
            return true
        }
        Unmanaged<Start>.fromOpaque(context).release()
        return false
    }

    private func drain() {
        while true {
            let next = state.withLock { state -> (@Sendable () -> Void)? in
                guard state.queue.isEmpty else { return state.queue.removeFirst() }
                state.busy -= 1
                return nil
            }
            guard let next else { return }
            next()
        }
    }
}
