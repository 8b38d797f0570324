/// What is known of a replica when one must be chosen.
public struct ReplicaLoad: Hashable, Sendable {
    public var isReachable: Bool
    /// Legs that hold or wait for one of its connections.
    public var load: Int

    public init(isReachable: Bool, load: Int) {
        self.isReachable = isReachable
        self.load = load
    }
}

public enum ReplicaChoice {
    /// The order in which a leg asks a shard's replicas: of two drawn at random the one with less load first, then the
    /// others; those that cannot be reached come last, and are still asked rather than refusing outright.
    ///
    /// Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
    public static func order(_ replicas: [ReplicaLoad], using generator: inout some RandomNumberGenerator) -> [Int] {
        if replicas.count == 1 { return [0] }
        var reachable: [Int] = []
        var unreachable: [Int] = []
        for index in replicas.indices {
            if replicas[index].isReachable { reachable.append(index) } else { unreachable.append(index) }
        }
        reachable.shuffle(using: &generator)
        if reachable.count >= 2, replicas[reachable[1]].load < replicas[reachable[0]].load { reachable.swapAt(0, 1) }
        return reachable + unreachable
    }
}
