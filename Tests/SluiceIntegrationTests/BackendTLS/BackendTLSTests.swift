import Foundation
import PostgresTestKit
import SluiceAdmin
import SluiceClient
import SluiceGateway
import SluicePostgres
import SluiceReactor
import Testing

/// TLS to PostgreSQL, as the connection string says it: against Debian's PostgreSQL, a fake server whose records are as
/// long as they can be, and PgBouncer before the server that has pgvector.
@Suite(.serialized) struct BackendTLSTests {
    private func dial(_ settings: ConnectionSettings, _ reactor: Reactor) async throws -> PostgresConnection {
        try await PostgresConnection.connect(
            settings, on: reactor, deadline: Reactor.now() + 10_000_000_000, onClose: {})
    }

    /// - Returns: what is said of the refusal.
    private func refusal(_ settings: ConnectionSettings, _ reactor: Reactor) async throws -> String {
        do {
            let connection = try await dial(settings, reactor)
            await connection.close()
        } catch {
            #expect((error as? PostgresFailure)?.kind == .unreachable)
            #expect(!"\(error)".contains(DebianServer.password))
            return "\(error)"
        }
        Issue.record("connected")
        return ""
    }

    @Test(.timeLimit(.minutes(1))) func whatTheConnectionStringAsksForIsHeldTo() async throws {
        let certificates = try Certificates()
        defer { certificates.remove() }
        let server = try await DebianServer(certificates)
        defer { server.stop() }
        let reactor = try Reactor(name: "tls")
        defer { reactor.stop() }
        let verified = "sslmode=verify-full sslrootcert=ca.pem"
        let here = "host=localhost hostaddr=127.0.0.1"

        let settings = try server.settings("\(verified) channel_binding=require", host: here)
        let good = try await dial(settings, reactor)
        let facts = try #require(await good.transport.encryption)
        #expect(facts.version == "TLSv1.3" && facts.cipher.hasPrefix("TLS_") && facts.usesChannelBinding == true)
        let certificate = try #require(facts.certificate)
        #expect(certificate.subject == "O=Sluice,CN=localhost")
        let days = (Double(certificate.expiry) - Date().timeIntervalSince1970) / 86_400
        #expect((29...30).contains(days))
        #expect(await good.transport.isLocal)
        #expect(await good.facts.vectorType == 0)
        #expect(await good.facts.serverVersion.hasPrefix("1"))
        #expect(settings.transports.facts == (await good.transport))
        await good.close()

        let disabled = try await dial(server.settings("\(verified) channel_binding=disable", host: here), reactor)
        #expect(await disabled.transport.encryption?.usesChannelBinding == false)
        await disabled.close()

        #expect(try await refusal(server.settings("sslmode=disable"), reactor).contains("no encryption"))
        let otherName = try server.settings(verified, host: "host=db.example.com hostaddr=127.0.0.1")
        #expect(try await refusal(otherName, reactor).contains("does not match host name \"db.example.com\""))
        let otherAuthority = try server.settings("sslmode=verify-full sslrootcert=other-ca.pem", host: here)
        #expect(try await refusal(otherAuthority, reactor).contains("certificate verify failed"))
        let missing = try server.settings("sslmode=verify-full sslrootcert=nowhere.pem", host: here)
        #expect(try await refusal(missing, reactor).contains("nowhere.pem"))

        // One that needs a certificate of ours.
        let without = try server.settings(verified, user: "mapped", host: here)
        #expect(try await refusal(without, reactor).contains("client certificate"))
        let given = try server.settings("\(verified) sslcert=client.pem sslkey=client.key", user: "mapped", host: here)
        let known = try await dial(given, reactor)
        #expect(await known.transport.encryption?.usesChannelBinding == nil)
        await known.close()
        let wrong = try server.settings("\(verified) sslcert=server.pem sslkey=copy.key", user: "mapped", host: here)
        try Shell.run(["cp", certificates.path("server.key"), certificates.path("copy.key")])
        #expect(try await refusal(wrong, reactor).contains("certificate authentication failed"))

        server.stop()
        try server.start("expired")
        // libpq 15 does not say what of it; later ones name the reason.
        let tooOld = try await refusal(server.settings(verified, host: here), reactor)
        #expect(tooOld.contains("certificate verify failed") || tooOld.contains("expired"))
        // Without verification it is taken, and `doctor` says so.
        let expired = try await dial(server.settings("sslmode=require"), reactor)
        let end = try #require(await expired.transport.encryption?.certificate?.expiry)
        #expect(Double(end) < Date().timeIntervalSince1970)
        await expired.close()
    }

