internal import Foundation

/// How the numbers of an axis lie on it.
package enum Scale: Sendable, Equatable {
    case linear
    case logarithmic
    /// Percentiles: each further nine takes the same space, as that is where a latency's tail is.
    case tail

    /// Percentiles are drawn so far.
    static let lastPercentile = 99.9999

    /// Where a number lies, on a line without ends.
    package func place(_ value: Double) -> Double {
        switch self {
        case .linear: value
        case .logarithmic: log10(max(value, 1e-9))
        case .tail: -log10(1 - min(max(value, 0), Self.lastPercentile) / 100)
        }
    }

    /// The percentile at a place on a scale of tails.
    package static func percentile(at place: Double) -> Double { 100 * (1 - pow(10, -place)) }

    /// Round numbers within the bounds, about `count` of them.
    package func ticks(from low: Double, to high: Double, count: Int) -> [Double] {
        guard low.isFinite, high.isFinite, low < high, count > 0 else { return [] }
        switch self {
        case .linear: return Self.linear(low, high, count)
        case .logarithmic: return Self.logarithmic(low, high, count)
        case .tail: return [0, 50, 90, 99, 99.9, 99.99, 99.999, 99.9999].filter { low <= $0 && $0 <= high }
        }
    }

    /// The bounds of an axis for numbers from `low` to `high`: round, and never the same.
    package func bounds(_ low: Double, _ high: Double, fromZero: Bool) -> (low: Double, high: Double) {
        switch self {
        case .tail: return (0, min(max(high, 90), Self.lastPercentile))
        case .logarithmic:
            let (low, high) = (max(low, 1e-9), max(high, 1e-9))
            let lowest = Self.roundDown(low)
            return (lowest, max(Self.roundUp(high), lowest * 2))
        case .linear:
            let floor = fromZero ? min(0, low) : low
            let room = high > floor ? high - floor : max(abs(high) * 0.1, 1)
            let step = Self.step(room, 5)
            let first = (floor / step).rounded(.down) * step
            return (first, max((high / step).rounded(.up) * step, first + step))
        }
    }

    /// 1, 2 or 5 times a power of ten, so that about `count` of them make up the range.
    private static func step(_ range: Double, _ count: Int) -> Double {
        let raw = max(range / Double(count), 1e-300)
        let power = pow(10, log10(raw).rounded(.down))
        let step = [1, 2, 5, 10].first { $0 * power >= raw * 0.999 } ?? 10
        return step * power
    }

    private static func linear(_ low: Double, _ high: Double, _ count: Int) -> [Double] {
        let step = step(high - low, count)
        let (first, last) = ((low / step - 1e-9).rounded(.up), (high / step + 1e-9).rounded(.down))
        guard first.isFinite, last.isFinite, last >= first, last - first < 1_000 else { return [] }
        return stride(from: first, through: last, by: 1).map { $0 * step }
    }

    private static func logarithmic(_ low: Double, _ high: Double, _ count: Int) -> [Double] {
        guard low > 0 else { return [] }
        let (first, last) = (Int(log10(low).rounded(.down)), Int(log10(high).rounded(.up)))
        let decades = last - first
        let steps: [Double] = decades * 3 <= count + 2 ? [1, 2, 5] : [1]
        let stride = max(1, (decades + count - 1) / count)
        return Swift.stride(from: first, through: last, by: stride)
            .flatMap { decade in steps.map { $0 * pow(10, Double(decade)) } }
            .filter { low * 0.999_999 <= $0 && $0 <= high * 1.000_001 }
    }

    private static func roundDown(_ value: Double) -> Double {
        let power = pow(10, log10(value).rounded(.down))
        return ([5, 2, 1].first { $0 * power <= value * 1.000_001 } ?? 1) * power
    }

    private static func roundUp(_ value: Double) -> Double {
        let power = pow(10, log10(value).rounded(.down))
        return ([1, 2, 5].first { $0 * power >= value * 0.999_999 } ?? 10) * power
    }
}
