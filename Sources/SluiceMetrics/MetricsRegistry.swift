public import CoreMetrics
internal import Synchronization

/// A `MetricsFactory` that keeps what it is told in memory, for Prometheus to fetch.
///
/// Timers and aggregating recorders are histograms, so that quantiles can be had over any time and over several
/// gateways. Making a handler looks it up; using it takes no lock. A name stands for one kind of metric: what is made
/// under it as another kind, or beyond `mostSeries`, works and is not shown.
public final class MetricsRegistry: MetricsFactory {
    /// Label values are the configuration's names; what has no bound does not belong among them.
    public static let mostSeries = 50_000

    private enum Meter {
        case counter(CounterMeter)
        case gauge(GaugeMeter)
        case histogram(HistogramMeter)

        var object: AnyObject {
            switch self {
            case .counter(let meter): meter
            case .gauge(let meter): meter
            case .histogram(let meter): meter
            }
        }

        var kind: MetricFamily.Kind {
            switch self {
            case .counter: .counter
            case .gauge: .gauge
            case .histogram: .histogram
            }
        }

        func samples(_ labels: [MetricFamily.Label]) -> [MetricFamily.Sample] {
            switch self {
            case .counter(let meter): [.init(meter.value, labels)]
            case .gauge(let meter): [.init(meter.value, labels)]
            case .histogram(let meter): meter.samples(labels)
            }
        }
    }

    private struct State {
        var families: [String: [[MetricFamily.Label]: Meter]] = [:]
        var series = 0
    }

    private let help: [String: String]
    private let state = Mutex(State())

    /// - Parameter help: what each metric says of itself, by its name (a counter's without `_total`).
    public init(help: [String: String] = [:]) { self.help = help }

    // MARK: MetricsFactory

    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        let fresh = CounterMeter()
        if case .counter(let known) = meter(label, dimensions, .counter(fresh)) { return known }
        return fresh
    }

    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        gauge(label, dimensions)
    }

    public func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        guard aggregate else { return gauge(label, dimensions) }
        return histogram(label, dimensions, HistogramMeter(bounds: HistogramMeter.numbers, unit: 1))
    }

    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        histogram(label, dimensions, HistogramMeter(bounds: HistogramMeter.durations, unit: 1e9))
    }

    public func destroyCounter(_ handler: any CounterHandler) { forget(handler) }
    public func destroyMeter(_ handler: any MeterHandler) { forget(handler) }
    public func destroyRecorder(_ handler: any RecorderHandler) { forget(handler) }
    public func destroyTimer(_ handler: any TimerHandler) { forget(handler) }

    private func gauge(_ name: String, _ dimensions: [(String, String)]) -> GaugeMeter {
        let fresh = GaugeMeter()
        if case .gauge(let known) = meter(name, dimensions, .gauge(fresh)) { return known }
        return fresh
    }

    private func histogram(
        _ name: String, _ dimensions: [(String, String)], _ fresh: HistogramMeter
    ) -> HistogramMeter {
        if case .histogram(let known) = meter(name, dimensions, .histogram(fresh)) { return known }
        return fresh
    }

    /// The one that is known under the name and labels, or the fresh one from now on.
    private func meter(_ name: String, _ dimensions: [(String, String)], _ fresh: Meter) -> Meter {
        let labels = dimensions.map { MetricFamily.Label(MetricFamily.cleaned($0.0), $0.1) }
        return state.withLock { state in
            let name = MetricFamily.cleaned(name)
            if let known = state.families[name]?[labels] { return known }
            if let first = state.families[name]?.values.first, first.kind != fresh.kind { return fresh }
            guard state.series < Self.mostSeries else { return fresh }
            state.series += 1
            state.families[name, default: [:]][labels] = fresh
            return fresh
        }
    }

    private func forget(_ handler: AnyObject) {
        state.withLock { state in
            for (name, series) in state.families {
                guard let labels = series.first(where: { $0.value.object === handler })?.key else { continue }
                state.families[name]?[labels] = nil
                if series.count == 1 { state.families[name] = nil }
                state.series -= 1
                return
            }
        }
    }

    // MARK: Reading

    /// All there is, sorted by name and labels.
    public var families: [MetricFamily] {
        state.withLock { $0.families }.sorted { $0.key < $1.key }.map { name, series in
            let samples = series.sorted { Self.precedes($0.key, $1.key) }.flatMap { $0.value.samples($0.key) }
            let kind = series.values.first?.kind ?? .gauge
            return MetricFamily(name, kind, help[name] ?? "Set by the application.", samples)
        }
    }

    private static func precedes(_ left: [MetricFamily.Label], _ right: [MetricFamily.Label]) -> Bool {
        left.lazy.map(\.value).lexicographicallyPrecedes(right.lazy.map(\.value))
    }
}
