internal import NIOCore
internal import SluiceCore
internal import SluiceEngine
internal import SluiceWire

extension Search {
    /// The wire's request as the engine wants it: limits checked, and the time left turned into an instant.
    init(_ request: SearchRequest, limits: GatewayConfig.Limits, now: Instant) throws(WireError) {
        try request.validate()
        if let feature = Self.notBuilt(request) {
            throw WireError(.notSupported, "this gateway does not support \(feature) yet")
        }
        let left = min(request.deadline ?? limits.defaultDeadline, limits.maxDeadline)
        // Without a vector of its own, each collection brings one.
        let first = request.vectors.first ?? request.overrides.first?.vector
        guard let first else { throw WireError(.malformed, "SEARCH: without a vector") }
        self.init(
            collections: request.collections, vector: QueryVector(first), k: request.k, columns: request.columns,
            deadline: now.advanced(by: left), exact: request.exact, allowsPartial: request.allowPartial)
        filter = request.filter.map(Filter.init)
        for override in request.overrides {
            overrides[override.collection] = .init(
                vector: override.vector.map(QueryVector.init), k: override.k, columns: override.columns,
                filter: override.filter.map(Filter.init))
        }
        settings = SluiceEngine.ScanSettings(request.settings, efSearch: request.efSearch)
        maxDistance = request.maxDistance
        model = request.model
        minCoverage = request.minCoverage
        allowsHedges = request.allowHedges
        priority = SearchPriority(rawValue: request.priority) ?? .interactive
    }

    /// What the protocol has and the engine does not do yet; nil if the request asks for nothing of it.
    private static func notBuilt(_ request: SearchRequest) -> String? {
        let asked = [
            (request.vectors.count > 1, "several vectors in one request"),
            (request.separate, "a list for each collection"),
            (request.complete, "complete"), (request.probability != nil, "probability"),
            (request.group != nil, "groups"), (request.text != nil, "hybrid searches"),
            (request.twoPhase != nil, "two-phase searches"), (request.pageSize != nil, "pages"),
            (request.stream, "streams"), (request.byID != nil, "searches by id"),
        ]
        return asked.first { $0.0 }?.1
    }
}

extension QueryVector {
    init(_ vector: VectorBytes) {
        self.init(
            form: SluiceCore.VectorForm(vector.form), dimensions: vector.dimensions,
            bytes: Array(vector.bytes.readableBytesView))
    }
}

extension SluiceCore.VectorForm {
    init(_ form: SluiceWire.VectorForm) {
        switch form {
        case .vector: self = .vector
        case .halfvec: self = .halfvec
        case .sparsevec: self = .sparsevec
        case .bit: self = .bit
        }
    }
}

extension SluiceWire.VectorForm {
    init(_ form: SluiceCore.VectorForm) {
        switch form {
        case .vector: self = .vector
        case .halfvec: self = .halfvec
        case .sparsevec: self = .sparsevec
        case .bit: self = .bit
        }
    }
}

extension SluiceEngine.ScanSettings {
    init(_ settings: SluiceWire.ScanSettings, efSearch: Int?) {
        self.init()
        self.efSearch = efSearch
        probes = settings.probes
        iterativeScan = settings.iterativeScan.flatMap { Iteration(rawValue: $0.rawValue) }
        maxScanTuples = settings.maxScanTuples
        scanMemoryMultiplier = settings.scanMemoryMultiplier
        workMemKiB = settings.workMemKiB
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
        case .modelMismatch: .modelMismatch
        case .unknownCursor: .unknownCursor
        }
    }
}
