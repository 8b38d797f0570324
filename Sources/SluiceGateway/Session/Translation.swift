internal import NIOCore
internal import SluiceCore
internal import SluiceEngine
internal import SluiceWire

extension Search {
    /// The wire's request as the engine wants it: limits checked, and the time left turned into an instant.
    init(_ request: SearchRequest, limits: GatewayConfig.Limits, now: Instant) throws(WireError) {
        try request.validate()
        guard request.vectors.count <= limits.maxBatch else {
            throw WireError(.invalidArgument, "a search has at most \(limits.maxBatch) vectors (limits.max_batch)")
        }
        // Without a vector of its own, each collection brings one, or the row that is named does.
        let first = request.vectors.first ?? request.overrides.first { $0.vector != nil }?.vector
        let deadline = limits.instant(request.deadline, now: now)
        self.init(
            collections: request.collections,
            vector: first.map(QueryVector.init) ?? QueryVector(dimensions: 0, bytes: []), k: request.k,
            columns: request.columns, deadline: deadline, exact: request.exact, allowsPartial: request.allowPartial)
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
        if let asked = SearchExtras(request) { extras = Boxed(asked) }
    }
}

extension GatewayConfig.Limits {
    /// The time left as an instant.
    func instant(_ left: Duration?, now: Instant) -> Instant {
        now.advanced(by: min(left ?? defaultDeadline, maxDeadline))
    }
}

extension SearchExtras {
    /// Nil if the request asks for nothing of it, as nearly all do.
    init?(_ request: SearchRequest) {
        let isPlain =
            request.vectors.count <= 1 && !request.separate && !request.complete && request.probability == nil
            && request.group == nil && request.text == nil && request.twoPhase == nil && request.byID == nil
            && request.pageSize == nil && !request.bypassCache && request.freshness.isEmpty
        if isPlain { return nil }
        self.init()
        furtherVectors = request.vectors.dropFirst().map(QueryVector.init)
        isSeparate = request.separate
        isComplete = request.complete
        probability = request.probability
        group = request.group.map { Grouping(column: $0.column, size: $0.size) }
        text = request.text.map(TextSearch.init)
        twoPhase = request.twoPhase.map {
            TwoPhase(coarse: $0.coarse == .binary ? .binary : .half, candidates: $0.candidates)
        }
        like = request.byID.map { RowReference(collection: $0.collection, id: $0.id) }
        pageSize = request.pageSize
        bypassesCache = request.bypassCache
        freshness = Freshness.boxed(request.freshness)
    }
}

extension SearchExtras.TextSearch {
    init(_ text: SluiceWire.TextSearch) {
        self.init(
            query: text.query,
            fusion: text.fusion == .reciprocalRank
                ? .reciprocalRank(constant: text.rankConstant) : .normalisedScoreSum,
            textWeight: text.textWeight, vectorWeight: text.vectorWeight, candidates: text.candidates)
    }
}

extension RowRequest {
    init(_ request: GetRequest, limits: GatewayConfig.Limits, now: Instant) throws(WireError) {
        try request.validate()
        guard request.ids.count <= limits.maxIDs else {
            throw WireError(.invalidArgument, "at most \(limits.maxIDs) ids are asked for (limits.max_ids)")
        }
        self.init(
            collection: request.collection, ids: request.ids, columns: request.columns,
            withVector: request.withVector, deadline: limits.instant(request.deadline, now: now),
            allowsPartial: request.allowPartial)
        freshness = Freshness.boxed(request.freshness)
    }
}

extension Freshness {
    /// Nil if nothing is asked of it, as by nearly all.
    fileprivate static func boxed(_ terms: FreshnessTerms) -> Boxed<Freshness>? {
        if terms.isEmpty { return nil }
        let positions = Dictionary(terms.positions.map { ($0.shard, $0.position) }) { max($0, $1) }
        return Boxed(
            Freshness(positions: positions, maxStaleness: terms.maxStaleness, allowsStale: terms.allowStale))
    }
}

extension CountQuestion {
    init(_ request: CountRequest, limits: GatewayConfig.Limits, now: Instant) throws(WireError) {
        try request.validate()
        self.init(
            collection: request.collection, filter: request.filter.map(Filter.init), isExact: request.exact,
            deadline: limits.instant(request.deadline, now: now))
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
