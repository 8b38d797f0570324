package import SluiceWire

extension SearchQuery {
    /// - Parameter batch: vectors to search for instead of the target.
    /// - Throws: `invalidArgument` for what every gateway would refuse.
    package func request(batch: [Vector]? = nil) throws(SluiceError) -> SearchRequest {
        var request = SearchRequest(
            collections: collections, vectors: try vectors(batch), k: k, columns: columns, efSearch: efSearch,
            exact: exact, allowPartial: allowPartial)
        request.minCoverage = minCoverage
        request.allowHedges = allowHedges
        request.priority = priority.rawValue
        request.filter = filter?.expression
        request.overrides = try wireOverrides()
        request.settings = settings.wire
        request.maxDistance = maxDistance
        request.complete = complete
        request.probability = probability
        request.group = group.map { SluiceWire.Grouping(column: $0.column, size: $0.size) }
        request.text = text?.wire
        request.twoPhase = twoPhase?.wire
        request.model = model
        request.bypassCache = bypassCache
        request.freshness = FreshnessTerms(after: after, maxStaleness: maxStaleness, allowStale: allowStale)
        if case .row(let id, let collection) = target, batch == nil {
            request.byID = RowReference(collection: collection, id: id)
        }
        return request
    }

    private func vectors(_ batch: [Vector]?) throws(SluiceError) -> [VectorBytes] {
        if let batch {
            guard (1...SearchRequest.maximumVectors).contains(batch.count) else {
                throw SluiceError(
                    .invalidArgument,
                    "the batch has \(batch.count) vectors; it must have 1 to \(SearchRequest.maximumVectors)")
            }
            var vectors: [VectorBytes] = []
            for vector in batch { vectors.append(try vector.bytes()) }
            return vectors
        }
        guard case .vector(let vector) = target else { return [] }
        return [try vector.bytes()]
    }

    /// In the collections' order; those of no collection last, for the check to find.
    private func wireOverrides() throws(SluiceError) -> [CollectionOverride] {
        guard !overrides.isEmpty else { return [] }
        let strangers = overrides.keys.filter { !collections.contains($0) }.sorted()
        var wire: [CollectionOverride] = []
        for name in collections + strangers {
            guard let override = overrides[name] else { continue }
            wire.append(
                CollectionOverride(
                    collection: name, vector: try override.vector?.bytes(), k: override.k, columns: override.columns,
                    filter: override.filter?.expression))
        }
        return wire
    }
}

extension FreshnessTerms {
    init(after token: ConsistencyToken?, maxStaleness: Duration?, allowStale: Bool) {
        let positions = (token?.positions ?? [:]).sorted { $0.key < $1.key }
        self.init(
            positions: positions.map { ShardPosition(shard: $0.key, position: $0.value) },
            maxStaleness: maxStaleness.map { max(.zero, $0) }, allowStale: allowStale)
    }
}

extension SearchRequest {
    /// As `validate()`, with the client's own error.
    func check() throws(SluiceError) {
        do throws(WireError) { try validate() } catch { throw SluiceError(error) }
    }
}

extension SearchQuery.Settings {
    fileprivate var wire: ScanSettings {
        ScanSettings(
            probes: probes, iterativeScan: iterativeScan.flatMap { .init(rawValue: $0.rawValue) },
            maxScanTuples: maxScanTuples, scanMemoryMultiplier: scanMemoryMultiplier, workMemKiB: workMemKiB)
    }
}

extension SearchQuery.TextSearch {
    fileprivate var wire: SluiceWire.TextSearch {
        var text = SluiceWire.TextSearch(
            query, textWeight: textWeight, vectorWeight: vectorWeight, candidates: candidates)
        switch fusion {
        case .reciprocalRank(let constant): text.rankConstant = constant
        case .scoreSum: text.fusion = .normalisedScoreSum
        }
        return text
    }
}

extension SearchQuery.TwoPhase {
    fileprivate var wire: SluiceWire.TwoPhase {
        SluiceWire.TwoPhase(coarse == .binary ? .binary : .half, candidates: candidates)
    }
}
