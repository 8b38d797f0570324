import CollectorTestKit
import Foundation
import SluiceAdmin
import Testing

extension PostgreSQL {
    /// A canary is put wherever something is that nobody else may read: passwords, environment variables, vectors,
    /// filters' values, the words looked for, the texts of rows. Then everything that is printed is searched for them:
    /// the log at its most talkative, messages, reports, JSON. Only the rows that a command was asked for may show, on
    /// its standard output.
    @Suite(.serialized) struct CanarySecrets {
        private struct Canaries {
            let environment = Self.make("environment")
            let dsn = Self.make("dsn")
            let passwordFile = Self.make("file")
            let value = Self.make("value")
            let words = Self.make("words")
            let row = Self.make("row")
            /// As a vector's component, it is printed so whoever prints it.
            let component = "0.27182818"

            private static func make(_ place: String) -> String {
                "canary-\(place)-\(UUID().uuidString.prefix(8).lowercased())"
            }

            /// Those that show in a text.
            func found(in text: String, except allowed: [String] = []) -> [String] {
                [environment, dsn, passwordFile, value, words, row, component].filter {
                    !allowed.contains($0) && text.lowercased().contains($0)
                }
            }
        }

        private let canaries = Canaries()

        private func expectSilence(
            _ outcome: Binary.Outcome, mayShow allowed: [String] = [],
            sourceLocation: SourceLocation = #_sourceLocation
        ) {
            let printed = canaries.found(in: outcome.output, except: allowed)
            #expect(printed == [], "\(outcome.output)", sourceLocation: sourceLocation)
            let complained = canaries.found(in: outcome.errors)
            #expect(complained == [], "\(outcome.errors)", sourceLocation: sourceLocation)
        }

        // MARK: Configurations

        private func inFolder(_ body: (URL) throws -> Void) throws {
            let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString.prefix(8))")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
            defer { try? FileManager.default.removeItem(at: folder) }
            try body(folder)
        }

        /// Each is wrong beside a secret, or has the secret where it does not belong.
        private var faultyReplicas: [String] {
            [
                "{dsn: \"host=127.0.0.1 password='\(canaries.dsn)\"}",
                "{dsn: \"host=127.0.0.1 \(canaries.dsn)\"}", "{dsn: \"\(canaries.dsn)\"}",
                "{dsn: \"host=127.0.0.1 passwort=\(canaries.dsn)\"}",
                "{dsn: \"postgres://u:\(canaries.dsn)@[::1/db\"}",
                "{dsn: \"postgres://u:\(canaries.dsn)@h:port/db?sslmode\"}",
                "{dsn: \"host=h password=${SECRET} sslmode\"}", "{dsn: \"${SECRET}\"}", "{dsn: \"${SECRET}=x\"}",
                "{dsn: \"host=h\", password: \(canaries.dsn)}", "{dsn: [\(canaries.dsn)]}",
                "{dsn: \"host=h password=\(canaries.dsn)\", password_file: password}",
                "{dsn: \"host=h\", weight: ${SECRET}}", "{dsn: \"host=h\", pooler: \"${SECRET}\"}",
                "{dsn: \"host=h\", timeout: \"${SECRET}\"}", "{dsn: \"host=h\", password_file: empty}",
                "{dsn: \"host=h password=\(canaries.dsn)\", dsn: \"host=h password=\(canaries.dsn)\"}",
                "{dsn: \"host=h password=\(canaries.dsn)\"", "{dsn: \"host=h password=\(canaries.dsn)}",
                "{dsn: &a \"host=h password=\(canaries.dsn)\", zone: *a}",
            ]
        }

        @Test func checkingAWrongConfigurationTellsNoSecret() throws {
            try inFolder { folder in
                try Data("\(canaries.passwordFile)\n".utf8).write(to: folder.appending(path: "password"))
                try Data("\n\(canaries.passwordFile)\n".utf8).write(to: folder.appending(path: "empty"))
                let file = folder.appending(path: "gateway.yaml")
                for replica in faultyReplicas {
                    let text = """
                        shards: [{name: s0, replicas: [\(replica)]}]
                        collections: [{name: a, table: a, metric: l2, dimensions: 1}]
                        """
                    try Data(text.utf8).write(to: file)
                    for words in [["check"], ["check", "--json"], ["check", "--connect"], ["serve"]] {
                        let outcome = try Binary.run(
                            words + ["--config", file.path], environment: ["SECRET": canaries.environment])
                        #expect(outcome.code == 78, "\(words) of \(replica): \(outcome.output)\(outcome.errors)")
                        expectSilence(outcome)
                    }
                }
            }
        }

