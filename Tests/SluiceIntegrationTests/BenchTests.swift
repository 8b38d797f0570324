import Foundation
import Testing

extension PostgreSQL {
    /// `sluice bench` against real replicas, in runs too short to say how fast anything is.
    @Suite(.serialized) struct Bench {
        private static let replicasScript =
            ProcessInfo.processInfo.environment["SLUICE_REPLICAS"] ?? "scripts/replicas"

        private static let both = ["--collection", "programs", "--collection", "libraries"]

        /// With columns that can be filtered by.
        private func config(extra: String = "") throws -> String {
            try Replicas().text(extra: extra).replacing(
                "columns: [name, section, priority, installed_kib]",
                with: "columns: [name, section, priority, installed_kib], "
                    + "filterable: {section: text, installed_kib: int}")
        }

        private func bench(_ gateway: RealGateway, _ arguments: [String]) throws -> [String: Any] {
            let outcome = try Binary.run(
                ["bench", "--gateway", gateway.address, "--warmup", "0", "--json"] + arguments)
            #expect(outcome.code == 0, "\(outcome.errors)")
            return try outcome.json()
        }

        private func runs(_ json: [String: Any]) throws -> [[String: Any]] {
            try #require(json["runs"] as? [[String: Any]])
        }

        private func answered(_ run: [String: Any]) -> Int { run["answered"] as? Int ?? 0 }

        private func withConfigFile(_ text: String, _ body: (String) throws -> Void) throws {
            let file = FileManager.default.temporaryDirectory.appending(path: "bench-\(UUID().uuidString).yaml")
            try Data(text.utf8).write(to: file)
            defer { try? FileManager.default.removeItem(at: file) }
            try body(file.path)
        }

        @Test func everyKindOfAMixIsAskedAndAnswered() async throws {
            try await withRealGateway(config()) { gateway in
                let json = try bench(
                    gateway,
                    Self.both + [
                        "--mix", "search=3,multi=2,filtered=2,batch=1,get=3,ping=1", "--seconds", "1.5",
                        "--concurrency", "4",
                    ])
                #expect(json["errors"] as? [String: Int] == [:])
                let run = try #require(try runs(json).first)
                let kinds = try #require(run["kinds"] as? [String: [String: Any]])
                #expect(Set(kinds.keys) == ["search", "multi", "filtered", "batch", "get", "ping"])
                #expect(kinds.values.reduce(0) { $0 + ($1["count"] as? Int ?? 0) } == answered(run))
                let legs = try #require(run["legs"] as? [[String: Any]])
                #expect(legs.map { $0["shard"] as? String } == ["s0", "s1"])
                #expect(legs.allSatisfy { $0["executing"] as? Double ?? 0 > 0 })
                // What scripts have always read is of this run.
                #expect(
                    json["searches"] as? Int == answered(run) && json["qps"] as? Double == run["throughput"] as? Double)
                #expect(json["ping"] as? Bool == false && json["k"] as? Int == 10 && json["p99_us"] is Int)
                let versions = try #require(json["versions"] as? [String: String])
                #expect(versions["gateway"]?.isEmpty == false && versions["postgresql"]?.hasPrefix("1") == true)
                #expect(versions["pgvector"]?.hasPrefix("0.") == true)
                #expect(json["format"] as? Int == 1 && json["machine"] is [String: Any])
            }
        }

        @Test func repeatsAtARateAreRunsWhichTheComparisonReads() async throws {
            let folder = FileManager.default.temporaryDirectory.appending(path: "bench-\(UUID().uuidString)")
            defer { try? FileManager.default.removeItem(at: folder) }
            try await withRealGateway(config()) { gateway in
                let json = try bench(
                    gateway,
                    [
                        "--collection", "programs", "--rate", "100", "--seconds", "0.5", "--repeats", "3", "--report",
                        folder.path,
                    ])
                let runs = try runs(json)
                #expect(runs.count == 3 && runs.allSatisfy { $0["rate"] as? Double == 100 && answered($0) > 10 })
                let measurement = folder.appending(path: "measurement.json").path
                let compared = try Binary.run(["bench", "compare", measurement, measurement])
                #expect(compared.code == 0, "\(compared.errors)")
                let page = try String(contentsOf: folder.appending(path: "index.html"), encoding: .utf8)
                #expect(page.lowercased().hasPrefix("<!doctype html>") && page.contains("<svg"))
                let hgrm = try String(contentsOf: folder.appending(path: "latency.hgrm"), encoding: .utf8)
                #expect(hgrm.contains("1/(1-Percentile)") && hgrm.contains("#[Max"))
            }
        }

        @Test func aSweepStopsAtTheFirstRateThatIsTooMuch() async throws {
            try await withRealGateway(config()) { gateway in
                let json = try bench(
                    gateway,
                    [
                        "--collection", "programs", "--sweep", "20:1000000:3", "--seconds", "1", "--arrivals", "even",
                        "--max-in-flight", "64", "--deadline", "1s",
                    ])
                let knee = try #require(json["knee"] as? [String: Any])
                #expect(knee["rate"] as? Double ?? 0 < 1_000_000 && knee["reason"] is String)
                let last = try #require(try runs(json).last)
                #expect(last["errors"] as? [String: Int] != [:])
            }
        }

