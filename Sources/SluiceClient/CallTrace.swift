internal import NIOCore
internal import SluiceWire
internal import Synchronization
internal import Tracing

/// Makes a span of each call.
struct CallTracing: Sendable {
    private let tracer: any Tracer

    /// - Parameter tracer: nil for the application's, as `InstrumentationSystem` has it now.
    /// - Returns: nil where nobody traces: calls pay nothing for it then.
    init?(_ tracer: (any Tracer)?) {
        let tracer = tracer ?? InstrumentationSystem.tracer
        if tracer is NoOpTracer { return nil }
        self.tracer = tracer
    }

    /// A child of the current span, if there is one.
    func begin(_ kind: FrameKind) -> CallTrace? {
        guard kind != .ping, kind != .collections else { return nil }
        let span = tracer.startSpan("sluice \(kind)", ofKind: .client)
        span.updateAttributes { $0["sluice.request.kind"] = "\(kind)" }
        var headers = Headers()
        tracer.inject(span.context, into: &headers, using: HeaderWriter())
        let context = headers.traceparent.flatMap { TraceContext(traceparent: $0, tracestate: headers.tracestate) }
        return CallTrace(span: span, context: context)
    }

    private struct Headers {
        var traceparent, tracestate: String?
    }

    private struct HeaderWriter: Injector {
        func inject(_ value: String, forKey key: String, into headers: inout Headers) {
            switch key.lowercased() {
            case "traceparent": headers.traceparent = value
            case "tracestate": headers.tracestate = value
            default: break
            }
        }
    }
}

/// A call's span, while it runs.
struct CallTrace: Sendable {
    fileprivate let span: any Span
    /// What the gateway is told; nil if the tracer speaks another language.
    fileprivate let context: TraceContext?

    /// Adds it to the request.
    func write(into payload: inout ByteBuffer) { context?.writeField(into: &payload) }

    /// - Parameter error: nil for an answer.
    func end(_ error: SluiceError?) {
        if let error {
            span.updateAttributes { $0["error.type"] = error.code.description }
            span.setStatus(SpanStatus(code: .error))
        }
        span.end()
    }
}

/// The trace of a stream, which ends once, whoever ends it.
final class StreamTrace: Sendable {
    private let trace = Mutex<CallTrace?>(nil)

    func began(_ trace: CallTrace?) { self.trace.withLock { $0 = trace } }

    func end(_ error: SluiceError?) { trace.withLock { $0.take() }?.end(error) }
}
