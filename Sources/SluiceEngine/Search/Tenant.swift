internal import Synchronization

/// For whom a request is run, as far as the engine has to know. Two of them are equal if they are the same.
public final class Tenant: Sendable {
    /// Owns the lists that its searches leave behind cursors.
    public let name: String
    /// Nil if it may use every connection.
    public let share: PoolShare?

    public init(name: String, share: PoolShare?) {
        self.name = name
        self.share = share
    }
}

extension Tenant: Hashable {
    public static func == (left: Tenant, right: Tenant) -> Bool { left === right }

    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// How many connections to each backend one tenant's requests hold, over all lanes, and how many they may.
public final class PoolShare: Sendable {
    private let most: [Int]
    private let held: Mutex<[Int]>

    /// - Parameter most: for each backend, at least 1.
    public init(most: [Int]) {
        self.most = most
        held = Mutex(Array(repeating: 0, count: most.count))
    }

    /// - Returns: false if the tenant holds as many as it may. `release` must follow if not.
    func take(_ backend: Int) -> Bool {
        guard most.indices.contains(backend) else { return true }
        return held.withLock { held in
            guard held[backend] < most[backend] else { return false }
            held[backend] += 1
            return true
        }
    }

    func release(_ backend: Int) {
        guard most.indices.contains(backend) else { return }
        held.withLock { $0[backend] -= 1 }
    }
}
