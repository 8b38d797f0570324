import Foundation
import SluiceAdmin
import SluiceGateway
import Testing

/// What is shown of a shard's source.
@Suite struct TopologyShownTests {
    @Test func theStateAndTheMetricsSayThatASourceHasNotBeenHeard() async throws {
        try await AdminFixture.with(shards: AdminFixture.shardsWithSource) { (fixture: AdminFixture) async throws in
            let state = try await fixture.state()
            #expect(state.shards.map(\.name) == ["s0", "s1"] && state.shards[0].topology == nil)
            let topology = try #require(state.shards[1].topology)
            #expect(topology.source == "patroni" && topology.state == "unheard")
            #expect(topology.words == "its source has not answered yet")
            #expect(topology.refused == "unheard")
            #expect(topology.refusedWords == "its topology source has not been heard yet")
            #expect(topology.age == nil && topology.leader == nil && topology.timeline == 0)
            #expect(topology.endpoints.map(\.name) == ["endpoints[0]"])
            #expect(topology.endpoints.map(\.error) == ["cannot be reached"])
            #expect((topology.endpoints[0].errorAge ?? -1) >= 0 && !topology.endpoints[0].isAnswering)

            let lines = Set(try await fixture.client.get("/metrics").body.split(separator: "\n").map(String.init))
            for line in [
                "# TYPE sluice_topology_source_up gauge", "sluice_topology_source_up{shard=\"s1\"} 0",
                "sluice_topology_writable{shard=\"s1\"} 0", "sluice_topology_timeline{shard=\"s1\"} 0",
                "sluice_topology_members{shard=\"s1\"} 0",
                "sluice_topology_endpoint_up{shard=\"s1\",endpoint=\"endpoints[0]\"} 0",
                "# TYPE sluice_topology_changes_total counter",
                "sluice_topology_changes_total{shard=\"s1\",kind=\"leader\"} 0",
                "# TYPE sluice_topology_refusals_total counter",
                "sluice_topology_refusals_total{shard=\"s1\",cause=\"two_leaders\"} 0",
            ] {
                #expect(lines.contains(line), "\(line)")
            }
            #expect(!lines.contains { $0.hasPrefix("sluice_topology_source_age_seconds") }, "there is none yet")
        }
    }

    // MARK: sluice top

    private static func topology(
        state: String = "current", age: String = "0.4", refused: String? = nil, leader: String = "n1", highest: Int = 3,
        isFenced: Bool = true
    ) -> String {
        let refusal = refused.map { "\"refused\": \"\($0)\", \"refused_words\": \"its words\"," } ?? ""
        let leading = isFenced ? "\"leader\": \"\(leader)\", \"leader_timeline\": 3," : ""
        return """
            {"source": "\(isFenced ? "patroni" : "dns")", "state": "\(state)", "words": "the state's words",
             "age": \(age), "is_fenced": \(isFenced), \(refusal) \(leading) "timeline": \(highest), "members": [],
             "endpoints": [{"name": "endpoints[0]", "is_answering": true, "age": 0.4, "said": "leader n1"},
                           {"name": "endpoints[1]", "is_answering": false, "error": "cannot be reached",
                            "error_age": 12}],
             "complaints": [], "refusals": [], "leader_changes": 1, "member_changes": 1}
            """
    }

    private static func lines(_ topology: String, isDetailed: Bool = false) throws -> [String] {
        let frame = try TopScreenTests.frame(100, [TopScreenTests.replica("a")], topology: topology)
        var screen = TopScreen()
        screen.take(frame)
        if isDetailed { screen.press(.enter) }
        return screen.lines
    }

    @Test func aSoundSourceIsALineBelowTheReplicas() throws {
        let lines = try Self.lines(Self.topology())
        #expect(lines[3].hasPrefix("  SHARD/REPLICA") && lines[4].hasPrefix("> s0/a"))
        #expect(lines[5] == "  s0: patroni current, heard 400 ms ago, leader n1, timeline 3")
        #expect(try Self.lines(Self.topology(highest: 0, isFenced: false))[5] == "  s0: dns current, heard 400 ms ago")
    }

    @Test(arguments: [
        (topology(state: "stale", age: "42"), "  s0: patroni STALE, heard 42 s ago, leader n1, timeline 3"),
        (
            topology(state: "stale", age: "42", refused: "silent"),
            "  s0: NO WRITES (silent), patroni STALE, heard 42 s ago, leader n1, timeline 3"
        ),
        (
            topology(refused: "timeline_back", highest: 9),
            "  s0: NO WRITES (timeline_back), patroni current, heard 400 ms ago, leader n1, timeline 3, highest"
        ),
    ])
    func whatIsWrongStandsAboveThem(topology: String, line: String) throws {
        let lines = try Self.lines(topology)
        #expect(lines[3] == String(line.prefix(80)))
        #expect(lines[4].hasPrefix("  SHARD/REPLICA"))
    }

    @Test func theDetailsOfAReplicaSayAllOfItsShardsSource() throws {
        let text = try Self.lines(Self.topology(refused: "no_leader"), isDetailed: true).joined(separator: "\n")
        #expect(text.contains("source       patroni, heard 400 ms ago: the state's words"))
        #expect(text.contains("writes       none: its words"))
        #expect(text.contains("  endpoints[0]: answered 400 ms ago (leader n1)"))
        #expect(text.contains("  endpoints[1]: 12 s ago: cannot be reached"))
    }
}
