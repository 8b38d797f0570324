public import SluiceReactor
internal import Synchronization

/// Cancel requests to one server. libpq's block until the server closes them: a frozen server never does, and must not
/// keep the requests to others from being sent.
public final class CancelAllowance: Sendable {
    private let workers: BlockingWorkers
    private let limit: Int
    private let underWay = Atomic<Int>(0)

    /// - Parameters:
    ///   - workers: with a thread for each request of each server.
    ///   - limit: requests to this server at a time.
    public init(workers: BlockingWorkers, limit: Int = 2) {
        self.workers = workers
        self.limit = max(1, limit)
    }

    /// Runs `send` on a thread of its own. False if as many are under way as may be.
    func submit(_ send: @escaping @Sendable () -> Void) -> Bool {
        guard underWay.add(1, ordering: .relaxed).newValue <= limit else {
            underWay.subtract(1, ordering: .relaxed)
            return false
        }
        let isAccepted = workers.submit {
            send()
            self.underWay.subtract(1, ordering: .relaxed)
        }
        if !isAccepted { underWay.subtract(1, ordering: .relaxed) }
        return isAccepted
    }
}
