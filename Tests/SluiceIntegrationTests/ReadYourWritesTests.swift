import Foundation
import SluiceClient
import Synchronization
import Testing

extension PostgreSQL {
    /// 10,000 pairs of a write and a search for it, while one standby replays nothing.
    @Suite(.serialized) struct ReadYourWrites {
        private final class Counts: Sendable {
            let misses = Atomic<Int>(0)
            let failures = Atomic<Int>(0)
        }

        private static let pairs = 10_000

        @Test(arguments: [true, false]) func aTokenShowsWhatWasWritten(_ withToken: Bool) async throws {
            let replicas = try Replicas()
            try await LoadTable.with("read_own", replicas) { table in
                let config = try replicas.config(
                    pool: "{max_size: 8}", extraCollections: table.text,
                    extra: "routing: {prefer: standby}\nfreshness: {wait: 5ms}",
                    samples: false)
                try await withGateway(config) { client, _ in
                    _ = try await client.upsert(table.name, columns: LoadTable.columns, rows: [LoadTable.row(-1)])
                    let arrived = try Slow.waitUntil {
                        try ["s0-b", "s1-b"].allSatisfy {
                            try replicas.query($0, "select count(*) from pg_class where relname = 'read_own'") == "1"
                        }
                    }
                    #expect(arrived)
                    try replicas.superuser("s0-b", "select pg_wal_replay_pause()")
                    defer { _ = try? replicas.superuser("s0-b", "select pg_wal_replay_resume()") }
                    let counts = Counts()
                    await withTaskGroup(of: Void.self) { group in
                        for worker in 0..<8 {
                            group.addTask {
                                for turn in 0..<(withToken ? Self.pairs : Self.pairs / 10) / 8 {
                                    let id = Int64(turn * 8 + worker)
                                    do {
                                        let written = try await client.upsert(
                                            table.name, columns: LoadTable.columns, rows: [LoadTable.row(id)])
                                        let found = try await client.get(
                                            table.name, ids: [id], after: withToken ? written.token : nil)
                                        if found.rows.isEmpty { counts.misses.add(1, ordering: .relaxed) }
                                    } catch {
                                        counts.failures.add(1, ordering: .relaxed)
                                    }
                                }
                            }
                        }
                    }
                    #expect(counts.failures.load(ordering: .relaxed) == 0)
                    let missed = counts.misses.load(ordering: .relaxed)
                    print("read your writes, \(withToken ? "with" : "without") the token: \(missed) misses")
                    #expect(withToken ? missed == 0 : missed > 0)
                }
            }
        }
    }
}
