import Foundation
import SluiceAdmin
import Testing

extension PostgreSQL {
    /// What operators have of a gateway in a process of its own.
    @Suite(.serialized) struct Operators {
        @Test func theLogLevelChangesAtOnce() async throws {
            let text = try Replicas().text(extra: "log: {level: notice}")
            try await withRealGateway(text, hasAdmin: true) { gateway in
                let admin = try #require(gateway.admin)
                func change(to level: String) async throws {
                    let answer = try await admin.post("/api/v1/log-level", json: "{\"level\": \"\(level)\"}")
                    #expect(answer.status == 200)
                }
                func hasSaid(_ words: String) -> Bool { Slow.waitUntil { gateway.log.contains(words) } }
                #expect(try await admin.get("/api/v1/log-level").body.contains("\"notice\""))
                #expect(try gateway.run("ping").code == 0)
                try await change(to: "debug")
                #expect(try gateway.run("ping").code == 0)
                try await change(to: "error")
                #expect(try gateway.run("ping").code == 0)
                try await change(to: "info")
                #expect(hasSaid("by an operator: log level info"))

                let log = gateway.log
                func isLoud(after: String, until: String) throws -> Bool {
                    let start = try #require(log.firstRange(of: after)).upperBound
                    let end = try #require(log[start...].firstRange(of: until)).lowerBound
                    return log[start..<end].contains(" debug sluice")
                }
                let changes = ["listening=", "log level debug", "log level error", "log level info"]
                #expect(try !isLoud(after: changes[0], until: changes[1]))
                #expect(try isLoud(after: changes[1], until: changes[2]))
                #expect(try !isLoud(after: changes[2], until: changes[3]))
            }
        }

        @Test func theStateSaysWhatTheServersRun() async throws {
            let replicas = try Replicas()
            try await withRealGateway(replicas.text(), hasAdmin: true) { gateway in
                let admin = try #require(gateway.admin)
                func known() async throws -> [[String: Any]] {
                    let body = try await admin.get("/api/v1/state").body
                    let state = try #require(try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any])
                    let shards = try #require(state["shards"] as? [[String: Any]])
                    return shards.flatMap { $0["replicas"] as? [[String: Any]] ?? [] }
                }
                // It looks at all of them as it starts.
                let limit = ContinuousClock.now.advanced(by: .seconds(15))
                var servers = try await known()
                while servers.contains(where: { $0["versions"] == nil }), ContinuousClock.now < limit {
                    servers = try await known()
                }
                #expect(servers.count == replicas.topology.shards.flatMap(\.replicas).count)
                for server in servers {
                    let name = try #require(server["name"] as? String)
                    let postgres = try replicas.query(name, "show server_version")
                    let vector = try replicas.query(
                        name, "select extversion from pg_extension where extname = 'vector'")
                    #expect(server["versions"] as? [String: String] == ["postgresql": postgres, "pgvector": vector])
                }
            }
        }

        private static var promtool: URL? {
            let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
            return folders.map { URL(filePath: String($0)).appending(path: "promtool") }
                .first { FileManager.default.isExecutableFile(atPath: $0.path) }
        }

        /// After searches, so that there is something of everything.
        @Test(.enabled(if: promtool != nil, "promtool is in Debian's prometheus"))
        func metricsAreAsPrometheusWantsThem() async throws {
            let text = try Replicas().text(extra: "log: {slow_search: 1us, explain_one_in: 1}")
            try await withRealGateway(text, hasAdmin: true) { gateway in
                for _ in 0..<3 {
                    let found = try gateway.run(
                        "search", "--collection", "programs", "--collection", "libraries", "--vector",
                        "[\(Slow.vector.map { "\($0)" }.joined(separator: ","))]")
                    #expect(found.code == 0, "\(found.errors)")
                }
                let metrics = try await #require(gateway.admin).get("/metrics").body
                #expect(metrics.contains(/sluice_leg_duration_seconds_count\{collection="programs",shard="s0"\} [1-9]/))
                let file = gateway.folder.appending(path: "metrics.txt")
                try Data(metrics.utf8).write(to: file)
                let process = Process()
                let output = Pipe()
                process.executableURL = Self.promtool
                process.arguments = ["check", "metrics"]
                process.standardInput = try FileHandle(forReadingFrom: file)
                process.standardOutput = output
                process.standardError = output
                try process.run()
                let words = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
                process.waitUntilExit()
                #expect(process.terminationStatus == 0 && words.isEmpty, "\(words)")
            }
        }
    }
}