        /// Servers that refuse the password, that are not there, and that are no PostgreSQL at all.
        @Test func lookingAtDatabasesTellsNoPassword() throws {
            let replicas = try Replicas()
            let port = try #require(replicas.topology.shards.first?.replicas.first?.port)
            try inFolder { folder in
                try Data("\(canaries.passwordFile)\n".utf8).write(to: folder.appending(path: "password"))
                let file = folder.appending(path: "gateway.yaml")
                for dsn in [
                    "dsn: \"host=127.0.0.1 port=\(port) dbname=sluice user=sluice password=\(canaries.dsn)\"",
                    "dsn: \"host=127.0.0.1 port=\(port) dbname=sluice user=sluice password=${SECRET}\"",
                    "dsn: \"postgres://sluice:${SECRET}@127.0.0.1:\(port)/sluice\"",
                    "dsn: \"host=127.0.0.1 port=\(port) dbname=sluice user=sluice\", password_file: password",
                    "dsn: \"host=127.0.0.1 port=1 dbname=sluice user=sluice password=\(canaries.dsn)\"",
                    "dsn: \"host=nowhere.invalid dbname=sluice user=sluice password=\(canaries.dsn)\"",
                    "dsn: \"postgres://u:\(canaries.dsn)@127.0.0.1:1/x?connect_timeout=1\"",
                ] {
                    let text = """
                        shards: [{name: s0, replicas: [{\(dsn)}]}]
                        collections: [{name: a, table: a, metric: l2, dimensions: 1}]
                        """
                    try Data(text.utf8).write(to: file)
                    for words in [
                        ["check", "--connect"], ["check", "--connect", "--json"],
                        ["create-collection", "--collection", "a", "--apply"],
                    ] {
                        let outcome = try Binary.run(
                            words + ["--config", file.path], environment: ["SECRET": canaries.environment])
                        #expect(outcome.code != 0)
                        expectSilence(outcome)
                    }
                }
                let server = "host=127.0.0.1 port=\(port) dbname=sluice user=sluice"
                for dsn in [
                    "\(server) password=\(canaries.dsn)", "postgres://u:\(canaries.dsn)@[", "\(canaries.dsn)",
                    "host=127.0.0.1 port=1 password=\(canaries.dsn)",
                ] {
                    let outcome = try Binary.run(["adopt", "--dsn", dsn])
                    #expect(outcome.code != 0)
                    expectSilence(outcome)
                }
            }
        }

        // MARK: A gateway

        private static let table = "canaries"

        private var collection: String {
            "  - {name: canaries, table: canaries, metric: l2, dimensions: 3, columns: [name, size], "
                + "filterable: {name: text, size: int}, text: {column: words, language: simple}}"
        }

        private func withTable(_ replicas: Replicas, _ body: () async throws -> Void) async throws {
            let primaries = replicas.topology.shards.map { $0.replicas[0].name }
            for primary in primaries {
                _ = try replicas.query(
                    primary,
                    """
                    drop table if exists public.canaries; create table public.canaries (id bigint primary key,
                    embedding vector(3) not null, name text check (name <> 'refused'), size int,
                    words tsvector generated always as (to_tsvector('simple', coalesce(name, ''))) stored)
                    """)
            }
            defer {
                for primary in primaries {
                    _ = try? replicas.query(primary, "drop table if exists public.canaries")
                }
            }
            try await body()
        }

