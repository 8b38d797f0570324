import Foundation
import SluiceCore
import SluiceTopology
import Testing

/// What a look at each witness by itself brings, from servers that do as they are told.
@Suite(.timeLimit(.minutes(1))) struct SourceProbeTests {
    private static let start = ContinuousClock.now

    private static func ask(
        _ source: TopologySettings.Source, patience: Duration = .seconds(20), addresses: [String]? = nil
    ) async -> [SourceProbe.Word] {
        var settings = TopologySettings(source)
        settings.timeout = .seconds(20)
        let probe = SourceProbe(
            settings, patience: patience, names: { _, _ in addresses },
            now: { Instant(nanoseconds: (ContinuousClock.now - start).nanoseconds) })
        return await probe.ask()
    }

    private static func endpoint(_ server: ScriptedServer) throws -> HTTPEndpoint {
        try #require(HTTPEndpoint("http://127.0.0.1:\(server.port)"))
    }

    private static func report(_ word: SourceProbe.Word?) -> ClusterReport? { try? word?.answer.get() }

    private static func problem(_ word: SourceProbe.Word?) -> UnreadableAnswer.Kind? {
        if case .failure(let problem) = word?.answer { problem.kind } else { nil }
    }

    @Test func patroniSaysWhoLeadsAndWhichClusterItIs() async throws {
        let server = try await ScriptedServer.start { request in
            switch request.path {
            case "/cluster":
                .text(200, BadTopologyTests.cluster(["n1"]))
            case "/config": .text(200, #"{"ttl": 20, "loop_wait": 5, "pause": true}"#)
            case "/patroni": .text(200, #"{"role": "replica", "database_system_identifier": "7268616322854375442"}"#)
            default: .text(404, "")
            }
        }
        let word = try #require(await Self.ask(.patroni([try Self.endpoint(server)])).first)
        #expect(Self.report(word)?.leaders == ["n1"] && word.witness == "endpoints[0]")
        #expect(word.systemIdentifier == 7_268_616_322_854_375_442)
        #expect(word.timeToLive == .seconds(20) && word.isPaused == true)
        try await server.stop()
    }

    /// Each by itself: one that hangs or is gone takes nothing from the others.
    @Test func eachEndpointSaysWhatItSaysInTheOrderOfTheConfiguration() async throws {
        let scripts: [@Sendable (ScriptedServer.Request) -> ScriptedServer.Reply] = [
            { _ in .silence }, { _ in .text(503, "") }, { _ in .text(200, "[]") },
            { _ in .text(200, BadTopologyTests.cluster(["n2"])) },
        ]
        var servers: [ScriptedServer] = []
        for script in scripts { servers.append(try await ScriptedServer.start(script)) }
        let gone = try await ScriptedServer.start { _ in .silence }
        let endpoints = try servers.map(Self.endpoint) + [Self.endpoint(gone)]
        try await gone.stop()
        let words = await Self.ask(.patroni(endpoints), patience: .seconds(2))
        #expect(words.map(\.witness) == (0..<5).map { "endpoints[\($0)]" })
        #expect(words.map { Self.problem($0) } == [.late, .status(503), .unusable, nil, .unreachable])
        #expect((words.first?.took ?? .zero) >= .seconds(2))
        #expect(Self.report(words[3])?.leaders == ["n2"])
        // What such a member says of everything else is no JSON of a configuration.
        #expect(words[3].systemIdentifier == nil && words[3].timeToLive == nil)
        for server in servers { try await server.stop() }
    }

    @Test func etcdHasTheClustersIdentifierAndConfiguration() async throws {
        let values = [
            "leader": "n1", "initialize": "7268616322854375442", "config": #"{"ttl": 30}"#,
            "members/n1": AnswerTests.member(5_431, timeline: 2),
        ]
        let server = try await ScriptedServer.start { _ in .text(200, AnswerTests.range(9, values)) }
        let garbage = try await ScriptedServer.start { _ in .text(200, "garbage") }
        let words = await Self.ask(
            .etcd([try Self.endpoint(server), try Self.endpoint(garbage)], prefix: "/service/s0/"))
        let word = try #require(words.first)
        #expect(Self.report(word)?.leaders == ["n1"] && Self.report(word)?.members.map(\.name) == ["n1"])
        #expect(word.systemIdentifier == 7_268_616_322_854_375_442)
        #expect(word.timeToLive == .seconds(30) && word.isPaused == false)
        #expect(Self.problem(words.last) == .unusable)
        try await server.stop()
        try await garbage.stop()
    }

    @Test func aNameIsLookedUp() async throws {
        let found = await Self.ask(.dns(name: "db.example", port: 5_432), addresses: ["10.0.0.1"])
        #expect(found.map(\.witness) == ["dns"])
        #expect(Self.report(found.first)?.members.map(\.name) == ["10.0.0.1-5432"])
        for addresses in [[], nil] as [[String]?] {
            let words = await Self.ask(.dns(name: "db.example", port: 5_432), addresses: addresses)
            #expect(Self.problem(words.first) == .unusable)
        }
    }
}
