/// How many rows each shard is asked for when the k nearest are wanted and rows are placed by a hash of their id: the k
/// nearest then lie on the shards as if thrown there, so a shard holds far fewer than k of them, and hardly ever more
/// than its quota. Of 8 shards and the 100 nearest each is asked for 28 instead of 100.
///
/// A merge says afterwards whether the quota was too small, and `mayBeCutShort` which legs to ask again, so the answer
/// is complete all the same: the probability only sets how often that costs a second round.
///
/// Sources: Vespa's `top-k-probability` (the idea and its default); the tail is the binomial one itself, with a union
/// bound over the shards, instead of an approximation.
public enum ShardQuota {
    public static let defaultProbability = 0.9999
    /// From here on each shard is asked for all k: the cost of finding a quota grows with the root of k.
    public static let mostRows = 1 << 20
    /// Terms of the distribution that are this much smaller than the largest one are nothing beside 1 - p, which is
    /// at least 1e-16 if it is not 0.
    private static let negligible = 1e-40

    /// The smallest m up to k with shards × P(Binomial(k, 1 / shards) > m) <= 1 - probability. Takes microseconds.
    ///
    /// A search of several collections has at most k rows of each in its answer, so this holds for each of them; their
    /// chances of being cut short add up.
    /// - Parameters:
    ///   - k: rows wanted in the merged list; less than 0 counts as 0.
    ///   - shards: that hold the collection; less than 1 counts as 1.
    ///   - probability: of a complete list, 0...1; not a number counts as 1, which asks for k.
    /// - Returns: 0...k, and never less than an even share of k.
    public static func rows(k: Int, shards: Int, probability: Double = defaultProbability) -> Int {
        let k = max(0, k)
        let risk = probability.isNaN ? 0 : 1 - probability.clampedShare
        guard shards > 1, k > 1, k < mostRows, risk > 0 else { return k }
        let others = Double(shards - 1)
        // All terms are relative to the one at the mode, so none that counts is too small for a Double.
        let mode = min(k, (k + 1) / shards)
        let above = walkUp(from: mode, k: k, others: others)
        let total = below(mode, k: k, others: others) + 1 + above.sum
        // Fewer could not fill the list; only a probability of 0 would allow that.
        let evenShare = (k - 1) / shards + 1
        var rows = above.last
        var term = above.lastTerm
        var tail = 0.0
        // From the smallest term to the larger ones, so that the sum keeps its digits.
        while rows > evenShare {
            tail += term
            if Double(shards) * tail > risk * total { break }
            term *= Double(rows) * others / Double(k - rows + 1)
            rows -= 1
        }
        return rows
    }

    /// The terms after the mode, until the last one or one that is negligible. The ratio of neighbours is
    /// P(i + 1) / P(i) = (k - i) / ((i + 1) × (shards - 1)).
    private static func walkUp(from mode: Int, k: Int, others: Double) -> (last: Int, lastTerm: Double, sum: Double) {
        var (place, term, sum) = (mode, 1.0, 0.0)
        while place < k, term > negligible {
            term *= Double(k - place) / (Double(place + 1) * others)
            place += 1
            sum += term
        }
        return (place, term, sum)
    }

    /// The sum of the terms before the mode, but for negligible ones.
    private static func below(_ mode: Int, k: Int, others: Double) -> Double {
        var (place, term, sum) = (mode, 1.0, 0.0)
        while place > 0, term > negligible {
            term *= Double(place) * others / Double(k - place + 1)
            place -= 1
            sum += term
        }
        return sum
    }
}

extension ShardQuota {
    /// What came of one leg.
    public struct Leg: Hashable, Sendable {
        /// Its limit.
        public var asked: Int
        public var returned: Int
        /// The furthest row that it returned; nil if it returned none.
        public var furthest: Candidate?

        public init(asked: Int, returned: Int, furthest: Candidate?) {
            self.asked = asked
            self.returned = returned
            self.furthest = furthest
        }
    }

    /// The legs that may hold a row of the answer which they were not asked for, by their places in `legs`. Ask these
    /// again, for k rows: then nothing is missing any more.
    ///
    /// A leg that returned fewer rows than it was asked for has no more, and one that was asked for k has given all
    /// that an answer of k can need. Of the others only those matter whose furthest row does not lie behind the
    /// answer's end: what a leg did not return is not nearer than that row.
    /// - Parameters:
    ///   - k: rows wanted in the merged list.
    ///   - bound: the last row of the merged list; nil if it has fewer than k.
    ///   - ordersTies: true if each leg returns rows of equal distance by their id, as an exact search does; an index
    ///     gives the distance's order only, so that a row of that same distance may have been left out.
    public static func mayBeCutShort(_ legs: [Leg], k: Int, bound: Candidate?, ordersTies: Bool = false) -> [Int] {
        legs.indices.filter { place in
            let leg = legs[place]
            guard leg.asked < k, leg.returned >= leg.asked else { return false }
            guard let bound, let furthest = leg.furthest else { return true }
            return mayPrecede(bound, afterwards: furthest, ordersTies)
        }
    }

    /// Whether a row that a leg did not return, whose last one is `furthest`, can come before `bound`.
    private static func mayPrecede(_ bound: Candidate, afterwards furthest: Candidate, _ ordersTies: Bool) -> Bool {
        // PostgreSQL puts what is not a number last, and no answer has it: there is nothing behind it.
        if furthest.distance.isNaN { return false }
        if furthest.distance != bound.distance { return furthest.distance < bound.distance }
        if furthest.collection != bound.collection { return furthest.collection < bound.collection }
        return !ordersTies || furthest.id < bound.id
    }
}
