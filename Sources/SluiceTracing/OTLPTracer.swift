internal import SluiceWire
internal import Tracing

private enum TraceContextKey: ServiceContextKey {
    typealias Value = TraceContext
    static let nameOverride: String? = "sluice-trace-context"
}

/// Makes spans for a collector; speaks W3C Trace Context to others.
struct OTLPTracer: Tracer {
    let queue: SpanQueue

    func startSpan<Instant: TracerInstant>(
        _ operationName: String, context: @autoclosure () -> ServiceContext, ofKind kind: SpanKind,
        at instant: @autoclosure () -> Instant, function: String, file fileID: String, line: UInt
    ) -> RecordedSpan {
        var context = context()
        let parent = context[TraceContextKey.self]
        var random = SystemRandomNumberGenerator()
        let own = TraceContext(
            traceID: parent?.traceID ?? TraceID(high: random.identifier(), low: random.identifier()),
            spanID: random.identifier(), flags: parent?.flags ?? TraceContext.sampled, state: parent?.state ?? "")
        context[TraceContextKey.self] = own
        let span = FinishedSpan(
            context: own, parent: parent, name: operationName, kind: kind,
            start: instant().nanosecondsSinceEpoch)
        return RecordedSpan(span, context, isRecorded: own.isSampled, queue: queue)
    }

    func forceFlush() {}

    func extract<Carrier, Extract: Extractor>(
        _ carrier: Carrier, into context: inout ServiceContext, using extractor: Extract
    ) where Extract.Carrier == Carrier {
        guard let parent = extractor.extract(key: "traceparent", from: carrier) else { return }
        // One that is none begins a new trace.
        context[TraceContextKey.self] = TraceContext(
            traceparent: parent, tracestate: extractor.extract(key: "tracestate", from: carrier))
    }

    func inject<Carrier, Inject: Injector>(
        _ context: ServiceContext, into carrier: inout Carrier, using injector: Inject
    ) where Inject.Carrier == Carrier {
        guard let own = context[TraceContextKey.self] else { return }
        injector.inject(own.traceparent, forKey: "traceparent", into: &carrier)
        if !own.state.isEmpty { injector.inject(own.state, forKey: "tracestate", into: &carrier) }
    }
}

extension SystemRandomNumberGenerator {
    /// Never 0.
    fileprivate mutating func identifier() -> UInt64 { .random(in: 1 ... .max, using: &self) }
}
