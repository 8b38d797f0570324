import Foundation
import Glibc
import SluiceClient
import SluiceEngine
import SluiceGateway
import Synchronization
import Testing

extension PostgreSQL {
    /// A gateway that is told to run by another configuration.
    @Suite(.serialized) struct Reloads {
        private static let vector: [Float] = [1] + Array(repeating: 0, count: 383)

        private static func query(_ collections: [String] = ["programs", "libraries"], k: Int = 5) -> SearchQuery {
            SearchQuery(collections: collections, vector: vector, k: k, deadline: .seconds(20))
        }

        private static let also = """
              - {name: also, table: programs, metric: cosine, dimensions: 384, columns: [name], cache: true}

            """

        /// One of many configurations that a gateway of these replicas can run by: other servers, pools and limits, a
        /// collection more, and the same shards and collections by other numbers.
        private func variant(_ number: Int, of replicas: Replicas) throws -> GatewayConfig {
            let left = number % 3 == 0 ? "s0-b" : number % 3 == 1 ? "s1-b" : ""
            var config = try replicas.config(
                limits: "{max_k: \(number % 7 == 0 ? 500 : 1_000), max_memory: \(number % 4 == 0 ? 256 : 1_024)MiB}",
                pool: "{max_size: \(number % 2 == 0 ? 4 : 6), max_waiting: \(200 + number % 5)}",
                extraCollections: number % 5 == 0 ? Self.also : "",
                extra: "hedging: {enabled: \(number % 11 != 0)}\nretries: {budget: \(number % 13 == 0 ? 0.3 : 0.2)}\n",
                replicas: { $0.name != left })
            if number % 4 > 1 { config.shards.reverse() }
            if number % 6 > 2 { config.collections.reverse() }
            return config
        }

        /// Of one stage and of several.
        private static func queries(_ samples: Samples) -> [SearchQuery] {
            samples.queries.prefix(8).enumerated().map { place, vector in
                var query = SearchQuery(
                    collections: place % 2 == 0 ? ["programs", "libraries"] : ["libraries"], vector: vector, k: 5,
                    columns: ["section"], deadline: .seconds(20))
                if place % 4 == 1 { query.twoPhase = .init(.half, candidates: 60) }
                if place % 4 == 2 { query.group = .init(by: "section", size: 1) }
                if place % 4 == 3 { query.complete = true }
                return query
            }
        }

        @Test(.timeLimit(.minutes(5))) func aThousandReloadsUnderLoadFailNothing() async throws {
            let replicas = try Replicas()
            let samples = try Samples()
            try await withGateway(try variant(2, of: replicas)) { client, gateway in
                let queries = Self.queries(samples)
                let tally = try await SteadyLoad.run(client, queries, tasks: 8) { _ in
                    for number in 0..<1_000 {
                        let next = try variant(number, of: replicas)
                        #expect(await gateway.reload(next) == [])
                    }
                }
                print("1,000 reloads under load: \(tally.answered) answers, \(tally.failed) failures")
                #expect(tally.failures == [:])
                #expect(tally.wrong == 0 && tally.answered > 100)
                // 999 leaves s0-b out and has the shards in reverse.
                let state = try #require(await gateway.state())
                #expect(state.shards.map { $0.replicas.map(\.name) } == [["s1-a", "s1-b"], ["s0-a"]])
                #expect(state.shards.allSatisfy { $0.replicas.allSatisfy { $0.pool.limit == 6 && $0.isServing } })
            }
        }

        /// A gateway whose connections can be told from those that poolers keep open.
        private static func named(_ replica: Replicas.Topology.Shard.Replica) -> String {
            "host=127.0.0.1 port=\(replica.port) dbname=sluice user=sluice application_name=reloads"
        }

        @Test(.timeLimit(.minutes(2))) func whatIsNewIsServedAndWhatIsGoneIsNot() async throws {
            let replicas = try Replicas()
            try await withGateway(try replicas.config(dsn: Self.named)) { client, gateway in
                #expect(await code(of: { _ = try await client.search(Self.query(["also"])) }) == .unknownCollection)
                let wider = try replicas.config(
                    limits: "{max_k: 7}", pool: "{max_size: 3, min_size: 3}", extraCollections: Self.also,
                    dsn: Self.named)
                #expect(await gateway.reload(wider) == [])
                #expect(try await client.search(Self.query(["also"])).hits.count == 5)
                #expect(try await client.collections().map(\.name) == ["also", "libraries", "programs"])
                #expect(await code(of: { _ = try await client.search(Self.query(k: 8)) }) == .invalidArgument)
                #expect(gateway.indexKind(of: "also", shard: 1) == .hnsw)
                let state = try #require(await gateway.state())
                #expect(state.shards.flatMap(\.replicas).map(\.pool.limit) == [3, 3, 3, 3])

                let narrower = try replicas.config(dsn: Self.named, replicas: { $0.name != "s1-b" })
                #expect(await gateway.reload(narrower) == [])
                #expect(await code(of: { _ = try await client.search(Self.query(["also"])) }) == .unknownCollection)
                #expect(try await client.search(Self.query(k: 8)).hits.count == 8)
                let names = try #require(await gateway.state()).shards.map { $0.replicas.map(\.name) }
                #expect(names == [["s0-a", "s0-b"], ["s1-a"]])
                // Its connections go, too.
                let question = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'reloads'"
                while try replicas.query("s1-b", question) != "0" { try await client.ping() }
            }
        }

