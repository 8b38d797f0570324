internal import SluiceCore

extension ConfigReader {
    private static let mostEpochs = 1_000_000_000
    private static let mostCollections = 10_000
    /// As many as a request may ask for.
    private static let mostColumns = 256

    func readCollections(_ node: ConfigNode, _ shards: [String]) -> [GatewayConfig.Collection] {
        var names = Names()
        return node.list(1...Self.mostCollections).map { item in
            let keys = item.table([
                "name", "table", "id", "vector", "type", "metric", "dimensions", "columns", "filterable", "defaults",
                "caps", "model", "text", "coarse", "placement", "single_flight", "cache", "require_index", "shards",
                "epoch", "next", "timeout", "max_staleness",
            ])
            let name = names.take(keys["name"], in: item)
            for key in ["table", "metric", "dimensions"] where keys[key] == nil { item.missing(key) }
            let (schema, table) = tableName(keys["table"])
            let form = keys["type"]?.choice(VectorForm.self, or: .vector) ?? .vector
            let metric = keys["metric"]?.choice(Metric.self, or: form == .bit ? .hamming : .l2) ?? .l2
            if keys["metric"] != nil, !form.fits(metric) {
                keys["metric"]?.complain("\(metric.rawValue) does not compare vectors of type \(form.rawValue)")
            }
            var collection = GatewayConfig.Collection(
                name: name, schema: schema, table: table, idColumn: keys["id"]?.identifier() ?? "id",
                vectorColumn: keys["vector"]?.identifier() ?? "embedding", form: form, metric: metric,
                dimensions: keys["dimensions"]?.integer(1...form.maximumDimensions, or: 1) ?? 1,
                columns: keys["columns"].map { unique($0.list(0...Self.mostColumns)) { $0.identifier() } } ?? [],
                filterable: keys["filterable"].map(readFilterable) ?? [:],
                defaults: keys["defaults"].map { readScan($0, isCap: false) } ?? .init(),
                caps: keys["caps"].map { readScan($0, isCap: true) } ?? .init(), model: keys["model"]?.text(),
                shards: shardNames(keys["shards"], shards),
                timeout: keys["timeout"]?.duration(Self.timeouts, or: .seconds(1)))
            collection.text = keys["text"].map(readText)
            collection.coarse = keys["coarse"].map { readCoarse($0, form, metric) } ?? []
            collection.placement = keys["placement"]?.choice(Placement.self, or: .hash) ?? .hash
            collection.singleFlight = keys["single_flight"]?.flag(or: false) ?? false
            collection.cache = keys["cache"]?.flag(or: false) ?? false
            collection.requireIndex = keys["require_index"]?.flag(or: false) ?? false
            collection.maxStaleness = keys["max_staleness"]?.duration(Self.staleness, or: .seconds(10))
            collection.epoch = keys["epoch"]?.integer(1...Self.mostEpochs, or: 1) ?? 1
            collection.next = keys["next"].map { readNext($0, of: collection, shards) }
            return collection
        }
    }

    private func readNext(
        _ node: ConfigNode, of collection: GatewayConfig.Collection, _ shards: [String]
    ) -> GatewayConfig.Layout {
        let keys = node.table(["table", "shards"])
        for key in ["table", "shards"] where keys[key] == nil { node.missing(key) }
        let (schema, table) = tableName(keys["table"])
        let next = GatewayConfig.Layout(schema: schema, table: table, shards: shardNames(keys["shards"], shards))
        if !table.isEmpty, (schema, table) == (collection.schema, collection.table) {
            keys["table"]?.complain(
                "is the collection's own table: the rows are moved to another one, which may be on the same servers")
        }
        return next
    }

    private func readText(_ node: ConfigNode) -> GatewayConfig.TextColumn {
        let keys = node.table(["column", "language"])
        if node.isTable, keys["column"] == nil { node.missing("column") }
        return .init(
            column: keys["column"]?.identifier() ?? "", language: keys["language"]?.identifier() ?? "simple")
    }

    private func readCoarse(_ node: ConfigNode, _ form: VectorForm, _ metric: Metric) -> [CoarseForm] {
        let words = unique(node.list(0...CoarseForm.allCases.count)) { item in
            let coarse = item.choice(CoarseForm.self, or: .binary)
            if !coarse.fits(form) { item.complain("there is no \(coarse.rawValue) form of type \(form.rawValue)") }
            return coarse.rawValue
        }
        return words.compactMap(CoarseForm.init)
    }

