import Foundation
import SluiceClient
import SluiceGateway
import Testing

extension PostgreSQL {
    /// A collection whose rows are moved from one shard to two, as a gateway sees it.
    @Suite(.serialized) struct Layouts {
        private static let ids: Range<Int64> = 0..<60
        private static let next = ", next: {table: layout_new, shards: [s0, s1]}"

        let replicas: Replicas

        init() throws { replicas = try Replicas() }

        /// The same rows in both layouts, but for their names: those of the old one are `old`.
        private func withTables(_ body: (LoadTable, LoadTable) async throws -> Void) async throws {
            try await LoadTable.with("layout_old", replicas) { old in
                try await LoadTable.with("layout_new", replicas) { new in
                    try fill(old, on: 0, Array(Self.ids), name: "old")
                    for shard in 0..<2 {
                        try fill(new, on: shard, Self.ids.filter { LoadTable.shard(of: $0) == shard }, name: "new")
                    }
                    let drop = "drop table if exists public.sluice_layouts"
                    try onPrimaries(
                        "\(drop); create table public.sluice_layouts (collection text primary key, "
                            + "epoch integer not null, changed_at timestamptz not null default now())")
                    defer { try? onPrimaries("\(drop); drop function if exists public.layout_fence() cascade") }
                    try await body(old, new)
                }
            }
        }

        private func onPrimaries(_ sql: String) throws {
            for shard in replicas.topology.shards { _ = try replicas.query(shard.replicas[0].name, sql) }
        }

        private func fill(_ table: LoadTable, on shard: Int, _ ids: [Int64], name: String) throws {
            let vector = (0..<LoadTable.dimensions).map { "(id + \($0))::int" }.joined(separator: ", ")
            let list = ids.map(String.init).joined(separator: ",")
            _ = try replicas.query(
                replicas.topology.shards[shard].replicas[0].name,
                "insert into public.\(table.name) select id, array[\(vector)]::vector, '\(name)', 1 "
                    + "from unnest('{\(list)}'::bigint[]) id")
        }

        /// What whoever moves the rows says on this shard's primary.
        private func say(epoch: Int, on replica: String) throws {
            _ = try replicas.query(
                replica,
                "insert into public.sluice_layouts values ('moving', \(epoch)) "
                    + "on conflict (collection) do update set epoch = excluded.epoch")
        }

        /// Nobody may write to the table.
        private func fence(_ table: LoadTable) throws {
            try onPrimaries(
                """
                create or replace function public.layout_fence() returns trigger language plpgsql as
                $$ begin raise exception 'the collection is being moved; retry' using errcode = 'SL001'; end $$;
                create trigger layout_fence before insert or update or delete or truncate on public.\(table.name)
                for each statement execute function public.layout_fence()
                """)
        }

        private func config(
            _ more: String = Layouts.next, table: String = "layout_old", shards: String = "[s0]"
        ) throws -> GatewayConfig {
            try replicas.config(
                extraCollections: "  - {name: moving, table: \(table), metric: l2, dimensions: "
                    + "\(LoadTable.dimensions), columns: [name, size], shards: \(shards)\(more)}",
                extra: "routing: {prefer: primary}", samples: false)
        }

        private var query: SearchQuery {
            SearchQuery(
                collections: ["moving"], vector: (0..<LoadTable.dimensions).map { Float(7 + $0) }, k: 5,
                columns: ["name"], deadline: .seconds(20))
        }

        private func served(_ gateway: Gateway) async throws -> GatewayState.Collection {
            try #require(await gateway.state()?.collections.first { $0.name == "moving" })
        }

        private func refusal(of body: () async throws -> Void) async -> SluiceError? {
            do {
                try await body()
                return nil
            } catch {
                return error as? SluiceError
            }
        }

        @Test(.timeLimit(.minutes(2))) func searchesGoOnWhileTheLayoutIsSwitched() async throws {
            try await withTables { _, _ in
                try await withGateway(try config()) { client, gateway in
                    let tally = try await SteadyLoad.run(client, [query], tasks: 4) { load in
                        let hasOld = await load.wait(atMost: .seconds(10)) { $0.names == ["old"] }
                        #expect(hasOld)
                        let before = try await served(gateway)
                        #expect(before.epoch == 1 && before.shards == ["s0"] && before.isReady)
                        #expect(before.move?.nextEpoch == 2 && before.move?.toldEpoch == 1)
                        try say(epoch: 2, on: "s1-a")
                        let hasNew = await load.wait(atMost: .seconds(10)) { $0.names == ["new"] }
                        #expect(hasNew)
                        // The other shard has not heard of it; nothing leads back.
                        let hasOldAgain = await load.wait(atMost: .seconds(3)) { $0.names.contains("old") }
                        #expect(!hasOldAgain)
                    }
                    #expect(tally.failures == [:] && tally.wrong == 0 && tally.late == 0, "\(tally)")
                    let after = try await served(gateway)
                    #expect(after.epoch == 2 && after.shards == ["s0", "s1"] && after.isReady)
                    #expect(after.move?.toldEpoch == 2 && after.move?.complaint == nil)

                    // As the operator writes it down afterwards.
                    let own = try config(", epoch: 2", table: "layout_new", shards: "[s0, s1]")
                    #expect(await gateway.reload(own) == [])
                    #expect(try await client.search(query).names == ["new"])
                    let settled = try await served(gateway)
                    #expect(settled.epoch == 2 && settled.move == nil)
                }
            }
        }

