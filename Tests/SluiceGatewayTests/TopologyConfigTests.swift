import Foundation
import SluiceCore
import SluiceGateway
import SluiceTopology
import Testing

/// `shards[].source`: what it may say, and what its members become.
@Suite struct TopologyConfigTests {
    private static let replica = "replica: {dsn: dbname=v user=u, pool: {max_size: 3}, weight: 2}"

    private static func file(_ source: String) -> String {
        "shards:\n  - name: s0\n    source: {\(source)}\n\(ConfigErrorTests.collections)"
    }

    private static func config(_ source: String) throws -> GatewayConfig {
        try GatewayConfig.parse(file(source), file: "folder/f", environment: [:])
    }

    private static func problems(_ source: String) -> [String] { ConfigErrorTests.problems(file(source)) }

    @Test func patroniHasDefaults() throws {
        let config = try Self.config(
            #"type: patroni, endpoints: ["http://a:8008", "https://[::1]:8008"], \#(Self.replica)"#)
        let settings = try #require(config.shards[0].source?.settings)
        #expect(config.shards[0].replicas == [])
        let endpoints = ["http://a:8008", "https://[::1]:8008"].compactMap { HTTPEndpoint($0) }
        #expect(settings.source == .patroni(endpoints) && settings.namesLeader)
        #expect(settings.interval == .seconds(1) && settings.timeout == .seconds(1) && settings.stateFile == nil)
        #expect(settings.machine == .init(leaderLease: .seconds(3), requiresSynchronousStandby: false))
    }

    @Test func everyKeyOfEtcd() throws {
        let config = try Self.config(
            """
            type: etcd, endpoints: ["http://a:2379"], namespace: /slx/, scope: c1, interval: 500ms, timeout: 400ms,
              leader_lease: 2s, require_sync: true, state_file: s.json, ca: ca.pem, certificate: c.pem, key: k.pem,
              \(Self.replica)
            """)
        let settings = try #require(config.shards[0].source?.settings)
        #expect(settings.source == .etcd([HTTPEndpoint("http://a:2379")].compactMap(\.self), prefix: "/slx/c1/"))
        #expect(settings.machine == .init(leaderLease: .seconds(2), requiresSynchronousStandby: true))
        #expect(settings.stateFile == "folder/s.json")
        #expect(
            settings.certificates == .init(authority: "folder/ca.pem", certificate: "folder/c.pem", key: "folder/k.pem")
        )
    }