    /// A TLS record has up to 16 KiB, and libpq has room for 8 KiB at least: what is left of a record is no event of
    /// the descriptor's. The lengths are such that the last record does not fit in many of them.
    @Test(.timeLimit(.minutes(1))) func rowsThatStraddleLibpqsBufferArrive() async throws {
        let certificates = try Certificates()
        defer { certificates.remove() }
        var script = FakePostgres.Script { peer, question in
            // The subject's first two bytes are the size.
            let size = Int((question.parameters.first ?? nil).map { UInt16($0[0]) << 8 | UInt16($0[1]) } ?? 0)
            peer.write(.description(Peer.fields))
            for id in 1...3 {
                let text = String(repeating: "x", count: size)
                peer.write(Peer.row(question, id: Int64(id), distance: 0, name: text))
            }
            peer.write(.complete("SELECT 3"))
        }
        script.tls = try FakeTLS(certificate: certificates.path("server.pem"), key: certificates.path("server.key"))
        let server = try FakePostgres(script)
        defer { server.stop() }
        let reactor = try Reactor(name: "tls")
        defer { reactor.stop() }
        let workers = BlockingWorkers(limit: 4)
        let settings = ConnectionSettings(
            target: try ConnectionString(
                "\(server.dsn) sslmode=verify-full sslrootcert=ca.pem", folder: certificates.folder.path),
            isPooled: false, resolver: AddressResolver(workers: workers), cancels: CancelAllowance(workers: workers),
            dials: DialAllowance(workers: BlockingWorkers(limit: 2)))
        let connection = try await dial(settings, reactor)
        #expect(await connection.transport.encryption?.certificate?.subject == "O=Sluice,CN=localhost")
        for size in stride(from: 3_000, through: 33_000, by: 375) {
            let statement = TLSSearch.statement(size: size)
            let rows = try await connection.search(statement, deadline: Reactor.now() + 1_000_000_000)
            #expect(rows.ids == [1, 2, 3] && rows.cells.count == 3 * (size + 4))
        }
        await connection.close()
    }
}

/// A search of which the fake server returns rows as long as the subject says.
enum TLSSearch {
    private final class Text: StatementText {
        let text: String
        init(_ text: String) { self.text = text }
        func sql(for facts: ServerFacts) -> String { text }
    }

    private static let query = Text("SELECT $2 AS token, id, distance, name")
    private static let settings = Text("SELECT pg_catalog.set_config('statement_timeout', $1, true)")

    static func statement(size: Int) -> SearchStatement {
        SearchStatement(
            query: query, settings: settings, timeoutMilliseconds: 1_000, settingValues: [],
            subject: [UInt8(size >> 8), UInt8(size & 0xFF)], token: 4_711, columnCount: 1, maximumRows: 10,
            maximumBytes: 1 << 20)
    }
}

extension PostgreSQL {
    /// PgBouncer with TLS before the servers that have none.
    @Suite(.serialized) struct TLSPoolers {
        /// - Parameter body: gets a configuration's text with relative paths, and the folder that it belongs to.
        private func withPooler(_ body: (String, Certificates) async throws -> Void) async throws {
            let replicas = try Replicas()
            let certificates = try Certificates()
            defer { certificates.remove() }
            let password = try String(contentsOfFile: replicas.topology.passwordFile, encoding: .utf8)
                .trimmingCharacters(in: .whitespacesAndNewlines)
            let server = try #require(replicas.topology.shards.first?.replicas.first)
            let pooler = try TLSPooler(certificates, server: server.port, password: password)
            defer { pooler.stop() }
            let target = "host=localhost port=\(pooler.port) dbname=sluice user=sluice"
            let text = """
                pool: {min_size: 1, max_size: 4}
                shards:
                  - name: s0
                    replicas:
                      - name: s0-a
                        dsn: "\(target) sslmode=verify-full sslrootcert=CA"
                        password_file: \(replicas.topology.passwordFile)
                        pooler: transaction
                collections:
                  - {name: programs, table: programs, metric: cosine, dimensions: 384, columns: [name]}
                """
            try await body(text, certificates)
        }

