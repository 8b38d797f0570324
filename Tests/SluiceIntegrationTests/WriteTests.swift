import SluiceClient
import Testing

extension PostgreSQL {
    /// Small writes: what became of each row.
    @Suite(.serialized) struct Writes {
        private func withTable(
            _ name: String, throughPoolers: Bool = false, _ body: (SluiceClient, LoadTable) async throws -> Void
        ) async throws {
            let replicas = try Replicas()
            try await LoadTable.with(name, replicas) { table in
                let config = try replicas.config(
                    extraCollections: table.text, throughPoolers: throughPoolers, samples: false)
                try await withGateway(config) { client, _ in try await body(client, table) }
            }
        }

        @Test(arguments: [false, true]) func everyRowHasItsOutcome(_ throughPoolers: Bool) async throws {
            try await withTable("write_rows", throughPoolers: throughPoolers) { client, table in
                let rows = (Int64(0)..<20).map(LoadTable.row)
                let first = try await client.upsert(table.name, columns: LoadTable.columns, rows: rows)
                #expect(first.rows == Array(repeating: .inserted, count: 20) && first.isDone)
                #expect(first.token.positions.count == 2)
                let mixed = try await client.write(
                    table.name, columns: LoadTable.columns, rows: [rows[3], LoadTable.row(100)],
                    deletes: [4, 5, 999])
                #expect(mixed.rows == [.updated, .inserted])
                #expect(mixed.deletes == [.deleted, .deleted, .absent])
                #expect(try table.counts().reduce(0, +) == 19)
            }
        }

        @Test(arguments: [false, true]) func aKeyMakesARepetitionSafe(_ throughPoolers: Bool) async throws {
            try await withTable("write_keyed", throughPoolers: throughPoolers) { client, table in
                let key = WriteKey.random()
                let rows = (Int64(0)..<6).map(LoadTable.row)
                let first = try await client.upsert(table.name, columns: LoadTable.columns, rows: rows, key: key)
                #expect(first.isDone && !first.isRepeated)
                _ = try await client.delete(table.name, ids: [2])
                let second = try await client.upsert(table.name, columns: LoadTable.columns, rows: rows, key: key)
                #expect(second.isRepeated && second.rows == Array(repeating: .repeated, count: 6))
                #expect(try table.counts().reduce(0, +) == 5)
            }
        }

        @Test func aShardsRowsAreWrittenAllOrNone() async throws {
            try await withTable("write_failing") { client, table in
                var rows = (Int64(0)..<10).map(LoadTable.row)
                rows[3].values[1] = .int(2_000_000)
                let report = try await client.upsert(table.name, columns: LoadTable.columns, rows: rows)
                #expect(report.rows[3] == .failed && !report.isDone)
                let refused = try #require(report.shards.first { $0.outcome == .notApplied })
                #expect(refused.sqlState == "23514" && refused.message?.contains("write_failing_size_check") == true)
                let written = report.rows.count { $0 == .inserted }
                #expect(written + report.rows.count { $0 == .notApplied } == 9)
                #expect(try table.counts().reduce(0, +) == written)
            }
        }

        @Test func whatCannotBeWrittenIsRefused() async throws {
            try await withTable("write_refused") { client, table in
                func code(_ rows: [LoadRow], _ columns: [String] = LoadTable.columns) async -> SluiceError.Code? {
                    await #expect(throws: SluiceError.self) {
                        _ = try await client.upsert(table.name, columns: columns, rows: rows)
                    }?.code
                }
                #expect(await code([LoadTable.row(1), LoadTable.row(1)]) == .invalidArgument)
                #expect(await code([LoadRow(id: 1, vector: [1, 2])], []) == .badRow)
                #expect(await code([LoadTable.row(1)], ["nothing", "size"]) == .unknownColumn)
                #expect(await code([LoadTable.row(1)], ["name"]) == .badRow)
                let counts = try table.counts()
                #expect(counts == [0, 0])
            }
        }

        /// The time is over while a lock is held: nobody knows, and then the lock's holder shows that it was not done.
        @Test func aWriteThatIsNotAnsweredIsUnknownOrNotApplied() async throws {
            try await withTable("write_locked") { client, table in
                _ = try await client.upsert(table.name, columns: LoadTable.columns, rows: [LoadTable.row(7)])
                let lock = "begin; lock table public.write_locked in exclusive mode; select pg_sleep(2); commit"
                let replicas = table.replicas
                async let holder = Task.detached {
                    for shard in replicas.topology.shards { _ = try? replicas.query(shard.replicas[0].name, lock) }
                }.value
                let isLocked = Slow.waitUntil {
                    (try? replicas.query(
                        "s0-a",
                        "select count(*) from pg_locks where mode = 'ExclusiveLock' "
                            + "and relation = 'public.write_locked'::regclass")) == "1"
                }
                #expect(isLocked)
                let ids = (Int64(0)..<64).map(LoadTable.row)
                let report = try await client.upsert(
                    table.name, columns: LoadTable.columns, rows: ids, deadline: .milliseconds(300))
                let locked = try #require(report.shards.first { $0.shard == "s0" })
                #expect(locked.outcome == .unknown || locked.outcome == .notApplied)
                await holder
                if locked.outcome == .notApplied {
                    #expect(try table.counts()[0] <= 1)
                }
            }
        }
    }
}
