internal import DequeModule

/// Identifies one waiter of a pool; never used again.
public struct WaiterID: Hashable, Sendable {
    public let rawValue: UInt64
    public init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// Waiters in the order of their arrival. Removal from the middle is O(1): the entry stays as a gap until it reaches
/// the front, or until gaps outnumber waiters and are squeezed out.
struct WaiterQueue: Sendable {
    private var order: Deque<WaiterID> = []
    private var waiting: [WaiterID: Instant] = [:]

    var count: Int { waiting.count }
    var isEmpty: Bool { waiting.isEmpty }

    /// False if it waits already: then only its deadline is changed.
    mutating func append(_ waiter: WaiterID, deadline: Instant) -> Bool {
        guard waiting.updateValue(deadline, forKey: waiter) == nil else { return false }
        order.append(waiter)
        return true
    }

    /// True if it was waiting.
    mutating func remove(_ waiter: WaiterID) -> Bool {
        guard waiting.removeValue(forKey: waiter) != nil else { return false }
        if order.count > 32, order.count > 2 * waiting.count { order.removeAll { waiting[$0] == nil } }
        return true
    }

    /// The first waiter whose deadline has not passed; those before it are added to `expired`.
    mutating func popFirst(now: Instant, expired: inout [WaiterID]) -> WaiterID? {
        while let waiter = order.popFirst() {
            guard let deadline = waiting.removeValue(forKey: waiter) else { continue }
            if deadline > now { return waiter }
            expired.append(waiter)
        }
        return nil
    }

    mutating func removeAll() -> [WaiterID] {
        if order.isEmpty { return [] }
        var all: [WaiterID] = []
        for waiter in order where waiting.removeValue(forKey: waiter) != nil { all.append(waiter) }
        order.removeAll()
        return all
    }
}
