import Foundation
import Logging
import SluiceCore
import SluiceTopology
import Synchronization
import Testing

/// The drivers against servers that do as they are told.
@Suite(.timeLimit(.minutes(1))) struct ShardWatchTests {
    /// A watch that runs, and the ends of its rounds.
    struct Followed {
        let watch: ShardWatch
        let task: Task<Void, Never>
        private let rounds: AsyncStream<Void>

        init(
            _ settings: TopologySettings, names: @escaping ShardWatch.NameLookUp = { _, _ in nil },
            now: @escaping @Sendable () -> Instant = { ShardWatchTests.now }
        ) {
            let stream = AsyncStream.makeStream(of: Void.self)
            let watch = ShardWatch(
                shard: "s0", settings, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, names: names,
                now: now, onRound: { _ in stream.continuation.yield() })
            self.watch = watch
            task = Task { await watch.run() }
            rounds = stream.stream
        }

        var report: ShardWatch.Report { watch.report(now: ShardWatchTests.now) }

        /// Returns after the round that made it true.
        func wait(until isSo: (ShardWatch.Report) -> Bool) async {
            var ends = rounds.makeAsyncIterator()
            while !isSo(report) { _ = await ends.next() }
        }

        func round() async {
            var ends = rounds.makeAsyncIterator()
            _ = await ends.next()
        }
    }

    private static let start = ContinuousClock.now
    static var now: Instant {
        Instant(nanoseconds: (ContinuousClock.now - start).nanoseconds)
    }

    static func cluster(leader: String?, timeline: Int) -> String {
        let members = ["n1", "n2"].enumerated().map { place, name in
            #"{"name":"\#(name)","role":"\#(name == leader ? "leader" : "replica")","state":"running","#
                + #""host":"127.0.0.1","port":\#(5_431 + place),"timeline":\#(timeline)}"#
        }
        return #"{"members":[\#(members.joined(separator: ","))]}"#
    }

    static func settings(
        _ servers: [ScriptedServer], timeout: Duration = .seconds(5), interval: Duration = .milliseconds(100)
    ) throws -> TopologySettings {
        var settings = TopologySettings(
            .patroni(try servers.map { try #require(HTTPEndpoint("http://127.0.0.1:\($0.port)")) }))
        settings.timeout = timeout
        settings.interval = interval
        settings.machine.leaderLease = .seconds(60)
        return settings
    }

    static func with(
        _ scripts: [@Sendable (ScriptedServer.Request) -> ScriptedServer.Reply],
        _ body: ([ScriptedServer]) async throws -> Void
    ) async throws {
        var servers: [ScriptedServer] = []
        for script in scripts { servers.append(try await ScriptedServer.start(script)) }
        try await body(servers)
        for server in servers { try await server.stop() }
    }

    @Test func theLeaderOfPatroniIsWrittenToAndItsFailoverFollowed() async throws {
        try await Self.with([
            { request in
                .text(
                    200,
                    request.number < 2
                        ? Self.cluster(leader: "n1", timeline: 1) : Self.cluster(leader: "n2", timeline: 2))
            }
        ]) { servers in
            let followed = Followed(try Self.settings(servers))
            defer { followed.task.cancel() }
            await followed.wait { $0.verdict == .writable(.init(name: "n1", host: "127.0.0.1", port: 5_431)) }
            await followed.wait { $0.verdict == .writable(.init(name: "n2", host: "127.0.0.1", port: 5_432)) }
            #expect(followed.report.highestTimeline == 2)
            let left = MemberPlace(name: "n1", host: "127.0.0.1", port: 5_431)
            #expect(followed.watch.refusal(of: left, on: 1, now: Self.now) == .notLeader)
        }
    }

    private static let certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBbzCCARWgAwIBAgIUI/s2o4q1p7bi6jA5lrkApe0XSdIwCgYIKoZIzj0EAwIw
        DDEKMAgGA1UEAwwBdDAgFw0yNjExMzAwODEzMTVaGA8yMTI2MTEwNjA4MTMxNVow
        DDEKMAgGA1UEAwwBdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABAW60beESXqx
        Mnch5+FHy81hUlN8fHH+9dKdLusBHnuLMn49r8si+OK8NbOOS35VcwbMnGrPObzN
        38j3DOSUIe6jUzBRMB0GA1UdDgQWBBS/gWp8uZZVFkhUpwXqpZIECiFkizAfBgNV
        HSMEGDAWgBS/gWp8uZZVFkhUpwXqpZIECiFkizAPBgNVHRMBAf8EBTADAQH/MAoG
        CCqGSM49BAMCA0gAMEUCIHSUW1Ewmd5Go0wNj1Q/all0gbrjlDBwfs2zkCrBLXA5
        AiEAjvB+Aiq+A38JxBD7aZIf8JrnDB7DZ7DKsELiTi9FDqk=
        -----END CERTIFICATE-----

        """

    /// The server does not speak TLS: that this is what is complained about shows that the certificates are used.
    @Test func certificatesThatAreBrokenAtFirstAreTriedAgain() async throws {
        let authority = FileManager.default.temporaryDirectory.appending(path: "sluice-ca-\(UUID())")
        defer { try? FileManager.default.removeItem(at: authority) }
        try Data("no certificate".utf8).write(to: authority)
        try await Self.with([{ _ in .silence }]) { servers in
            var settings = TopologySettings(
                .patroni([try #require(HTTPEndpoint("https://127.0.0.1:\(servers[0].port)"))]))
            settings.interval = .milliseconds(100)
            settings.certificates.authority = authority.path
            let followed = Followed(settings)
            defer { followed.task.cancel() }
            let words = "certificates that it is asked with cannot be used"
            await followed.wait { $0.complaints.contains { $0.contains(words) } }
            try Data(Self.certificate.utf8).write(to: authority)
            await followed.wait { !$0.complaints.isEmpty && !$0.complaints.contains { $0.contains(words) } }
        }
    }

    @Test func aMemberThatHangsDoesNotHoldUpTheOthers() async throws {
        let truth = Self.cluster(leader: "n1", timeline: 3)
        try await Self.with([{ _ in .text(200, truth) }, { _ in .silence }, { _ in .text(200, truth) }]) { servers in
            let followed = Followed(try Self.settings(servers, timeout: .milliseconds(400)))
            defer { followed.task.cancel() }
            await followed.wait { if case .writable = $0.verdict { true } else { false } }
            #expect(followed.report.complaints.contains { $0.hasPrefix("endpoints[1]: ") })
        }
    }

    @Test func aMemberThatAnswersTooLateIsSilent() async throws {
        try await Self.with([{ _ in .silence }]) { servers in
            let followed = Followed(try Self.settings(servers, timeout: .milliseconds(50)))
            defer { followed.task.cancel() }
            await followed.watch.awaitFirst()
            await followed.round()
            #expect(followed.report.verdict == .refused(.unheard))
            #expect(followed.report.complaints.contains { $0.hasPrefix("endpoints[0]: no answer within") })
        }
    }

    @Test func aLyingMemberIsOutvoted() async throws {
        let truth = Self.cluster(leader: "n1", timeline: 3)
        let lie = Self.cluster(leader: "n2", timeline: 900)
        try await Self.with([
            { _ in .text(200, lie) }, { _ in .text(200, truth) }, { _ in .text(200, truth) },
        ]) { servers in
            let followed = Followed(try Self.settings(servers))
            defer { followed.task.cancel() }
            await followed.wait { $0.complaints.contains { $0.hasPrefix("endpoints[0]: contradicts") } }
            #expect(followed.report.highestTimeline == 3)
            #expect(followed.report.verdict == .writable(.init(name: "n1", host: "127.0.0.1", port: 5_431)))
        }
    }

    /// What a leader was named before does not last through what no cluster can be.
    @Test(arguments: [
        (#"{"members":[]}"#, WriteRefusal.noLeader),
        (
            #"{"members":[{"name":"n1","role":"leader","host":"127.0.0.1","port":5431,"timeline":3},"#
                + #"{"name":"n2","role":"leader","host":"127.0.0.1","port":5432,"timeline":3}]}"#, .twoLeaders
        ),
        (
            #"{"members":[{"name":"n1","role":"leader","host":"127.0.0.1","port":5431,"timeline":2}]}"#,
            .timelineBack
        ),
    ])
    func whatCannotBeStopsTheWrites(_ bad: String, _ refusal: WriteRefusal) async throws {
        let truth = Self.cluster(leader: "n1", timeline: 3)
        try await Self.with([{ .text(200, $0.number == 0 ? truth : bad) }]) { servers in
            let followed = Followed(try Self.settings(servers))
            defer { followed.task.cancel() }
            await followed.wait { $0.verdict == .refused(refusal) }
            #expect(followed.report.members.contains { $0.name == "n1" })
            #expect(followed.report.highestTimeline == 3)
        }
    }

    /// What nothing can be made of is silence: the members stay, and the leader for its lease.
    @Test(arguments: [(200, "garbage"), (200, ""), (503, "{}"), (200, String(repeating: "x", count: 2 << 20))])
    func whatCannotBeReadIsSilence(_ status: Int, _ text: String) async throws {
        let truth = Self.cluster(leader: "n1", timeline: 3)
        try await Self.with([{ $0.number == 0 ? .text(200, truth) : .text(status, text) }]) { servers in
            let followed = Followed(try Self.settings(servers))
            defer { followed.task.cancel() }
            await followed.wait { !$0.complaints.isEmpty }
            #expect(followed.report.verdict == .writable(.init(name: "n1", host: "127.0.0.1", port: 5_431)))
            #expect(followed.report.members.count == 2)
        }
    }

    @Test func aTimelineSurvivesARestart() async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "watch-\(UUID()).json").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try await Self.with([{ _ in .text(200, Self.cluster(leader: "n2", timeline: 7)) }]) { servers in
            var settings = try Self.settings(servers)
            settings.stateFile = path
            let followed = Followed(settings)
            await followed.wait { $0.highestTimeline == 7 }
            followed.task.cancel()
            await followed.task.value
        }
        try await Self.with([{ _ in .text(200, Self.cluster(leader: "n1", timeline: 6)) }]) { servers in
            var settings = try Self.settings(servers)
            settings.stateFile = path
            let followed = Followed(settings)
            defer { followed.task.cancel() }
            #expect(followed.report.members.map(\.name) == ["n1", "n2"])
            await followed.wait { $0.verdict == .refused(.timelineBack) }
            #expect(followed.report.highestTimeline == 7)
        }
    }

    @Test func aStateFileOfGarbageIsComplainedAboutAndReplaced() async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "watch-\(UUID()).json").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data("garbage".utf8).write(to: URL(filePath: path))
        try await Self.with([{ _ in .text(200, Self.cluster(leader: "n2", timeline: 7)) }]) { servers in
            var settings = try Self.settings(servers)
            settings.stateFile = path
            let look = ShardWatch(
                shard: "s0", settings, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                names: { _, _ in nil }, now: { Self.now }, onRound: { _ in })
            #expect(look.report(now: Self.now).complaints.contains { $0.contains("the state file cannot be used") })
            let followed = Followed(settings)
            defer { followed.task.cancel() }
            await followed.wait { $0.highestTimeline == 7 && $0.complaints.isEmpty }
            #expect(try StateFile(path: path, shard: "s0").read()?.timeline == 7)
        }
    }

    /// Nothing changes any more when there is room for it.
    @Test func aStateFileThatCouldNotBeWrittenIsWrittenLater() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "watch-\(UUID())")
        let path = folder.appending(path: "s0.json").path
        defer { try? FileManager.default.removeItem(at: folder) }
        try await Self.with([{ _ in .text(200, Self.cluster(leader: "n2", timeline: 7)) }]) { servers in
            var settings = try Self.settings(servers)
            settings.stateFile = path
            let followed = Followed(settings)
            defer { followed.task.cancel() }
            await followed.wait { $0.complaints.contains { $0.contains("would not know timeline 7") } }
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
            await followed.wait { $0.complaints.isEmpty }
            #expect(try StateFile(path: path, shard: "s0").read()?.timeline == 7)
        }
    }

    // MARK: etcd

    static func etcd(_ server: ScriptedServer, interval: Duration) throws -> TopologySettings {
        var settings = TopologySettings(
            .etcd([try #require(HTTPEndpoint("http://127.0.0.1:\(server.port)"))], prefix: "/service/s0/"))
        settings.interval = interval
        settings.timeout = .seconds(5)
        settings.machine.leaderLease = .seconds(60)
        return settings
    }

    static func keys(leader: String, timeline: Int) -> [String: String] {
        [
            "leader": leader, "members/n1": AnswerTests.member(5_431, timeline: timeline),
            "members/n2": AnswerTests.member(5_432, timeline: timeline),
        ]
    }

    /// The watch breaks once: what came meanwhile is asked for from the revision that is known.
    @Test func aChangeInEtcdArrivesByTheWatchAlsoAfterItBroke() async throws {
        let first = AnswerTests.range(5, Self.keys(leader: "n1", timeline: 1))
        let second = AnswerTests.range(6, Self.keys(leader: "n2", timeline: 2))
        let starts = Mutex<[String]>([])
        try await Self.with([
            { request in
                guard request.path == "/v3/watch" else { return .text(200, request.number == 0 ? first : second) }
                starts.withLock { $0.append(request.body) }
                if request.number == 0 { return .lines([], ends: true) }
                return .lines(
                    request.number == 1 ? [AnswerTests.events(6, [("leader", "n2")])] : [], ends: false)
            }
        ]) { servers in
            let followed = Followed(try Self.etcd(servers[0], interval: .seconds(60)))
            defer { followed.task.cancel() }
            await followed.wait { $0.verdict == .writable(.init(name: "n1", host: "127.0.0.1", port: 5_431)) }
            await followed.wait { $0.verdict == .writable(.init(name: "n2", host: "127.0.0.1", port: 5_432)) }
            await followed.wait { $0.highestTimeline == 2 }
            #expect(starts.withLock { $0.prefix(2).allSatisfy { $0.contains(#""start_revision":"6""#) } })
        }
    }

    @Test func aCompactionIsFollowedByAFreshReading() async throws {
        let compacted = #"{"result":{"header":{},"canceled":true,"compact_revision":"90"}}"#
        let starts = Mutex<[String]>([])
        try await Self.with([
            { request in
                if request.path == "/v3/watch" {
                    starts.withLock { $0.append(request.body) }
                    return .lines(request.number == 0 ? [compacted] : [], ends: false)
                }
                return .text(
                    200,
                    request.number == 0
                        ? AnswerTests.range(5, Self.keys(leader: "n1", timeline: 1))
                        : AnswerTests.range(99, Self.keys(leader: "n2", timeline: 2)))
            }
        ]) { servers in
            let followed = Followed(try Self.etcd(servers[0], interval: .seconds(60)))
            defer { followed.task.cancel() }
            await followed.wait { $0.verdict == .writable(.init(name: "n2", host: "127.0.0.1", port: 5_432)) }
            #expect(followed.report.highestTimeline == 2)
            #expect(starts.withLock { $0.first?.contains(#""start_revision":"6""#) } == true)
        }
    }

    @Test func garbageFromEtcdKeepsWhatIsKnown() async throws {
        try await Self.with([
            { request in
                if request.path == "/v3/watch" { return .lines(["garbage"], ends: false) }
                return .text(
                    200, request.number == 0 ? AnswerTests.range(5, Self.keys(leader: "n1", timeline: 1)) : "{")
            }
        ]) { servers in
            let followed = Followed(try Self.etcd(servers[0], interval: .milliseconds(100)))
            defer { followed.task.cancel() }
            await followed.wait { !$0.complaints.isEmpty }
            #expect(followed.report.members.count == 2)
            #expect(followed.report.verdict == .writable(.init(name: "n1", host: "127.0.0.1", port: 5_431)))
        }
    }
}
