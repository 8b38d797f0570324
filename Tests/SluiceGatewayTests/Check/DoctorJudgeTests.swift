import SluiceGateway
import SluicePostgres
import Testing

/// What `doctor` says of a server and of a table, by what is known of them.
@Suite struct DoctorJudgeTests {
    private let judge = ServerJudge(shard: "s0", replica: "a")

    private func said(
        pool: Int = 10, isPooled: Bool = false, _ change: (inout ServerCondition) -> Void = { _ in }
    ) -> [String] {
        var condition = ServerCondition(maxConnections: 100, reservedConnections: 3)
        change(&condition)
        return judge.findings(condition, pools: isPooled ? nil : .init(toServer: pool, ofRole: pool)).map(\.message)
    }

    @Test func connections() {
        #expect(said(pool: 97) == [])
        #expect(said(pool: 98).first?.contains("are 97;") == true)
        #expect(said(pool: 98, isPooled: true) == [], "the pooler has the connections")
        #expect(said(pool: 90) { $0.otherConnections = 7 } == [])
        #expect(said(pool: 90) { $0.otherConnections = 8 }.first?.contains("other programs have 8 now") == true)
        #expect(said(pool: 10) { $0.ownLimit = 10 } == [])
        #expect(said(pool: 10) { $0.ownLimit = 9 }.first?.contains("may have 9;") == true)
        #expect(said(pool: 10) { $0.ownLimit = 0 }.count == 1)
        let shared = judge.findings(
            ServerCondition(maxConnections: 100, reservedConnections: 3),
            pools: .init(toServer: 98, ofRole: 98, isShared: true))
        #expect(shared.first?.message.contains("lower pool.connection_budget") == true)
    }

    @Test func replication() {
        #expect(said { $0.isReplayPaused = true } == [], "a primary replays nothing")
        #expect(said { ($0.isStandby, $0.isReplayPaused) = (true, true) }.first?.contains("replay is paused") == true)
        #expect(said { ($0.isStandby, $0.hasWalReceiver) = (true, false) }.first?.contains("no WAL receiver") == true)
        #expect(said { ($0.isStandby, $0.lag) = (true, .seconds(10)) } == [])
        #expect(said { ($0.isStandby, $0.lag) = (true, .seconds(11)) }.first?.hasPrefix("it is 11 s behind") == true)
    }

    @Test func keepalives() {
        func said(_ parameters: [(String, String)], isLocal: Bool = false) -> String? {
            judge.keepalives(parameters, isLocal: isLocal)?.message
        }
        #expect(said([("keepalives", "1"), ("tcp_user_timeout", "4000")]) == nil)
        #expect(said([("keepalives", "0")])?.hasPrefix("the dsn turns keepalives off") == true)
        #expect(said([("keepalives", "0")], isLocal: true) == nil)
        #expect(said([("tcp_user_timeout", "0")])?.contains("tcp_user_timeout off") == true)
    }

    @Test(
        arguments: [
            ("", []), ("0.7.4", []), ("0.8.7", []), ("0.9.0", []), ("1.0.0", []), ("0.8.10", []),
            ("0.8.0", ["CVE-2026-3172", "vacuum", "IVFFlat"]), ("0.8.1", ["CVE-2026-3172"]),
            ("0.8.2", ["vacuum", "IVFFlat"]), ("0.8.5", ["IVFFlat"]), ("0.8.6", ["IVFFlat"]),
        ] as [(String, [String])])
    func versions(version: String, words: [String]) {
        let message = judge.advice(vectorVersion: version)?.message
        #expect((message == nil) == words.isEmpty)
        for word in words { #expect(message?.contains(word) == true) }
        if version == "0.8.5" { #expect(message?.contains("CVE") == false && message?.contains("vacuum") == false) }
    }

    private func said(of condition: TableCondition, hasIndex: Bool = true) throws -> [String] {
        let text = """
            shards: [{name: s0, replicas: [{dsn: "host=h"}]}]
            collections: [{name: c, table: t, metric: l2, dimensions: 3}]
            """
        let config = try GatewayConfig.parse(text, file: "f", environment: [:])
        return TableJudge.findings(
            condition, of: try #require(config.collections.first),
            TableFacts(kind: .table, quoted: "public.t", columns: [], indexes: []), hasIndex: hasIndex,
            sharedBuffers: 128 * 1_048_576, shard: "s0", replica: "a"
        ).map(\.description)
    }

    @Test func tables() throws {
        var condition = TableCondition()
        #expect(try said(of: condition) == [])
        condition.rows = 10_000
        condition.usesIndex = false
        #expect(try said(of: condition).first?.hasPrefix("warning: c on s0/a: the planner reads") == true)
        #expect(try said(of: condition, hasIndex: false) == [], "that there is none has been said")
        condition.rows = 9_999
        #expect(try said(of: condition) == [])
        condition.indexSizes = ["small": 128 * 1_048_576, "large": 129 * 1_048_576]
        let sizes = try said(of: condition)
        #expect(
            sizes.count == 1 && sizes.first?.contains("index large has 129 MiB, and shared_buffers 128 MiB") == true)
        condition.indexSizes = [:]
        (condition.sampled, condition.misplaced) = (10, 3)
        #expect(try said(of: condition).first?.contains("3 of 10 sampled ids") == true)
        condition.misplaced = 0
        (condition.hasDuplicates, condition.hasOtherDimensions) = (false, false)
        #expect(try said(of: condition) == [])
        (condition.hasDuplicates, condition.hasOtherDimensions) = (true, true)
        #expect(try said(of: condition).count == 2)
    }
}