        /// Another table under the name of one that has been written to.
        @Test func writesGoWhereTheCollectionIsNow() async throws {
            let replicas = try Replicas()
            try await LoadTable.with("moved_from", replicas) { from in
                try await LoadTable.with("moved_to", replicas) { to in
                    func config(_ table: LoadTable) throws -> GatewayConfig {
                        try replicas.config(
                            extraCollections: table.text.replacing("name: \(table.name),", with: "name: moved,"))
                    }
                    try await withGateway(try config(from)) { client, gateway in
                        func write(_ ids: Range<Int64>) async throws {
                            let report = try await client.upsert(
                                "moved", columns: LoadTable.columns, rows: ids.map(LoadTable.row),
                                deadline: .seconds(20))
                            #expect(report.shards.allSatisfy { $0.outcome == .committed })
                        }
                        try await write(0..<50)
                        var next = try config(to)
                        next.shards.reverse()
                        #expect(await gateway.reload(next) == [])
                        try await write(50..<120)
                    }
                    #expect(try from.counts() == from.expected(0..<50))
                    #expect(try to.counts() == to.expected(50..<120))
                }
            }
        }

        @Test func connectionsAndWhatIsKnownOfServersStay() async throws {
            let replicas = try Replicas()
            try await withGateway(try replicas.config()) { client, gateway in
                _ = try await client.search(Self.query())
                try await gateway.perform(.drain, shard: "s0", replica: "s0-b")
                try await gateway.perform(.resize(minSize: 1, maxSize: 2), shard: "s1", replica: "s1-a")
                let before = try #require(await gateway.state()).shards.flatMap(\.replicas)
                // The same password from another file, other limits, another collection.
                let copy = FileManager.default.temporaryDirectory.appending(path: "sluice-\(UUID().uuidString)")
                try FileManager.default.copyItem(atPath: replicas.topology.passwordFile, toPath: copy.path)
                defer { try? FileManager.default.removeItem(at: copy) }
                var config = try replicas.config(extraCollections: Self.also, extra: "breaker: {min_volume: 30}")
                for shard in config.shards.indices {
                    for replica in config.shards[shard].replicas.indices {
                        config.shards[shard].replicas[replica].passwordFile = copy.path
                    }
                }
                #expect(await gateway.reload(config) == [])
                let after = try #require(await gateway.state()).shards.flatMap(\.replicas)
                #expect(after.map(\.role) == before.map(\.role))
                #expect(after.map(\.isDrained) == [false, true, false, false])
                #expect(after.map(\.pool.limit) == [4, 4, 2, 4])
                #expect(after.map(\.pool.dials) == before.map(\.pool.dials))
                try await gateway.perform(.undrain, shard: "s0", replica: "s0-b")
                #expect(try #require(await gateway.state()).shards[0].replicas.allSatisfy(\.isServing))
            }
        }

        @Test func whatIsWrongIsRefusedAndTheOldGoesOn() async throws {
            let replicas = try Replicas()
            try await withGateway(try replicas.config()) { client, gateway in
                // There is an index, but not for this metric.
                let bad = "  - {name: bad, table: programs, metric: l2, dimensions: 384, require_index: true}\n"
                let config = try replicas.config(limits: "{max_k: 3}", extraCollections: bad)
                let reasons = await gateway.reload(config)
                #expect(reasons.count == 2 && reasons.allSatisfy { $0.contains("bad") && $0.contains("index") })
                #expect(try await client.collections().map(\.name) == ["libraries", "programs"])
                #expect(try await client.search(Self.query()).hits.count == 5)
            }
        }

        /// By the file, by SIGHUP, and what the log says of it.
        @Test(.timeLimit(.minutes(2))) func theFileIsReadAnewWhenItChanges() async throws {
            let replicas = try Replicas()
            try await withRealGateway(replicas.text()) { gateway in
                let client = try await SluiceClient.connect(gateway.address)
                let file = gateway.folder.appending(path: "gateway.yaml")
                let text = try String(contentsOf: file, encoding: .utf8)
                let with = text.replacing("collections:\n", with: "collections:\n\(Self.also)")
                try Data(with.utf8).write(to: file)
                while await code(of: { _ = try await client.search(Self.query(["also"])) }) != nil {}
                // What cannot be read changes nothing, and says what is wrong with it.
                try Data(with.replacing("metric: cosine", with: "metric: cosin").utf8).write(to: file)
                while !gateway.log.contains("did you mean") { try await client.ping() }
                #expect(try await client.search(Self.query(["also"])).hits.count == 5)
                try Data("\(text)\nlimits: {max_k: 4}\nreload: {watch: false}\n".utf8).write(to: file)
                while await code(of: { _ = try await client.search(Self.query()) }) != .invalidArgument {}
                // Not by itself any more.
                try Data(text.utf8).write(to: file)
                kill(gateway.pid, SIGHUP)
                while await code(of: { _ = try await client.search(Self.query()) }) != nil {}
                await client.close()
                #expect(gateway.log.contains("collections.also.table: new, programs"))
                #expect(gateway.log.contains("limits.max_k: 1000 -> 4"))
                let password = try String(contentsOfFile: replicas.topology.passwordFile, encoding: .utf8)
                #expect(!gateway.log.contains(password.trimmingCharacters(in: .whitespacesAndNewlines)))
            }
        }
    }
}