    func readCursors(_ node: ConfigNode) -> GatewayConfig.Cursors {
        let keys = node.table(["ttl", "max_bytes", "max_bytes_each"])
        var cursors = GatewayConfig.Cursors()
        if let value = keys["ttl"] { cursors.ttl = value.duration(Self.timeToLive, or: cursors.ttl) }
        if let value = keys["max_bytes"] { cursors.maxBytes = value.bytes(Self.heldBytes, or: cursors.maxBytes) }
        if let value = keys["max_bytes_each"] {
            cursors.maxBytesEach = value.bytes(Self.heldBytes, or: cursors.maxBytesEach)
        }
        return cursors
    }

    func readCache(_ node: ConfigNode) -> GatewayConfig.Cache {
        let keys = node.table(["ttl", "max_bytes"])
        var cache = GatewayConfig.Cache()
        if let value = keys["ttl"] { cache.ttl = value.duration(Self.timeToLive, or: cache.ttl) }
        if let value = keys["max_bytes"] { cache.maxBytes = value.bytes(Self.heldBytes, or: cache.maxBytes) }
        return cache
    }

    func readFreshness(_ node: ConfigNode) -> GatewayConfig.Freshness {
        let keys = node.table(["wait"])
        var freshness = GatewayConfig.Freshness()
        if let value = keys["wait"] {
            freshness.wait = value.duration(.zero...Self.timeouts.upperBound, or: freshness.wait)
        }
        return freshness
    }

    private static var staleness: ClosedRange<Duration> { .zero...Duration.seconds(86_400) }
    private static var timeToLive: ClosedRange<Duration> { .milliseconds(1)...Duration.seconds(86_400) }
    private static var heldBytes: ClosedRange<Int> { 0...(1 << 40) }

    private func readFilterable(_ node: ConfigNode) -> [String: FilterColumnType] {
        node.entries(0...Self.mostColumns).reduce(into: [:]) { types, entry in
            guard (1...63).contains(entry.key.utf8.count), !entry.key.utf8.contains(0) else {
                return entry.value.complain("is not a column: a PostgreSQL identifier has 1 to 63 bytes")
            }
            types[entry.key] = entry.value.choice(FilterColumnType.self, or: .text)
        }
    }

    /// - Parameter isCap: an order has no cap.
    private func readScan(_ node: ConfigNode, isCap: Bool) -> GatewayConfig.Scan {
        let words = ["ef_search", "probes", "max_scan_tuples", "scan_memory_multiplier", "work_mem"]
        let keys = node.table(isCap ? words : words + ["iterative_scan"])
        var scan = GatewayConfig.Scan()
        scan.efSearch = keys["ef_search"]?.integer(1...1_000, or: 40)
        scan.probes = keys["probes"]?.integer(1...32_768, or: 1)
        scan.iterativeScan = keys["iterative_scan"]?.choice(GatewayConfig.Iteration.self, or: .off)
        scan.maxScanTuples = keys["max_scan_tuples"]?.integer(1...2_147_483_647, or: 20_000)
        scan.scanMemoryMultiplier = keys["scan_memory_multiplier"]?.number(1...1_000, or: 1)
        scan.workMem = keys["work_mem"]?.bytes(65_536...2_199_023_254_528, or: 4_194_304)
        return scan
    }

    private func tableName(_ node: ConfigNode?) -> (schema: String, table: String) {
        guard let node, let text = node.text() else { return ("public", "") }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard parts.count <= 2, parts.allSatisfy({ (1...63).contains($0.utf8.count) && !$0.utf8.contains(0) }) else {
            node.complain("must be TABLE or SCHEMA.TABLE, each of 1 to 63 bytes")
            return ("public", "")
        }
        return parts.count == 2 ? (parts[0], parts[1]) : ("public", parts[0])
    }

    private func shardNames(_ node: ConfigNode?, _ known: [String]) -> [String] {
        guard let node else { return known }
        return unique(node.list(1...Self.mostShards)) { item in
            guard let name = item.text() else { return nil }
            if !known.contains(name) {
                item.complain("there is no shard \(item.quoted)" + problems.suggestion(for: name, among: known))
            }
            return name
        }
    }
}
