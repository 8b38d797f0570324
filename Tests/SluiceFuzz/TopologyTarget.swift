import SluiceCore
import SluiceTopology

/// What a source of topology answers: the first byte says to which question.
enum TopologyTarget {
    private static let prefix = "/service/s0/"

    static func run(_ input: UnsafeRawBufferPointer) throws(FuzzFinding) {
        var control = FuzzControl(input)
        let kind = control.byte() % 4
        let bytes = Array(control.rest)
        switch kind {
        case 0: if let report = try? PatroniAnswer.report(cluster: bytes, config: bytes) { try check(report) }
        case 1:
            guard let range = try? EtcdAnswer.range(bytes, prefix: prefix) else { return }
            var view = EtcdView()
            view.replace(range, now: Instant(nanoseconds: 0))
            try check(view.report)
        case 2:
            guard case .events(let events, let revision) = try? EtcdAnswer.watchLine(bytes, prefix: prefix) else {
                return
            }
            var view = EtcdView()
            view.apply(events, revision: revision)
            try expect(view.revision >= 0, "a revision below the first")
            try check(view.report)
        default:
            _ = PatroniAnswer.systemIdentifier(bytes)
            guard let token = try? EtcdAnswer.token(bytes) else { return }
            try expect(!token.isEmpty && token.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }, "a token of no header")
        }
    }

    /// What is taken can be put into a connection string as it is, and whoever it names cannot both be written to.
    private static func check(_ report: ClusterReport) throws(FuzzFinding) {
        try expect(report.members.count <= ClusterReport.mostMembers, "too many members")
        try expect(report.complaints.count <= 16, "too many complaints")
        for member in report.members {
            let text = member.place.name + member.place.host
            try expect(!text.utf8.contains { $0 <= 0x20 || $0 == 0x27 || $0 == 0x5C || $0 > 0x7E }, "an unsafe place")
            try expect((1...65_535).contains(member.place.port), "a port")
        }
        var topology = ShardTopology(.init(leaderLease: .seconds(1)))
        let now = Instant(nanoseconds: 0)
        topology.observed([.init("w", report)], asked: now)
        guard case .writable(let leader) = topology.verdict(now: now) else { return }
        try expect(Set(report.leaders) == [leader.name], "a leader that is not the one that is named")
    }

    static let dictionary = [
        "\\\"members\\\"", "\\\"name\\\"", "\\\"role\\\"", "\\\"leader\\\"", "\\\"host\\\"", "\\\"port\\\"",
        "\\\"timeline\\\"", "\\\"header\\\"", "\\\"revision\\\"", "\\\"kvs\\\"", "\\\"result\\\"", "\\\"events\\\"",
        "L3NlcnZpY2UvczAvbGVhZGVy", "L3NlcnZpY2UvczAvaW5pdGlhbGl6ZQ==", "\\\"token\\\"",
        "\\\"database_system_identifier\\\"",
    ]

    static var seeds: [FuzzSeed] {
        let cluster = """
            \u{0}{"members": [{"name": "n1", "role": "leader", "state": "running", "host": "10.0.0.1", "port": 5432,
            "timeline": 4}, {"name": "n2", "role": "sync_standby", "host": "fd00::2", "port": 5432, "lag": "unknown"}]}
            """
        let leader = #""key":"L3NlcnZpY2UvczAvbGVhZGVy","mod_revision":"4","value":"bjE=""#
        return [
            FuzzSeed("cluster", cluster), FuzzSeed("config", "\u{0}{\"synchronous_mode\": true}"),
            FuzzSeed("range", #"\#u{1}{"header":{"revision":"5","cluster_id":"7"},"kvs":[{\#(leader)}],"count":"1"}"#),
            FuzzSeed("watch", #"\#u{2}{"result":{"header":{"revision":"5"},"events":[{"kv":{\#(leader)}}]}}"#),
            FuzzSeed("compacted", #"\#u{2}{"result":{"canceled":true,"compact_revision":"4"}}"#),
            FuzzSeed("token", #"\#u{3}{"header":{"revision":"5"},"token":"abc.7"}"#),
            FuzzSeed("status", #"\#u{3}{"state":"running","database_system_identifier":"7268616322854375442"}"#),
        ]
    }
}
