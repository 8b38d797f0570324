internal import NIOCore
internal import NIOPosix

/// The event loops that clients have their connections on.
enum ClientLoops {
    static let all: [any EventLoop] = Array(MultiThreadedEventLoopGroup.singleton.makeIterator())

    /// Which of them the caller is on; nil on any other thread.
    static var here: Int? {
        guard let loop = MultiThreadedEventLoopGroup.currentEventLoop else { return nil }
        return all.firstIndex { $0 === loop }
    }

    fileprivate static let executors = all.map(LoopExecutor.init)
}

extension SluiceClient {
    /// Of the event loops of this client's connections, one for each. Of a task that prefers one, requests and answers
    /// need no other thread; it must never block.
    package var executors: [any TaskExecutor] { fleet.loops.map { ClientLoops.executors[$0] } }
}

private final class LoopExecutor: TaskExecutor {
    private let loop: any EventLoop

    init(_ loop: any EventLoop) { self.loop = loop }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        loop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}

/// Whose turn it is among the places of a pool. Each lies on an event loop, the next place on the next one. NIO would
/// choose by turns, too, but every dial takes several of those.
package struct PlaceTurns: Sendable {
    private let places: Int
    private let loops: Int
    private let first: Int
    private var latest = 0
    /// By event loop, among the places there.
    private var latestThere: [Int]

    /// - Parameters:
    ///   - places: 1 or more.
    ///   - loops: 1 or more.
    ///   - first: the event loop of the first place, 0 or more.
    package init(places: Int, loops: Int, first: Int) {
        self.places = places
        self.loops = loops
        self.first = first % loops
        latestThere = Array(repeating: 0, count: loops)
    }

    package func loop(of place: Int) -> Int { (first + place) % loops }

    package mutating func next() -> Int {
        latest = (latest + 1) % places
        return latest
    }

    /// Nil if no place lies on this event loop.
    package mutating func next(on loop: Int) -> Int? {
        let nearest = (loop - first + loops) % loops
        guard nearest < places else { return nil }
        let count = (places - nearest + loops - 1) / loops
        latestThere[loop] = (latestThere[loop] + 1) % count
        return nearest + latestThere[loop] * loops
    }
}
