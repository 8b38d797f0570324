import CoreMetrics
import SluiceMetrics
import Testing

@Suite struct MetricsRegistryTests {
    private let registry = MetricsRegistry(help: [
        "requests": "All \"requests\".\nOf everybody.", "took_seconds": "Time.",
    ])

    private func text(_ format: MetricFormat = .prometheus) -> String { format.text(registry.families) }

    @Test func aCounterIsWrittenAsEachFormatWantsIt() {
        let counter = Counter(label: "requests", dimensions: [("kind", "a\"b\\c\nd")], factory: registry)
        counter.increment(by: 41)
        counter.increment()
        #expect(
            text() == """
                # HELP requests_total All "requests".\\nOf everybody.
                # TYPE requests_total counter
                requests_total{kind="a\\"b\\\\c\\nd"} 42

                """)
        #expect(
            text(.openMetrics) == """
                # HELP requests All \\"requests\\".\\nOf everybody.
                # TYPE requests counter
                requests_total{kind="a\\"b\\\\c\\nd"} 42
                # EOF

                """)
    }

    @Test func aTimerIsAHistogramInSeconds() {
        let timer = Timer(label: "took_seconds", dimensions: [("shard", "s0")], factory: registry)
        timer.recordNanoseconds(100_000)
        timer.recordNanoseconds(100_001)
        timer.recordNanoseconds(2_000_000_000)
        timer.recordNanoseconds(3_600_000_000_000)
        timer.recordNanoseconds(-1)
        let lines = text().split(separator: "\n")
        #expect(lines.contains(#"took_seconds_bucket{shard="s0",le="0.0001"} 2"#))
        #expect(lines.contains(#"took_seconds_bucket{shard="s0",le="0.00025"} 3"#))
        #expect(lines.contains(#"took_seconds_bucket{shard="s0",le="1.0"} 3"#))
        #expect(lines.contains(#"took_seconds_bucket{shard="s0",le="2.5"} 4"#))
        #expect(lines.contains(#"took_seconds_bucket{shard="s0",le="60.0"} 4"#))
        #expect(lines.contains(#"took_seconds_bucket{shard="s0",le="+Inf"} 5"#))
        #expect(lines.contains(#"took_seconds_count{shard="s0"} 5"#))
        #expect(lines.contains(#"took_seconds_sum{shard="s0"} 3602.000200001"#))
    }

    /// Buckets only grow from one bound to the next, and the last is the count, whatever was recorded.
    @Test(arguments: 0..<50 as Range<UInt64>)
    func bucketsAreCumulative(seed: UInt64) throws {
        var generator = Seeded(state: seed)
        let timer = Timer(label: "t", dimensions: [], factory: registry)
        let count = Int.random(in: 0...200, using: &generator)
        for _ in 0..<count {
            timer.recordNanoseconds(
                Int64.random(in: 0...Int64(1) << Int64.random(in: 0...62, using: &generator), using: &generator))
        }
        let samples = try #require(registry.families.first).samples
        let buckets = samples.filter { $0.suffix == "_bucket" }.map(\.value)
        #expect(zip(buckets, buckets.dropFirst()).allSatisfy { $0 <= $1 })
        #expect(buckets.last == Double(count))
        #expect(samples.last?.value == Double(count))
    }

    @Test func gaugesAndMetersKeepTheLastValue() {
        Gauge(label: "depth", dimensions: [], factory: registry).record(2.5)
        let meter = Meter(label: "level", dimensions: [], factory: registry)
        meter.set(5)
        meter.increment(by: 1.5)
        meter.decrement(by: 4.0)
        let lines = text().split(separator: "\n")
        #expect(lines.contains("depth 2.5"))
        #expect(lines.contains("level 2.5"))
    }

    @Test func namesAreMadeWhatPrometheusAllows() {
        Counter(label: "http.requests-served", dimensions: [("status code", "200")], factory: registry).increment()
        Counter(label: "9lives", dimensions: [], factory: registry).increment()
        #expect(text().contains("http_requests_served_total{status_code=\"200\"} 1\n"))
        #expect(text().contains("_9lives_total 1\n"))
    }

    @Test func theSameNameAndLabelsAreOneMetric() {
        for _ in 0..<3 { Counter(label: "n", dimensions: [("a", "b")], factory: registry).increment() }
        #expect(text().contains("n_total{a=\"b\"} 3\n"))
    }

    @Test func aNameStandsForOneKind() {
        Counter(label: "n", dimensions: [], factory: registry).increment()
        let other = Gauge(label: "n", dimensions: [("a", "b")], factory: registry)
        other.record(7)
        #expect(registry.families.map(\.samples) == [[.init(1)]])
    }

    @Test func aDestroyedMetricIsForgotten() {
        let counter = Counter(label: "n", dimensions: [], factory: registry)
        let other = Counter(label: "m", dimensions: [], factory: registry)
        counter.destroy()
        #expect(registry.families.map(\.name) == ["m"])
        other.destroy()
        #expect(registry.families == [])
        Timer(label: "n", dimensions: [], factory: registry).recordNanoseconds(1)
        #expect(registry.families.map(\.kind) == [.histogram])
    }

    @Test func seriesAreBounded() {
        for number in 0...MetricsRegistry.mostSeries {
            Counter(label: "n", dimensions: [("number", String(number))], factory: registry).increment()
        }
        #expect(registry.families.first?.samples.count == MetricsRegistry.mostSeries)
    }

    @Test func nothingIsLostUnderContention() async {
        let counter = Counter(label: "n", dimensions: [], factory: registry)
        let timer = Timer(label: "t", dimensions: [], factory: registry)
        let meter = Meter(label: "m", dimensions: [], factory: registry)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<5_000 {
                        counter.increment()
                        timer.recordNanoseconds(1_000)
                        meter.increment(by: 1)
                    }
                }
            }
        }
        let lines = text().split(separator: "\n")
        #expect(lines.contains("n_total 40000"))
        #expect(lines.contains("t_count 40000"))
        #expect(lines.contains("m 40000"))
    }

    @Test func theFormatIsWhatTheScraperAccepts() {
        #expect(MetricFormat(accepting: nil) == .prometheus)
        #expect(MetricFormat(accepting: "text/plain;q=0.5,*/*;q=0.1") == .prometheus)
        let accepted = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
        #expect(MetricFormat(accepting: accepted) == .openMetrics)
    }

    @Test func numbersAreWrittenAsPrometheusReadsThem() {
        let values: [(Double, String)] = [
            (0, "0"), (-3, "-3"), (0.1, "0.1"), (1e-9, "1e-09"), (.nan, "NaN"), (.infinity, "+Inf"),
            (-.infinity, "-Inf"),
            (1e300, "1e+300"),
        ]
        let family = MetricFamily("g", .gauge, "G.", values.map { .init($0.0) })
        let lines = MetricFormat.prometheus.text([family]).split(separator: "\n").dropFirst(2)
        #expect(lines.map { String($0.dropFirst(2)) } == values.map(\.1))
    }
}

private struct Seeded: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return state ^ state >> 29
    }
}
