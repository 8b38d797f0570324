import Foundation
import Histogram
import SluiceBench
import Testing

@Suite struct PercentileTests {
    private static func histogram(_ values: [UInt64]) -> LatencyHistogram {
        var histogram = LatencyHistogram.ofLatencies
        for value in values { histogram.record(value) }
        return histogram
    }

    /// A spread as wide as latencies have.
    private static let values: [UInt64] = (0..<200_000).map { number in
        let share = Double(number * 7_919 % 200_000) / 200_000
        return UInt64(50 * exp(share * 10))
    }

    @Test func percentilesAreThoseOfTheSortedValuesToThreeDigits() {
        let latency = SluiceBench.Measurement.Latency(Self.histogram(Self.values))
        let sorted = Self.values.sorted()
        for (percentile, value) in [
            (50, latency.p50), (90, latency.p90), (99, latency.p99), (99.9, latency.p999), (99.99, latency.p9999),
        ] as [(Double, Int)] {
            let place = Int((percentile / 100 * Double(sorted.count)).rounded(.up)) - 1
            let expected = Double(sorted[place])
            #expect(abs(Double(value) - expected) <= 0.002 * expected, "p\(percentile): \(value), not \(expected)")
        }
        let mean = Double(sorted.reduce(0, +)) / Double(sorted.count)
        #expect(latency.count == sorted.count && abs(latency.mean - mean) < 0.002 * mean)
        #expect(abs(Double(latency.max) - Double(sorted.last ?? 0)) <= 0.002 * Double(sorted.last ?? 0))
    }

    @Test func theCurveRisesFromTheLeastToTheGreatest() {
        let curve = SluiceBench.Measurement.Latency(Self.histogram(Self.values)).curve
        #expect(curve.first?.percentile == 0 && curve.last?.percentile == 100 && curve.count > 50)
        for (before, after) in zip(curve, curve.dropFirst()) {
            #expect(before.percentile <= after.percentile && before.microseconds <= after.microseconds)
        }
    }

    @Test func nothingHasNoPercentiles() {
        let latency = SluiceBench.Measurement.Latency(.ofLatencies)
        #expect(latency.count == 0 && latency.p9999 == 0 && latency.max == 0 && latency.mean == 0)
        #expect(latency.curve.isEmpty)
    }

    /// As HdrHistogram's plotter reads it: a head, rows of four numbers, the last without 1/(1-Percentile), a foot.
    @Test func theTextIsWhatPlottingToolsRead() throws {
        let lines = Self.histogram(Self.values).hgrm.split(separator: "\n", omittingEmptySubsequences: false)
            .map(String.init)
        let head = lines[0].split(separator: " ")
        #expect(head == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"] && lines[1].isEmpty)
        let body = lines.dropFirst(2).prefix { !$0.hasPrefix("#") }.map { $0.split(separator: " ").map { Double($0) } }
        #expect(body.count > 50 && body.dropLast().allSatisfy { $0.count == 4 && !$0.contains(nil) })
        let last = try #require(body.last)
        #expect(last.count == 3 && last[1] == 1 && last[2] == 200_000)
        for row in body.dropLast() {
            let (share, ratio) = (row[1] ?? 0, row[3] ?? 0)
            #expect(abs(ratio - 1 / (1 - share)) <= 0.01 * ratio + 0.01)
        }
        // In milliseconds.
        let median = body.first { ($0[1] ?? 0) >= 0.5 }?[0] ?? 0
        #expect(abs(median - 50 * exp(5) / 1_000) < 0.01 * median)
        let foot = lines.filter { $0.hasPrefix("#[") }
        #expect(foot.count == 3 && foot[0].contains("Mean") && foot[1].contains("Total count"))
        #expect(foot[2].contains("SubBuckets"))
    }

    // MARK: Over time

    @Test func eachSecondHasItsOwnNumbersAlsoWhenTheyComeLate() {
        var timeline = RunTimeline()
        for second in 0..<40 {
            for value in 1...10 { timeline.answered(at: second, after: UInt64(1_000 * (second + 1) + value)) }
        }
        timeline.failed(at: 39, 3)
        // Long closed, yet counted.
        timeline.answered(at: 1, after: 5)
        timeline.failed(at: 0, 2)
        let ticks = timeline.ticks
        #expect(ticks.map(\.second) == Array(0..<40))
        #expect(ticks[1].answered == 11 && ticks[0].failed == 2 && ticks[39].failed == 3)
        #expect(ticks.dropFirst(2).allSatisfy { $0.answered == 10 })
        for tick in ticks {
            let expected = 1_000 * (tick.second + 1)
            #expect(abs(tick.p50 - expected) <= expected / 50 && tick.p99 >= tick.p50)
        }
    }

    @Test func secondsInWhichNothingHappenedAreThere() {
        var timeline = RunTimeline()
        timeline.answered(at: 0, after: 10)
        timeline.answered(at: 30, after: 10)
        #expect(timeline.ticks.count == 31 && timeline.ticks[15].answered == 0 && timeline.ticks[15].p99 == 0)
    }
}
