import Foundation
import SluiceClient
import Synchronization
import Testing

extension PostgreSQL {
    /// Writes go on while a primary is lost and a standby takes its place.
    @Suite(.serialized) struct Promotions {
        /// What writers were told of each id.
        private final class Ledger: Sendable {
            struct State: Sendable {
                var acknowledged: Set<Int64> = []
                var unknown: Set<Int64> = []
                var refused: Set<Int64> = []
                var replicas: Set<String> = []
            }

            let state = Mutex(State())
            private let isOver = Atomic<Bool>(false)
            private let changes = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

            func stop() { isOver.store(true, ordering: .relaxed) }

            func work(_ client: SluiceClient, from first: Int64) async {
                var id = first
                while !isOver.load(ordering: .relaxed) {
                    let report = try? await client.upsert(
                        "items", rows: [LoadRow(id: id, vector: [1, 2, Float(id % 100)])], deadline: .seconds(2))
                    state.withLock { state in
                        switch report?.rows.first {
                        case .inserted, .updated: state.acknowledged.insert(id)
                        case .notApplied, .failed: state.refused.insert(id)
                        default: if report == nil { state.unknown.insert(id) } else { state.unknown.insert(id) }
                        }
                        if report?.isDone == true, let replica = report?.shards.first?.replica {
                            state.replicas.insert(replica)
                        }
                    }
                    changes.continuation.yield()
                    id += 1
                }
            }

            func wait(until condition: (State) -> Bool) async {
                for await _ in changes.stream where condition(state.withLock { $0 }) { return }
            }
        }

        private func promoteUnderLoad(
            isSynchronous: Bool, _ check: (Ledger.State, Set<Int64>) -> Void
        ) async throws {
            try await Replicas.withOwnShard { replicas in
                try replicas.query(
                    "s0-a", "create table public.items (id bigint primary key, embedding vector(3))")
                if isSynchronous {
                    try replicas.superuser(
                        "s0-a",
                        "alter system set synchronous_standby_names = 'FIRST 1 (\"s0_b\", \"s0-b\", s0b, \"*\")'")
                    let names = try replicas.superuser(
                        "s0-a",
                        "select application_name from pg_stat_replication order by 1"
                    ).split(separator: "\n")
                    let first = try #require(names.first { $0.hasSuffix("b") } ?? names.first)
                    try replicas.superuser(
                        "s0-a", "alter system set synchronous_standby_names = 'FIRST 1 (\"\(first)\")'")
                    try replicas.superuser("s0-a", "select pg_reload_conf()")
                }
                let config = try replicas.config(
                    extraCollections: "  - {name: items, table: items, metric: l2, dimensions: 3}",
                    extra: "routing: {probe_interval: 1s}", samples: false)
                try await withGateway(config) { client, _ in
                    let ledger = Ledger()
                    await withTaskGroup(of: Void.self) { group in
                        for writer in 0..<4 {
                            group.addTask { await ledger.work(client, from: Int64(writer) * 1_000_000) }
                        }
                        await ledger.wait { $0.acknowledged.count > 300 }
                        _ = try? replicas.script("kill", "s0-a")
                        _ = try? replicas.superuser("s0-b", "select pg_promote()")
                        await ledger.wait { $0.replicas.contains("s0-b") && $0.acknowledged.count > 600 }
                        ledger.stop()
                    }
                    let ids = try replicas.query("s0-b", "select id from public.items")
                    let present = Set(ids.split(separator: "\n").compactMap { Int64($0) })
                    let state = ledger.state.withLock { $0 }
                    #expect(state.refused.isDisjoint(with: present), "said not to be written, and there")
                    check(state, present)
                }
            }
        }

        @Test func noAcknowledgedWriteIsMissingWithSynchronousReplication() async throws {
            try await promoteUnderLoad(isSynchronous: true) { state, present in
                #expect(state.acknowledged.subtracting(present).isEmpty)
            }
        }

        @Test func everyUncertainWriteIsMarked() async throws {
            try await promoteUnderLoad(isSynchronous: false) { state, present in
                let lost = state.acknowledged.subtracting(present)
                print(
                    "promotion without synchronous replication: \(state.acknowledged.count) acknowledged, "
                        + "\(lost.count) of them lost by PostgreSQL, \(state.unknown.count) unknown, "
                        + "\(state.refused.count) not written")
                #expect(present.subtracting(state.acknowledged).isSubset(of: state.unknown))
            }
        }

        @Test func twoPrimariesAreReadAndNotWritten() async throws {
            try await Replicas.withOwnShard { replicas in
                try replicas.query(
                    "s0-a",
                    "create table public.items (id bigint primary key, embedding vector(3)); "
                        + "insert into public.items values (1, '[1,2,3]')")
                let arrived = try Slow.waitUntil {
                    try replicas.query("s0-b", "select count(*) from pg_class where relname = 'items'") == "1"
                }
                #expect(arrived)
                let config = try replicas.config(
                    extraCollections: "  - {name: items, table: items, metric: l2, dimensions: 3}",
                    extra: "routing: {probe_interval: 1s}", samples: false)
                try await withGateway(config) { client, _ in
                    let row = LoadRow(id: 2, vector: [1, 2, 3])
                    #expect(try await client.upsert("items", rows: [row]).isDone)
                    try replicas.superuser("s0-b", "select pg_promote()")
                    var refused: WriteReport?
                    let clock = ContinuousClock()
                    let limit = clock.now.advanced(by: .seconds(10))
                    while clock.now < limit, refused == nil {
                        let report = try await client.upsert("items", rows: [row], deadline: .milliseconds(500))
                        if report.rows == [.notApplied] { refused = report }
                    }
                    #expect(refused?.shards.first?.message?.contains("both claim to be its primary") == true)
                    let found = try await client.search(
                        SearchQuery(collections: ["items"], vector: [1, 2, 3], k: 1, deadline: .seconds(2)))
                    #expect(found.hits.count == 1)
                }
            }
        }
    }
}
