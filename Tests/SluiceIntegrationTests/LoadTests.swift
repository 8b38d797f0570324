import Foundation
import NIOCore
import SluiceClient
import SluiceGateway
import SluiceWire
import Synchronization
import Testing

extension PostgreSQL {
    @Suite(.serialized) struct Loads {
        private func withTable(
            _ name: String, extra: String = "", _ body: (SluiceClient, LoadTable) async throws -> Void
        ) async throws {
            let replicas = try Replicas()
            try await LoadTable.with(name, replicas) { table in
                let config = try replicas.config(extraCollections: table.text, extra: extra, samples: false)
                try await withGateway(config) { client, _ in try await body(client, table) }
            }
        }

        private func load(
            _ client: SluiceClient, _ table: LoadTable, _ ids: Range<Int64>,
            _ change: (inout LoadOptions) -> Void = { _ in }
        ) async throws -> LoadReport {
            var options = LoadOptions()
            change(&options)
            return try await client.load(
                table.name, columns: LoadTable.columns, rows: LoadTable.rows(ids), options: options)
        }

        private func load(
            _ client: SluiceClient, _ table: LoadTable, _ rows: [LoadRow], skipBad: Int = 0
        ) async throws -> LoadReport {
            var options = LoadOptions()
            options.skipBad = skipBad
            return try await client.load(
                table.name, columns: LoadTable.columns, rows: Listed(rows), options: options)
        }

        @Test func rowsLieWherePostgresWouldPutThem() async throws {
            try await withTable("load_placed") { client, table in
                let report = try await load(client, table, -5_000..<20_000)
                #expect(report.rows == 25_000 && report.badRowCount == 0)
                #expect(try table.counts() == table.expected(-5_000..<20_000))
                for (place, shard) in table.replicas.topology.shards.enumerated() {
                    let primary = shard.replicas[0].name
                    _ = try table.replicas.query(
                        primary, "create table if not exists public.placing (id bigint) partition by hash (id)")
                    defer { _ = try? table.replicas.query(primary, "drop table public.placing") }
                    let strangers = try table.replicas.query(
                        primary,
                        "select count(*) from public.load_placed where not "
                            + "satisfies_hash_partition('public.placing'::regclass, 2, \(place), id)")
                    #expect(strangers == "0")
                }
                let row = try table.replicas.query(
                    report.shards[0].replica ?? "",
                    "select id, embedding, name, size from public.load_placed where size = 7 order by id limit 1")
                let id = try #require(row.split(separator: "|").first.flatMap { Int64($0) })
                let found = try await client.search(
                    SearchQuery(
                        collections: [table.name], vector: (Int64(0)..<8).map { Float((id + $0) % 1_000) }, k: 1,
                        exact: true))
                #expect(found.hits.first?.distance == 0)
            }
        }

        /// More than a load may hold, all of it for one shard, before the first row for the other.
        @Test func rowsThatComeShardByShardDoNotStall() async throws {
            try await withTable("load_sorted") { client, table in
                let filler = String(repeating: "x", count: 20_000)
                let rows = (Int64(0)..<2_000).sorted { LoadTable.shard(of: $0) < LoadTable.shard(of: $1) }
                    .map { id in
                        var row = LoadTable.row(id)
                        row.values[0] = .text(filler)
                        return row
                    }
                let report = try await load(client, table, rows)
                let counts = try table.counts()
                let expected = try table.expected(0..<2_000)
                #expect(report.rows == 2_000 && counts == expected)
            }
        }

