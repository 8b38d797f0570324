/// What is compared when a replica is chosen.
public struct ReplicaCandidate: Hashable, Sendable {
    /// Reachable, not drained, and its breaker allows it.
    public var isEligible: Bool
    /// The leg has asked it before.
    public var wasTried: Bool
    /// 0: the preferred role in the same zone; higher ones only if no lower one is eligible.
    public var tier: Int
    /// How often it is drawn, compared with the others of its tier; 0 or less: only if all of them are.
    public var weight: Int
    /// What one more attempt on it costs: `PeakEWMA.cost`. Not a number counts as infinite.
    public var cost: Double

    public init(isEligible: Bool, wasTried: Bool = false, tier: Int = 0, weight: Int = 1, cost: Double) {
        self.isEligible = isEligible
        self.wasTried = wasTried
        self.tier = tier
        self.weight = weight
        self.cost = cost
    }
}

/// Two are drawn by their weights, and the cheaper one is taken: nearly as good as always taking the cheapest, without
/// everybody running to the same one. Costs that differ by less than a quarter are alike, and the first one drawn is
/// taken: otherwise a shard of two would always compare the same two, and weights would mean nothing there.
///
/// Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
public enum ReplicaPicker {
    /// Places from here on are not looked at.
    public static let mostReplicas = 64
    private static let clearlyCheaper = 0.8
    private static let highestWeight = 1 << 32

    /// Allocates nothing. Asks for each candidate a few times; the answers must not differ.
    /// - Parameter allowIneligible: if no untried one is eligible, any untried one is good enough.
    /// - Returns: a place below `count` that was not tried; nil if there is none.
    public static func pick(
        count: Int, allowIneligible: Bool = false, using generator: inout some RandomNumberGenerator,
        _ candidate: (Int) -> ReplicaCandidate
    ) -> Int? {
        let count = min(max(0, count), mostReplicas)
        // Each is asked once: what it costs takes a while to find out.
        return withUnsafeTemporaryAllocation(of: ReplicaCandidate.self, capacity: count) { candidates in
            for place in 0..<count { candidates.initializeElement(at: place, to: candidate(place)) }
            return pick(among: count, allowIneligible: allowIneligible, using: &generator) { candidates[$0] }
        }
    }

    private static func pick(
        among count: Int, allowIneligible: Bool, using generator: inout some RandomNumberGenerator,
        _ candidate: (Int) -> ReplicaCandidate
    ) -> Int? {
        var drawable = lowestTier(count, eligible: true, candidate)
        if drawable == 0, allowIneligible { drawable = lowestTier(count, eligible: false, candidate) }
        guard let first = draw(from: drawable, using: &generator, candidate) else { return nil }
        drawable &= ~bit(first)
        guard let second = draw(from: drawable, using: &generator, candidate) else { return first }
        return cost(of: candidate(second)) < clearlyCheaper * cost(of: candidate(first)) ? second : first
    }

    /// The untried ones of the lowest tier that has any.
    private static func lowestTier(_ count: Int, eligible: Bool, _ candidate: (Int) -> ReplicaCandidate) -> UInt64 {
        var lowest = Int.max
        var found: UInt64 = 0
        for place in 0..<count {
            let one = candidate(place)
            guard one.isEligible == eligible, !one.wasTried, one.tier <= lowest else { continue }
            if one.tier < lowest { found = 0 }
            lowest = one.tier
            found |= bit(place)
        }
        return found
    }

    private static func draw(
        from drawable: UInt64, using generator: inout some RandomNumberGenerator,
        _ candidate: (Int) -> ReplicaCandidate
    ) -> Int? {
        guard drawable != 0 else { return nil }
        if drawable & (drawable &- 1) == 0 { return drawable.trailingZeroBitCount }
        var total = 0
        var places = drawable
        while let place = popLowest(&places) { total += weight(of: candidate(place)) }
        // Nobody has a weight: all are alike.
        let isEven = total == 0
        var left = Int.random(in: 0..<(isEven ? drawable.nonzeroBitCount : total), using: &generator)
        places = drawable
        while let place = popLowest(&places) {
            let share = isEven ? 1 : weight(of: candidate(place))
            if left < share { return place }
            left -= share
        }
        return drawable.trailingZeroBitCount
    }

    private static func popLowest(_ places: inout UInt64) -> Int? {
        guard places != 0 else { return nil }
        let lowest = places.trailingZeroBitCount
        places &= places &- 1
        return lowest
    }

    private static func bit(_ place: Int) -> UInt64 { 1 << UInt64(place) }

    private static func weight(of candidate: ReplicaCandidate) -> Int { min(max(0, candidate.weight), highestWeight) }

    private static func cost(of candidate: ReplicaCandidate) -> Double {
        candidate.cost.isNaN ? .infinity : candidate.cost
    }
}
