internal import Synchronization

/// How many requests of one session stand in its lane's queue. Enough to keep the lane at work are let in, and the rest
/// stays in the session's socket: the loop is faster than the lane, and another session's request would come after
/// hundreds of them.
package final class LaneQueue: Sendable {
    package static let most = 8

    private let count = Atomic<Int>(0)
    private let isFull = Atomic<Bool>(false)

    package init() {}

    /// One more stands in the queue. On the event loop.
    /// - Returns: false if no more should come until `began` says so.
    package func added() -> Bool {
        guard count.add(1, ordering: .sequentiallyConsistent).newValue >= Self.most else { return true }
        isFull.store(true, ordering: .sequentiallyConsistent)
        // The lane may have taken some before it could see that.
        guard count.load(ordering: .sequentiallyConsistent) <= Self.most / 2 else { return false }
        return isFull.exchange(false, ordering: .sequentiallyConsistent)
    }

    /// The lane has begun one.
    /// - Returns: true, once, if the session waits and should go on.
    package func began() -> Bool {
        guard count.subtract(1, ordering: .sequentiallyConsistent).newValue <= Self.most / 2 else { return false }
        return isFull.exchange(false, ordering: .sequentiallyConsistent)
    }
}