        @Test func theModesDoWhatTheySay() async throws {
            try await withTable("load_modes") { client, table in
                _ = try await load(client, table, 0..<1_000)
                await #expect(throws: SluiceError.self) { _ = try await load(client, table, 500..<1_500) }
                #expect(try table.counts().reduce(0, +) == 1_000)
                var changed = LoadTable.row(5)
                changed.values[0] = .text("changed")
                var options = LoadOptions()
                options.mode = .upsert
                let merged = try await client.load(
                    table.name, columns: LoadTable.columns, rows: Listed([changed, LoadTable.row(5_000)]),
                    options: options)
                #expect(merged.rows == 2)
                #expect(try table.counts().reduce(0, +) == 1_001)
                let rows = try await client.get(table.name, ids: [5], columns: ["name"])
                #expect(rows.rows.first?.columns["name"] == Value.string("changed"))
                let replaced = try await load(client, table, 10_000..<10_300) {
                    $0.mode = .replace
                    $0.buildIndex = true
                }
                #expect(replaced.rows == 300 && replaced.index == .built)
                #expect(try table.counts() == table.expected(10_000..<10_300))
                let again = try await load(client, table, 10_000..<10_200) {
                    $0.mode = .replace
                    $0.buildIndex = true
                }
                #expect(again.rows == 200 && again.index == .wasThere)
                for shard in table.replicas.topology.shards {
                    let names = try table.replicas.query(
                        shard.replicas[0].name,
                        "select string_agg(indexname, ',' order by indexname) from pg_indexes "
                            + "where tablename = '\(table.name)'")
                    #expect(names == "load_modes_embedding_hnsw,load_modes_pkey")
                    let leftovers = try table.replicas.query(
                        shard.replicas[0].name,
                        "select count(*) from pg_class where relname like 'sluice\\_%' "
                            + "and relnamespace is distinct from to_regnamespace('sluice_gateway')")
                    #expect(leftovers == "0")
                }
            }
        }

        @Test func aLoadThatIsRepeatedDoesNothingTwice() async throws {
            try await withTable("load_again") { client, table in
                let id = WriteKey.random()
                let first = try await load(client, table, 0..<2_000) { $0.id = id }
                let second = try await load(client, table, 0..<2_000) { $0.id = id }
                #expect(first.shards.allSatisfy { $0.outcome == .committed })
                #expect(second.shards.allSatisfy { $0.outcome == .already })
                #expect(second.rows == 2_000)
                #expect(try table.counts() == table.expected(0..<2_000))
            }
        }

        @Test(arguments: BadRowCase.all)
        func aBadRowIsNamedAndNothingIsLoaded(_ bad: BadRowCase) async throws {
            try await withTable("load_bad") { client, table in
                _ = try await load(client, table, 100_000..<100_010)
                var rows = (Int64(0)..<3_000).map(LoadTable.row)
                rows[1_234] = bad.row
                let error = await #expect(throws: SluiceError.self) { _ = try await load(client, table, rows) }
                #expect(error?.load?.badRows.first?.row == 1_234, "\(String(describing: error))")
                #expect(error?.message.contains(bad.words) == true, "\(error?.message ?? "")")
                #expect(error?.message.contains("secret") == false)
                #expect(try table.counts().reduce(0, +) == 10)
                let report = try await load(client, table, rows, skipBad: 1)
                #expect(report.badRows.map(\.row) == [1_234] && report.rows == 2_999)
                #expect(try table.counts().reduce(0, +) == 3_009)
            }
        }

        @Test func whatCannotBeLoadedIsRefused() async throws {
            try await withTable("load_refused") { client, table in
                let empty = Listed<LoadRow>([])
                func code(_ collection: String, _ columns: [String]) async -> SluiceError.Code? {
                    await #expect(throws: SluiceError.self) {
                        _ = try await client.load(collection, columns: columns, rows: empty)
                    }?.code
                }
                #expect(await code("nowhere", []) == .unknownCollection)
                #expect(await code(table.name, ["nothing"]) == .unknownColumn)
                #expect(await code(table.name, ["id"]) == .invalidArgument)
                let none = try await client.load(table.name, rows: empty)
                #expect(none.rows == 0)
            }
        }

