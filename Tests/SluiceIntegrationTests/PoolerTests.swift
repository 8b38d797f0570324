import Foundation
import SluiceClient
import SluiceGateway
import Testing

extension PostgreSQL {
    /// Through a real PgBouncer in transaction mode before each server.
    @Suite(.serialized) struct Poolers {
        private func config(_ replicas: Replicas, extraCollections: String = "") throws -> GatewayConfig {
            // More connections than PgBouncer has to the server (8), so that it deals them out anew all the time.
            try replicas.config(
                pool: "{min_size: 16, max_size: 16}", extraCollections: extraCollections, throughPoolers: true)
        }

        @Test func answersAreThoseOfTheServers() async throws {
            let replicas = try Replicas()
            let samples = try Samples()
            let queries = samples.queries.enumerated().map { number, vector in
                SearchQuery(
                    collections: ["programs", "libraries"], vector: vector, k: 10, columns: ["name"],
                    efSearch: 40 + number, exact: number.isMultiple(of: 5))
            }
            var direct: [[Int64]] = []
            try await withGateway(replicas.config()) { client, _ in
                for query in queries { direct.append(try await client.search(query).hits.map(\.id)) }
            }
            try await withGateway(config(replicas)) { [direct] client, _ in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for worker in 0..<16 {
                        group.addTask {
                            for turn in 0..<100 {
                                let place = (worker * 7 + turn) % queries.count
                                let reply = try await client.search(queries[place])
                                #expect(reply.hits.map(\.id) == direct[place] && reply.coverage == 1)
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }

        @Test func cancellingStopsTheServersWorkThroughThePooler() async throws {
            let replicas = try Replicas()
            try Slow.make(replicas)
            try await withGateway(config(replicas, extraCollections: Slow.collection)) { client, _ in
                let search = Task { try await client.search(SearchQuery(collections: ["slow"], vector: Slow.vector)) }
                let hasBegun = try Slow.waitUntil { try Slow.running(replicas) == 1 }
                #expect(hasBegun)
                search.cancel()
                await #expect { try await search.value } throws: { ($0 as? SluiceError)?.code == .cancelled }
                let hasEnded = try Slow.waitUntil { try Slow.running(replicas) == 0 }
                #expect(hasEnded)
                let reply = try await client.search(
                    SearchQuery(collections: ["programs"], vector: Slow.vector, k: 3))
                #expect(reply.hits.count == 3)
            }
        }

        @Test func theDeadlineEndsTheServersWorkThroughThePooler() async throws {
            let replicas = try Replicas()
            try Slow.make(replicas)
            try await withGateway(config(replicas, extraCollections: Slow.collection)) { client, _ in
                await #expect {
                    try await client.search(
                        SearchQuery(collections: ["slow"], vector: Slow.vector, deadline: .milliseconds(300)))
                } throws: { ($0 as? SluiceError)?.code == .deadlineExceeded }
                let hasEnded = try Slow.waitUntil { try Slow.running(replicas) == 0 }
                #expect(hasEnded)
            }
        }

        /// - Returns: what the doctor says of the primary of s0 behind its PgBouncer, which has 8 connections to the
        ///   server, and room for 500 clients.
        private func findings(_ pooler: String, _ more: String) throws -> [String] {
            let replicas = try Replicas()
            let server = try #require(replicas.topology.shards.first?.replicas.first)
            let text = """
                shards:
                  - name: s0
                    replicas:
                      - name: a
                        dsn: host=127.0.0.1 port=\(server.port + 1_000) dbname=sluice user=sluice
                        password_file: \(replicas.topology.passwordFile)
                        pooler: \(pooler)
                collections:
                  - {name: programs, table: programs, metric: cosine, dimensions: 384, placement: any}
                \(more)
                """
            let file = FileManager.default.temporaryDirectory.appending(path: "sluice-pooler-\(UUID().uuidString)")
            try Data(text.utf8).write(to: file)
            defer { try? FileManager.default.removeItem(at: file) }
            let said = try Binary.run(["doctor", "--config", file.path]).errors
            return said.split(separator: "\n").map(String.init).filter { $0.contains(" s0/a: ") }
        }

        @Test func theDoctorLooksAtThePoolersLimits() throws {
            let sound = try findings("transaction", "pool: {max_size: 8}")
            #expect(sound.filter { $0.contains("PgBouncer") } == [])
            let large = try findings("transaction", "pool: {max_size: 16}")
            #expect(large.count { $0.contains("up to 8 connections to the server for 16 of pool.max_size") } == 1)
            let larger = try findings("transaction", "pool: {max_size: 501}")
            #expect(larger.count { $0.contains("whose max_client_conn is 500; raise that to at least 501") } == 1)
            let patient = try findings("transaction", "limits: {default_deadline: 200s, max_deadline: 200s}")
            #expect(patient.count { $0.contains("waited for the server for 2m (query_wait_timeout)") } == 1)
        }

        @Test func theDoctorKnowsAPoolerThatTheConfigurationDoesNot() throws {
            let said = try findings("none", "")
            #expect(said.contains { $0.contains("pooler: transaction") }, "\(said)")
        }
    }
}
