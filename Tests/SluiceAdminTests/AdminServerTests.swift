import Foundation
import Logging
import SluiceAdmin
import SluiceGateway
import Testing

@Suite struct AdminServerTests {
    @Test func theStateIsThatOfTheGateway() async throws {
        try await AdminFixture.with { (fixture: AdminFixture) async throws in
            let state = try await fixture.state()
            #expect(!state.isReady && !state.isDraining)
            #expect(state.collections.map(\.name) == ["programs"] && state.collections.map(\.isReady) == [false])
            #expect(state.shards.map(\.name) == ["s0"])
            let replicas = state.shards[0].replicas
            #expect(replicas.map(\.name) == ["s0-a", "s0-b"])
            #expect(replicas.allSatisfy { !$0.isReachable && !$0.isDrained && $0.role == "unknown" })
            #expect(replicas.map(\.pool.limit) == [6, 6])
            #expect(state.process.version == Version.current)
            #expect((state.process.residentBytes ?? 0) > 1 << 20 && state.process.cpuTime > 0)
            #expect(!state.reactors.isEmpty && state.reactors.allSatisfy { $0.lag >= 0 && $0.lag < 10 })
        }
    }

    @Test func readinessIsOfEachCollection() async throws {
        try await AdminFixture.with { (fixture: AdminFixture) async throws in
            let ready = try await fixture.client.get("/readyz")
            #expect(ready.status == 503)
            #expect(ready.body == "{\"collections\":{\"programs\":false},\"ready\":false}\n")
            #expect(try await fixture.client.get("/readyz/programs").status == 503)
            #expect(try await fixture.client.get("/readyz/nothing").status == 404)
        }
    }

    @Test func metricsAreWrittenInBothFormats() async throws {
        try await AdminFixture.with { (fixture: AdminFixture) async throws in
            let plain = try await fixture.client.get("/metrics")
            #expect(plain.status == 200 && plain.type == "text/plain; version=0.0.4; charset=utf-8")
            let lines = Set(plain.body.split(separator: "\n").map(String.init))
            #expect(lines.contains("# TYPE sluice_sessions_opened_total counter"))
            #expect(lines.contains("sluice_pool_limit{shard=\"s0\",replica=\"s0-a\"} 6"))
            #expect(lines.contains("sluice_replica_reachable{shard=\"s0\",replica=\"s0-b\"} 0"))
            #expect(lines.contains("sluice_collection_ready{collection=\"programs\"} 0"))
            #expect(lines.contains("# TYPE sluice_request_duration_seconds histogram"))
            let accepted = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
            let open = try await fixture.client.get("/metrics", accept: accepted)
            #expect(open.type.hasPrefix("application/openmetrics-text"))
            #expect(open.body.hasSuffix("# EOF\n") && open.body.contains("# TYPE sluice_sessions_opened counter\n"))
        }
    }

    /// Each family once, each with help, and no series twice.
    @Test func metricsAreWellFormed() async throws {
        try await AdminFixture.with(shards: AdminFixture.shardsWithSource) { (fixture: AdminFixture) async throws in
            var described: [String: String] = [:]
            var series: Set<String> = []
            for line in try await fixture.client.get("/metrics").body.split(separator: "\n") {
                let words = line.split(separator: " ", maxSplits: 3).map(String.init)
                if line.hasPrefix("# TYPE ") {
                    #expect(described.updateValue(words[3], forKey: words[2]) == nil, "\(line)")
                } else if line.hasPrefix("# HELP ") {
                    #expect(words.count == 4 && words[3] != "Set by the application.", "\(line)")
                } else {
                    let name = try #require(line.split { $0 == " " || $0 == "{" }.first).description
                    let family = ["_bucket", "_sum", "_count"].first { name.hasSuffix($0) && described[name] == nil }
                    #expect(described[family.map { String(name.dropLast($0.count)) } ?? name] != nil, "\(line)")
                    let key = try #require(line.range(of: " ", options: .backwards)).lowerBound
                    #expect(series.insert(String(line[..<key])).inserted, "\(line)")
                }
            }
            #expect(described.count > 40)
        }
    }

    @Test func aReplicaIsDrainedAndNotAnyMore() async throws {
        try await AdminFixture.with { (fixture: AdminFixture) async throws in
            #expect(try await fixture.act("drain").status == 200)
            #expect(try await fixture.state().shards[0].replicas.map(\.isDrained) == [true, false])
            #expect(try await fixture.act("undrain").status == 200)
            #expect(try await fixture.state().shards[0].replicas.map(\.isDrained) == [false, false])
            let events = fixture.gateway.journal.events.filter { $0.kind == "action" }
            #expect(events.map(\.text) == ["drained", "not drained any more"])
        }
    }