        @Test func aCollectionWithoutAPrimaryTakesNothing() async throws {
            let replicas = try Replicas()
            try await LoadTable.with("load_orphan", replicas) { table in
                let config = try replicas.config(
                    extraCollections: table.text, samples: false, replicas: { $0.name.hasSuffix("b") })
                try await withGateway(config) { client, _ in
                    let error = await #expect(throws: SluiceError.self) {
                        _ = try await client.load(
                            table.name, columns: LoadTable.columns, rows: LoadTable.rows(0..<10))
                    }
                    #expect(error?.code == .unavailable)
                    let write = await #expect(throws: SluiceError.self) {
                        _ = try await client.upsert(
                            table.name, columns: LoadTable.columns, rows: [LoadTable.row(1)], deadline: .seconds(1))
                    }
                    #expect(write?.code == .unavailable || write?.code == .deadlineExceeded)
                }
            }
        }

        @Test func aCancelledLoadLeavesNothing() async throws {
            try await withTable("load_cancelled") { client, table in
                let (started, signal) = AsyncStream.makeStream(of: Void.self)
                let endless = AsyncStream<LoadRow> { continuation in
                    let feeder = Task {
                        var id: Int64 = 0
                        while !Task.isCancelled {
                            continuation.yield(LoadTable.row(id))
                            id += 1
                            if id % 1_000 == 0 { await Task.yield() }
                        }
                    }
                    continuation.onTermination = { _ in feeder.cancel() }
                }
                let loading = Task {
                    try await client.load(table.name, columns: LoadTable.columns, rows: endless) { progress in
                        if progress.done > 0 { signal.yield() }
                    }
                }
                for await _ in started { break }
                loading.cancel()
                let result = await loading.result
                #expect(throws: (any Error).self) { try result.get() }
                let isFree = try Slow.waitUntil { try table.lockHolders() == 0 }
                #expect(isFree)
                #expect(try table.counts() == [0, 0])
            }
        }

        @Test func moreThanTheCreditEndsTheSession() async throws {
            let replicas = try Replicas()
            try await LoadTable.with("load_greedy", replicas) { table in
                let config = try replicas.config(extraCollections: table.text, samples: false)
                try await withGateway(config) { _, gateway in
                    let session = try await RawSession(gateway)
                    let request = LoadRequest(
                        collection: table.name, columns: LoadTable.columns, loadID: RequestKey(high: 1, low: 7))
                    // Before there is any.
                    try await session.send([
                        RawSession.frame(.load, 1) { request.encode(into: &$0) },
                        RawSession.frame(.loadRows, 1) { $0.writeRepeatingByte(0, count: 100) },
                    ])
                    var frame = try await session.next()
                    // A result would mean that there was credit already: no reason to wait for ever.
                    while ![.error, .loadResult].contains(frame.kind) { frame = try await session.next() }
                    #expect(frame.kind == .error && frame.requestID == 0)
                    #expect(try ErrorReply(decoding: frame.payload).code == .protocolViolation)
                    let isFree = try Slow.waitUntil { try table.lockHolders() == 0 }
                    #expect(isFree)
                }
            }
        }

        @Test func aRowThatClaimsTwoGibibytesIsMalformed() async throws {
            let replicas = try Replicas()
            try await LoadTable.with("load_claim", replicas) { table in
                let config = try replicas.config(extraCollections: table.text, samples: false)
                try await withGateway(config) { _, gateway in
                    let session = try await RawSession(gateway)
                    let request = LoadRequest(
                        collection: table.name, columns: LoadTable.columns, loadID: RequestKey(high: 2, low: 7))
                    try await session.send(.load, 1) { request.encode(into: &$0) }
                    #expect(try await session.next().kind == .loadReady)
                    try await session.send(.loadRows, 1) { $0.writeMultipleIntegers(UInt32(1) << 31, Int64(5)) }
                    var frame = try await session.next()
                    while frame.kind != .loadResult { frame = try await session.next() }
                    #expect(try LoadResult(decoding: frame.payload).error?.code == .malformed)
                    #expect(try table.counts() == [0, 0])
                    try await session.close()
                }
            }
        }
    }
}

/// A row that cannot be stored, and what the error says of it.
struct BadRowCase: Sendable, CustomTestStringConvertible {
    var row: LoadRow
    var words: String
    var testDescription: String { words }

    private static func row(
        vector: [Float]? = Array(repeating: 1, count: 8), _ values: [Filter.Value?] = [.text("secret"), .int(1)]
    ) -> LoadRow {
        LoadRow(id: 1_234, vector: vector.map { .float($0) }, values: values)
    }

    static let all = [
        BadRowCase(row: row(vector: [1, 2, 3]), words: "3 dimensions, the collection has 8"),
        BadRowCase(row: row(vector: [1, 2, 3, 4, 5, 6, 7, .nan]), words: "not a finite number"),
        BadRowCase(row: row(vector: [1, 2, 3, 4, 5, 6, 7, .infinity]), words: "not a finite number"),
        BadRowCase(row: row(vector: nil), words: "no vector"),
        BadRowCase(row: row([.text("secret"), .text("secret")]), words: "\"size\" takes an integer"),
        BadRowCase(row: row([.text("secret"), .int(1 << 40)]), words: "out of the range"),
        BadRowCase(row: row([.text("secret")]), words: "not an id, a vector and 2 values"),
        BadRowCase(row: row([.text("secret"), .int(1_000_000)]), words: "a check"),
        BadRowCase(row: LoadTable.row(77), words: "an id is there twice"),
        BadRowCase(row: LoadTable.row(100_003), words: "an id is there twice"),
    ]
}