        /// One replica is asked with a wrong password from each place that has one.
        private func config(_ replicas: Replicas) -> String {
            let text = replicas.text(extra: collection + "\nlog: {level: trace}") { replica in
                "host=127.0.0.1 port=\(replica.port)"
            }
            let wrong = [
                "s0-b": "password=\(canaries.dsn)", "s1-b": "password=${SECRET}",
            ]
            return text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
                guard let secret = wrong.first(where: { line.contains("{name: \($0.key),") })?.value else {
                    return line
                }
                let end = line.firstRange(of: ", password_file")?.lowerBound ?? line.endIndex
                return line[..<end].replacing("user=sluice", with: "user=sluice \(secret)") + "}"
            }.joined(separator: "\n")
        }

        private func rowsFile(_ folder: URL, _ name: String, _ lines: [String]) throws -> String {
            let file = folder.appending(path: name)
            try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: file)
            return file.path
        }

        private func row(_ id: Int, name: String, size: String = "1", vector: String? = nil) -> String {
            let vector = vector ?? "[\(canaries.component), 1, 2]"
            return "{\"id\": \(id), \"e\": \(vector), \"name\": \"\(name)\", \"size\": \(size)}"
        }

        private func load(_ gateway: RealGateway, _ path: String, _ more: String...) throws -> Binary.Outcome {
            let words = ["load", "--collection", Self.table, "--rows", path, "--vector-column", "e"]
            return try Binary.run(words + more + ["--gateway", gateway.address])
        }

        private func search(_ gateway: RealGateway, _ more: [String]) throws -> Binary.Outcome {
            let words = ["search", "--collection", Self.table, "--vector", "[\(canaries.component),1,2]"]
            return try Binary.run(words + more + ["--gateway", gateway.address])
        }

        @Test func aGatewayAtTraceLevelTellsNoSecret() async throws {
            let replicas = try Replicas()
            let collector = try await TraceCollector.start()
            try await withTable(replicas) {
                let environment = ["SECRET": canaries.environment]
                let endpoint = "http://127.0.0.1:\(collector.port)/v1/traces"
                let text =
                    config(replicas).replacing(
                        "level: trace", with: "level: trace, slow_search: 1us, explain_one_in: 1")
                    + "\ntracing: {endpoint: \"\(endpoint)\", sample: 1, headers: {api-key: \"${SECRET}\"}}\n"
                try await withRealGateway(text, environment: environment, hasAdmin: true) { gateway in
                    try whatSucceeds(gateway)
                    try whatIsRefused(gateway)
                    try whatTheDatabaseRefuses(gateway)
                    try await whatOperatorsSee(gateway)
                    #expect(gateway.log.contains("password authentication failed"))
                    #expect(gateway.log.contains("slow search"))
                    #expect(canaries.found(in: gateway.log) == [])
                    gateway.terminate()
                    expectSilence(try gateway.run("ping"))
                }
            }
            // The collector is told the secret that is meant for it, and nothing but names and numbers beside it.
            let told = collector.requests
            #expect(try collector.spans().count >= 10)
            #expect(
                told.allSatisfy { $0.headers.contains { $0.name == "api-key" && $0.value == canaries.environment } })
            #expect(told.flatMap { canaries.found(in: $0.body) } == [])
            try await collector.stop()
        }

        /// Slow searches among it: here every search is one.
        private func whatOperatorsSee(_ gateway: RealGateway) async throws {
            let admin = try #require(gateway.admin)
            for path in ["/", "/readyz", "/metrics", "/api/v1/state", "/api/v1/journal", "/api/v1/frame"] {
                let answer = try await admin.get(path)
                #expect(answer.status == 200 || path == "/readyz")
                #expect(canaries.found(in: answer.body) == [], "\(path): \(answer.body)")
            }
            let journal = try await admin.get("/api/v1/journal")
            #expect(journal.body.contains("\"collections\":[\"\(Self.table)\"]"))
            let refused = try await admin.post("/api/v1/shards/s0/replicas/s0-a/resize", json: canaries.value)
            #expect(refused.status == 400 && canaries.found(in: refused.body) == [])
            let top = try Binary.run(["top", "--once", "--interval", "0.1", "--admin", "127.0.0.1:\(admin.port)"])
            #expect(top.code == 0 && top.output.contains("s0/s0-a"), "\(top.errors)")
            expectSilence(top)
        }

        private func whatSucceeds(_ gateway: RealGateway) throws {
            let path = try rowsFile(
                gateway.folder, "rows.jsonl", (1...20).map { row($0, name: "\(canaries.row) \(canaries.words)") })
            for mode in ["append", "upsert"] {
                let loaded = try load(gateway, path, "--mode", mode, "--json")
                #expect(loaded.code == 0, "\(loaded.errors)")
                expectSilence(loaded)
            }
            let mayShow = [canaries.row, canaries.words]
            for more in [
                ["--columns", "size"], ["--columns", "size", "--json"], ["--exact", "--json"],
                ["--filter", "name != '\(canaries.value)'", "--json"], ["--text", canaries.words, "--json"],
            ] {
                let found = try search(gateway, more)
                #expect(found.code == 0, "\(more): \(found.errors)")
                expectSilence(found)
            }
            let shown = try search(gateway, ["--columns", "name"])
            #expect(shown.code == 0 && shown.output.contains(canaries.row))
            expectSilence(shown, mayShow: mayShow)
            let got = try gateway.run("get", "--collection", Self.table, "--id", "1", "--columns", "name", "--json")
            #expect(got.code == 0 && got.output.contains(canaries.row))
            expectSilence(got, mayShow: mayShow)
            for words in [
                ["count", "--collection", Self.table, "--filter", "name = '\(canaries.value)'", "--exact", "--json"],
                ["collections", "--json"], ["ping"], ["delete", "--collection", Self.table, "--id", "20", "--json"],
            ] {
                let outcome = try Binary.run(words + ["--gateway", gateway.address])
                #expect(outcome.code == 0, "\(words): \(outcome.errors)")
                expectSilence(outcome)
            }
        }

        /// By the gateway itself.
        private func whatIsRefused(_ gateway: RealGateway) throws {
            let component = canaries.component
            for more in [
                ["--filter", "colour = '\(canaries.value)'"], ["--filter", "size = '\(canaries.value)'"],
                ["--filter", "name < timestamp '2024-01-01' or name = '\(canaries.value)'"],
                ["--columns", "colour"], ["--deadline", "0ms"], ["-k", "100000"],
                ["--text", canaries.words, "--group-by", "name"],
            ] {
                let refused = try search(gateway, more)
                #expect(refused.code == 70 || refused.code == 64, "\(more): \(refused.code)")
                expectSilence(refused)
            }
            for vector in ["[\(component)]", "[\(component),nan,1]", "[\(component),1e39,1]"] {
                let refused = try Binary.run([
                    "search", "--collection", Self.table, "--vector", vector, "--gateway", gateway.address,
                ])
                #expect(refused.code == 70)
                expectSilence(refused)
            }
        }

        /// Rows that do not fit, by the gateway's rules and by the database's.
        private func whatTheDatabaseRefuses(_ gateway: RealGateway) throws {
            let (secret, component) = (canaries.row, canaries.component)
            let bad = [
                row(1, name: secret), row(101, name: secret, size: "\"\(secret)\""),
                row(102, name: secret, size: "99999999999"), row(103, name: secret, vector: "[\(component)]"),
                row(104, name: secret, vector: "null"), row(105, name: secret, vector: "[\(component), 1, 1e39]"),
                row(106, name: "refused"), row(107, name: "\(secret)\\u0000"),
            ]
            for (place, line) in bad.enumerated() {
                let path = try rowsFile(gateway.folder, "bad-\(place).jsonl", [row(200, name: secret), line])
                for more in [["--json"], ["--skip-bad", "1"]] {
                    let words = ["load", "--collection", Self.table, "--rows", path, "--vector-column", "e"]
                    let outcome = try Binary.run(words + more + ["--gateway", gateway.address])
                    if more[0] == "--json" { #expect(outcome.code != 0, "row \(place)") }
                    expectSilence(outcome)
                }
                _ = try gateway.run("delete", "--collection", Self.table, "--id", "200")
            }
            let missing = try gateway.run("get", "--collection", Self.table, "--id", "999999")
            expectSilence(missing)
        }

        /// A client that cannot reach its gateway, or reaches something else, says so without what it wanted to send.
        @Test func aClientWithoutAGatewayTellsNothing() throws {
            for address in ["sluice://127.0.0.1:1", "sluice://nowhere.invalid:7411", "sluice+unix:///nowhere/at/all"] {
                let outcome = try Binary.run([
                    "search", "--collection", Self.table, "--vector", "[\(canaries.component),1,2]", "--filter",
                    "name = '\(canaries.value)'", "--gateway", address,
                ])
                #expect(outcome.code == 69)
                expectSilence(outcome)
            }
        }
    }
}
