import Foundation
import SluiceAdmin
import SluiceGateway
import Testing

extension PostgreSQL {
    /// A gateway whose shards' sources are all away, and that knows from its state files who was there: it searches on,
    /// writes nothing, and says so everywhere.
    @Suite(.serialized) struct TopologySources {
        private struct Stage {
            var replicas: Replicas
            var gateway: RealGateway
            var admin: AdminClient
            var config: String
        }

        private static let timeline = 7

        /// Nobody listens at port 1.
        private static func withSourcesAway(_ body: (Stage) async throws -> Void) async throws {
            let replicas = try Replicas()
            let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-sources-\(UUID())")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
            defer { try? FileManager.default.removeItem(at: folder) }
            var shards = ""
            for shard in replicas.topology.shards {
                let file = folder.appending(path: "\(shard.name).json")
                let members = shard.replicas.map { #"{"name":"\#($0.name)","host":"127.0.0.1","port":\#($0.port)}"# }
                let content =
                    #"{"version":1,"shard":"\#(shard.name)","timeline":\#(timeline),"#
                    + #""members":[\#(members.joined(separator: ","))]}"#
                try Data(content.utf8).write(to: file)
                shards += """
                      - name: \(shard.name)
                        source:
                          type: patroni
                          endpoints: ["http://127.0.0.1:1"]
                          state_file: \(file.path)
                          replica: {dsn: dbname=sluice user=sluice, password_file: \(replicas.topology.passwordFile)}

                    """
            }
            let config = """
                shards:
                \(shards)
                collections:
                  - {name: programs, table: programs, metric: cosine, dimensions: 384}
                """
            try await withRealGateway(config, hasAdmin: true) { gateway in
                try await body(
                    Stage(
                        replicas: replicas, gateway: gateway, admin: try #require(gateway.admin), config: config))
            }
        }

        private static func state(_ stage: Stage) async throws -> GatewayState {
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            return try decoder.decode(
                GatewayState.self, from: Data(try await stage.admin.get("/api/v1/state").body.utf8))
        }

        @Test func whatWasKnownIsServedAndThatItIsOldIsSaid() async throws {
            try await Self.withSourcesAway { stage in
                let vector = "[\(Slow.vector.map { "\($0)" }.joined(separator: ","))]"
                let found = try stage.gateway.run("search", "--collection", "programs", "--vector", vector)
                #expect(found.code == 0, "\(found.errors)")

                let state = try await Self.state(stage)
                #expect(state.shards.count == stage.replicas.topology.shards.count)
                for (shard, expected) in zip(state.shards, stage.replicas.topology.shards) {
                    let topology = try #require(shard.topology)
                    #expect(topology.source == "patroni" && topology.state == "unheard" && topology.age == nil)
                    #expect(topology.refused == "unheard" && topology.writable == nil && shard.primary == nil)
                    #expect(topology.members.map(\.name) == expected.replicas.map(\.name).sorted())
                    #expect(Int(topology.timeline) == Self.timeline)
                    #expect(topology.endpoints.map(\.error) == ["cannot be reached"])
                    #expect(topology.endpoints.map(\.isAnswering) == [false])
                }
                let metrics = try await stage.admin.get("/metrics").body
                #expect(metrics.contains("sluice_topology_source_up{shard=\"s0\"} 0\n"))
                #expect(metrics.contains("sluice_topology_writable{shard=\"s0\"} 0\n"))
                #expect(metrics.contains("sluice_topology_timeline{shard=\"s0\"} \(Self.timeline)\n"))

                let top = try Binary.run([
                    "top", "--once", "--interval", "0.1", "--admin", "127.0.0.1:\(stage.admin.port)",
                ])
                let line = "  s0: NO WRITES (unheard), patroni UNHEARD, highest timeline 7"
                #expect(top.output.split(separator: "\n").contains(Substring(line)), "\(top.output)")
            }
        }

        @Test func theDoctorSaysWhichEndpointsAreAway() async throws {
            try await Self.withSourcesAway { stage in
                let file = stage.gateway.folder.appending(path: "doctor.yaml")
                try Data(stage.config.utf8).write(to: file)
                let outcome = try Binary.run(["doctor", "--config", file.path])
                #expect(outcome.code != 0)
                for words in [
                    "warning: s0: endpoints[0] cannot be reached: look whether Patroni's REST API runs there",
                    "error: s0: it takes no writes: its topology source has not been heard yet",
                ] {
                    #expect(outcome.errors.contains(words), "\(outcome.errors)")
                }
                #expect(!outcome.errors.contains("topology: endpoints[0]"), "it is said once")
            }
        }

        @Test(
            .enabled(
                if: Chromium.program != nil || ProcessInfo.processInfo.environment["CI"] != nil,
                "the page is looked at with `chromium`, of Debian's package chromium; in CI it has to be there"))
        func thePageHasALineForEachSource() async throws {
            struct Line: Decodable, Equatable {
                var shard: String
                var mood: String
                var text: String
            }
            try await Self.withSourcesAway { stage in
                try await Chromium.with { browser in
                    try await browser.visit("http://127.0.0.1:\(stage.admin.port)/")
                    let count = stage.replicas.topology.shards.count
                    try await browser.wait(until: "document.querySelectorAll('#sources li').length === \(count)")
                    let lines: [Line] = try await browser.value(
                        """
                        [...document.querySelectorAll('#sources li')].map((each) =>
                          ({shard: each.dataset.shard, mood: each.dataset.mood, text: each.textContent}))
                        """)
                    #expect(lines.map(\.shard) == stage.replicas.topology.shards.map(\.name))
                    for line in lines {
                        #expect(line.mood == "bad" && line.text.hasPrefix("\(line.shard): patroni unheard"), "\(line)")
                        #expect(line.text.contains("NO WRITES: its topology source has not been heard yet"), "\(line)")
                        #expect(line.text.contains("endpoints[0]: cannot be reached"), "\(line)")
                    }
                    let box: String = try await browser.value(
                        "document.querySelector('.shard[data-shard=\"s0\"]').textContent")
                    #expect(box.contains("no writes: unheard"), "\(box)")
                    try await browser.keepPicture("page-source-away")
                    #expect(browser.complaints == [])
                }
            }
        }
    }
}
