internal import Histogram

/// What happened in each second of a run. The last seconds are kept exactly enough for percentiles, since answers are
/// handed in late; older ones only as numbers.
package struct RunTimeline: Sendable {
    private struct Open {
        var latencies = LatencyHistogram(highestTrackableValue: 3_600_000_000, numberOfSignificantValueDigits: .two)
        var failed = 0
    }

    /// Workers hand in at least every second, but may wait long for an answer before.
    private static let openSeconds = 16
    /// A day.
    private static let most = 86_400

    private var open: [Int: Open] = [:]
    private var closed: [Measurement.Tick] = []

    package init() {}

    package mutating func answered(at second: Int, after microseconds: UInt64) {
        change(second) {
            $0.latencies.note(microseconds)
        } late: {
            $0.answered += 1
        }
    }

    package mutating func failed(at second: Int, _ count: Int) {
        change(second) {
            $0.failed += count
        } late: {
            $0.failed += count
        }
    }

    private mutating func change(
        _ second: Int, _ body: (inout Open) -> Void, late: (inout Measurement.Tick) -> Void
    ) {
        let second = min(max(0, second), Self.most - 1)
        if second < closed.count { return late(&closed[second]) }
        body(&open[second, default: Open()])
        while second - closed.count >= Self.openSeconds {
            closed.append(Self.tick(closed.count, open.removeValue(forKey: closed.count)))
        }
    }

    private static func tick(_ second: Int, _ open: Open?) -> Measurement.Tick {
        Measurement.Tick(
            second: second, answered: Int(open?.latencies.totalCount ?? 0), failed: open?.failed ?? 0,
            p50: open?.latencies.microseconds(at: 50) ?? 0, p99: open?.latencies.microseconds(at: 99) ?? 0)
    }

    /// One for each second up to the last in which something happened.
    package var ticks: [Measurement.Tick] {
        let count = max(closed.count, (open.keys.max() ?? -1) + 1)
        return closed + (closed.count..<count).map { Self.tick($0, open[$0]) }
    }

    /// The second before the one that goes on.
    var lastWhole: Measurement.Tick? {
        guard let last = open.keys.max(), last > 0, let whole = open[last - 1] else { return nil }
        return Self.tick(last - 1, whole)
    }
}