        @Test func whatIsLoadedIsGoneAfterwardsUnlessItIsKept() async throws {
            let replicas = try Replicas()
            try await LoadTable.with("bench_rows", replicas) { table in
                try await withRealGateway(config(extra: table.text)) { gateway in
                    let load = [
                        "--collection", "programs", "--mix", "search=1,load=1", "--load-collection", table.name,
                        "--load-rows", "20", "--load-first-id", "5000", "--seconds", "0.5", "--concurrency", "2",
                    ]
                    let json = try bench(gateway, load)
                    let kinds = try #require(try runs(json).first?["kinds"] as? [String: [String: Any]])
                    #expect(kinds["load"]?["count"] as? Int ?? 0 > 0 && json["errors"] as? [String: Int] == [:])
                    #expect(try table.counts() == [0, 0])
                    _ = try bench(gateway, load + ["--keep"])
                    let kept = try table.counts().reduce(0, +)
                    #expect(kept > 0 && kept.isMultiple(of: 20))
                }
            }
        }

        @Test func whatIsLoadedWithoutAGatewayLiesAsAGatewayWouldPlaceIt() async throws {
            let replicas = try Replicas()
            try await LoadTable.with("bench_direct", replicas) { table in
                try withConfigFile(config(extra: table.text)) { file in
                    let load = [
                        "bench", "--direct", "--config", file, "--warmup", "0", "--seconds", "0.5", "--json",
                        "--collection", "programs", "--mix", "search=1,load=1", "--load-collection", table.name,
                        "--load-rows", "20", "--load-first-id", "5000", "--concurrency", "3",
                    ]
                    let outcome = try Binary.run(load)
                    #expect(outcome.code == 0, "\(outcome.errors)")
                    let json = try outcome.json()
                    let kinds = try #require(try runs(json).first?["kinds"] as? [String: [String: Any]])
                    #expect(kinds["load"]?["count"] as? Int ?? 0 > 0 && json["errors"] as? [String: Int] == [:])
                    #expect(try table.counts() == [0, 0])
                    let versions = try #require(json["versions"] as? [String: String])
                    #expect(Set(versions.keys) == ["sluice", "postgresql", "pgvector"])
                    let kept = try Binary.run(load + ["--keep"])
                    #expect(kept.code == 0, "\(kept.errors)")
                    let counts = try table.counts()
                    let rows = Int64(counts.reduce(0, +))
                    #expect(rows > 0 && rows.isMultiple(of: 20))
                    #expect(try counts == table.expected(5_000..<5_000 + rows))
                    // A second load meets the rows of the first.
                    #expect(try Binary.run(load).code != 0)
                    #expect(try table.counts() == counts)
                }
            }
        }

        /// Filters of what rows have, and a given one.
        @Test(arguments: [[], ["--filter", "section = 'net'"]])
        func theReplicasThemselvesAnswerTheSameWithoutAGateway(filter: [String]) throws {
            try withConfigFile(config()) { file in
                let outcome = try Binary.run(
                    [
                        "bench", "--direct", "--config", file, "--warmup", "0", "--seconds", "1", "--json",
                        "--mix", "search=2,multi=2,batch=1,get=2,filtered=1", "--concurrency", "4",
                    ] + filter + Self.both)
                #expect(outcome.code == 0, "\(outcome.errors)")
                let json = try outcome.json()
                let run = try #require(try runs(json).first)
                #expect(run["target"] as? String == "direct" && run["errors"] as? [String: Int] == [:])
                let kinds = try #require(run["kinds"] as? [String: Any])
                #expect(Set(kinds.keys) == ["search", "multi", "batch", "get", "filtered"])
                let legs = try #require(run["legs"] as? [[String: Any]])
                #expect(legs.map { $0["shard"] as? String } == ["s0", "s1"])
            }
        }

        @Test func aGatewayAndTheReplicasHaveTheSameRecall() async throws {
            let recall = [
                "--collection", "programs", "--recall", "--ef-search", "10,400", "--recall-queries", "20", "--seconds",
                "0.3", "--concurrency", "2", "--seed", "3",
            ]
            func points(_ json: [String: Any]) throws -> [Double] {
                let points = try #require(json["recall"] as? [[String: Any]])
                #expect(points.map { $0["ef_search"] as? Int } == [10, 400])
                #expect(points.allSatisfy { $0["throughput"] as? Double ?? 0 > 0 })
                return points.map { $0["recall"] as? Double ?? 0 }
            }
            var behindGateway: [Double] = []
            try await withRealGateway(config()) { gateway in
                behindGateway = try points(bench(gateway, recall))
            }
            #expect(behindGateway.count == 2 && behindGateway[1] >= 0.95 && behindGateway[1] >= behindGateway[0])
            try withConfigFile(config()) { file in
                let outcome = try Binary.run(
                    ["bench", "--direct", "--config", file, "--warmup", "0", "--json"] + recall)
                #expect(outcome.code == 0, "\(outcome.errors)")
                #expect(try points(outcome.json())[1] >= 0.95)
            }
        }

        @Test(arguments: ["kill", "stop", "slow"])
        func aFaultIsNotedAndTheReplicaIsWholeAfterwards(kind: String) async throws {
            let replicas = try Replicas()
            try await withRealGateway(config()) { gateway in
                let json = try bench(
                    gateway,
                    [
                        "--collection", "programs", "--seconds", "2.5", "--concurrency", "2", "--fault", kind,
                        "--fault-replica", "s0-b", "--fault-at", "0.5", "--fault-for", "0.8", "--replicas",
                        Self.replicasScript,
                    ])
                let run = try #require(try runs(json).first)
                let faults = try #require(run["faults"] as? [[String: Any]])
                #expect(faults.count == 1 && faults[0]["kind"] as? String == kind)
                let (from, until) = (faults[0]["from"] as? Double ?? 0, faults[0]["until"] as? Double ?? 0)
                #expect(from >= 0.5 && until >= from + 0.7)
                #expect(answered(run) > 0)
                // Fails unless all run.
                try replicas.script("status", "--json")
            }
        }
    }
}
