internal import CLinuxEvents
internal import DequeModule
internal import Glibc
internal import Synchronization

/// One thread with an epoll set: the executor of the connections that live on it and of the tasks that use them, so
/// that a search runs on one thread from its first byte to PostgreSQL to the last.
///
/// `@unchecked Sendable`: what other threads touch is `inbox` (a mutex) and constants; `loop` is touched by the
/// reactor's own thread only, which `preconditionOnReactor` checks at every entry.
public final class Reactor: SerialExecutor, TaskExecutor, @unchecked Sendable {
    private struct Inbox {
        var jobs: [UnownedJob] = []
        var isWakePending = false
        var isStopping = false
    }

    /// How many jobs run before the descriptors and timers get their turn.
    private static let batch = 256

    public let name: String
    private let inbox = Mutex(Inbox())
    private let wakeEvent: Int32
    private let threadID = Atomic<Int32>(0)
    let loop: ReactorLoop

    /// Starts the thread.
    /// - Throws: `ReactorError` if the kernel gives no epoll set, event or thread.
    public init(name: String) throws(ReactorError) {
        self.name = name
        let epoll = sluice_epoll_create()
        guard epoll >= 0 else { throw ReactorError(operation: "epoll_create1", errno: errno) }
        wakeEvent = sluice_event_create()
        guard wakeEvent >= 0 else {
            let code = errno
            close(epoll)
            throw ReactorError(operation: "eventfd", errno: code)
        }
        loop = ReactorLoop(epoll: epoll)
        loop.watchWakeEvent(wakeEvent)
        try startThread()
    }

    // MARK: Executor

    public func enqueue(_ job: consuming ExecutorJob) {
        let unowned = UnownedJob(job)
        if isOnReactor {
            loop.jobs.append(unowned)
            return
        }
        let mustWake = inbox.withLock { inbox in
            inbox.jobs.append(unowned)
            defer { inbox.isWakePending = true }
            return !inbox.isWakePending
        }
        if mustWake { sluice_event_signal(wakeEvent) }
    }

    public func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }

    public func checkIsolated() { preconditionOnReactor() }

    public func isIsolatingCurrentContext() -> Bool? { isOnReactor }

    // MARK: Anyone

    /// Nanoseconds of CLOCK_MONOTONIC: the clock of every deadline given to a reactor.
    public static func now() -> Int64 { sluice_monotonic_nanoseconds() }

    /// How long the calling thread has been running, in nanoseconds.
    public static func threadTime() -> Int64 { sluice_thread_nanoseconds() }

    public var isOnReactor: Bool { threadID.load(ordering: .relaxed) == sluice_thread_id() }

    /// Runs a closure on the reactor, after what is queued already.
    public func execute(_ body: @escaping @Sendable () -> Void) {
        Task(executorPreference: self) { body() }
    }

    /// Ends the thread once the jobs queued so far have run. Descriptors still watched are forgotten.
    public func stop() {
        let mustWake = inbox.withLock { inbox in
            inbox.isStopping = true
            defer { inbox.isWakePending = true }
            return !inbox.isWakePending
        }
        if mustWake { sluice_event_signal(wakeEvent) }
    }

    public func preconditionOnReactor() {
        precondition(isOnReactor, "this belongs to the thread of reactor \(name)")
    }

    // MARK: The thread

    private func startThread() throws(ReactorError) {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self).toOpaque()
        let result = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<Reactor>.fromOpaque(context).takeRetainedValue().run()
                return nil
            }, context)
        guard result == 0 else {
            Unmanaged<Reactor>.fromOpaque(context).release()
            throw ReactorError(operation: "pthread_create", errno: result)
        }
        pthread_detach(thread)
    }

    private func run() {
        threadID.store(sluice_thread_id(), ordering: .relaxed)
        sluice_name_this_thread(String(name.prefix(15)))
        var isStopping = false
        while !isStopping || !loop.jobs.isEmpty {
            isStopping = takeInbox() || isStopping
            runJobs()
            loop.fireTimers(now: Self.now())
            loop.poll(mayBlock: loop.jobs.isEmpty && !isStopping)
        }
        // The executor may still be given jobs by tasks that end late: they run on whoever asks no more, so none is
        // accepted after this. The owner stops a reactor only when everything on it has ended.
        threadID.store(0, ordering: .relaxed)
    }

    /// Returns true once the reactor should stop.
    private func takeInbox() -> Bool {
        inbox.withLock { inbox in
            loop.jobs.append(contentsOf: inbox.jobs)
            inbox.jobs.removeAll(keepingCapacity: true)
            inbox.isWakePending = false
            return inbox.isStopping
        }
    }

    private func runJobs() {
        let serial = asUnownedSerialExecutor()
        let task = asUnownedTaskExecutor()
        for _ in 0..<Self.batch {
            guard let job = loop.jobs.popFirst() else { return }
            job.runSynchronously(isolatedTo: serial, taskExecutor: task)
        }
    }

    deinit {
        close(wakeEvent)
        close(loop.epoll)
    }
}

public struct ReactorError: Error, Hashable, CustomStringConvertible {
    public var operation: String
    public var errno: Int32

    public var description: String { "\(operation) failed with errno \(errno)" }
}