    @Test func aPoolIsGivenAnotherSize() async throws {
        try await AdminFixture.with("reactors: 2") { (fixture: AdminFixture) async throws in
            #expect(try await fixture.act("resize", json: #"{"min_size": 1, "max_size": 9}"#).status == 200)
            #expect(try await fixture.state().shards[0].replicas.map(\.pool.limit) == [9, 6])
            for wrong in [
                #"{"min_size": 1, "max_size": 1}"#, #"{"min_size": 5, "max_size": 4}"#,
                #"{"min_size": -1, "max_size": 4}"#, #"{"min_size": 0, "max_size": 1001}"#,
            ] {
                let answer = try await fixture.act("resize", json: wrong)
                #expect(answer.status == 422 && answer.body.contains("_size must be"), "\(answer)")
            }
            for wrong in ["", "{}", "[1]", #"{"min_size": "a", "max_size": 3}"#, #"{"min_size": 1e99, "max_size": 3}"#]
            {
                #expect(try await fixture.act("resize", json: wrong).status == 400)
            }
            #expect(try await fixture.state().shards[0].replicas.map(\.pool.limit) == [9, 6])
        }
    }

    @Test func aBreakerIsOpenedAndClosedByHand() async throws {
        try await AdminFixture.with { (fixture: AdminFixture) async throws in
            #expect(try await fixture.act("open-breaker").status == 200)
            var replica = try await fixture.state().shards[0].replicas[0]
            #expect(replica.breaker == .open && replica.breakerCause == "byHand")
            #expect(try await fixture.act("close-breaker").status == 200)
            replica = try await fixture.state().shards[0].replicas[0]
            #expect(replica.breaker == .closed && replica.breakerCause == nil)
            #expect(try await fixture.act("open-breaker", json: #"{"seconds": 0}"#).status == 200)
            replica = try await fixture.state().shards[0].replicas[0]
            #expect(replica.breaker == .halfOpen)
            for wrong in [#"{"seconds": -1}"#, #"{"seconds": 1e300}"#, #"{"seconds": "x"}"#] {
                #expect(try await fixture.act("open-breaker", json: wrong).status == 400)
            }
        }
    }

    @Test func connectionsAreReplaced() async throws {
        try await AdminFixture.with { (fixture: AdminFixture) async throws in
            #expect(try await fixture.act("reconnect").status == 200)
        }
    }

    @Test func whatThereIsNotIsSaidSo() async throws {
        try await AdminFixture.with { (fixture: AdminFixture) async throws in
            let unknown = try await fixture.act("drain", replica: "s0-c")
            #expect(unknown.status == 404 && unknown.body.contains("no replica s0-c of a shard s0"))
            #expect(try await fixture.client.post("/api/v1/shards/s9/replicas/s0-a/drain").status == 404)
            #expect(try await fixture.act("explode").status == 404)
            #expect(try await fixture.client.get("/nothing").status == 404)
        }
    }

    @Test func theConfigurationIsReadAnew() async throws {
        try await AdminFixture.with { (fixture: AdminFixture) async throws in
            let answer = try await fixture.client.post("/api/v1/reload")
            #expect(answer.status == 200 && answer.body.contains("reloaded"))
        }
    }

    @Test func changesNeedAnIdentityThatMay() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-admin-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let access = """
            access:
              tokens: \(folder.path)/tokens
              identities:
                - {name: owner, collections: {"*": [admin]}}
                - {name: reader, collections: {"*": [search, get], programs: [admin]}}
            """
        let file = folder.appending(path: "sluice.yaml")
        try Data("\(AdminFixture.shards)\n\(access)\n".utf8).write(to: file)
        func token(_ identity: String) throws -> String {
            try TokenAdministration.new(
                configPath: file.path, environment: [:], identity: identity, lifetime: nil
            ).token
        }
        let (owner, reader) = (try token("owner"), try token("reader"))
        try await AdminFixture.with(access) { (fixture: AdminFixture) async throws in
            for (token, status) in [(owner, 200), (reader, 401), ("nonsense", 401), (nil, 401)] as [(String?, Int)] {
                var fixture = fixture
                fixture.client.token = token
                #expect(try await fixture.act("drain").status == status)
                #expect(try await fixture.client.post("/api/v1/reload").status == status)
                let before = fixture.levels.level
                let level = try await fixture.client.post("/api/v1/log-level", json: #"{"level": "trace"}"#)
                #expect(level.status == status && fixture.levels.level == (status == 200 ? .trace : before))
                fixture.levels.set(.info)
            }
            #expect(try await fixture.state().shards[0].replicas[0].isDrained, "reading is open")
        }
    }

    /// The lanes answer nobody any more after that.
    @Test(.timeLimit(.minutes(1))) func whoAsksWhileTheGatewayStopsIsAnswered() async throws {
        try await AdminFixture.with { (fixture: AdminFixture) async throws in
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<8 {
                    group.addTask {
                        var status = 200
                        while status == 200 {
                            let answer =
                                number.isMultiple(of: 2)
                                ? try? await fixture.client.get("/api/v1/state") : try? await fixture.act("undrain")
                            status = answer?.status ?? 0
                        }
                        #expect(status == 503)
                    }
                }
                await fixture.gateway.shutDown()
            }
        }
    }

    @Test func thePageIsWholeAndFetchesNothingFromElsewhere() async throws {
        try await AdminFixture.with { (fixture: AdminFixture) async throws in
            let page = try await fixture.client.get("/")
            #expect(page.status == 200 && page.type.hasPrefix("text/html"))
            for name in ["page.css", "page.js"] {
                #expect(page.body.contains("\"\(name)\""))
                let part = try await fixture.client.get("/\(name)")
                #expect(part.status == 200 && part.body.count > 1_000)
                #expect(!part.body.contains("https:") && !part.body.contains("innerHTML"))
            }
            #expect(!page.body.contains("http:") && !page.body.contains("https:"))
        }
    }
}
