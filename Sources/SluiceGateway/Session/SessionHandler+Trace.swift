internal import Logging
internal import NIOCore
internal import SluiceCore
internal import SluiceEngine
internal import SluiceWire
internal import Tracing

/// Which trace a request is part of, and what is logged of it.
extension SessionHandler {
    /// Where a request comes from. Its span begins here, if it is traced.
    /// - Parameter describe: says what the request is; called only if it is traced.
    @discardableResult
    func origin(
        of frame: Frame, _ kind: FrameKind, _ client: TraceContext?,
        describe: (inout SpanAttributes, SearchLane) -> Void
    ) -> RequestOrigin {
        let tracing = context.commons.tracing
        let origin = RequestOrigin(session: context.sessionID, request: frame.requestID)
        guard client != nil || tracing != nil else { return origin }
        let trace = RequestTrace(
            "\(kind)", id: client.map { "\($0.traceID)" }, isRecorded: client?.isSampled,
            TraceHeaders(traceparent: client?.traceparent, tracestate: client.flatMap(Self.state)), by: tracing,
            now: context.lane.executor.now())
        guard let trace else { return origin }
        traces[frame.requestID] = trace
        trace.note { attributes in
            attributes["sluice.request.kind"] = "\(kind)"
            attributes["sluice.session"] = String(origin.session)
            attributes["sluice.request"] = String(origin.request)
            if !access.identity.name.isEmpty { attributes["sluice.identity"] = access.identity.name }
            describe(&attributes, context.lane)
        }
        return RequestOrigin(session: origin.session, request: origin.request, trace: trace)
    }

    private static func state(_ client: TraceContext) -> String? { client.state.isEmpty ? nil : client.state }

    /// A request has its answer.
    /// - Parameter error: nil for an answer.
    func noteEnd(_ requestID: UInt32, _ error: ErrorCode?) {
        let trace = traces.isEmpty ? nil : traces.removeValue(forKey: requestID)
        if let error { logFailure(requestID, trace, error) }
        trace?.end(error?.name)
    }

    /// The session is over; nobody is there to be answered.
    func endTraces() {
        for trace in traces.values { trace.end("session_ended") }
        traces.removeAll()
    }

    func logFailure(_ requestID: UInt32, _ trace: RequestTrace?, _ error: ErrorCode) {
        context.logger.debug(
            "a request was answered by an error",
            metadata: RequestOrigin(session: context.sessionID, request: requestID, trace: trace).logged
                .merging(["code": "\(error.name)"]) { $1 })
    }

    /// For a line of the log about the session.
    var logged: Logger.Metadata { ["session": "\(context.sessionID)"] }
}

extension SpanAttributes {
    private static var mostCollections: Int { 8 }

    mutating func describe(_ request: SearchRequest, _ lane: SearchLane) {
        describe(request.collections, lane)
        self["sluice.k"] = request.k
        if request.vectors.count > 1 { self["sluice.batch"] = request.vectors.count }
    }

    mutating func describe(_ collection: String, _ lane: SearchLane) { describe([collection], lane) }

    /// Nothing of a request has been checked yet: a span has the catalogue's names, and none that the client made up.
    private mutating func describe(_ collections: [String], _ lane: SearchLane) {
        let known = lane.known(of: collections, most: Self.mostCollections)
        if !known.isEmpty { self["sluice.collections"] = known }
        self["sluice.collections.asked"] = collections.count
    }
}

extension ReplyMessage {
    func describe(_ attributes: inout SpanAttributes) {}
}

extension SearchAnswer {
    func describe(_ attributes: inout SpanAttributes) {
        attributes["sluice.coverage"] = coverage
        attributes["sluice.hits"] = hits.count
        attributes["sluice.source"] = "\(source)"
    }
}

extension LoadAnswer {
    func describe(_ attributes: inout SpanAttributes) {
        attributes["sluice.rows"] = rows
        // The failure of a load that had begun is an answer.
        if let failure { attributes["error.type"] = ReplyEncoder.code(failure.code).name }
    }
}

extension RequestTracing {
    /// - Returns: nil without a tracer.
    convenience init?(_ tracer: (any Tracer)?, _ config: GatewayConfig.Tracing, now: Instant) {
        guard let tracer else { return nil }
        self.init(tracer, share: config.sample, spansPerSecond: config.maxSpansPerSecond, now: now)
    }
}
