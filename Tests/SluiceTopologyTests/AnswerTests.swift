import Foundation
import SluiceCore
import SluiceTopology
import Testing

/// What Patroni and etcd answer, good and bad.
@Suite struct AnswerTests {
    private static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    private static let cluster = """
        {"members": [
          {"name": "n1", "role": "leader", "state": "running", "api_url": "http://10.0.0.1:8008/patroni",
           "host": "10.0.0.1", "port": 5432, "timeline": 4},
          {"name": "n2", "role": "sync_standby", "state": "streaming", "host": "fd00::2", "port": 5432, "timeline": 4,
           "lag": 0, "tags": {"zone": "b"}},
          {"name": "n3", "role": "replica", "state": "start failed", "host": "10.0.0.3", "port": 5432,
           "lag": "unknown"}], "scope": "s0", "pause": true}
        """

    @Test func aClusterOfPatroniIsRead() throws {
        let report = try PatroniAnswer.report(cluster: Self.bytes(Self.cluster))
        #expect(report.leaders == ["n1"] && report.complaints == [] && report.isSynchronous == true)
        #expect(report.members.map(\.role) == [.leader, .synchronousStandby, .standby])
        #expect(report.members.map(\.timeline) == [4, 4, nil])
        #expect(report.members.map(\.lag) == [nil, 0, nil])
        #expect(report.members.map(\.isRunning) == [true, true, false])
        #expect(report.members[1].place == MemberPlace(name: "n2", host: "fd00::2", port: 5_432))
    }