        @Test(.timeLimit(.minutes(2))) func aGatewayThatStartsServesWhatTheDatabasesSay() async throws {
            try await withTables { _, _ in
                try await withGateway(try config()) { (client, gateway) async throws in
                    #expect(try await client.search(query).names == ["old"])
                    #expect(try await served(gateway).epoch == 1)
                }
                try say(epoch: 2, on: "s0-a")
                try await withGateway(try config()) { (client, gateway) async throws in
                    #expect(try await client.search(query).names == ["new"])
                    #expect(try await served(gateway).epoch == 2)
                }
                try say(epoch: 7, on: "s0-a")
                try await withGateway(try config()) { client, gateway in
                    #expect(await code(of: { _ = try await client.search(query) }) == .unavailable)
                    let collection = try await served(gateway)
                    #expect(collection.epoch == nil && !collection.isReady)
                    #expect(collection.move?.complaint?.contains("say epoch 7") == true)
                }
            }
        }

        @Test(.timeLimit(.minutes(2))) func withoutTheTableTheConfigurationsOwnLayoutIsServed() async throws {
            try await withTables { _, _ in
                try onPrimaries("drop table public.sluice_layouts")
                try await withGateway(try config()) { client, gateway in
                    #expect(try await client.search(query).names == ["old"])
                    let collection = try await served(gateway)
                    #expect(collection.epoch == 1 && collection.isReady && collection.move?.complaint == nil)
                }
            }
        }

        @Test(.timeLimit(.minutes(2))) func aNextLayoutCanComeToAGatewayThatRuns() async throws {
            try await withTables { _, _ in
                try await withGateway(try config("")) { client, gateway in
                    let tally = try await SteadyLoad.run(client, [query], tasks: 2) { load in
                        #expect(await gateway.reload(try config()) == [])
                        try say(epoch: 2, on: "s0-a")
                        let hasNew = await load.wait(atMost: .seconds(10)) { $0.names == ["new"] }
                        #expect(hasNew)
                    }
                    #expect(tally.failures == [:] && tally.wrong == 0, "\(tally)")
                }
            }
        }

        @Test(.timeLimit(.minutes(2))) func writesAreToldToComeAgainUntilTheLayoutIsSwitched() async throws {
            try await withTables { old, new in
                try await withGateway(try config()) { client, _ in
                    let rows = (Int64(1_500)..<1_540).map(LoadTable.row)
                    func upsert() async -> SluiceError? {
                        await refusal {
                            _ = try await client.upsert("moving", columns: LoadTable.columns, rows: rows)
                        }
                    }
                    func load(_ mode: LoadOptions.Mode) async -> SluiceError.Code? {
                        var options = LoadOptions()
                        options.mode = mode
                        options.skipBad = mode == .append ? 10 : 0
                        return await refusal {
                            _ = try await client.load(
                                "moving", columns: LoadTable.columns, rows: LoadTable.rows(2_000..<2_100),
                                options: options)
                        }?.code
                    }
                    #expect(await upsert() == nil)
                    try fence(old)
                    let refused = await upsert()
                    #expect(refused?.code == .busy && refused?.isRetryable == true)
                    #expect(refused?.retryAfter == .milliseconds(250))
                    #expect(await code(of: { _ = try await client.delete("moving", ids: [1_500]) }) == .busy)
                    #expect(await load(.append) == .busy)
                    #expect(await load(.upsert) == .busy)
                    #expect(try old.counts() == [Self.ids.count + 40, 0])
                    #expect(try await client.search(query).names == ["old"], "reading goes on")

                    try say(epoch: 2, on: "s0-a")
                    // Each refusal has the gateway look again.
                    while let error = await upsert() {
                        #expect(error.code == .busy)
                        if error.code != .busy { break }
                    }
                    #expect(try new.counts(1_500..<1_540) == new.expected(1_500..<1_540))
                    #expect(await load(.append) == nil)
                    #expect(try new.counts(2_000..<2_100) == new.expected(2_000..<2_100))
                }
            }
        }

        @Test(.timeLimit(.minutes(2))) func theDoctorSaysThatTheRowsHaveBeenMoved() async throws {
            try await withTables { _, _ in
                func said(_ config: GatewayConfig) async throws -> [String] {
                    try await Examination.run(config, .everything).findings.map(\.description)
                        .filter { $0.contains("`epoch`") || $0.contains("`next`") }
                }
                #expect(try await said(config()) == [])
                #expect(try await said(config("")) == [])
                try onPrimaries("insert into public.sluice_layouts values ('moving', 2)")
                let unaware = try await said(config(""))
                #expect(unaware.count == 1 && unaware[0].hasPrefix("error: moving on s0/s0-a: `epoch`: "))
                let aware = try await said(config())
                #expect(aware.count == 1 && aware[0].hasPrefix("warning: moving on s0/s0-a: `next`: "))
            }
        }
    }
}

extension SearchReply {
    /// That its hits have; each once.
    fileprivate var names: Set<String> {
        Set(
            hits.compactMap { hit in
                guard case .string(let name) = hit.columns["name"] else { return nil }
                return name
            })
    }
}
