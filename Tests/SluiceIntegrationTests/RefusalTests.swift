import SluiceClient
import Testing

extension PostgreSQL {
    /// What the gateway refuses by what it knows of its collections: PostgreSQL sees nothing of it.
    @Suite struct Refusals {
        private static let application = "refusals"

        private typealias Change = @Sendable (inout SearchQuery) -> Void

        private static let cases: [(code: SluiceError.Code, word: String, change: Change)] = [
            (.invalidArgument, "k is 1001", { $0.k = 1_001 }),
            (.invalidArgument, "k is 1001", { $0.overrides = ["programs": .init(k: 1_001)] }),
            (.invalidArgument, "ef_search is 0", { $0.efSearch = 0 }),
            (.invalidArgument, "ef_search is 1001", { $0.efSearch = 1_001 }),
            (.unknownCollection, "nowhere", { $0.collections = ["programs", "nowhere"] }),
            (.unknownColumn, "colour", { $0.columns = ["name", "colour"] }),
            (.unknownColumn, "colour", { $0.overrides = ["programs": .init(columns: ["colour"])] }),
            (.invalidArgument, "\"name\" is asked for twice", { $0.columns = ["name", "name"] }),
            (.dimensionMismatch, "384", { $0.target = .vector(.float([1, 2])) }),
            (.invalidArgument, "halfvec", { $0.target = .vector(.half(Array(repeating: 1, count: 384))) }),
            (.invalidArgument, "bit", { $0.target = .vector(.bits(Array(repeating: true, count: 384))) }),
            (.invalidArgument, "\"installed_kib\" is int", { $0.filter = .column("installed_kib") == "many" }),
            (.unknownColumn, "colour", { $0.filter = !.column("colour").isNull }),
            (.invalidArgument, "l2", { $0.collections = ["programs", "capped"] }),
            (.modelMismatch, "mini", { capped(&$0) { $0.model = "maxi" } }),
            (.invalidArgument, "ef_search is 101", { capped(&$0) { $0.efSearch = 101 } }),
            (.invalidArgument, "probes is 11", { capped(&$0) { $0.settings.probes = 11 } }),
            (.invalidArgument, "max_scan_tuples is 5001", { capped(&$0) { $0.settings.maxScanTuples = 5_001 } }),
            (.invalidArgument, "scan_memory_multiplier", { capped(&$0) { $0.settings.scanMemoryMultiplier = 3 } }),
            (.invalidArgument, "work_mem_kib is 1025", { capped(&$0) { $0.settings.workMemKiB = 1_025 } }),
        ]

        private static func capped(_ query: inout SearchQuery, _ change: (inout SearchQuery) -> Void) {
            query.collections = ["capped"]
            change(&query)
        }

        /// When each of the gateway's connections was last asked something.
        private static func asked(_ replicas: Replicas) throws -> [String] {
            try replicas.topology.shards.flatMap(\.replicas).map { replica in
                try replicas.query(
                    replica.name,
                    "select pid, query_start, state_change, state from pg_stat_activity "
                        + "where application_name = '\(application)' order by pid")
            }
        }

        @Test(.timeLimit(.minutes(1))) func nothingIsSentForThem() async throws {
            let replicas = try Replicas()
            let config = try replicas.config(
                pool: "{min_size: 1, max_size: 1}",
                extraCollections: "  - {name: capped, table: programs, metric: l2, dimensions: 384, model: mini, caps: "
                    + "{ef_search: 100, probes: 10, max_scan_tuples: 5000, scan_memory_multiplier: 2, work_mem: 1MiB}}",
                extra: "routing: {probe_interval: 1h}",
                dsn: {
                    "host=127.0.0.1 port=\($0.port) dbname=sluice user=sluice application_name=\(Self.application)"
                })
            try await withGateway(config) { client, _ in
                let good = SearchQuery(collections: ["programs"], vector: Slow.vector, k: 3)
                // Until the gateway has looked at all its replicas.
                var before = try Self.asked(replicas)
                while true {
                    let now = try Self.asked(replicas)
                    if now == before, !now.contains("") { break }
                    before = now
                }
                for (code, word, change) in Self.cases {
                    var query = good
                    change(&query)
                    await #expect("\(word)") { try await client.search(query) } throws: { error in
                        guard let error = error as? SluiceError else { return false }
                        return error.code == code && error.message.contains(word) && error.legs.isEmpty
                    }
                }
                #expect(try Self.asked(replicas) == before)
                _ = try await client.search(good)
                #expect(try Self.asked(replicas) != before, "a search is seen")
            }
        }
    }
}
