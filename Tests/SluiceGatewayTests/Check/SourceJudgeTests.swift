import SluiceCore
import SluiceGateway
import SluiceTopology
import Testing

/// What `doctor` says of a shard's source, by what its witnesses and the members' servers say.
@Suite struct SourceJudgeTests {
    static func place(_ name: String) -> MemberPlace { MemberPlace(name: name, host: "\(name).example", port: 1) }

    static func report(
        _ leaders: [String], _ timelines: [String: UInt32] = ["n1": 3, "n2": 3]
    ) -> ClusterReport {
        ClusterReport(
            members: timelines.sorted { $0.key < $1.key }.map { name, timeline in
                ClusterMember(place(name), role: leaders.contains(name) ? .leader : .standby, timeline: timeline)
            }, leaders: leaders)
    }

    static let sound = report(["n1"])

    private static func word(
        _ place: Int, _ report: ClusterReport = sound, took: Duration = .milliseconds(5),
        _ change: (inout SourceProbe.Word) -> Void = { _ in }
    ) -> SourceProbe.Word {
        var word = SourceProbe.Word("endpoints[\(place)]", took: took, .success(report))
        change(&word)
        return word
    }

    private static func failed(_ kind: UnreadableAnswer.Kind, _ reason: String = "reason") -> SourceProbe.Word {
        SourceProbe.Word("endpoints[0]", took: .seconds(5), .failure(UnreadableAnswer(reason, kind)))
    }

    private static func said(
        _ words: [SourceProbe.Word], servers: [SourceJudge.Server] = [], remembered: UInt32 = 0,
        settings: TopologySettings = TopologySettings(.patroni([]))
    ) -> [String] {
        SourceJudge("s0", settings, patience: .seconds(5), remembered: remembered)
            .findings(words, servers: servers).map(\.description)
    }

    @Test func nothingIsSaidOfWhatIsRight() {
        let servers = [
            SourceJudge.Server("n1", .init(isStandby: false, timeline: 3, systemIdentifier: 7)),
            .init("n2", .init(isStandby: true, systemIdentifier: 7)),
        ]
        let words = (0..<3).map { place in
            Self.word(place) { ($0.systemIdentifier, $0.timeToLive, $0.isPaused) = (7, .seconds(30), false) }
        }
        #expect(Self.said(words, servers: servers, remembered: 3) == [])
    }

    @Test(arguments: [
        (UnreadableAnswer.Kind.unreachable, "cannot be reached: look whether Patroni's REST API runs there"),
        (.late, "has not answered within 5 s, and the gateway waits 1 s (`timeout`)"),
        (.status(503), "answers with status 503: look whether that is the address of Patroni's REST API"),
        (.status(401), "answers with status 401: it wants to know who asks"),
        (.unusable, "gives an answer that cannot be used (reason)"),
    ])
    func anEndpointThatDoesNotAnswer(_ kind: UnreadableAnswer.Kind, _ words: String) {
        let reason = if case .status(let status) = kind { "status \(status)" } else { "reason" }
        let said = Self.said([Self.failed(kind, reason), Self.word(1), Self.word(2)])
        #expect(said.count == 1)
        #expect(said.first?.hasPrefix("warning: s0: endpoints[0] \(words)") == true, "\(said)")
    }

