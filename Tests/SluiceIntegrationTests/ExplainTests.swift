import Foundation
import SluiceAdmin
import SluiceClient
import SluiceGateway
import Testing

extension PostgreSQL {
    /// Plans of slow searches, directly and through PgBouncer. Here every search is slow, and each may be explained.
    @Suite(.serialized) struct Explaining {
        private struct NoPlan: Error {}

        private static let log = "log: {level: trace, slow_search: 1us, explain_one_in: 1}"
        private static let collection =
            "  - {name: explained, table: explained, metric: l2, dimensions: 3, shards: [s0], "
            + "filterable: {name: text, size: int}}"
        private static let component: Float = 0.27182818
        private static let vector: [Float] = [component, 1, 2]

        /// 3,000 rows, with an index of the vectors and one of `size`.
        private func withTable(_ replicas: Replicas, _ body: () async throws -> Void) async throws {
            _ = try replicas.query(
                "s0-a",
                """
                set client_min_messages = error; drop table if exists public.explained;
                create table public.explained
                    (id bigint primary key, embedding vector(3) not null, name text, size int);
                insert into public.explained
                    select i, array[i, 1, 2]::vector, 'name ' || i, i % 1000 from generate_series(1, 3000) i;
                create index explained_hnsw on public.explained using hnsw (embedding vector_l2_ops);
                create index explained_size on public.explained (size);
                analyze public.explained
                """)
            defer { _ = try? replicas.query("s0-a", "drop table if exists public.explained") }
            try await body()
        }

        private func with(
            _ replicas: Replicas, throughPoolers: Bool, _ body: (SluiceClient, Gateway) async throws -> Void
        ) async throws {
            let config = try replicas.config(
                extraCollections: Self.collection, extra: Self.log, throughPoolers: throughPoolers, samples: false,
                replicas: { $0.name.hasSuffix("-a") })
            try await withTable(replicas) { try await withGateway(config, body) }
        }

        /// Asks until such a search has been looked into: only one a second is.
        private func plan(
            _ client: SluiceClient, _ gateway: Gateway, _ query: SearchQuery
        ) async throws -> GatewayJournal.Plan {
            let before = gateway.journal.slowSearches.last?.number ?? 0
            let clock = ContinuousClock()
            let limit = clock.now.advanced(by: .seconds(15))
            while clock.now < limit {
                _ = try await client.search(query)
                let plans = gateway.journal.slowSearches.filter { $0.number > before }.compactMap(\.plan)
                if let plan = plans.last { return plan }
            }
            throw NoPlan()
        }

        private func query(efSearch: Int? = nil) -> SearchQuery {
            SearchQuery(collections: ["explained"], vector: Self.vector, k: 5, efSearch: efSearch)
        }

        @Test(arguments: [false, true]) func theIndexIsSeenToBeUsed(throughPoolers: Bool) async throws {
            try await with(Replicas(), throughPoolers: throughPoolers) { client, gateway in
                let plan = try await plan(client, gateway, query())
                #expect(plan.steps == "Limit > Index Scan using explained_hnsw")
                #expect(plan.indexUsed == "vector" && !plan.isIndexMissed)
                #expect(plan.collection == "explained" && plan.shard == "s0" && plan.replica == "s0-a")
                #expect(plan.estimatedRows == 5 && plan.estimatedCost > 0)
                #expect(gateway.journal.events.filter { $0.kind == "plan" } == [])
            }
        }

        /// With so wide a search the table is cheaper to read, by the planner's reckoning.
        @Test(arguments: [false, true]) func theSettingsAreTheSearchesOwn(throughPoolers: Bool) async throws {
            try await with(Replicas(), throughPoolers: throughPoolers) { client, gateway in
                let wide = try await plan(client, gateway, query(efSearch: 1_000))
                #expect(wide.indexUsed == "none" && wide.isIndexMissed && wide.steps == "Limit > Sort > Seq Scan")
                let usual = try await plan(client, gateway, query())
                #expect(usual.indexUsed == "vector" && !usual.isIndexMissed)
                let events = gateway.journal.events.filter { $0.kind == "plan" }.map(\.text)
                #expect(
                    events == [
                        "slow searches of explained use no index", "slow searches of explained use an index again",
                    ])
            }
        }

        /// The planner knows the filter's value.
        @Test(arguments: [false, true]) func anotherIndexIsTold(throughPoolers: Bool) async throws {
            try await with(Replicas(), throughPoolers: throughPoolers) { client, gateway in
                var few = query()
                few.filter = .column("size") == 7
                let plan = try await plan(client, gateway, few)
                #expect(plan.indexUsed == "other" && !plan.isIndexMissed, "\(plan)")
                #expect(plan.steps.hasSuffix(" using explained_size"))
            }
        }

        @Test func anIndexThatIsGoneIsMissed() async throws {
            let replicas = try Replicas()
            try await with(replicas, throughPoolers: false) { client, gateway in
                _ = try replicas.query("s0-a", "drop index public.explained_hnsw")
                let plan = try await plan(client, gateway, query())
                #expect(plan.indexUsed == "none" && plan.isIndexMissed)
            }
        }

        /// A value that no row has makes the planner read the table, and shows in the plan that the server sends.
        @Test(arguments: [false, true]) func nothingOfTheSearchIsTold(throughPoolers: Bool) async throws {
            let replicas = try Replicas()
            let canary = "canary-\(UUID().uuidString.prefix(8).lowercased())"
            var text = replicas.text(extra: Self.collection + "\n" + Self.log) { replica in
                guard replica.name.hasSuffix("-a") else { return nil }
                return "host=127.0.0.1 port=\(replica.port + (throughPoolers ? 1_000 : 0))"
            }
            if throughPoolers {
                text = text.replacing("password_file:", with: "pooler: transaction, password_file:")
            }
            try await withTable(replicas) {
                try await withRealGateway(text, hasAdmin: true) { gateway in
                    let isTold = try Slow.waitUntil {
                        let found = try gateway.run(
                            "search", "--collection", "explained", "--vector", "[\(Self.component),1,2]", "--filter",
                            "name = '\(canary)'")
                        #expect(found.code == 0, "\(found.errors)")
                        return gateway.log.contains("a slow search did not use the index")
                    }
                    #expect(isTold)
                    let lines = gateway.log.split(separator: "\n")
                    let line = try #require(lines.first { $0.contains("a slow search did not use the index") })
                    #expect(line.contains(" warning ") && line.contains("plan=Limit > Sort > Seq Scan"))
                    #expect(line.contains("collection=explained") && line.contains("replica=s0-a"))
                    let admin = try #require(gateway.admin)
                    let journal = try await admin.get("/api/v1/journal").body
                    #expect(journal.contains("\"index_used\":\"none\"") && journal.contains("\"kind\":\"plan\""))
                    let metrics = try await admin.get("/metrics").body
                    #expect(
                        metrics.contains(
                            /sluice_explained_total\{collection="explained",index_used="none"\} [1-9]/))
                    let frame = try await admin.get("/api/v1/frame").body
                    for shown in [gateway.log, journal, metrics, frame] {
                        #expect(!shown.contains(canary) && !shown.contains("0.2718"))
                    }
                }
            }
        }
    }
}
