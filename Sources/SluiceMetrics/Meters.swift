internal import CoreMetrics
internal import Synchronization

/// A number that only grows.
final class CounterMeter: CounterHandler {
    private let count = Atomic<UInt64>(0)

    func increment(by amount: Int64) { count.add(UInt64(max(0, amount)), ordering: .relaxed) }
    func reset() { count.store(0, ordering: .relaxed) }

    var value: Double { Double(count.load(ordering: .relaxed)) }
}

/// A number that goes up and down: of gauges as well as of meters.
final class GaugeMeter: RecorderHandler, MeterHandler {
    private let bits = Atomic<UInt64>(Double(0).bitPattern)

    func record(_ value: Int64) { set(Double(value)) }
    func record(_ value: Double) { set(value) }
    func set(_ value: Int64) { set(Double(value)) }
    func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }
    func decrement(by amount: Double) { increment(by: -amount) }

    func increment(by amount: Double) {
        var old = bits.load(ordering: .relaxed)
        while true {
            let new = (Double(bitPattern: old) + amount).bitPattern
            let (exchanged, original) = bits.weakCompareExchange(expected: old, desired: new, ordering: .relaxed)
            if exchanged { return }
            old = original
        }
    }

    var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }
}

/// How many values there were up to each of some bounds. Recording one is a search in a few bounds and two additions;
/// no lock is taken.
final class HistogramMeter: TimerHandler, RecorderHandler {
    /// Of durations, in nanoseconds: from 100 µs to a minute, about 2 to 2.5 times as much each.
    static let durations: [Int64] = [
        100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000, 25_000_000, 50_000_000, 100_000_000,
        250_000_000, 500_000_000, 1_000_000_000, 2_500_000_000, 5_000_000_000, 10_000_000_000, 30_000_000_000,
        60_000_000_000,
    ]
    /// Of other values.
    static let numbers: [Int64] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 100_000, 1_000_000]

    /// The last one counts what is above all bounds.
    private static let most = 19

    private let bounds: [Int64]
    /// What a value is divided by when it is shown.
    private let unit: Double
    private let counts = InlineArray<19, Atomic<UInt64>> { _ in Atomic(0) }
    private let sum = Atomic<Int64>(0)

    init(bounds: [Int64], unit: Double) {
        self.bounds = Array(bounds.prefix(Self.most - 1))
        self.unit = unit
    }

    func recordNanoseconds(_ duration: Int64) { record(duration) }
    func record(_ value: Double) { if let whole = Int64(exactly: value.rounded()) { record(whole) } }

    func record(_ value: Int64) {
        let value = max(0, value)
        counts[bounds.firstIndex { value <= $0 } ?? bounds.count].add(1, ordering: .relaxed)
        sum.wrappingAdd(value, ordering: .relaxed)
    }

    func samples(_ labels: [MetricFamily.Label]) -> [MetricFamily.Sample] {
        var samples: [MetricFamily.Sample] = []
        var total = 0.0
        for (place, bound) in bounds.enumerated() {
            total += Double(counts[place].load(ordering: .relaxed))
            let limit = MetricFamily.Label("le", String(Double(bound) / unit))
            samples.append(.init(total, labels + [limit], suffix: "_bucket"))
        }
        total += Double(counts[bounds.count].load(ordering: .relaxed))
        samples.append(.init(total, labels + [.init("le", "+Inf")], suffix: "_bucket"))
        samples.append(.init(Double(sum.load(ordering: .relaxed)) / unit, labels, suffix: "_sum"))
        samples.append(.init(total, labels, suffix: "_count"))
        return samples
    }
}
