public import SluiceCore
public import Tracing

/// Which request it is: for logs, for the journal, and for what is traced of it.
public struct RequestOrigin: Hashable, Sendable {
    /// As WELCOME has it; 0 for none.
    public var session: UInt64
    /// The session's number of it.
    public var request: UInt32
    /// Nil if it is part of no trace.
    public var trace: RequestTrace?

    public init(session: UInt64 = 0, request: UInt32 = 0, trace: RequestTrace? = nil) {
        self.session = session
        self.request = request
        self.trace = trace
    }

    /// For a line of the log.
    public var metadata: [String: String] {
        var metadata = ["session": String(session), "request": String(request)]
        if let trace { metadata["trace_id"] = trace.id }
        return metadata
    }
}

/// The trace that a request is part of, and the request's span if it is recorded here.
public final class RequestTrace: Sendable {
    /// 32 hexadecimal digits.
    public let id: String
    private let recording: (span: any Span, by: RequestTracing)?

    /// - Parameters:
    ///   - kind: what is asked for, in a word.
    ///   - id: of the client's trace; nil if it has none.
    ///   - isRecorded: what the client says of it.
    ///   - headers: the same, for the tracer; nil if there is none.
    ///   - tracing: nil if nothing is recorded.
    public init?(
        _ kind: String, id: String?, isRecorded: Bool?, _ headers: @autoclosure () -> TraceHeaders,
        by tracing: RequestTracing?, now: Instant
    ) {
        let span = tracing?.begin(kind, isRecorded: isRecorded, headers(), now: now)
        recording = span.flatMap { span in tracing.map { (span, $0) } }
        guard let known = id ?? recording.flatMap({ Self.id(of: $0.span, $0.by.tracer) }) else { return nil }
        self.id = known
    }

    /// Of a trace that was begun here, as its tracer tells others.
    private static func id(of span: any Span, _ tracer: any Tracer) -> String {
        var headers = TraceHeaders()
        tracer.inject(span.context, into: &headers, using: TraceHeaders.Access())
        let parts = headers.traceparent?.split(separator: "-") ?? []
        return parts.count > 1 ? String(parts[1]) : ""
    }

    public var isRecorded: Bool { recording != nil }

    /// Says more of the request. Neither what it asks with nor what it found may be told.
    public func note(_ update: (inout SpanAttributes) -> Void) { recording?.span.updateAttributes(update) }

    /// It has been answered. Once.
    /// - Parameter error: the name of the error's code; nil for an answer.
    public func end(_ error: String?) {
        guard let span = recording?.span else { return }
        if let error { span.fail(error) }
        span.end()
    }

    /// Begins the span of a leg.
    func leg(collection: String, shard: String, now: Instant) -> LegTrace? {
        guard let (span, tracing) = recording else { return nil }
        let leg = tracing.child("leg", of: span, .internal, now: now)
        leg.updateAttributes { attributes in
            attributes["sluice.collection"] = collection
            attributes["sluice.shard"] = shard
        }
        return LegTrace(span: leg, tracing: tracing)
    }
}

extension RequestTrace: Hashable {
    public static func == (left: RequestTrace, right: RequestTrace) -> Bool { left === right }

    public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(self)) }
}

/// A leg's span, while it runs.
struct LegTrace: Sendable {
    fileprivate let span: any Span
    fileprivate let tracing: RequestTracing

    func end(_ report: LegReport) {
        span.updateAttributes { attributes in
            attributes["sluice.replica"] = report.replica
            attributes["sluice.result"] = snakeCased(report.status)
            attributes["sluice.rows"] = report.rows.total
            attributes["sluice.attempts"] = report.attempts
            attributes["sluice.hedges"] = report.hedges
        }
        if report.status != .ok { span.fail(snakeCased(report.status)) }
        span.end()
    }

    func end(_ report: ShardReport) {
        span.updateAttributes { attributes in
            attributes["sluice.replica"] = report.replica
            attributes["sluice.result"] = snakeCased(report.outcome)
            attributes["sluice.rows"] = report.rows
        }
        if report.outcome == .notApplied || report.outcome == .unknown { span.fail(snakeCased(report.outcome)) }
        span.end()
    }

    /// Begins the span of an attempt.
    func attempt(_ kind: AttemptKind, replica: String, now: Instant) -> AttemptTrace {
        let attempt = tracing.child("attempt", of: span, .client, now: now)
        attempt.updateAttributes { attributes in
            attributes["db.system.name"] = "postgresql"
            attributes["sluice.replica"] = replica
            attributes["sluice.attempt.kind"] = snakeCased(kind)
        }
        return AttemptTrace(span: attempt)
    }
}

/// An attempt's span, while it runs.
struct AttemptTrace: Sendable {
    fileprivate let span: any Span

    func end(_ end: AttemptEnd) {
        span.updateAttributes { attributes in
            attributes["sluice.wait_seconds"] = end.wait.seconds
            attributes["sluice.execute_seconds"] = end.execute.seconds
        }
        self.end(end.result.failure)
    }

    /// - Parameter failure: nil if it has succeeded.
    func end(_ failure: BackendFailure?) {
        span.updateAttributes { attributes in
            attributes["sluice.result"] = failure.map { snakeCased($0.reason) } ?? "ok"
            if let state = failure?.sqlState { attributes["db.response.status_code"] = state }
        }
        if let failure { span.fail(snakeCased(failure.reason)) }
        span.end()
    }
}

extension Span {
    /// - Parameter reason: one of a few words: messages may have more in them than is anybody's business.
    fileprivate func fail(_ reason: String) {
        updateAttributes { $0["error.type"] = reason }
        setStatus(SpanStatus(code: .error))
    }
}

extension Duration {
    fileprivate var seconds: Double { Double(nanoseconds) / 1e9 }
}
