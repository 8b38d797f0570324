import Foundation
import SluiceCore
import SluiceGateway
import Synchronization
import Testing

/// A collection's table on both shards' primaries with some rows, to be moved to another table; both are gone after it.
struct MovedTable: Sendable {
    static let primaries = ["s0-a", "s1-a"]

    let name: String
    let replicas: Replicas
    /// A configuration whose collection is the old table.
    let file: String

    var new: String { "\(name)_e2" }

    static func with(
        _ name: String, rows: Range<Int64> = 0..<600, _ body: (MovedTable) async throws -> Void
    ) async throws {
        let replicas = try Replicas()
        let file = FileManager.default.temporaryDirectory.appending(path: "sluice-\(name)-\(UUID().uuidString).yaml")
        let table = MovedTable(name: name, replicas: replicas, file: file.path)
        try table.clear()
        for server in primaries {
            try replicas.query(
                server,
                """
                create table public.\(name) (id bigint primary key, embedding vector(3) not null, name text,
                size int check (size < 1000000), words tsvector generated always as
                (to_tsvector('simple', coalesce(name, ''))) stored);
                create index \(name)_near on public.\(name) using hnsw (embedding vector_l2_ops) with (m = 8);
                create index \(name)_size on public.\(name) (size) where size > 10
                """)
        }
        try table.insert(rows)
        try Data(table.config(table: name, shards: "s0, s1").utf8).write(to: file)
        do {
            try await body(table)
        } catch {
            try? table.clear()
            throw error
        }
        try table.clear()
        try FileManager.default.removeItem(at: file)
    }

    func config(table: String, shards: String) -> String {
        replicas.text(
            extra: "  - {name: \(name), table: \(table), metric: l2, dimensions: 3, columns: [name, size], "
                + "shards: [\(shards)]}\n",
            dsn: { Self.primaries.contains($0.name) ? "host=127.0.0.1 port=\($0.port)" : nil })
    }

    /// Of whatever moves have left, too.
    private func clear() throws {
        for server in Self.primaries {
            _ = try replicas.query(
                server,
                """
                set client_min_messages = error; drop table if exists public.\(name), public.\(new);
                do $$ declare each text; begin
                if to_regclass('public.sluice_layouts') is not null then
                    delete from public.sluice_layouts where collection = '\(name)';
                end if;
                if to_regclass('sluice_gateway.sluice_reshard_state') is not null then
                    delete from sluice_gateway.sluice_reshard_state where collection = '\(name)';
                end if;
                for each in select oid::regprocedure from pg_proc where proname like 'sluice_reshard_note_%' loop
                    execute 'drop function ' || each;
                end loop;
                for each in select oid::regclass from pg_class where relname like 'sluice_reshard_log_%'
                    and relkind = 'r' loop
                    execute 'drop table ' || each;
                end loop;
                end $$
                """)
        }
    }

    static func shard(of id: Int64) -> Int { HashPlacement(shardCount: 2)?.shard(of: id) ?? 0 }

    /// Where the old layout has them.
    func insert(_ ids: Range<Int64>) throws {
        for (shard, server) in Self.primaries.enumerated() {
            let list = ids.filter { Self.shard(of: $0) == shard }.map(String.init).joined(separator: ",")
            _ = try replicas.query(
                server,
                """
                insert into public.\(name) (id, embedding, name, size)
                select id, array[id, 1, -id]::real[]::vector, case when id % 7 > 0 then 'row ' || id end, id % 1000
                from unnest('{\(list)}'::bigint[]) id
                """)
        }
    }

    /// One statement on the shard that has the id.
    func change(_ id: Int64, _ sql: String) throws {
        _ = try replicas.query(Self.primaries[Self.shard(of: id)], sql)
    }

    /// Every row as text, in the order of the ids, with the place in `primaries` of the server that has it.
    func rows(of table: String) throws -> [(id: Int64, text: String, server: Int)] {
        var rows: [(id: Int64, text: String, server: Int)] = []
        for (place, server) in Self.primaries.enumerated() {
            let text = try replicas.query(server, "select id, t::text from public.\(table) t")
            for line in text.split(whereSeparator: \.isNewline) {
                let id = try #require(Int64(line.prefix { $0 != "|" }))
                rows.append((id, String(line), place))
            }
        }
        return rows.sorted { $0.id < $1.id }
    }

    /// Both tables have the same rows, and the new one has each where the new layout, s1 before s0, wants it.
    func expectMoved() throws {
        let (old, new) = (try rows(of: name), try rows(of: self.new))
        #expect(old.map(\.text) == new.map(\.text))
        #expect(!new.isEmpty && new.allSatisfy { $0.server == 1 - Self.shard(of: $0.id) })
    }

    func request() -> ReshardRequest {
        var request = ReshardRequest(configPath: file, environment: [:], collection: name)
        (request.shards, request.table) = (["s1", "s0"], new)
        request.batch = 20
        request.gatewayTime = .milliseconds(100)
        return request
    }

    func run(_ progress: @escaping @Sendable (ReshardProgress) -> Void = { _ in }) async throws -> ReshardSummary {
        try await GatewayMain.reshardRun(request(), progress: progress)
    }

    /// Runs it until some batches are copied, or so much of another phase is reported.
    func runInterrupted(in phase: String = "copy", after reports: Int = 3) async throws -> ReshardSummary {
        let interruption = Interruption(after: reports)
        let request = request()
        let task = Task {
            try await GatewayMain.reshardRun(request) { if $0.phase == phase { interruption.reported() } }
        }
        interruption.set(task)
        return try await task.value
    }

    /// Of the kept record; nil if there is none.
    var phase: String? {
        get throws {
            let isThere = "select to_regclass('sluice_gateway.sluice_reshard_state') is not null"
            guard try replicas.query("s0-a", isThere) == "t" else { return nil }
            let text = try replicas.query(
                "s0-a", "select phase from sluice_gateway.sluice_reshard_state where collection = '\(name)'")
            return text.isEmpty ? nil : text
        }
    }

    /// Has the record say less, or more, than was done.
    func setPhase(_ phase: String) throws {
        _ = try replicas.query(
            "s0-a",
            """
            update sluice_gateway.sluice_reshard_state set phase = '\(phase)',
            state = jsonb_set(state, '{record,phase}', '"\(phase)"') where collection = '\(name)'
            """)
    }

    /// Puts a difference into the new table on the server that has the id.
    func plant(_ sql: String, at id: Int64) throws {
        _ = try replicas.query(
            Self.primaries[1 - Self.shard(of: id)], "set sluice.resharding = 'on'; \(sql)")
    }
}

/// Cancels a run after so many reports, or as soon afterwards as it is known.
private final class Interruption: Sendable {
    private let most: Int
    private let state = Mutex<(reports: Int, task: Task<ReshardSummary, any Error>?)>((0, nil))

    init(after reports: Int) { most = reports }

    func set(_ task: Task<ReshardSummary, any Error>) { state.withLock { $0.task = task } }

    func reported() {
        let task = state.withLock { state in
            state.reports += 1
            return state.reports >= most ? state.task : nil
        }
        task?.cancel()
    }
}