        @Test(.timeLimit(.minutes(1))) func searchesGoThroughItVerified() async throws {
            let queries = try Samples().queries
            try await withPooler { text, certificates in
                let listening = "listen: {tcp: \"127.0.0.1:0\"}\n" + text
                let file = certificates.path("gateway.yaml")
                let config = try GatewayConfig.parse(
                    listening.replacing("CA", with: "ca.pem"), file: file, environment: [:])
                try await withGateway(config) { client, _ in
                    for vector in queries {
                        let reply = try await client.search(
                            SearchQuery(collections: ["programs"], vector: vector, k: 10, columns: ["name"]))
                        #expect(reply.hits.count == 10 && reply.coverage == 1)
                    }
                }
                let other = try GatewayConfig.parse(
                    listening.replacing("CA", with: "other-ca.pem"), file: file, environment: [:])
                try await withGateway(other) { client, _ in
                    await #expect {
                        try await client.search(SearchQuery(collections: ["programs"], vector: queries[0], k: 1))
                    } throws: { ($0 as? SluiceError)?.code == .unavailable }
                }
            }
        }

        @Test(.timeLimit(.minutes(1))) func theMetricsSayHowServersAreReached() async throws {
            try await withPooler { text, certificates in
                let config = text.replacing("CA", with: certificates.path("ca.pem"))
                try await withRealGateway(config, hasAdmin: true) { gateway in
                    let admin = try #require(gateway.admin)
                    let lines = try await admin.get("/metrics").body.split(separator: "\n")
                    let labels = "{shard=\"s0\",replica=\"s0-a\""
                    #expect(lines.contains("sluice_replica_encrypted\(labels)} 1"))
                    let info = "sluice_replica_tls_info\(labels),version=\"TLSv1.3\",cipher=\"TLS_"
                    #expect(lines.contains { $0.hasPrefix(info) && $0.hasSuffix("\"} 1") })
                    let expiry = "sluice_replica_certificate_expiry_timestamp_seconds\(labels)} "
                    let line = try #require(lines.first { $0.hasPrefix(expiry) })
                    let expires = try #require(Double(line.dropFirst(expiry.count)))
                    #expect((29...30).contains((expires - Date().timeIntervalSince1970) / 86_400))
                }
            }
        }

        @Test(.timeLimit(.minutes(1))) func theDoctorSaysHowServersAreReached() async throws {
            try await withPooler { text, certificates in
                let file = URL(filePath: certificates.path("gateway.yaml"))
                try Data(text.replacing("CA", with: "ca.pem").utf8).write(to: file)
                let plain = try Binary.run(["doctor", "--config", file.path])
                #expect(plain.code == 0, "\(plain.errors)")
                // This pooler shows its settings to nobody.
                #expect(plain.errors.contains("add the role to stats_users"), "\(plain.errors)")
                #expect(plain.output.contains("s0/s0-a: PostgreSQL 16"), "\(plain.output)")
                #expect(plain.output.contains("TLSv1.3"), "\(plain.output)")
                #expect(plain.output.contains("O=Sluice,CN=localhost until"), "\(plain.output)")
                let object = try Binary.run(["doctor", "--config", file.path, "--json"]).json()
                let server = try #require((object["servers"] as? [[String: Any]])?.first)
                #expect(server["reachable"] as? Bool == true && server["role"] as? String == "primary")
                #expect((server["dial_us"] as? Int).map { $0 > 0 } == true)
                let transport = try #require(server["transport"] as? [String: Any])
                #expect(transport["protocol"] as? String == "TLSv1.3" && transport["encrypted"] as? Bool == true)
                #expect(transport["channel_binding"] as? Bool == false)
                let certificate = try #require(transport["certificate"] as? [String: Any])
                #expect((certificate["days_left"] as? Int ?? 0) >= 29)

                try Data(text.replacing("CA", with: "other-ca.pem").utf8).write(to: file)
                let other = try Binary.run(["doctor", "--config", file.path])
                #expect(other.code == 69 && other.output.contains("s0/s0-a: not reached"), "\(other.errors)")
                #expect(other.errors.contains("certificate verify failed"))
            }
        }
    }
}
