package import SluiceEngine

/// A lane's connections to one shard, and who waits for one, first come first served.
package struct DirectPlaces {
    /// A place for a connection; the connection is made when it is needed, and again when it has been lost.
    package struct Slot: Sendable {
        package let backend: Int
        package var connection: (any BackendConnection)?
        fileprivate let replica: Int
    }

    package let count: Int
    /// By replica, like what is in use of them.
    private var idle: [[Slot]]
    private var leased: [Int]
    private var turn = 0
    private var waiters: [CheckedContinuation<Slot, Never>] = []
    /// Those before it have been served.
    private var firstWaiter = 0

    /// - Parameters:
    ///   - backends: the servers that connections go to.
    ///   - numbers: those of this lane's connections among all lanes': together all have as many to each server.
    package init(_ backends: [Int], _ numbers: Range<Int>) {
        idle = backends.map { _ in [] }
        leased = backends.map { _ in 0 }
        count = backends.isEmpty ? 0 : numbers.count
        for number in backends.isEmpty ? 0..<0 : numbers {
            let replica = number % backends.count
            idle[replica].append(Slot(backend: backends[replica], replica: replica))
        }
    }

    /// One of the replica with the fewest in use; in turn where there is no difference. Nil if none is free.
    package mutating func take() -> Slot? {
        turn &+= 1
        var best: Int?
        for step in idle.indices {
            let replica = (step + turn) % idle.count
            guard !idle[replica].isEmpty else { continue }
            if let found = best, leased[found] <= leased[replica] { continue }
            best = replica
        }
        guard let best, let slot = idle[best].popLast() else { return nil }
        leased[best] += 1
        return slot
    }

    package mutating func wait(_ waiter: CheckedContinuation<Slot, Never>) { waiters.append(waiter) }

    package mutating func giveBack(_ slot: Slot) {
        guard firstWaiter < waiters.count else {
            waiters.removeAll(keepingCapacity: true)
            firstWaiter = 0
            leased[slot.replica] -= 1
            return idle[slot.replica].append(slot)
        }
        let waiter = waiters[firstWaiter]
        firstWaiter += 1
        if firstWaiter >= 1_024 {
            waiters.removeFirst(firstWaiter)
            firstWaiter = 0
        }
        waiter.resume(returning: slot)
    }
}
