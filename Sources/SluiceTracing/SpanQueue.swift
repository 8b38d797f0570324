internal import CoreMetrics
internal import NIOCore
internal import SluiceCore
internal import Synchronization

/// Spans on their way to the collector: `BatchMachine` for all threads.
package final class SpanQueue: Sendable {
    private struct State {
        var machine: BatchMachine<FinishedSpan>
        var random = SystemRandomNumberGenerator()
        var counted: (delivered: UInt64, dropped: UInt64) = (0, 0)
    }

    private let state: Mutex<State>
    let wakes = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    private let exported: Counter
    private let dropped: Counter

    init(_ settings: TraceExportSettings, metrics: any MetricsFactory) {
        var configuration = BatchMachine<FinishedSpan>.Configuration()
        configuration.capacity = settings.capacity
        configuration.batch = settings.batch
        configuration.delay = settings.delay
        configuration.backoff = Backoff(base: settings.retryPause, cap: settings.longestRetryPause)
        state = Mutex(State(machine: BatchMachine(configuration)))
        exported = Counter(label: "sluice_spans_exported", dimensions: [], factory: metrics)
        dropped = Counter(label: "sluice_spans_dropped", dimensions: [], factory: metrics)
    }

    static var now: Instant { Instant(nanoseconds: Int64(clamping: NIODeadline.now().uptimeNanoseconds)) }

    package var counts: (held: Int, delivered: UInt64, dropped: UInt64) {
        state.withLock { ($0.machine.held, $0.machine.delivered, $0.machine.dropped) }
    }

    func add(_ span: FinishedSpan) {
        if use({ $0.machine.added(span, now: Self.now) }) { wake() }
    }

    func next() -> BatchMachine<FinishedSpan>.Action { use { $0.machine.next(now: Self.now) } }

    func ended(_ outcome: BatchMachine<FinishedSpan>.Outcome) {
        use { $0.machine.ended(outcome, now: Self.now, using: &$0.random) }
    }

    /// The collector has taken a batch but for so many.
    func rejected(_ count: Int) { dropped.increment(by: count) }

    func stop(within grace: Duration) {
        use { $0.machine.stopping(by: Self.now.advanced(by: grace)) }
        wake()
    }

    func wake() { wakes.continuation.yield() }

    private func use<Result: Sendable>(_ body: (inout sending State) -> Result) -> Result {
        let (result, delivered, lost) = state.withLock { state in
            let result = body(&state)
            let machine = state.machine
            defer { state.counted = (machine.delivered, machine.dropped) }
            return (result, machine.delivered - state.counted.delivered, machine.dropped - state.counted.dropped)
        }
        if delivered > 0 { exported.increment(by: Int64(clamping: delivered)) }
        if lost > 0 { dropped.increment(by: Int64(clamping: lost)) }
        return result
    }
}
