internal import NIOCore
internal import SluiceCore
internal import SluiceEngine
internal import SluiceWire

extension Search {
    /// The wire's request as the engine wants it: limits checked, and the time left turned into an instant.
    init(_ request: SearchRequest, limits: GatewayConfig.Limits, now: Instant) throws(WireError) {
        try request.vector.validate()
        let left = min(request.deadline ?? limits.defaultDeadline, limits.maxDeadline)
        self.init(
            collections: request.collections, vector: Array(request.vector.bytes.readableBytesView),
            dimensions: request.vector.dimensions, k: request.k, columns: request.columns,
            deadline: now.advanced(by: left), efSearch: request.efSearch, exact: request.exact,
            allowsPartial: request.allowPartial)
        minCoverage = request.minCoverage
        allowsHedges = request.allowHedges
        priority = SearchPriority(rawValue: request.priority) ?? .interactive
    }
}

/// Writes what the engine answered as the protocol's messages.
enum ReplyEncoder {
    static func write(_ answer: SearchAnswer, into buffer: inout ByteBuffer) {
        var hits = HitWriter(capacity: answer.hits.count)
        for hit in answer.hits {
            hits.append(
                leg: hit.leg, id: hit.id, distance: hit.distance, cells: answer.legs[hit.leg].rows.cells(of: hit.row))
        }
        let result = SearchResult(
            legs: answer.legs.map(report), hits: hits.finish(), coverage: answer.coverage, elapsed: answer.elapsed)
        result.encode(into: &buffer)
    }

    static func errorReply(_ error: SearchError) -> ErrorReply {
        ErrorReply(
            code: code(error.code), message: error.message, retryAfter: error.retryAfter,
            legs: error.legs.map(report))
    }

    private static func report(_ leg: SluiceEngine.LegReport) -> SluiceWire.LegReport {
        let columns = zip(leg.columns, leg.rows.columnTypes).map { ColumnType(name: $0, typeOID: $1) }
        return SluiceWire.LegReport(
            collection: leg.collection, shard: leg.shard, replica: leg.replica,
            status: SluiceWire.LegStatus(rawValue: leg.status.rawValue), rows: leg.rows.count,
            wait: leg.wait, execute: leg.execute, sqlstate: leg.sqlState, message: leg.message, columns: columns,
            attempts: leg.attempts, hedges: leg.hedges)
    }

    private static func code(_ code: SearchError.Code) -> ErrorCode {
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
        }
    }
}
