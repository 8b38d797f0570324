package import SluiceWire
internal import Synchronization
package import Tracing

/// What is told of a span that has ended.
package struct FinishedSpan: Sendable {
    package var context: TraceContext
    package var parent: TraceContext?
    package var name: String
    package var kind: SpanKind
    package var start: UInt64
    package var end: UInt64 = 0
    package var attributes: SpanAttributes = [:]
    package var events: [SpanEvent] = []
    package var status: SpanStatus?

    package init(context: TraceContext, parent: TraceContext?, name: String, kind: SpanKind, start: UInt64) {
        self.context = context
        self.parent = parent
        self.name = name
        self.kind = kind
        self.start = start
    }
}

/// A span of a trace that is recorded, or a stand-in where it is not.
package final class RecordedSpan: Span {
    private struct State {
        var span: FinishedSpan
        var hasEnded: Bool
    }

    private static let mostEvents = 32

    package let context: ServiceContext
    private let state: Mutex<State>
    private let queue: SpanQueue

    init(_ span: FinishedSpan, _ context: ServiceContext, isRecorded: Bool, queue: SpanQueue) {
        self.context = context
        self.queue = queue
        state = Mutex(State(span: span, hasEnded: !isRecorded))
    }

    private func update(_ body: (inout FinishedSpan) -> Void) {
        state.withLock { if !$0.hasEnded { body(&$0.span) } }
    }

    package var operationName: String {
        get { state.withLock { $0.span.name } }
        set { update { $0.name = newValue } }
    }

    package var attributes: SpanAttributes {
        get { state.withLock { $0.span.attributes } }
        set { update { $0.attributes = newValue } }
    }

    package var isRecording: Bool { state.withLock { !$0.hasEnded } }

    package func setStatus(_ status: SpanStatus) { update { $0.status = status } }

    package func addEvent(_ event: SpanEvent) {
        update { if $0.events.count < Self.mostEvents { $0.events.append(event) } }
    }

    /// The error's type, and not what it says: that may be anything.
    package func recordError<Instant: TracerInstant>(
        _ error: any Error, attributes: SpanAttributes, at instant: @autoclosure () -> Instant
    ) {
        var attributes = attributes
        attributes["exception.type"] = String(reflecting: type(of: error))
        addEvent(SpanEvent(name: "exception", at: instant(), attributes: attributes))
    }

    /// Links are not told of.
    package func addLink(_ link: SpanLink) {}

    package func end<Instant: TracerInstant>(at instant: @autoclosure () -> Instant) {
        let end = instant().nanosecondsSinceEpoch
        let finished = state.withLock { state -> FinishedSpan? in
            guard !state.hasEnded else { return nil }
            state.hasEnded = true
            state.span.end = max(end, state.span.start)
            return state.span
        }
        if let finished { queue.add(finished) }
    }
}
