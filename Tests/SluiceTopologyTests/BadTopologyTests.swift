import Logging
import SluiceAdmin
import SluiceCore
import SluiceGateway
import SluiceMetrics
import SluiceTopology
import Synchronization
import Testing

/// Each bad input that a source can give, all the way to what operators see of it: the state in words, the metrics,
/// what `doctor` says, and whom the gateway would write to. docs/topology.md has the same as a table.
@Suite(.timeLimit(.minutes(1))) struct BadTopologyTests {
    struct Input: Sendable, CustomTestStringConvertible {
        var testDescription: String
        /// What each member's REST API says once the truth was heard.
        var bad: [ScriptedServer.Reply]
        var state: SourceCondition
        /// Nil if the leader may still be written to, for its lease.
        var refusal: WriteRefusal?
        /// Of `sluice_topology_endpoint_up`.
        var endpoints: [Int]
        var doctor: String

        init(
            _ description: String, _ bad: [ScriptedServer.Reply], _ state: SourceCondition,
            refusal: WriteRefusal? = nil, endpoints: [Int], doctor: String
        ) {
            testDescription = description
            self.bad = bad
            self.state = state
            self.refusal = refusal
            self.endpoints = endpoints
            self.doctor = doctor
        }

        func isShown(by report: ShardWatch.Report) -> Bool {
            let refused: WriteRefusal? = if case .refused(let refusal) = report.verdict { refusal } else { nil }
            return report.source.condition == state && refused == refusal
                && report.source.endpoints.map { $0.isSilent ? 0 : 1 } == endpoints
        }
    }

    static func cluster(_ leaders: [String], timeline: Int = 3) -> String {
        let members = ["n1", "n2"].enumerated().map { place, name in
            #"{"name":"\#(name)","role":"\#(leaders.contains(name) ? "leader" : "replica")","state":"running","#
                + #""host":"127.0.0.1","port":\#(5_431 + place),"timeline":\#(timeline)}"#
        }
        return #"{"members":[\#(members.joined(separator: ","))]}"#
    }

    static let truth = ScriptedServer.Reply.text(200, cluster(["n1"]))

    static let inputs = [
        Input(
            "a lying member", [.text(200, cluster(["n2"], timeline: 900)), truth, truth], .impaired,
            endpoints: [1, 1, 1], doctor: "endpoints[0] contradicts the others and is outvoted"),
        Input(
            "one against one", [.text(200, cluster(["n2"], timeline: 900)), truth], .impaired, refusal: .disputed,
            endpoints: [1, 1], doctor: "none has more than half of them, so nothing is written"),
        Input(
            "an empty cluster", [.text(200, #"{"members":[]}"#)], .impaired, refusal: .noLeader, endpoints: [1],
            doctor: "endpoints[0] names no members"),
        Input(
            "no leader", [.text(200, cluster([]))], .current, refusal: .noLeader, endpoints: [1],
            doctor: "endpoints[0] names no leader, so nothing is written"),
        Input(
            "two leaders", [.text(200, cluster(["n1", "n2"]))], .impaired, refusal: .twoLeaders, endpoints: [1],
            doctor: "endpoints[0] names two leaders, n1 and n2, so nothing is written"),
        Input(
            "a timeline that goes back", [.text(200, cluster(["n1"], timeline: 2))], .current,
            refusal: .timelineBack, endpoints: [1],
            doctor: "the leader n1 on timeline 2, and the state file knows 3"),
        Input(
            "garbage", [.text(200, "garbage")], .stale, endpoints: [0],
            doctor: "endpoints[0] gives an answer that cannot be used (not JSON"),
        Input(
            "half of an answer", [.text(200, #"{"members":[{"name":"#)], .stale, endpoints: [0],
            doctor: "endpoints[0] gives an answer that cannot be used (not JSON"),
        Input(
            "an error", [.text(503, "{}")], .stale, endpoints: [0], doctor: "endpoints[0] answers with status 503"),
        Input(
            "a member that hangs", [.silence], .stale, endpoints: [0],
            doctor: "endpoints[0] has not answered within 400 ms, and the gateway waits 200 ms"),
        Input(
            "one of three hangs", [truth, .silence, truth], .impaired, endpoints: [1, 0, 1],
            doctor: "endpoints[1] has not answered within 400 ms"),
    ]

    private static let start = ContinuousClock.now
    private static var now: Instant { Instant(nanoseconds: (ContinuousClock.now - start).nanoseconds) }
    private static let leader = MemberPlace(name: "n1", host: "127.0.0.1", port: 5_431)
    private static let other = MemberPlace(name: "n2", host: "127.0.0.1", port: 5_432)

    private static func settings(_ servers: [ScriptedServer]) throws -> TopologySettings {
        var settings = TopologySettings(
            .patroni(try servers.map { try #require(HTTPEndpoint("http://127.0.0.1:\($0.port)")) }))
        settings.timeout = .milliseconds(200)
        settings.interval = .milliseconds(100)
        settings.machine.leaderLease = .seconds(60)
        return settings
    }

    @Test(arguments: inputs) func aBadInputEndsInAClearState(_ input: Input) async throws {
        let hasTurned = Atomic(false)
        try await Self.with(
            input.bad, hasTurned: { hasTurned.load(ordering: .relaxed) },
            body: { servers in
                let settings = try Self.settings(servers)
                let rounds = AsyncStream.makeStream(of: Void.self)
                let watch = ShardWatch(
                    shard: "s0", settings, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                    names: { _, _ in nil }, now: { Self.now }, onRound: { _ in rounds.continuation.yield() })
                let running = Task { await watch.run() }
                defer { running.cancel() }
                var ends = rounds.stream.makeAsyncIterator()
                while watch.verdict(now: Self.now) != .writable(Self.leader) { _ = await ends.next() }
                hasTurned.store(true, ordering: .relaxed)
                var report = watch.report(now: Self.now)
                while !input.isShown(by: report) {
                    _ = await ends.next()
                    report = watch.report(now: Self.now)
                }
                running.cancel()
                await running.value
                look(at: report, of: input)
                judge(report, of: input)
                tryToWrite(watch, input)
                try await askTheDoctor(input, settings)
            })
    }

    /// A server for each reply, which tells the truth until then.
    private static func with(
        _ replies: [ScriptedServer.Reply], hasTurned: @escaping @Sendable () -> Bool,
        body: ([ScriptedServer]) async throws -> Void
    ) async throws {
        var servers: [ScriptedServer] = []
        for bad in replies {
            servers.append(
                try await ScriptedServer.start { request in
                    guard request.path == "/cluster" else { return .text(404, "") }
                    return hasTurned() ? bad : truth
                })
        }
        try await body(servers)
        for server in servers { try await server.stop() }
    }

    private func look(at report: ShardWatch.Report, of input: Input) {
        let topology = GatewayState.Topology(report)
        #expect(topology.state == input.state.rawValue && topology.words == input.state.words)
        #expect(topology.refused == input.refusal?.rawValue && topology.refusedWords == input.refusal?.words)
        #expect(topology.writable == (input.refusal == nil ? "n1" : nil))
        #expect(topology.members.map(\.name) == ["n1", "n2"], "those last known are kept")
        #expect(topology.timeline == 3)
        #expect(topology.endpoints.map { $0.isAnswering ? 1 : 0 } == input.endpoints)

        let text = MetricFormat.prometheus.text(TopologyMetrics.families([("s0", topology)]))
        let lines = Set(text.split(separator: "\n").map(String.init))
        #expect(lines.contains("sluice_topology_source_up{shard=\"s0\"} \(input.state == .stale ? 0 : 1)"), "\(text)")
        #expect(lines.contains("sluice_topology_writable{shard=\"s0\"} \(input.refusal == nil ? 1 : 0)"), "\(text)")
        #expect(lines.contains("sluice_topology_timeline{shard=\"s0\"} 3"), "\(text)")
        for (place, up) in input.endpoints.enumerated() {
            let endpoint = "shard=\"s0\",endpoint=\"endpoints[\(place)]\""
            #expect(lines.contains("sluice_topology_endpoint_up{\(endpoint)} \(up)"), "\(text)")
        }
    }

    /// What `doctor`, and `check --connect`, say of what was followed.
    private func judge(_ report: ShardWatch.Report, of input: Input) {
        let beside = TopologyJudge.findings("s0", report, isProbed: true)
        let errors = beside.filter { $0.severity == .error }.map(\.message)
        #expect(errors == (input.refusal.map { ["it takes no writes: \($0.words)"] } ?? []))
        #expect(!beside.contains { $0.message.contains("endpoints[") }, "each is asked by itself")
        let alone = TopologyJudge.findings("s0", report)
        #expect(alone.count { $0.message.contains("endpoints[") } == report.complaints.count, "\(alone)")
    }

    /// Whoever says that it is a primary: nobody but the leader is written to, and that one only while the source is
    /// believed.
    private func tryToWrite(_ watch: ShardWatch, _ input: Input) {
        // After the lease, if nothing more is heard, it does not matter any more what it was.
        let moments = [(Self.now, input.refusal), (Self.now.advanced(by: .seconds(61)), .silent)]
        for (now, refusal) in moments {
            for timeline in [UInt32(2), 3, 900] {
                #expect(watch.refusal(of: Self.other, on: timeline, now: now) != nil)
            }
            #expect(watch.refusal(of: Self.leader, on: 2, now: now) != nil, "it has been left behind")
            // Of itself a leader may know better than the source on which timeline it is.
            guard refusal != .timelineBack else { continue }
            #expect(watch.refusal(of: Self.leader, on: 3, now: now) == refusal)
        }
    }

    private func askTheDoctor(_ input: Input, _ settings: TopologySettings) async throws {
        let probe = SourceProbe(
            settings, patience: .milliseconds(400), names: { _, _ in nil }, now: { Self.now })
        let words = await probe.ask()
        #expect(words.map(\.witness) == settings.witnesses)
        let findings = SourceJudge("s0", settings, patience: .milliseconds(400), remembered: 3).findings(words)
        #expect(findings.contains { $0.message.contains(input.doctor) }, "\(findings)")
    }
}
