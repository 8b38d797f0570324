public import SluiceCore
internal import Synchronization
public import Tracing

/// Traces requests with whatever tracer the application has, in as much as may be.
public final class RequestTracing: Sendable {
    private struct State {
        var sampler: TraceSampler
        var random: SplitMix64
    }

    let tracer: any Tracer
    /// Requests that come without a trace may be taken.
    private let takesOthers: Bool
    private let state: Mutex<State>

    /// - Parameters:
    ///   - share: of the requests that come without a trace which are traced, 0...1.
    ///   - spansPerSecond: how many spans are begun in a second at most, a request's own few more or less.
    public init(_ tracer: any Tracer, share: Double, spansPerSecond: Int, now: Instant) {
        self.tracer = tracer
        takesOthers = share > 0
        state = Mutex(
            State(
                sampler: TraceSampler(share: share, spansPerSecond: spansPerSecond, now: now),
                random: SplitMix64(seed: .random(in: .min ... .max))))
    }

    /// Begins the span of a request, if it is to be traced.
    /// - Parameters:
    ///   - kind: what is asked for, in a word.
    ///   - isRecorded: what the client says of its trace; nil if it has none.
    ///   - headers: the client's trace as W3C headers.
    func begin(
        _ kind: String, isRecorded: Bool?, _ headers: TraceHeaders, now: Instant
    ) -> (any Span)? {
        guard isRecorded ?? takesOthers else { return nil }
        let isTaken = state.withLock { state in
            state.sampler.takes(isRecorded: isRecorded, now: now, using: &state.random)
        }
        guard isTaken else { return nil }
        var parent = ServiceContext.topLevel
        tracer.extract(headers, into: &parent, using: TraceHeaders.Access())
        return tracer.startSpan("sluice \(kind)", context: parent, ofKind: .server)
    }

    /// Begins another span of a request that is traced.
    func child(_ name: String, of parent: any Span, _ kind: SpanKind, now: Instant) -> any Span {
        state.withLock { $0.sampler.began(now: now) }
        return tracer.startSpan(name, context: parent.context, ofKind: kind)
    }
}

/// What travels between tracers: the headers of W3C Trace Context.
public struct TraceHeaders: Hashable, Sendable {
    public var traceparent: String?
    public var tracestate: String?

    public init(traceparent: String? = nil, tracestate: String? = nil) {
        self.traceparent = traceparent
        self.tracestate = tracestate
    }

    struct Access: Extractor, Injector {
        func extract(key: String, from headers: TraceHeaders) -> String? {
            switch key.lowercased() {
            case "traceparent": headers.traceparent
            case "tracestate": headers.tracestate
            default: nil
            }
        }

        func inject(_ value: String, forKey key: String, into headers: inout TraceHeaders) {
            switch key.lowercased() {
            case "traceparent": headers.traceparent = value
            case "tracestate": headers.tracestate = value
            default: break
            }
        }
    }
}
