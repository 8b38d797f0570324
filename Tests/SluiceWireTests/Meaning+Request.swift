import NIOCore
import SluiceWire
import Testing

// What the golden frames' JSON means, as this side's messages.
extension Meaning {
    /// The filter that the JSON calls "example".
    static func filter(_ name: String?) -> FilterExpression? {
        name.map { _ in
            .and([
                .compare(column: "section", .equal, .text("net")),
                .not(.compare(column: "installed_kib", .less, .int(5_000))),
            ])
        }
    }

    static func cursor(_ digits: String) -> WireCursor? {
        guard digits.count == 32, let high = UInt64(digits.prefix(16), radix: 16),
            let low = UInt64(digits.suffix(16), radix: 16)
        else { return nil }
        return WireCursor(high: high, low: low)
    }

    func searchRequest() throws -> SearchRequest {
        let (message, query) = (try #require(message), try #require(query))
        guard case .names(let collections) = message.collections else {
            throw WireError(.malformed, "no collections in the JSON")
        }
        var request = SearchRequest(
            collections: collections, vectors: vectors(message, query), k: try #require(message.k),
            columns: message.columns ?? [], deadline: message.deadlineUs.map { .microseconds($0) },
            efSearch: message.efSearch, exact: message.exact ?? false, allowPartial: message.allowPartial ?? false)
        request.minCoverage = message.minCoverage
        request.allowHedges = message.allowHedges ?? true
        request.priority = message.priority ?? 0
        request.filter = Self.filter(query.filter)
        request.overrides = (query.overrides ?? []).map(\.override)
        request.separate = query.separate ?? false
        request.maxDistance = query.maxDistance
        request.complete = query.complete ?? false
        request.probability = query.probability
        request.model = query.model
        request.pageSize = query.pageSize
        request.bypassCache = query.bypassCache ?? false
        request.stream = query.stream ?? false
        request.trace = details?.trace?.context
        takeParts(query, into: &request)
        return request
    }

    private func vectors(_ message: Message, _ query: Query) -> [VectorBytes] {
        if let batch = query.vectors { return batch.map { VectorBytes($0) } }
        if let bits = query.bits { return [VectorBytes(bits: bits.map { $0 == "1" })] }
        if let sparse = query.sparse {
            return [VectorBytes(sparse: sparse.dimensions, indices: sparse.indices, values: sparse.values)]
        }
        guard let floats = message.vector else { return [] }
        return [details?.vectorType == 1 ? VectorBytes(half: floats) : VectorBytes(floats)]
    }

    private func takeParts(_ query: Query, into request: inout SearchRequest) {
        if let settings = query.settings {
            request.settings = ScanSettings(
                probes: settings.probes, iterativeScan: settings.iterativeScan.flatMap { .init(rawValue: $0) },
                maxScanTuples: settings.maxScanTuples, scanMemoryMultiplier: settings.scanMemoryMultiplier,
                workMemKiB: settings.workMemKib)
        }
        request.group = query.group.map { Grouping(column: $0.column, size: $0.size) }
        request.text = query.text.map {
            TextSearch(
                $0.query, textWeight: $0.textWeight, vectorWeight: $0.vectorWeight,
                fusion: $0.fusion == 0 ? .reciprocalRank : .normalisedScoreSum, rankConstant: $0.rankConstant,
                candidates: $0.candidates)
        }
        request.twoPhase = query.twoPhase.map {
            TwoPhase($0.coarse == 0 ? .binary : .half, candidates: $0.candidates)
        }
        request.byID = query.byId.map { RowReference(collection: $0.collection, id: $0.id) }
    }
}

extension Meaning.Override {
    fileprivate var override: CollectionOverride {
        CollectionOverride(
            collection: collection,
            vector: vector.map { VectorBytes($0) } ?? bits.map { VectorBytes(bits: $0.map { $0 == "1" }) }, k: k,
            columns: columns, filter: Meaning.filter(filter))
    }
}