    @Test func etcdMayAskForAPassword() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "password-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let source =
            "type: etcd, endpoints: [\"http://a:2379\"], scope: c, username: u, password_file: \(path), \(Self.replica)"
        #expect(Self.problems(source).contains { $0.contains("shards[0].source.password_file") })
        try Data("\n".utf8).write(to: URL(filePath: path))
        #expect(Self.problems(source).contains { $0.contains("the first line of the file is empty") })
        try Data("secret\n".utf8).write(to: URL(filePath: path))
        let settings = try #require(try Self.config(source).shards[0].source?.settings)
        #expect(settings.credentials == .init(user: "u", passwordFile: path))
    }

    @Test func dnsHasAddressesOrServices() throws {
        let addresses = try Self.config("type: dns, name: db.example, port: 5433, \(Self.replica)")
        #expect(addresses.shards[0].source?.settings.source == .dns(name: "db.example", port: 5_433))
        #expect(addresses.shards[0].source?.settings.interval == .seconds(10))
        let services = try Self.config("type: dns, name: _pg._tcp.db.example, record: srv, \(Self.replica)")
        #expect(services.shards[0].source?.settings.source == .srv(name: "_pg._tcp.db.example"))
        #expect(services.shards[0].source?.settings.namesLeader == false)
    }

    @Test func membersBecomeReplicas() throws {
        let config = try Self.config(#"type: patroni, endpoints: ["http://a:1"], \#(Self.replica)"#)
        let places = [
            MemberPlace(name: "n1", host: "10.0.0.1", port: 5_432),
            MemberPlace(name: "n2", host: "fd00::2", port: 6_432),
        ]
        let serving = config.serving(["s0": places])
        #expect(serving.shards[0].replicas.map(\.name) == ["n1", "n2"])
        #expect(serving.shards[0].replicas.map(\.member) == places)
        #expect(serving.shards[0].replicas[1].dsn.revealed == "dbname=v user=u host='fd00::2' port=6432")
        #expect(serving.shards[0].replicas.allSatisfy { $0.pool.maxSize == 3 && $0.weight == 2 })
        #expect(serving.serving([:]).shards[0].replicas == [])
        // The lanes are as many as every member's pool can have a connection for, also before there is one.
        #expect(config.laneCount <= 3)
    }

    @Test(arguments: [
        ("", "f:3: shards[0].source.type: is missing"),
        ("type: patrony, \(replica)", "is \"patrony\", not one of static, patroni, etcd, dns"),
        ("type: patroni, \(replica)", "f:3: shards[0].source.endpoints: is missing"),
        ("type: etcd, endpoints: [\"http://a:1\"], \(replica)", "f:3: shards[0].source.scope: is missing"),
        ("type: dns, \(replica)", "f:3: shards[0].source.name: is missing"),
        ("type: dns, name: \"a b\", \(replica)", "shards[0].source.name: is no name that DNS could know"),
        ("type: patroni, endpoints: [\"a:1\"], \(replica)", "each is http://HOST:PORT or https://HOST:PORT"),
        ("type: patroni, endpoints: [\"http://a:1\"]", "f:3: shards[0].source.replica: is missing"),
        ("type: patroni, endpoints: [\"http://a:1\"], scope: x, \(replica)", "is not for a source of type patroni"),
        ("type: static, interval: 1s", "shards[0].source.interval: is not for a source of type static"),
        ("type: static", "shards[0].replicas: is missing"),
        ("type: dns, name: a, require_sync: true, \(replica)", "is not for a source of type dns"),
        (
            "type: patroni, endpoints: [\"http://a:1\"], leader_lease: 1s, \(replica)",
            "leader_lease must not be below interval and timeout together"
        ),
        ("type: patroni, endpoints: [\"http://a:1\"], key: k, \(replica)", "certificate and key go together"),
        (
            "type: etcd, endpoints: [\"http://a:1\"], scope: c, username: u, \(replica)",
            "username and password_file go together"
        ),
        ("type: patroni, endpoints: [\"http://a:1\"], username: u, \(replica)", "is not for a source of type patroni"),
        ("type: dns, name: \"a:1\", record: srv, \(replica)", "shards[0].source.name: is no name that DNS could know"),
        (
            "type: patroni, endpoints: [\"http://a:1\"], replica: {dsn: host=h dbname=v}",
            "shards[0].source.replica.dsn: host and port are the source's to say"
        ),
        (
            "type: patroni, endpoints: [\"http://a:1\"], replica: {dsn: \"postgres:///v\"}",
            "shards[0].source.replica.dsn: is to be keywords and values here"
        ),
        (
            "type: patroni, endpoints: [\"http://a:1\"], replica: {dsn: dbname=v, pool: {connection_budget: 9}}",
            "a connection_budget is for replicas that the file lists"
        ),
    ])
    func whatIsWrongIsSaidWithItsPlace(_ source: String, _ problem: String) {
        let problems = Self.problems(source)
        #expect(problems.contains { $0.contains(problem) }, "\(problems)")
    }

    @Test func eachShardHasAStateFileOfItsOwn() {
        let source = "source: {type: dns, name: a, state_file: s.json, \(Self.replica)}"
        let shards = "shards:\n  - {name: s0, \(source)}\n  - {name: s1, \(source)}\n"
        let problems = ConfigErrorTests.problems(shards + ConfigErrorTests.collections)
        #expect(problems.count == 1 && problems[0].contains("s0 and s1 have the same state_file"))
    }

    @Test func aSourceAndAListDoNotGoTogether() {
        let text = ConfigErrorTests.right.replacing(
            "  - name: s0\n", with: "  - name: s0\n    source: {type: dns, name: a, \(Self.replica)}\n")
        #expect(ConfigErrorTests.problems(text).contains { $0.contains("give one of the two") })
    }
}