    @Test(arguments: [
        (#"{"synchronous_mode": true}"#, true), (#"{"synchronous_mode": "quorum"}"#, true),
        (#"{"synchronous_mode": "off"}"#, false), (#"{"ttl": 30}"#, false), ("[]", nil), ("{", nil),
    ])
    func theModeIsThatOfTheConfiguration(_ config: String, _ isSynchronous: Bool?) throws {
        let cluster = #"{"members": [{"name": "n1", "role": "leader", "host": "h", "port": 1}]}"#
        let report = try PatroniAnswer.report(cluster: Self.bytes(cluster), config: Self.bytes(config))
        #expect(report.isSynchronous == isSynchronous)
    }

    @Test(arguments: [
        "", "garbage", "[]", "{}", #"{"members": 3}"#, #"{"members": ["#, "\u{0}", "{\"members\": [\"\u{1}\"]}",
        String(repeating: "[", count: 100_000), "{\"members\": []} more",
    ])
    func whatIsNoClusterIsAnErrorInWords(_ text: String) {
        #expect(throws: UnreadableAnswer.self) { try PatroniAnswer.report(cluster: Self.bytes(text)) }
    }

    @Test(arguments: [
        #"{"name": "n 1", "role": "leader", "host": "h", "port": 1}"#,
        #"{"name": "n1", "role": "leader", "host": "h' sslmode='disable", "port": 1}"#,
        #"{"name": "n1", "role": "leader", "host": "", "port": 1}"#,
        #"{"name": "n1", "role": "leader", "host": "h", "port": 65536}"#,
        #"{"name": "n1", "role": "leader", "host": "h", "port": 1e400}"#,
        #"{"name": "n1", "role": "leader"}"#, #"{"role": "leader", "host": "h", "port": 1}"#, "null", "7",
    ])
    func aMemberThatNothingCanBeMadeOfIsLeftOut(_ member: String) throws {
        let report = try PatroniAnswer.report(cluster: Self.bytes("{\"members\": [\(member)]}"))
        #expect(report.members == [] && report.complaints.count == 1)
        #expect(!report.complaints[0].contains("sslmode"))
    }

    @Test(arguments: ["-1", "4294967296", "1e3", "1.5", "99999999999999999999999999", "true", "\"x\"", "null", "{}"])
    func aNumberThatIsNoneIsMissing(_ number: String) throws {
        let member =
            #"{"name": "n1", "role": "leader", "host": "h", "port": 1, "timeline": \#(number), "lag": \#(number)}"#
        let report = try PatroniAnswer.report(cluster: Self.bytes("{\"members\": [\(member)]}"))
        #expect(report.members.first?.timeline == nil)
    }

    @Test func membersAreBounded() throws {
        let members = (0..<1_000).map { #"{"name": "n\#($0)", "role": "replica", "host": "h", "port": 1}"# }
        let report = try PatroniAnswer.report(
            cluster: Self.bytes("{\"members\": [\(members.joined(separator: ","))]}"))
        #expect(report.members.count == ClusterReport.mostMembers && report.complaints.count == 1)
    }

    @Test func textsOfJSONAreWhatTheyStandFor() throws {
        let value = try JSONReader.read(Self.bytes(#"{"a\u0041": "\ud83d\ude00\n\"\/", "b": [1, -2.5e3, null]}"#))
        #expect(value["aA"]?.text == "\u{1F600}\n\"/")
        #expect(value["b"]?.list == [.number("1"), .number("-2.5e3"), .null])
        for bad in [#""\ud83d""#, #""\ude00""#, #""\u12""#, #""\x""#, #"{"a" 1}"#, "[1 2]", "tru", "\"a"] {
            #expect(throws: UnreadableAnswer.self) { try JSONReader.read(Self.bytes(bad)) }
        }
    }

    // MARK: etcd

    private static func base64(_ text: String) -> String { Data(text.utf8).base64EncodedString() }

    static func range(_ revision: Int, _ values: [String: String]) -> String {
        let entries = values.sorted { $0.key < $1.key }.map {
            #"{"key":"\#(base64("/service/s0/" + $0.key))","mod_revision":"1","value":"\#(base64($0.value))"}"#
        }
        return #"{"header":{"cluster_id":"7","revision":"\#(revision)"},"kvs":[\#(entries.joined(separator: ","))]}"#
    }

    static func events(_ revision: Int, _ values: [(key: String, value: String?)]) -> String {
        let entries = values.map { key, value in
            let key = base64("/service/s0/" + key)
            guard let value else { return #"{"type":"DELETE","kv":{"key":"\#(key)","mod_revision":"\#(revision)"}}"# }
            return #"{"kv":{"key":"\#(key)","mod_revision":"\#(revision)","value":"\#(base64(value))"}}"#
        }
        return #"{"result":{"header":{"revision":"\#(revision)"},"events":[\#(entries.joined(separator: ","))]}}"#
    }

    static func member(_ port: Int, timeline: Int, state: String = "running") -> String {
        #"{"conn_url":"postgres://127.0.0.1:\#(port)/postgres","state":"\#(state)","role":"replica","#
            + #""timeline":\#(timeline),"xlog_location":100}"#
    }

    private func view(_ revision: Int, _ values: [String: String]) throws -> EtcdView {
        var view = EtcdView()
        try replace(&view, revision, values)
        return view
    }

    @discardableResult
    private func replace(
        _ view: inout EtcdView, _ revision: Int, _ values: [String: String], cluster: Int = 7, at seconds: Int64 = 0
    ) throws -> Bool {
        let text = Self.range(revision, values).replacing(#""cluster_id":"7""#, with: #""cluster_id":"\#(cluster)""#)
        let range = try EtcdAnswer.range(Self.bytes(text), prefix: "/service/s0/")
        return view.replace(range, now: Instant(nanoseconds: seconds * 1_000_000_000))
    }

    @Test func patronisKeysAreAReport() throws {
        let view = try view(
            9,
            [
                "leader": "n1", "members/n1": Self.member(5_431, timeline: 2),
                "members/n2": Self.member(5_432, timeline: 2, state: "streaming"), "status": #"{"optime": 130}"#,
                "sync": #"{"leader": "n1", "sync_standby": "n2,n3"}"#, "config": #"{"synchronous_mode": true}"#,
                "members/n4": "garbage", "history": "[]",
            ])
        let report = view.report
        #expect(report.leaders == ["n1"] && report.isSynchronous == true && !report.isStandbyCluster)
        #expect(report.members.map(\.name) == ["n1", "n2"])
        #expect(report.members.map(\.role) == [.leader, .synchronousStandby])
        #expect(report.members.map(\.lag) == [nil, 30])
        #expect(report.complaints == ["what member n4 has written is not JSON"])
    }

    @Test func eventsAreAppliedOnceAndInOrder() throws {
        var view = try view(9, ["leader": "n1", "members/n1": Self.member(1, timeline: 1)])
        func apply(_ line: String) throws {
            guard
                case .events(let events, let revision) = try EtcdAnswer.watchLine(
                    Self.bytes(line), prefix: "/service/s0/")
            else { throw UnreadableAnswer("no events") }
            view.apply(events, revision: revision)
        }
        // What the reading had already does not go back.
        try apply(Self.events(8, [("leader", "n0")]))
        #expect(view.leader == "n1")
        try apply(Self.events(10, [("leader", nil)]))
        #expect(view.leader == nil && view.report.leaders == [])
        try apply(Self.events(11, [("leader", "n2"), ("members/n2", Self.member(2, timeline: 2))]))
        #expect(view.leader == "n2" && view.revision == 11 && view.report.members.count == 2)
    }

    @Test func aStoreThatWasPutBackIsComplainedAbout() throws {
        var view = try view(9, ["leader": "n1"])
        var isSetBack = try replace(&view, 9, ["leader": "n1"], at: 1)
        #expect(!isSetBack)
        isSetBack = try replace(&view, 3, ["leader": "n2"], at: 2)
        #expect(isSetBack)
        #expect(view.leader == "n2" && view.revision == 3 && view.report.complaints.count == 1)
        #expect(view.report.complaints[0].contains("its revision was 9, and is 3"))
        // It is still spoken of when all goes on, for a while.
        isSetBack = try replace(&view, 4, ["leader": "n2"], at: 600)
        #expect(!isSetBack)
        #expect(view.report.complaints.count == 1)
        try replace(&view, 5, ["leader": "n2"], at: 603)
        #expect(view.report.complaints == [])
    }

    @Test func anotherEtcdIsComplainedAboutHoweverFarItIs() throws {
        var view = try view(9, ["leader": "n1"])
        let isSetBack = try replace(&view, 90, ["leader": "n2"], cluster: 8)
        #expect(isSetBack)
        #expect(view.report.complaints.count == 1 && view.report.complaints[0].contains("another cluster"))
    }

    @Test(arguments: [("7268616322854375442", 7_268_616_322_854_375_442), ("", nil), ("-1", nil), ("x", nil)])
    func theClustersIdentifierIsRead(_ text: String, _ identifier: UInt64?) throws {
        #expect(try view(9, ["initialize": text]).report.systemIdentifier == identifier)
        let status = #"{"state": "running", "database_system_identifier": "\#(text)"}"#
        #expect(PatroniAnswer.systemIdentifier(Self.bytes(status)) == identifier)
        #expect(PatroniAnswer.systemIdentifier(Self.bytes("garbage")) == nil)
    }

    @Test(arguments: [
        "{}", #"{"token":""}"#, #"{"token":"a b"}"#, #"{"token":"a\r\nX: y"}"#, #"{"token":7}"#, "garbage",
    ])
    func whatIsNoTokenIsAnErrorInWords(_ text: String) throws {
        #expect(throws: UnreadableAnswer.self) { try EtcdAnswer.token(Self.bytes(text)) }
        #expect(try EtcdAnswer.token(Self.bytes(#"{"header":{},"token":"abc.7"}"#)) == "abc.7")
    }

    @Test func aCompactedWatchSaysSo() throws {
        let line = #"{"result":{"header":{"raft_term":"2"},"canceled":true,"compact_revision":"4"}}"#
        #expect(try EtcdAnswer.watchLine(Self.bytes(line), prefix: "/") == .compacted)
        let error = #"{"error":{"grpc_code":14,"message":"no leader"}}"#
        #expect(try EtcdAnswer.watchLine(Self.bytes(error), prefix: "/") == .ended("etcd says: no leader"))
    }

    @Test(arguments: [
        "", "{}", "garbage", #"{"header":{"revision":"x"}}"#, #"{"header":{"revision":"1"},"kvs":[{"key":"*"}]}"#,
        #"{"header":{"revision":"1"},"kvs":[{"key":"\#(Data("/other/leader".utf8).base64EncodedString())"}]}"#,
    ])
    func whatIsNoRangeIsAnErrorInWords(_ text: String) {
        #expect(throws: UnreadableAnswer.self) { try EtcdAnswer.range(Self.bytes(text), prefix: "/service/s0/") }
    }

    @Test func endpointsAreAddressesWithoutAPath() {
        #expect(HTTPEndpoint("http://10.0.0.1:8008")?.description == "http://10.0.0.1:8008")
        #expect(HTTPEndpoint("https://[fd00::1]:2379/")?.host == "fd00::1")
        for bad in [
            "10.0.0.1:8008", "http://h", "http://h:0", "http://h:1/x", "http://:1", "ftp://h:1", "http://h:99999",
        ] {
            #expect(HTTPEndpoint(bad) == nil, "\(bad)")
        }
    }

    // MARK: The state file

    @Test func theStateFileNeverLowersATimeline() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "state-\(UUID()).json").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let file = StateFile(path: path, shard: "s0")
        #expect(try file.read() == nil)
        let place = MemberPlace(name: "n1", host: "fd00::1", port: 5_432)
        try file.write(.init(timeline: 7, members: [place]))
        #expect(try file.read() == .init(timeline: 7, members: [place]))
        try file.write(.init(timeline: 6, members: []))
        #expect(try file.read() == .init(timeline: 7, members: []))
        #expect(throws: UnreadableAnswer.self) { try StateFile(path: path, shard: "s1").read() }
        try Data("garbage".utf8).write(to: URL(filePath: path))
        #expect(throws: UnreadableAnswer.self) { try file.read() }
        try file.write(.init(timeline: 8))
        #expect(try file.read()?.timeline == 8)
    }

    @Test func theStateFileIsOneClusters() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "state-\(UUID()).json").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let file = StateFile(path: path, shard: "s0")
        try file.write(.init(timeline: 7))
        try file.write(.init(timeline: 7, systemIdentifier: .max))
        #expect(try file.read() == .init(timeline: 7, systemIdentifier: .max))
        // Whoever does not know it does not take it away.
        try file.write(.init(timeline: 8))
        #expect(try file.read() == .init(timeline: 8, systemIdentifier: .max))
        #expect(throws: UnreadableAnswer.self) { try file.write(.init(timeline: 9, systemIdentifier: 3)) }
        #expect(try file.read() == .init(timeline: 8, systemIdentifier: .max))
    }
}
