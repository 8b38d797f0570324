import Foundation
import SluiceGateway
import Synchronization
import Testing

extension PostgreSQL {
    /// `sluice reshard`: a collection moves to another table, and its shards change places.
    @Suite(.serialized) struct Resharding {
        /// Runs each body at the first report of its phase; what they throw is kept.
        private final class Script: Sendable {
            private let left: Mutex<[String: @Sendable () throws -> Void]>
            private let failures = Mutex<[String]>([])

            init(_ bodies: [String: @Sendable () throws -> Void]) { left = Mutex(bodies) }

            func note(_ progress: ReshardProgress) {
                guard let body = left.withLock({ $0.removeValue(forKey: progress.phase) }) else { return }
                do { try body() } catch { failures.withLock { $0.append("\(progress.phase): \(error)") } }
            }

            func expectDone() {
                let (isDone, failed) = (left.withLock { $0.isEmpty }, failures.withLock { $0 })
                #expect(isDone && failed.isEmpty, "\(failed)")
            }
        }

        private func cli(_ words: String..., table: MovedTable) throws -> Binary.Outcome {
            try Binary.run(["reshard"] + words + ["--config", table.file, "--collection", table.name])
        }

        @Test func rowsThatAreWrittenMeanwhileAreMovedToo() async throws {
            try await MovedTable.with("reshard_moved") { table in
                let name = table.name
                let script = Script([
                    "copy": {
                        try table.change(3, "update public.\(name) set name = 'changed', size = null where id = 3")
                        try table.change(599, "delete from public.\(name) where id = 599")
                        try table.insert(2_000..<2_010)
                    },
                    "index": {
                        try table.change(3, "delete from public.\(name) where id = 3")
                        try table.change(4, "update public.\(name) set embedding = '[9,9,9]' where id = 4")
                        try table.insert(-20..<0)
                    },
                    "compare": {
                        try table.change(5, "update public.\(name) set size = 77 where id = 5")
                        try table.change(6, "delete from public.\(name) where id = 6")
                    },
                ])
                let summary = try await table.run { script.note($0) }
                script.expectDone()
                #expect(summary.verdict == .fine, "\(summary.messages)")
                #expect(summary.pauseMs.map { $0 < 10_000 } == true)
                try table.expectMoved()
                #expect(try table.rows(of: table.new).contains { $0.id == 2_009 })
                for server in MovedTable.primaries {
                    let epoch = "select epoch from public.sluice_layouts where collection = '\(name)'"
                    #expect(try table.replicas.query(server, epoch) == "2")
                    let indexes = try table.replicas.query(
                        server,
                        "select string_agg(indexname, ',' order by indexname) from pg_indexes "
                            + "where tablename = '\(table.new)'")
                    #expect(indexes == "\(table.new)_near,\(table.new)_pkey,\(table.new)_size")
                }
                // The old table takes no writes any more, the new one does.
                let insert = "insert into public.% (id, embedding) values (9000, '[1,2,3]')"
                #expect(throws: (any Error).self) {
                    try table.replicas.query("s0-a", insert.replacing("%", with: name))
                }
                #expect(throws: (any Error).self) {
                    try table.replicas.query("s0-a", "truncate public.\(name)")
                }
                _ = try table.replicas.query("s0-a", insert.replacing("%", with: table.new))
                // A second time there is nothing to do.
                #expect(try await table.run().verdict == .fine)
            }
        }

        @Test func aRunThatWasEndedGoesOn() async throws {
            try await MovedTable.with("reshard_resumed") { table in
                let first = try await table.runInterrupted()
                #expect(first.verdict == .failed, "\(first.messages)")
                #expect(try table.phase == "copy")
                let copied = try table.rows(of: table.new).count
                #expect(copied > 0 && copied < 600)
                // One of what is copied, and one of what is not.
                let moved = try #require(try table.rows(of: table.new).first)
                for id in [moved.id, 598] {
                    try table.change(id, "update public.\(table.name) set name = 'changed' where id = \(id)")
                }
                let second = try await table.run()
                #expect(second.verdict == .fine, "\(second.messages)")
                #expect(try table.phase == "done")
                try table.expectMoved()
            }
        }

        /// As if the process had been killed while writes were refused.
        @Test func whatWasKilledUnderTheFenceGoesOn() async throws {
            try await MovedTable.with("reshard_killed") { table in
                _ = try await table.runInterrupted()
                for server in MovedTable.primaries {
                    _ = try table.replicas.query(
                        server, "alter table public.\(table.name) enable always trigger sluice_reshard_fence")
                }
                let insert = "insert into public.\(table.name) (id, embedding) values (9000, '[1,2,3]')"
                let server = MovedTable.primaries[MovedTable.shard(of: 9_000)]
                #expect(throws: (any Error).self) { try table.replicas.query(server, insert) }
                _ = try table.replicas.query(
                    "s0-a",
                    """
                    update sluice_gateway.sluice_reshard_state set phase = 'fence', state = jsonb_set(jsonb_set(state,
                    '{record,phase}', '"fence"'), '{record,sources}', '[{"isCopied": true, "rows": 0},
                    {"isCopied": true, "rows": 0}]') where collection = '\(table.name)'
                    """)
                // Not all was copied, which is found before writes are refused again.
                let summary = try await table.run()
                #expect(summary.verdict == .differs && !summary.differences.isEmpty)
                _ = try table.replicas.query(server, insert)
                #expect(try table.phase == "catch_up")
            }
        }

        @Test func whoeverInterruptsTheSwitchWaitsForItsEnd() async throws {
            try await MovedTable.with("reshard_late", rows: 0..<60) { table in
                let summary = try await table.runInterrupted(in: "switch", after: 1)
                #expect(summary.verdict == .fine, "\(summary.messages)")
                #expect(try table.phase == "done")
                let insert = "insert into public.\(table.new) (id, embedding) values (9000, '[1,2,3]')"
                _ = try table.replicas.query("s0-a", insert)
            }
        }

        /// As if the process had been killed once all was done but for its record.
        @Test func whatWasKilledAfterTheNewFenceGoesOn() async throws {
            try await MovedTable.with("reshard_switched", rows: 0..<60) { table in
                #expect(try await table.run().verdict == .fine)
                try table.setPhase("switch")
                // The new table takes writes; what the old one's log has is not taken over any more.
                try table.plant("update public.\(table.new) set name = 'newer' where id = 8", at: 8)
                _ = try table.replicas.query(
                    MovedTable.primaries[MovedTable.shard(of: 8)],
                    """
                    set sluice.resharding = 'on'; update public.\(table.name) set name = 'older' where id = 8
                    """)
                for _ in 0..<2 {
                    let again = try await table.run()
                    #expect(again.verdict == .fine, "\(again.messages)")
                    #expect(try table.phase == "done")
                }
                #expect(try table.rows(of: table.new).contains { $0.text.contains("newer") })
            }
        }

        /// As if the first old shard had failed over to a server without the last of the record and the epoch.
        @Test func aSwitchThatTheRecordDoesNotKnowIsEnded() async throws {
            try await MovedTable.with("reshard_behind", rows: 0..<60) { table in
                #expect(try await table.run().verdict == .fine)
                try table.setPhase("fence")
                let layouts = "delete from public.sluice_layouts where collection = '\(table.name)'"
                _ = try table.replicas.query("s0-a", layouts)
                let aborted = try cli("run", "--abort", table: table)
                #expect(aborted.code == 78 && aborted.errors.contains("there is no way back"), "\(aborted.errors)")
                let insert = "insert into public.\(table.name) (id, embedding) values (9000, '[1,2,3]')"
                for server in MovedTable.primaries {
                    #expect(throws: (any Error).self) { try table.replicas.query(server, insert) }
                }
                let summary = try await table.run()
                #expect(summary.verdict == .fine, "\(summary.messages)")
                #expect(try table.phase == "done")
                let epoch = "select epoch from public.sluice_layouts where collection = '\(table.name)'"
                #expect(try table.replicas.query("s0-a", epoch) == "2")
                for server in MovedTable.primaries {
                    #expect(throws: (any Error).self) { try table.replicas.query(server, insert) }
                }
            }
        }

        @Test func abortingLeavesNothing() async throws {
            try await MovedTable.with("reshard_aborted") { table in
                _ = try await table.runInterrupted()
                _ = try table.replicas.query(
                    "s0-a", "alter table public.\(table.name) enable always trigger sluice_reshard_fence")
                let before = try table.rows(of: table.name).map(\.text)
                let aborted = try cli("run", "--abort", table: table)
                #expect(aborted.code == 0, "\(aborted.errors)")
                #expect(try table.phase == nil)
                for server in MovedTable.primaries {
                    #expect(try table.replicas.query(server, "select to_regclass('public.\(table.new)')") == "")
                    let triggers = try table.replicas.query(
                        server,
                        "select count(*) from pg_trigger where tgrelid = 'public.\(table.name)'::regclass "
                            + "and tgname like 'sluice%'")
                    #expect(triggers == "0")
                    let logs =
                        "select count(*) from pg_class where relname like 'sluice_reshard_log_%' "
                        + "and relkind = 'r'"
                    #expect(try table.replicas.query(server, logs) == "0")
                }
                #expect(try table.rows(of: table.name).map(\.text) == before)
                try table.insert(9_000..<9_010)
                // There is nothing more to abort.
                let again = try cli("run", "--abort", table: table)
                #expect(again.code == 78 && again.errors.contains("no move of"))
                // And it can be begun anew.
                #expect(try await table.run().verdict == .fine)
                try table.expectMoved()
            }
        }

        @Test func verifyFindsEveryDifference() async throws {
            try await MovedTable.with("reshard_verified") { table in
                #expect(try cli("verify", table: table).code == 78)
                #expect(try await table.run().verdict == .fine)
                let equal = try cli("verify", table: table)
                #expect(equal.code == 0, "\(equal.errors)")
                #expect(equal.output.contains("all counts and checksums are equal"))
                let id: Int64 = 17
                let shard = ["s1", "s0"][MovedTable.shard(of: id)]
                for sql in [
                    "update public.\(table.new) set embedding = '[0,0,1]' where id = \(id)",
                    "update public.\(table.new) set size = null where id = \(id)",
                    "delete from public.\(table.new) where id = \(id)",
                ] {
                    try table.plant(sql, at: id)
                    let found = try cli("verify", "--json", table: table)
                    #expect(found.code == 1)
                    let differences = try #require(found.json()["differences"] as? [[String: Any]])
                    #expect(differences.map { $0["shard"] as? String } == [shard], "\(sql)")
                }
            }
        }

        @Test func twoRowsThatSwapTheirValuesAreADifference() async throws {
            try await MovedTable.with("reshard_swapped", rows: 0..<100) { table in
                #expect(try await table.run().verdict == .fine)
                let ids = (0..<100 as Range<Int64>).filter { MovedTable.shard(of: $0) == 0 && $0 % 7 > 0 }.prefix(2)
                let (one, other) = (try #require(ids.first), try #require(ids.last))
                try table.plant(
                    "update public.\(table.new) set name = 'row ' || (\(one + other) - id) "
                        + "where id in (\(one), \(other))", at: one)
                let summary = try await GatewayMain.reshardVerify(table.request()) { _ in }
                #expect(summary.verdict == .differs)
                #expect(summary.differences.allSatisfy { $0.oldRows == $0.newRows && $0.shard == "s1" })
            }
        }

        @Test func aTableThatIsAlteredMeanwhileStopsIt() async throws {
            try await MovedTable.with("reshard_altered", rows: 0..<60) { table in
                let script = Script([
                    "fence": {
                        let index = "create index reshard_altered_late on public.\(table.name) (name)"
                        _ = try table.replicas.query("s1-a", index)
                    }
                ])
                let summary = try await table.run { script.note($0) }
                script.expectDone()
                #expect(summary.verdict == .wrong, "\(summary.messages)")
                #expect(summary.messages.contains { $0.contains("have been changed since the run began") })
                // Writes go on.
                try table.insert(9_000..<9_002)
            }
        }

        @Test func aDifferenceBeforeTheSwitchStopsIt() async throws {
            try await MovedTable.with("reshard_stopped") { table in
                let script = Script([
                    "compare": { try table.plant("delete from public.\(table.new) where id = 8", at: 8) }
                ])
                let summary = try await table.run { script.note($0) }
                script.expectDone()
                #expect(summary.verdict == .differs && summary.differences.count == 1)
                #expect(summary.differences.first.map { $0.oldRows - $0.newRows } == 1)
                // Writes go on.
                try table.insert(9_000..<9_002)
                let layouts = "select count(*) from public.sluice_layouts where collection = '\(table.name)'"
                #expect(try table.replicas.query("s0-a", layouts) == "0")
            }
        }

        /// Somebody keeps the table from being fenced in time.
        @Test func aPauseThatWouldBeTooLongIsGivenUp() async throws {
            try await MovedTable.with("reshard_paused", rows: 0..<40) { table in
                let script = Script([
                    "fence": {
                        // It ends by itself before the fence is tried again.
                        let process = Process()
                        process.executableURL = URL(
                            filePath: ProcessInfo.processInfo.environment["SLUICE_REPLICAS"] ?? "scripts/replicas")
                        process.arguments = [
                            "psql", "s0-a", "-qAtc",
                            "begin; lock table public.\(table.name) in row exclusive mode; select pg_sleep(4); commit",
                        ]
                        process.standardInput = FileHandle.nullDevice
                        process.standardOutput = FileHandle.nullDevice
                        try process.run()
                        let held = """
                            select count(*) from pg_locks where relation = 'public.\(table.name)'::regclass
                            and mode = 'RowExclusiveLock' and granted
                            """
                        while try table.replicas.query("s0-a", held) == "0" {}
                    }
                ])
                let fences = Mutex(0)
                let summary = try await table.run { progress in
                    if progress.phase == "fence" { fences.withLock { $0 += 1 } }
                    script.note(progress)
                }
                script.expectDone()
                let tries = fences.withLock { $0 }
                #expect(tries > 1)
                #expect(summary.verdict == .fine, "\(summary.messages)")
                try table.expectMoved()
            }
        }

        @Test func onlyOneWorksAtATime() async throws {
            try await MovedTable.with("reshard_alone", rows: 0..<60) { table in
                let second = Mutex<Binary.Outcome?>(nil)
                let script = Script([
                    "copy": {
                        let outcome = try Binary.run([
                            "reshard", "run", "--config", table.file, "--collection", table.name, "--to", "s1,s0",
                            "--table", table.new,
                        ])
                        second.withLock { $0 = outcome }
                    }
                ])
                #expect(try await table.run { script.note($0) }.verdict == .fine)
                script.expectDone()
                let outcome = second.withLock { $0 }
                let refused = try #require(outcome)
                #expect(refused.code == 78 && refused.errors.contains("another `sluice reshard` works on"))
            }
        }

        @Test func thePlanSaysWhatIsInTheWay() async throws {
            try await MovedTable.with("reshard_planned", rows: 0..<60) { table in
                let to = ["--to", "s1,s0", "--table", table.new]
                func plan(_ more: [String] = to) throws -> Binary.Outcome {
                    try Binary.run(
                        ["reshard", "plan", "--config", table.file, "--collection", table.name] + more)
                }
                let fine = try plan()
                #expect(fine.code == 0, "\(fine.errors)")
                #expect(fine.output.contains("next: {table: public.\(table.new), shards: [s1, s0]}"))
                #expect(fine.output.contains("\(table.new)_near, \(table.new)_size"))
                #expect(try plan([]).errors.contains("give the collection `next`, or --to and --table"))
                #expect(try plan(["--to", "s1,s7", "--table", "x"]).errors.contains("there is no shard \"s7\""))
                #expect(try plan(["--to", "s1", "--table", table.name]).code == 78)
                #expect(try plan(["--to", "s1,,s0", "--table", "x"]).code == 64)
                _ = try table.replicas.query(
                    "s1-a",
                    "create table public.\(table.new) (id int); alter table public.\(table.name) "
                        + "drop constraint \(table.name)_pkey")
                let wrong = try plan(to + ["--json"])
                #expect(wrong.code == 78)
                let obstacles = try #require(wrong.json()["obstacles"] as? [String])
                #expect(obstacles.contains("s1: public.\(table.name) has no primary key that is id alone"))
                #expect(
                    obstacles.contains("s1: there is a table public.\(table.new) already, which this move has not made")
                )
                let run = try await table.run()
                #expect(run.verdict == .wrong && run.messages == obstacles)
                #expect(try table.phase == nil)
            }
        }

        @Test func theOldTablesGoWhenTheyAreNotConfiguredAnyMore() async throws {
            try await MovedTable.with("reshard_dropped", rows: 0..<60) { table in
                #expect(try cli("run", "--drop-old", table: table).code == 78)
                #expect(try await table.run().verdict == .fine)
                let early = try cli("run", "--drop-old", table: table)
                #expect(early.code == 78 && early.errors.contains("is still the old layout"))
                try Data(table.config(table: table.new, shards: "s1, s0").utf8).write(to: URL(filePath: table.file))
                let dropped = try cli("run", "--drop-old", table: table)
                #expect(dropped.code == 0, "\(dropped.errors)")
                for server in MovedTable.primaries {
                    #expect(try table.replicas.query(server, "select to_regclass('public.\(table.name)')") == "")
                }
                #expect(try table.rows(of: table.new).count == 60)
            }
        }
    }
}
