internal import Foundation

/// The test of Mann and Whitney: how likely it is that two sets of values lie as far apart as they do, or further, if
/// both come from the same source. It needs no assumption about how the values are spread.
package enum RankTest {
    /// Up to so many values together every division of them is counted; beyond, the normal approximation is as good.
    static let mostCounted = 60

    /// Of both directions together; nil if a side is empty.
    package static func probability(_ one: [Double], _ other: [Double]) -> Double? {
        guard !one.isEmpty, !other.isEmpty else { return nil }
        let ranks = doubledRanks(one + other)
        let sum = ranks.prefix(one.count).reduce(0, +)
        return ranks.count <= mostCounted
            ? counted(ranks, count: one.count, sum: sum) : approximated(ranks, count: one.count, sum: sum)
    }

    /// The least that any outcome without ties can have: below it so few values cannot show anything.
    package static func leastProbability(_ one: Int, _ other: Int) -> Double {
        var ways = 1.0
        for step in stride(from: 1, through: min(one, other), by: 1) {
            ways *= Double(one + other - min(one, other) + step) / Double(step)
        }
        return min(1, 2 / ways)
    }

    /// Twice the ranks from 1 on, so that the mean rank of equal values is an integer, too.
    private static func doubledRanks(_ values: [Double]) -> [Int] {
        let order = values.indices.sorted { values[$0] < values[$1] }
        var ranks = [Int](repeating: 0, count: values.count)
        var first = 0
        while first < order.count {
            let end = order[first...].firstIndex { values[$0] != values[order[first]] } ?? order.count
            for place in first..<end { ranks[order[place]] = first + 1 + end }
            first = end
        }
        return ranks
    }

    /// The share of all choices of `count` ranks whose sum is at least as far from the mean.
    private static func counted(_ ranks: [Int], count: Int, sum: Int) -> Double {
        let all = ranks.reduce(0, +)
        // How many choices of so many of the ranks seen so far have each sum.
        var ways = [[Double]](repeating: [Double](repeating: 0, count: all + 1), count: count + 1)
        ways[0][0] = 1
        for rank in ranks {
            for chosen in stride(from: count, through: 1, by: -1) {
                for total in stride(from: all, through: rank, by: -1) {
                    ways[chosen][total] += ways[chosen - 1][total - rank]
                }
            }
        }
        // Both sides times the number of ranks: the mean sum need not be an integer.
        let (size, middle) = (ranks.count, all * count)
        let distance = abs(sum * size - middle)
        var (far, every) = (0.0, 0.0)
        for (total, number) in ways[count].enumerated() {
            every += number
            if abs(total * size - middle) >= distance { far += number }
        }
        return min(1, far / every)
    }

    private static func approximated(_ ranks: [Int], count: Int, sum: Int) -> Double {
        let (all, one) = (Double(ranks.count), Double(count))
        let mean = ranks.reduce(0) { $0 + Double($1) } / all
        let spread = ranks.reduce(0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / (all - 1)
        let deviation = (one * (all - one) / all * spread).squareRoot()
        guard deviation > 0 else { return 1 }
        // Half a step towards the mean, for a distribution of steps (of doubled ranks).
        let distance = max(0, abs(Double(sum) - one * mean) - 1)
        return min(1, erfc(distance / deviation / 2.0.squareRoot()))
    }
}
