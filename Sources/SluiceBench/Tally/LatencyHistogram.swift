package import Histogram

extension Histogram where Count == UInt64 {
    /// Of microseconds up to an hour, each kept to three digits.
    package static var ofLatencies: LatencyHistogram {
        LatencyHistogram(highestTrackableValue: mostMicroseconds, numberOfSignificantValueDigits: .three)
    }

    private static var mostMicroseconds: UInt64 { 3_600_000_000 }

    /// What takes longer than an hour is noted as an hour, not lost.
    mutating func note(_ microseconds: UInt64) { record(Swift.min(microseconds, Self.mostMicroseconds)) }

    /// - Parameter percentile: from 0 to 100.
    func microseconds(at percentile: Double) -> Int {
        totalCount == 0 ? 0 : Int(clamping: valueAtPercentile(percentile))
    }

    /// In the text format that HdrHistogram's plotting tools read, in milliseconds.
    package var hgrm: String {
        var text = ""
        outputPercentileDistribution(to: &text, outputValueUnitScalingRatio: 1_000)
        return text
    }
}

extension Measurement.Latency {
    package init(_ histogram: LatencyHistogram) {
        let count = Int(clamping: histogram.totalCount)
        self.init(
            count: count, mean: count == 0 ? 0 : histogram.mean, p50: histogram.microseconds(at: 50),
            p90: histogram.microseconds(at: 90), p99: histogram.microseconds(at: 99),
            p999: histogram.microseconds(at: 99.9), p9999: histogram.microseconds(at: 99.99),
            max: count == 0 ? 0 : Int(clamping: histogram.max), curve: Self.curve(histogram))
    }

    private static func curve(_ histogram: LatencyHistogram) -> [Point] {
        guard histogram.totalCount > 0 else { return [] }
        return histogram.percentiles(ticksPerHalfDistance: 5).map {
            Point(percentile: $0.percentileLevelIteratedTo, microseconds: Int(clamping: $0.value))
        }
    }
}
