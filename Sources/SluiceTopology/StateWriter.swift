internal import NIOPosix
internal import Synchronization

/// Writes a shard's state file on a thread that may wait for a disk: one write at a time, in order. What is to be
/// written while one is under way is one more, with what is known when its turn comes, however often that was asked.
final class StateWriter: Sendable {
    private struct State {
        /// What the file has, as far as this has written it; nil after a write that failed.
        var written: StateFile.Content?
        var isWriting = false
        /// After the one that is under way.
        var next: (@Sendable () -> Void)?
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    /// All shards': a disk that hangs holds up nothing else.
    private static let thread: NIOThreadPool = {
        let pool = NIOThreadPool(numberOfThreads: 1)
        pool.start()
        return pool
    }()

    private let file: StateFile
    private let state = Mutex(State())

    init(_ file: StateFile) { self.file = file }

    /// - Parameters:
    ///   - content: what is to be written, asked for right before that.
    ///   - ended: why it could not be, in words; not called if the file had it already.
    func write(
        _ content: @escaping @Sendable () -> StateFile.Content, ended: @escaping @Sendable (String?) -> Void
    ) {
        let job: @Sendable () -> Void = { [self] in
            let content = content()
            if state.withLock({ $0.written != content }) {
                var problem: String?
                do throws(UnreadableAnswer) {
                    try file.write(content)
                    state.withLock { $0.written = content }
                } catch {
                    state.withLock { $0.written = nil }
                    problem = "\(error); a restart would not know timeline \(content.timeline)"
                }
                ended(problem)
            }
            goOn()
        }
        let isFirst = state.withLock { state in
            if state.isWriting { state.next = job } else { state.isWriting = true }
            return state.next == nil
        }
        if isFirst { Self.thread.submit { _ in job() } }
    }

    private func goOn() {
        let (next, waiters) = state.withLock {
            state -> ((@Sendable () -> Void)?, [CheckedContinuation<Void, Never>]) in
            let next = state.next
            state.next = nil
            guard next == nil else { return (next, []) }
            state.isWriting = false
            let waiters = state.waiters
            state.waiters = []
            return (nil, waiters)
        }
        // Behind the other shards'.
        if let next { Self.thread.submit { _ in next() } }
        for waiter in waiters { waiter.resume() }
    }

    /// Returns when nothing is left to be written.
    func awaitIdle() async {
        await withCheckedContinuation { waiter in
            let isIdle = state.withLock { state in
                if state.isWriting { state.waiters.append(waiter) }
                return !state.isWriting
            }
            if isIdle { waiter.resume() }
        }
    }
}
