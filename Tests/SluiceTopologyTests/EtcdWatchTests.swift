import Foundation
import SluiceCore
import SluiceTopology
import Synchronization
import Testing

/// An etcd that was put back, whose connections die without a word, or that asks for a password.
@Suite(.timeLimit(.minutes(1))) struct EtcdWatchTests {
    private typealias Followed = ShardWatchTests.Followed
    private typealias Request = ScriptedServer.Request

    private static let n1 = MemberPlace(name: "n1", host: "127.0.0.1", port: 5_431)
    private static let n2 = MemberPlace(name: "n2", host: "127.0.0.1", port: 5_432)

    @Test func aStoreThatWasPutBackIsNamedAndItsWatchBegunAnew() async throws {
        let starts = Mutex<[String]>([])
        try await ShardWatchTests.with([
            { request in
                if request.path == "/v3/watch" {
                    starts.withLock { $0.append(request.body) }
                    return .lines([], ends: false)
                }
                let keys = ShardWatchTests.keys(leader: "n1", timeline: 1)
                return .text(200, AnswerTests.range(request.number < 2 ? 90 : 3, keys))
            }
        ]) { servers in
            let followed = Followed(try ShardWatchTests.etcd(servers[0], interval: .milliseconds(100)))
            defer { followed.task.cancel() }
            await followed.wait { $0.complaints.contains { $0.contains("its revision was 90, and is 3") } }
            await followed.wait { _ in starts.withLock { $0.contains { $0.contains(#""start_revision":"4""#) } } }
            #expect(starts.withLock { $0.first?.contains(#""start_revision":"91""#) } == true)
            // It stays named, and the leader may be written to.
            await followed.round()
            #expect(followed.report.complaints.contains { $0.contains("put back") })
            #expect(followed.report.verdict == .writable(Self.n1))
        }
    }

    /// It is put back while nobody follows it: the endpoint is gone for a while.
    @Test func aStoreThatWasPutBackWhileItWasAwayIsNamed() async throws {
        try await ShardWatchTests.with([
            { request in
                if request.path == "/v3/watch" { return .lines([], ends: false) }
                let keys = ShardWatchTests.keys(leader: "n1", timeline: 1)
                switch request.number {
                case 0: return .text(200, AnswerTests.range(90, keys))
                case 1: return .text(503, "{}")
                default: return .text(200, AnswerTests.range(3, keys))
                }
            }
        ]) { servers in
            let followed = Followed(try ShardWatchTests.etcd(servers[0], interval: .milliseconds(100)))
            defer { followed.task.cancel() }
            await followed.wait { $0.complaints.contains { $0.contains("its revision was 90, and is 3") } }
        }
    }

    /// The first watch says nothing for ever, and only another one brings the change: nothing is read meanwhile that
    /// has it.
    @Test func aWatchThatSaysNothingIsBegunAnew() async throws {
        let hasChanged = Atomic(false)
        try await ShardWatchTests.with([
            { request in
                if request.path == "/v3/watch" {
                    if request.number == 0 { return .lines([], ends: false) }
                    hasChanged.store(true, ordering: .relaxed)
                    return .lines([AnswerTests.events(6, [("leader", "n2")])], ends: false)
                }
                return .text(
                    200,
                    hasChanged.load(ordering: .relaxed)
                        ? AnswerTests.range(6, ShardWatchTests.keys(leader: "n2", timeline: 2))
                        : AnswerTests.range(5, ShardWatchTests.keys(leader: "n1", timeline: 1)))
            }
        ]) { servers in
            var settings = try ShardWatchTests.etcd(servers[0], interval: .seconds(60))
            settings.watchIdle = .milliseconds(100)
            let followed = Followed(settings)
            defer { followed.task.cancel() }
            await followed.wait { $0.verdict == .writable(Self.n2) }
            #expect(servers[0].count(of: "/v3/watch") > 1)
        }
    }

    @Test func theWatchAsksForSignsOfLife() async throws {
        let bodies = Mutex<[String]>([])
        try await ShardWatchTests.with([
            { request in
                guard request.path == "/v3/watch" else {
                    return .text(200, AnswerTests.range(5, ShardWatchTests.keys(leader: "n1", timeline: 1)))
                }
                bodies.withLock { $0.append(request.body) }
                return .lines([#"{"result":{"header":{"revision":"5"}}}"#], ends: false)
            }
        ]) { servers in
            let followed = Followed(try ShardWatchTests.etcd(servers[0], interval: .milliseconds(100)))
            defer { followed.task.cancel() }
            await followed.wait { _ in bodies.withLock { !$0.isEmpty } }
            #expect(bodies.withLock { $0[0].contains(#""progress_notify":true"#) })
            #expect(followed.report.verdict == .writable(Self.n1))
        }
    }

    // MARK: Passwords

    /// The settings with a user, whose password has what JSON has to escape.
    private func withPassword(
        _ script: @escaping @Sendable (ScriptedServer.Request) -> ScriptedServer.Reply,
        _ body: (ScriptedServer, TopologySettings) async throws -> Void
    ) async throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "password-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Data("se\"cr\\et\nmore\n".utf8).write(to: URL(filePath: path))
        try await ShardWatchTests.with([script]) { servers in
            var settings = try ShardWatchTests.etcd(servers[0], interval: .milliseconds(100))
            settings.credentials = .init(user: "sluice", passwordFile: path)
            try await body(servers[0], settings)
        }
    }

    /// Every second reading the token before is not known any more.
    @Test func aTokenIsAskedForByThePasswordAndRenewedWhenItIsRefused() async throws {
        let tokens = Mutex<(valid: String, given: Int, readings: Int, watches: [String?], asked: [String])>(
            ("none", 0, 0, [], []))
        try await withPassword { request in
            tokens.withLock { tokens in
                switch request.path {
                case "/v3/auth/authenticate":
                    tokens.asked.append(request.body)
                    tokens.given += 1
                    tokens.valid = "token.\(tokens.given)"
                    return .text(200, #"{"header":{},"token":"\#(tokens.valid)"}"#)
                case "/v3/watch":
                    tokens.watches.append(request.authorization)
                    return .lines([], ends: false)
                default:
                    guard request.authorization == tokens.valid else {
                        return .text(401, #"{"error":"etcdserver: invalid auth token","code":16}"#)
                    }
                    tokens.readings += 1
                    if tokens.readings.isMultiple(of: 2) { tokens.valid = "gone" }
                    let keys = ShardWatchTests.keys(leader: "n1", timeline: 1)
                    return .text(200, AnswerTests.range(5 + tokens.readings, keys))
                }
            }
        } _: { _, settings in
            let followed = Followed(settings)
            defer { followed.task.cancel() }
            await followed.wait { _ in tokens.withLock { $0.readings > 6 && !$0.watches.isEmpty } }
            #expect(followed.report.verdict == .writable(Self.n1) && followed.report.complaints == [])
            let (given, watches, asked) = tokens.withLock { ($0.given, $0.watches, $0.asked) }
            #expect(given >= 3)
            #expect(watches.allSatisfy { $0?.hasPrefix("token.") == true })
            for body in asked {
                let value = try JSONReader.read(Array(body.utf8))
                #expect(value["name"]?.text == "sluice" && value["password"]?.text == "se\"cr\\et")
            }
        }
    }

    /// The clock stands still: the pause after a refusal is not over.
    @Test func aWrongPasswordIsSaidInEtcdsWordsAndNotTriedAgainAtOnce() async throws {
        let words = "etcdserver: authentication failed, invalid user ID or password"
        try await withPassword { request in
            request.path == "/v3/auth/authenticate"
                ? .text(400, #"{"error":"\#(words)","code":3}"#) : .text(400, #"{"error":"user name is empty"}"#)
        } _: { server, settings in
            let followed = Followed(settings, now: { Instant(nanoseconds: 0) })
            defer { followed.task.cancel() }
            await followed.wait { !$0.complaints.isEmpty }
            for _ in 0..<3 { await followed.round() }
            let complaints = followed.report.complaints
            #expect(complaints.contains { $0.contains("does not let the user sluice in") && $0.contains(words) })
            #expect(!complaints.contains { $0.contains("se\"cr") })
            #expect(server.count(of: "/v3/auth/authenticate") == 1)
            #expect(followed.report.verdict == .refused(.unheard))
        }
    }

    /// The clock stands still, as above: an etcd that has no leader of its own cannot look at passwords.
    @Test func whatIsWrongWithEtcdIsNoWrongPassword() async throws {
        let asked = Mutex(0)
        try await withPassword { request in
            switch request.path {
            case "/v3/auth/authenticate":
                let isFirst = asked.withLock { asked in
                    asked += 1
                    return asked == 1
                }
                return isFirst ? .text(503, "{}") : .text(200, #"{"header":{},"token":"token.1"}"#)
            case "/v3/watch": return .lines([], ends: false)
            default: return .text(200, AnswerTests.range(5, ShardWatchTests.keys(leader: "n1", timeline: 1)))
            }
        } _: { _, settings in
            let followed = Followed(settings, now: { Instant(nanoseconds: 0) })
            defer { followed.task.cancel() }
            await followed.wait { $0.verdict == .writable(Self.n1) }
            #expect(asked.withLock { $0 } == 2)
        }
    }
}
