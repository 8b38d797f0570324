import SluiceBench

/// Measurements to draw and to compare.
enum Sample {
    static func latency(_ p50: Int, count: Int = 20_000) -> Measurement.Latency {
        Measurement.Latency(
            count: count, mean: Double(p50) * 1.1, p50: p50, p90: p50 * 2, p99: p50 * 4, p999: p50 * 8, p9999: p50 * 16,
            max: p50 * 20,
            curve: [
                .init(percentile: 0, microseconds: p50 / 2), .init(percentile: 50, microseconds: p50),
                .init(percentile: 90, microseconds: p50 * 2), .init(percentile: 99, microseconds: p50 * 4),
                .init(percentile: 99.9, microseconds: p50 * 8), .init(percentile: 100, microseconds: p50 * 20),
            ])
    }

    static func run(
        target: String = "gateway", rate: Double? = nil, throughput: Double = 1_000, p50: Int = 500,
        errors: [String: Int] = [:], faults: [Measurement.Fault] = []
    ) -> Measurement.Run {
        Measurement.Run(
            target: target, rate: rate, inFlight: 16, seconds: 3, throughput: throughput, answered: 20_000,
            errors: errors, late: 0, partial: 0, latency: latency(p50), busy: nil,
            kinds: ["search": latency(p50), "get": latency(p50 / 4)],
            legs: [
                .init(
                    shard: "s0", count: 20_000, attempts: 20_100, hedges: 90, waiting: 7, executing: Double(p50) * 0.7)
            ],
            timeline: (0..<3).map {
                .init(second: $0, answered: Int(throughput) + $0, failed: $0, p50: p50, p99: p50 * 4)
            }, faults: faults)
    }

    static func measurement(
        _ runs: [Measurement.Run], knee: Measurement.Knee? = nil, recall: [Measurement.RecallPoint] = [],
        command: [String] = ["sluice", "bench"], settings: [String: String] = ["ef_search": "40"]
    ) -> Measurement {
        Measurement(
            started: "2026-03-02T10:15:00Z", command: command,
            machine: .init(
                processor: "A processor", cores: 2, memoryBytes: 8 << 30, system: "Linux", loadAverage: 0.1),
            versions: ["sluice": "1.0"], settings: settings, runs: runs, knee: knee, recall: recall)
    }
}
