import Foundation
import SluiceClient
import SluiceTools
import Testing

extension PostgreSQL {
    /// The CLI and `sluice serve` as separate processes, as their users run them.
    @Suite(.serialized) struct CommandLine {
        private static let queries = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "bench/data/packages/queries.npy").path

        private let search = [
            "search", "--collection", "programs", "--collection", "libraries", "--vector-file", queries, "--row", "3",
        ]

        @Test func theJSONOfASearchIsAsDocumented() async throws {
            try await withRealGateway(Replicas().text()) { gateway in
                let outcome = try Binary.run(
                    search + ["-k", "7", "--columns", "name,installed_kib", "--json", "--gateway", gateway.address])
                #expect(outcome.code == 0 && outcome.errors.isEmpty)
                let reply = try outcome.json()
                #expect(
                    Set(reply.keys) == [
                        "hits", "coverage", "legs", "elapsed_us", "is_complete", "repaired", "rung", "source",
                    ])
                #expect(reply["coverage"] as? Double == 1 && reply["elapsed_us"] is Int)
                let hits = try #require(reply["hits"] as? [[String: Any]])
                #expect(hits.count == 7)
                for hit in hits {
                    #expect(Set(hit.keys) == ["collection", "id", "distance", "columns", "shard", "replica"])
                    #expect(hit["id"] is Int && hit["distance"] is Double)
                    let columns = try #require(hit["columns"] as? [String: Any])
                    #expect(columns["name"] is String && columns["installed_kib"] is Int && columns.count == 2)
                }
                let legs = try #require(reply["legs"] as? [[String: Any]])
                #expect(legs.count == 4)
                for leg in legs {
                    // How stale it may be is said where it is known.
                    #expect(
                        Set(leg.keys).subtracting(["staleness_us"]) == [
                            "collection", "shard", "replica", "status", "rows", "wait_us", "execute_us", "attempts",
                            "hedges", "rung", "asked",
                        ])
                    #expect(leg["status"] as? String == "ok" && leg["rows"] as? Int == 7)
                    #expect(leg["wait_us"] is Int && leg["execute_us"] is Int)
                }
            }
        }

        @Test func everyCommandWorksOverTCPAndOverAUnixSocket() async throws {
            try await withRealGateway(Replicas().text()) { gateway in
                let port = try #require(gateway.port)
                for address in [gateway.address, "sluice://127.0.0.1:\(port)"] {
                    let found = try Binary.run(search + ["--columns", "name", "--exact", "--gateway", address])
                    #expect(found.code == 0 && found.output.contains("coverage 1.000"), "\(found.errors)")
                    #expect(try Binary.run(["ping", "--count", "2", "--gateway", address]).output.contains("pong in"))
                    let list = try Binary.run(["collections", "--json", "--gateway", address]).json()
                    let collections = try #require(list["collections"] as? [[String: Any]])
                    #expect(collections.map { $0["name"] as? String } == ["libraries", "programs"])
                    let bench = try Binary.run([
                        "bench", "--collection", "programs", "--seconds", "0.2", "--warmup", "0", "--concurrency", "4",
                        "--json", "--gateway", address,
                    ])
                    #expect(try bench.json()["errors"] as? [String: Int] == [:] && bench.code == 0)
                }
            }
        }

        @Test func whatTheGatewayRefusesIsSeventyWithItsWords() async throws {
            let cases: [(arguments: [String], words: String)] = [
                (["--collection", "nowhere", "--vector", "[1]"], "unknown_collection: there is no collection"),
                (["--collection", "programs", "--vector", "[1,2]"], "has 384 dimensions, the vector has 2"),
                (["--collection", "programs", "--vector-file", Self.queries, "-k", "1001"], "k is 1001"),
                (["--collection", "programs", "--vector-file", Self.queries, "--columns", "colour"], "\"colour\""),
                (["--collection", "programs", "--vector-file", Self.queries, "--deadline", "0ms"], "deadline"),
                (["--collection", "programs", "--vector", "[nan]"], "NaN"),
                (["--collection", "programs", "--vector-file", Self.queries, "--ef-search", "1001"], "ef_search"),
            ]
            try await withRealGateway(Replicas().text()) { gateway in
                for (arguments, words) in cases {
                    let outcome = try Binary.run(["search", "--gateway", gateway.address] + arguments)
                    #expect(outcome.code == 70 && outcome.output.isEmpty)
                    #expect(outcome.errors.hasPrefix("sluice: ") && outcome.errors.contains(words), "\(outcome.errors)")
                }
                #expect(try gateway.run("bench", "--collection", "nowhere", "--seconds", "0.1").code == 70)
            }
        }

        @Test func aGatewayWithoutOneReplicaSaysWhichAndServes() async throws {
            let config = try Replicas().text(dsn: { "host=127.0.0.1 port=\($0.name == "s1-a" ? 1 : $0.port)" })
            try await withRealGateway(config) { gateway in
                #expect(gateway.log.contains("serving, degraded") && gateway.log.contains("unreachable=s1/s1-a"))
                let reply = try Binary.run(search + ["--json", "--gateway", gateway.address]).json()
                #expect(reply["coverage"] as? Double == 1)
            }
        }

        @Test func aShardWithoutReplicasIsNamedAndPartialAnswersLeaveItOut() async throws {
            let config = try Replicas().text(dsn: { "host=127.0.0.1 port=\($0.name.hasPrefix("s1") ? 1 : $0.port)" })
            try await withRealGateway(config) { gateway in
                let refused = try Binary.run(search + ["--gateway", gateway.address])
                #expect(refused.code == 70 && refused.errors.hasPrefix("sluice: unavailable: "))
                #expect(refused.errors.contains("shard s1"))
                let partial = try Binary.run(search + ["--allow-partial", "--json", "--gateway", gateway.address])
                #expect(partial.code == 0)
                let reply = try partial.json()
                #expect(reply["coverage"] as? Double == 0.5)
                let failed = try #require(reply["legs"] as? [[String: Any]]).filter { $0["shard"] as? String == "s1" }
                #expect(failed.count == 2)
                #expect(failed.allSatisfy { $0["status"] as? String == "unavailable" && $0["message"] is String })
            }
        }

        @Test func passwordsAreNeverPrinted() async throws {
            let secret = "hunter2-\(UUID().uuidString)"
            let text = try Replicas().text(dsn: { "host=127.0.0.1 port=\($0.port) password=${PW}" })
                .replacing(/, password_file: [^}]*/, with: "")
            try await withRealGateway(text + "\nlog: {level: trace}", environment: ["PW": secret]) { gateway in
                let refused = try Binary.run(search + ["--gateway", gateway.address])
                #expect(refused.code == 70 && refused.errors.contains("unavailable"))
                #expect(!refused.errors.contains(secret))
                // The servers have refused it, and the log says so without it.
                #expect(gateway.log.contains("password authentication failed") && !gateway.log.contains(secret))
            }
        }
    }
}
