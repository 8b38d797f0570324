/// What changed from one measurement to another, and what only looks so.
package struct Comparison: Sendable, Equatable, Encodable {
    package enum Verdict: String, Sendable, Encodable {
        case better
        case worse
        case noChange = "no_change"
        case cannotTell = "cannot_tell"

        package var words: String {
            switch self {
            case .better, .worse: rawValue
            case .noChange: "no change beyond noise"
            case .cannotTell: "cannot tell"
            }
        }
    }

    /// What a number is, and with it which direction is good and how small a change does not matter.
    package enum Unit: String, Sendable, Encodable {
        case perSecond = "per_second"
        case microseconds
        /// From 0 to 1, of what should not be.
        case failedShare = "failed_share"
        /// From 0 to 1, of what should be.
        case foundShare = "found_share"

        var isMoreBetter: Bool { self == .perSecond || self == .foundShare }

        package func write(_ value: Double) -> String {
            switch self {
            case .perSecond: Figures.rate(value)
            case .microseconds: Figures.time(value)
            case .failedShare, .foundShare: Figures.percent(value)
            }
        }
    }

    package struct Row: Sendable, Equatable, Encodable {
        /// Like "gateway, 500/s", or "gateway, 500/s, filtered".
        package var part: String
        package var measure: String
        package var unit: Unit
        package var before: Spread?
        package var after: Spread?
        /// Of the medians, as a share of the first; nil where that is 0 or absent.
        package var change: Double?
        /// That noise alone makes such a difference; nil with fewer than five repeats.
        package var probability: Double?
        package var verdict: Verdict
        /// Why it cannot be told, or what else there is to say.
        package var reason: String?
    }

    package var rows: [Row]
    /// What the two measurements do not have in common, or what makes them hard to believe.
    package var warnings: [String]
    package var rule: ComparisonRule

    package var gotWorse: Bool { rows.contains { $0.verdict == .worse } }

    package init(
        of before: Measurement, and after: Measurement, by rule: ComparisonRule = ComparisonRule()
    ) {
        self.rule = rule
        let (old, new) = (RunGroup.groups(of: before.runs), RunGroup.groups(of: after.runs))
        var rows: [Row] = []
        for group in old {
            guard let other = new.first(where: { $0.isSame(as: group) }) else { continue }
            rows += Self.rows(group, other, rule)
        }
        rows += Self.recallRows(before, after, rule) + Self.kneeRows(before, after, rule)
        self.rows = rows
        warnings = Self.differences(before, after) + Self.unmatched(old, new)
    }

    private static func unmatched(_ old: [RunGroup], _ new: [RunGroup]) -> [String] {
        let gone = old.filter { group in !new.contains { $0.isSame(as: group) } }
        let added = new.filter { group in !old.contains { $0.isSame(as: group) } }
        return gone.map { "only the first has a run of \($0.name)" }
            + added.map { "only the second has a run of \($0.name)" }
    }
}

extension RunGroup {
    /// Whether both asked for the same.
    func isSame(as other: RunGroup) -> Bool {
        guard target == other.target, inFlight == other.inFlight, efSearch == other.efSearch else { return false }
        guard let rate, let otherRate = other.rate else { return rate == nil && other.rate == nil }
        return abs(rate - otherRate) <= 1e-6 * max(abs(rate), abs(otherRate))
    }
}

extension Spread: Encodable {
    private enum Key: String, CodingKey {
        case median
        case least
        case greatest
        case count
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Key.self)
        try container.encode(median, forKey: .median)
        try container.encode(least, forKey: .least)
        try container.encode(greatest, forKey: .greatest)
        try container.encode(count, forKey: .count)
    }
}
