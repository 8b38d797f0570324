internal import SluiceCore
internal import Synchronization

/// Who waits for shards to have a leader again. They hold places of the admission, so not too many may: searches, which
/// need no leader, go on.
final class LeaderWaits: Sendable {
    private let waiting = Mutex<[String: Int]>([:])

    static let mostOfShard = 32

    /// - Parameter most: of all shards together; one may always wait.
    /// - Returns: false if so many wait already. One that may is to say when it ends.
    func begin(_ shard: String, most: Int) -> Bool {
        waiting.withLock { waiting in
            let all = waiting.values.reduce(0, +)
            guard all < max(1, most), waiting[shard, default: 0] < Self.mostOfShard else { return false }
            waiting[shard, default: 0] += 1
            return true
        }
    }

    func end(_ shard: String) {
        waiting.withLock { waiting in
            let left = (waiting[shard] ?? 1) - 1
            waiting[shard] = left > 0 ? left : nil
        }
    }
}

/// One look at a shard's servers at a time: who wants another meanwhile waits for that one.
final class SharedLooks: Sendable {
    private let waiters = Mutex<[String: [CheckedContinuation<Void, Never>]]>([:])

    func look(at shard: String, _ look: () async -> Void) async {
        let isFirst = waiters.withLock { waiters in
            guard waiters[shard] == nil else { return false }
            waiters[shard] = []
            return true
        }
        if isFirst {
            await look()
            for waiter in waiters.withLock({ $0.removeValue(forKey: shard) }) ?? [] { waiter.resume() }
        } else {
            await withCheckedContinuation { waiter in
                let isOver = waiters.withLock { waiters in
                    guard waiters[shard] != nil else { return true }
                    waiters[shard]?.append(waiter)
                    return false
                }
                if isOver { waiter.resume() }
            }
        }
    }
}