    @Test func aNameThatCannotBeLookedUp() {
        var settings = TopologySettings(.dns(name: "db", port: 5_432))
        settings.timeout = .milliseconds(300)
        let word = SourceProbe.Word("dns", took: .seconds(5), .failure(UnreadableAnswer("db has no addresses")))
        #expect(
            Self.said([word], settings: settings)
                == ["warning: s0: db has no addresses; look at the name, and at /etc/resolv.conf"])
        // It names no leader, and need not.
        #expect(Self.said([Self.word(0, Self.report([]))], settings: settings) == [])
    }

    @Test func aMemberThatTakesLongerThanTheTimeout() {
        let said = Self.said([Self.word(0, took: .milliseconds(2_340)), Self.word(1, took: .seconds(1))])
        #expect(said.count == 1)
        #expect(said.first?.contains("endpoints[0] has answered after 2.3 s, and `timeout` is 1 s") == true, "\(said)")
    }

    @Test(arguments: [
        (report([], [:]), "names no members: look whether these are the endpoints of this cluster"),
        (report([]), "names no leader, so nothing is written"),
        (report(["n1", "n2"]), "names two leaders, n1 and n2, so nothing is written"),
        (report(["n9"]), "names a leader, n9, that is not among the members"),
    ])
    func whatCannotBe(_ report: ClusterReport, _ words: String) {
        let said = Self.said([Self.word(0, report)])
        #expect(said.count == 1)
        #expect(said.first?.hasPrefix("warning: s0: endpoints[0] \(words)") == true, "\(said)")
    }

    @Test func oneNameForTwoServersAndAStandbyCluster() {
        var report = Self.sound
        report.members.append(ClusterMember(.init(name: "n1", host: "other", port: 2), role: .leader))
        let twice = Self.said([Self.word(0, report)])
        #expect(twice.first?.contains("two leaders, n1 (n1.example:1) and n1 (other:2)") == true, "\(twice)")
        report = Self.sound
        report.isStandbyCluster = true
        report.complaints = ["member n3 has no usable host"]
        let said = Self.said([Self.word(0, report)])
        #expect(said.count == 2 && said[0].contains("standby cluster"))
        #expect(said.last?.contains("member n3 has no usable host; it is left out") == true)
    }

    @Test func aLyingMemberIsNamedAndOneAgainstOneBothAre() {
        let lie = Self.report(["n2"], ["n1": 3, "n2": 900])
        let outvoted = Self.said([Self.word(0), Self.word(1, lie), Self.word(2)])
        #expect(outvoted.count == 1, "what it says of timelines counts for nothing")
        #expect(
            outvoted.first?.contains(
                "endpoints[1] contradicts the others and is outvoted: it says leader n2, 2 members, timeline 900, they "
                    + "say leader n1, 2 members, timeline 3") == true, "\(outvoted)")
        let disputed = Self.said([Self.word(0), Self.word(1, lie)])
        #expect(disputed.count == 1)
        #expect(disputed.first?.contains("none has more than half") == true)
        #expect(disputed.first?.contains("endpoints[0] says leader n1") == true)
        #expect(disputed.first?.contains("endpoints[1] says leader n2") == true)
    }

    @Test func aTimelineThatGoesBack() {
        #expect(Self.said([Self.word(0)], remembered: 3) == [])
        let file = Self.said([Self.word(0)], remembered: 4)
        #expect(file.count == 1)
        #expect(file.first?.contains("leader n1 on timeline 3, and the state file knows 4") == true, "\(file)")
        let ahead = Self.said([Self.word(0, Self.report(["n1"], ["n1": 3, "n2": 5]))])
        #expect(ahead.count == 1)
        #expect(ahead.first?.contains("has n2 on timeline 5, and the leader n1 on 3") == true, "\(ahead)")
    }

    @Test func timesThatDoNotFitTheClustersOwn() {
        func said(lease: Int64 = 3, took: Duration = .milliseconds(5), interval: Int64 = 1) -> [String] {
            var settings = TopologySettings(.patroni([]))
            settings.machine.leaderLease = .seconds(lease)
            settings.interval = .seconds(interval)
            settings.timeout = .seconds(30)
            return Self.said([Self.word(0, took: took) { $0.timeToLive = .seconds(20) }], settings: settings)
        }
        #expect(said(lease: 20) == [])
        #expect(said(lease: 21).first?.contains("`leader_lease` is 21 s, and the leader's key lives for 20 s") == true)
        #expect(said(took: .seconds(19)) == [])
        #expect(said(took: .seconds(20)).first?.contains("answers after 20 s, is asked every 1 s") == true)
        #expect(said(interval: 20).count == 1)
        let paused = Self.said([Self.word(0) { $0.isPaused = true }])
        #expect(paused.count == 1 && paused.first?.contains("patronictl resume") == true)
    }

    // MARK: The servers

    private static func contradicted(_ servers: [(String, ServerIdentity)], remembered: UInt32 = 0) -> [String] {
        said(
            [word(0) { $0.systemIdentifier = 7 }], servers: servers.map { .init($0.0, $0.1) }, remembered: remembered)
    }

    @Test func aLeaderInRecoveryAndAStandbyThatIsNone() {
        let said = Self.contradicted([("n1", .init(isStandby: true)), ("n2", .init(isStandby: false, timeline: 3))])
        #expect(said.count == 2)
        #expect(said.first?.hasPrefix("error: s0/n1: the source names it leader, and its server is in") == true)
        #expect(said.last?.hasPrefix("error: s0/n2: the source calls it a standby, and its server is a") == true)
        #expect(Self.contradicted([("n9", .init(isStandby: false))]) == [], "the source does not name it any more")
    }

    @Test func aLeaderWhoseServerWasLeftBehind() {
        #expect(Self.contradicted([("n1", .init(isStandby: false, timeline: 4))]) == [], "it has just been promoted")
        let said = Self.contradicted([("n1", .init(isStandby: false, timeline: 2))])
        #expect(said.count == 1)
        #expect(said.first?.contains("writes on timeline 2, which is older than 3") == true, "\(said)")
    }

    @Test func aServerOfAnotherCluster() {
        let said = Self.contradicted([("n2", .init(isStandby: false, timeline: 9, systemIdentifier: 8))])
        #expect(said.count == 1, "its role says nothing of this cluster")
        #expect(said.first?.contains("another cluster's (system identifier 8, the shard's is 7)") == true, "\(said)")
        // A source that does not say leaves it to the leader's server.
        let servers = [
            SourceJudge.Server("n2", .init(isStandby: true, systemIdentifier: 8)),
            .init("n1", .init(isStandby: false, systemIdentifier: 7)),
        ]
        #expect(Self.said([Self.word(0)], servers: servers).map { $0.prefix(12) } == ["error: s0/n2"])
    }

    @Test func endpointsOfDifferentClusters() {
        let words = [7, 7, 8].enumerated().map { place, number in
            Self.word(place) { $0.systemIdentifier = UInt64(number) }
        }
        let said = Self.said(words)
        #expect(said.count == 1)
        #expect(said.first?.contains("endpoints[0] and endpoints[1] of 7, endpoints[2] of 8") == true, "\(said)")
    }
}
