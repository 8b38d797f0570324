internal import NIOCore
internal import NIOPosix

extension SluiceClient {
    /// Of the event loops that clients have their connections on. Of a task that prefers one, requests and answers need
    /// no other thread; it must never block.
    package static let executors: [any TaskExecutor] =
        MultiThreadedEventLoopGroup.singleton.makeIterator().map { LoopExecutor(loop: $0) }
}

private final class LoopExecutor: TaskExecutor {
    private let loop: any EventLoop

    init(loop: any EventLoop) { self.loop = loop }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        loop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
