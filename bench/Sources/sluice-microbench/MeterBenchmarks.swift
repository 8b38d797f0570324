internal import CoreMetrics
internal import SluiceMetrics

/// What one measurement costs, with its handle made before, as all of Sluice's are.
let meterBenchmarks = [
    Benchmark("metrics-timer", "a duration, recorded in a histogram") {
        let timer = Timer(label: "sluice_example_seconds", dimensions: [("shard", "s0")], factory: MetricsRegistry())
        return { count in
            for turn in 0..<count { timer.recordNanoseconds(900_000 + Int64(turn % 64)) }
            return count
        }
    },
    Benchmark("metrics-counter", "a counter, increased by one") {
        let counter = Counter(label: "sluice_example", dimensions: [("shard", "s0")], factory: MetricsRegistry())
        return { count in
            for _ in 0..<count { counter.increment() }
            return count
        }
    },
]
