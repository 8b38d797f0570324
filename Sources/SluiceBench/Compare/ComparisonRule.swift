/// When two sets of repeats are different, and when they only look so (docs/bench.md).
package struct ComparisonRule: Sendable, Equatable, Encodable {
    /// Of the medians: what is less does not matter, however sure it is.
    package var leastChange: Double
    /// How often noise alone may be taken for a change.
    package var level: Double

    /// From so many repeats a side on the ranks decide.
    package static let fewestForRanks = 5
    /// Histograms count whole microseconds: a step of one says nothing.
    static let leastTime = 2.0
    /// One request in a thousand.
    static let leastShare = 0.001

    package init(leastChange: Double = 0.02, level: Double = 0.05) {
        self.leastChange = leastChange
        self.level = level
    }

    package var words: [String] {
        let (change, chance) = (Figures.percent(leastChange), Figures.percent(level))
        return [
            "With \(Self.fewestForRanks) or more repeats on both sides: changed if the rank test of Mann and Whitney "
                + "(two-sided, exact) gives noise at most \(chance).",
            "With 2 to \(Self.fewestForRanks - 1): changed if the ranges are apart by at least the wider of them; "
                + "if they touch, not changed.",
            "With 1: nothing can be told. And medians must differ by at least \(change): times also by "
                + "\(Figures.time(Self.leastTime)), shares by \(Figures.percent(Self.leastShare)) of requests instead.",
        ]
    }

    struct Finding: Equatable {
        var verdict: Comparison.Verdict
        var probability: Double?
        var reason: String?
    }

    func judge(_ before: Spread?, _ after: Spread?, _ unit: Comparison.Unit) -> Finding {
        guard let before, let after else {
            let side = before == nil ? (after == nil ? "neither" : "only the second") : "only the first"
            return Finding(verdict: .cannotTell, reason: "\(side) has it")
        }
        let fewest = min(before.count, after.count)
        guard fewest > 1 else { return Finding(verdict: .cannotTell, reason: "measured once: its noise is not known") }
        return fewest >= Self.fewestForRanks ? byRanks(before, after, unit) : byRanges(before, after, unit)
    }

    private func byRanks(_ before: Spread, _ after: Spread, _ unit: Comparison.Unit) -> Finding {
        let probability = RankTest.probability(before.values, after.values) ?? 1
        guard RankTest.leastProbability(before.count, after.count) <= level else {
            return Finding(
                verdict: .cannotTell, probability: probability, reason: "too few repeats for \(Figures.percent(level))")
        }
        guard probability <= level else { return Finding(verdict: .noChange, probability: probability) }
        guard isRelevant(before.median, after.median, unit) else {
            return Finding(verdict: .noChange, probability: probability, reason: "sure, but too small to matter")
        }
        return Finding(verdict: direction(before, after, unit), probability: probability)
    }

    private func byRanges(_ before: Spread, _ after: Spread, _ unit: Comparison.Unit) -> Finding {
        let gap = max(before.least - after.greatest, after.least - before.greatest)
        guard gap > 0, isRelevant(before.median, after.median, unit) else { return Finding(verdict: .noChange) }
        guard gap >= max(before.width, after.width) else {
            return Finding(verdict: .cannotTell, reason: "too few repeats for so small a difference")
        }
        return Finding(verdict: direction(before, after, unit))
    }

    private func direction(_ before: Spread, _ after: Spread, _ unit: Comparison.Unit) -> Comparison.Verdict {
        (after.median > before.median) == unit.isMoreBetter ? .better : .worse
    }

    /// The same from both sides: of the lesser one.
    private func isRelevant(_ before: Double, _ after: Double, _ unit: Comparison.Unit) -> Bool {
        let difference = abs(before - after)
        let relative = leastChange * min(abs(before), abs(after))
        return switch unit {
        case .perSecond: difference > 0 && difference >= relative
        case .microseconds: difference >= max(Self.leastTime, relative)
        case .failedShare, .foundShare: difference >= Self.leastShare
        }
    }
}
