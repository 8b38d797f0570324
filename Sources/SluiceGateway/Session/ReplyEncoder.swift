internal import NIOCore
internal import SluiceCore
internal import SluiceEngine
internal import SluiceWire
internal import Tracing

/// What can be the answer to a request: the message that says it.
protocol ReplyMessage: Sendable {
    static var kind: FrameKind { get }

    func write(into buffer: inout ByteBuffer)

    /// What a span may say of it.
    func describe(_ attributes: inout SpanAttributes)
}

extension SearchAnswer: ReplyMessage {
    static var kind: FrameKind { .result }

    func write(into buffer: inout ByteBuffer) { ReplyEncoder.write(self, into: &buffer) }
}

extension CountAnswer: ReplyMessage {
    static var kind: FrameKind { .countResult }

    func write(into buffer: inout ByteBuffer) { ReplyEncoder.write(self, into: &buffer) }
}

/// An answer as its payload, made where the answer was: so its many small parts are freed on the thread that made them,
/// and threads do not wait for one another in the allocator.
struct Reply: Sendable {
    let kind: FrameKind
    let payload: ByteBuffer
    /// Nil for an answer.
    let error: ErrorCode?

    /// Enough for most answers, and as much as the allocator still gives out of what a thread has kept for itself
    /// (glibc's tcache ends at 1,032 bytes).
    private static var usualBytes: Int { 1_024 }

    /// - Parameter trace: the request's; it is told of the answer.
    init<Answer: ReplyMessage>(_ result: Result<Answer, SearchError>, _ trace: RequestTrace? = nil) {
        var payload = ByteBufferAllocator().buffer(capacity: Self.usualBytes)
        switch result {
        case .success(let answer):
            trace?.note(answer.describe)
            answer.write(into: &payload)
            kind = Answer.kind
            error = nil
        case .failure(let error):
            var reply = ReplyEncoder.errorReply(error)
            reply.traceID = trace.flatMap { TraceID($0.id) }
            reply.encode(into: &payload)
            kind = .error
            self.error = ReplyEncoder.code(error.code)
        }
        self.payload = payload
    }
}

/// Writes what the engine answered as the protocol's messages.
enum ReplyEncoder {
    static func write(_ answer: SearchAnswer, into buffer: inout ByteBuffer) {
        var result = SearchResult(
            legs: answer.legs.map(report), hits: hits(answer.hits) { answer.cells(of: $0, list: 0) },
            coverage: answer.coverage, elapsed: answer.elapsed)
        result.mayBeIncomplete = answer.mayBeIncomplete
        result.rung = Rung(rawValue: UInt8(clamping: answer.rung.rawValue))
        result.source = source(answer.source)
        result.repaired = answer.isRepaired
        if let extras = answer.extras { add(extras, of: answer, to: &result) }
        result.encode(into: &buffer)
    }

    private static func add(_ extras: AnswerExtras, of answer: SearchAnswer, to result: inout SearchResult) {
        result.furtherHits = extras.furtherLists.enumerated().map { place, list in
            hits(list) { answer.cells(of: $0, list: place + 1) }
        }
        result.fused = extras.fused.map { row in
            FusedHit(
                score: row.score, vectorRank: row.ranks.first.flatMap(\.self) ?? 0,
                textRank: row.ranks.last.flatMap(\.self) ?? 0)
        }
        result.groupSizes = extras.groupSizes
        result.missing = extras.missing
        result.vectorForm = extras.vectorForm.map(SluiceWire.VectorForm.init)
        result.cursor = extras.cursor.map { WireCursor(high: $0.high, low: $0.low) }
        result.hasMore = extras.hasMore
    }

    static func write(_ part: AnswerPart, into buffer: inout ByteBuffer) {
        var result = SearchResult(
            legs: part.legs.map(report), hits: hits(part.hits) { part.cells(of: $0) }, coverage: 0, elapsed: .zero)
        result.listIndex = part.list
        result.encode(into: &buffer)
    }

    static func write(_ answer: CountAnswer, into buffer: inout ByteBuffer) {
        CountResult(rows: answer.rows, isExact: answer.isExact, legs: answer.legs.map(report)).encode(into: &buffer)
    }

    private static func source(_ source: SluiceEngine.AnswerSource) -> SluiceWire.AnswerSource {
        switch source {
        case .executed: .executed
        case .shared: .shared
        case .cache: .cache
        }
    }

    private static func hits(_ list: [Candidate], _ cells: (Candidate) -> ArraySlice<UInt8>) -> PackedHits {
        var writer = HitWriter(capacity: list.count)
        for hit in list { writer.append(leg: hit.leg, id: hit.id, distance: hit.distance, cells: cells(hit)) }
        return writer.finish()
    }

    static func errorReply(_ error: SearchError) -> ErrorReply {
        ErrorReply(
            code: code(error.code), message: error.message, retryAfter: error.retryAfter,
            legs: error.legs.map(report))
    }

    private static func report(_ leg: SluiceEngine.LegReport) -> SluiceWire.LegReport {
        let columns = zip(leg.columns, leg.rows.columnTypes).map { ColumnType(name: $0, typeOID: $1) }
        var report = SluiceWire.LegReport(
            collection: leg.collection, shard: leg.shard, replica: leg.replica,
            status: SluiceWire.LegStatus(rawValue: leg.status.rawValue), rows: leg.rows.total,
            wait: leg.wait, execute: leg.execute, sqlstate: leg.sqlState, message: leg.message, columns: columns,
            attempts: leg.attempts, hedges: leg.hedges, asked: leg.asked,
            rung: Rung(rawValue: UInt8(clamping: leg.rung.rawValue)))
        report.staleness = leg.staleness
        report.isStale = leg.isStale
        return report
    }

    static func code(_ code: SearchError.Code) -> ErrorCode {
        switch code {
        case .invalidArgument: .invalidArgument
        case .unknownCollection: .unknownCollection
        case .unknownColumn: .unknownColumn
        case .dimensionMismatch: .dimensionMismatch
        case .deadlineExceeded: .deadlineExceeded
        case .cancelled: .cancelled
        case .unavailable: .unavailable
        case .busy: .busy
        case .backendError: .backendError
        case .shuttingDown: .shuttingDown
        case .modelMismatch: .modelMismatch
        case .notSupported: .notSupported
        case .unknownCursor: .unknownCursor
        case .malformed: .malformed
        case .badRow: .badRow
        case .permissionDenied: .permissionDenied
        }
    }
}
