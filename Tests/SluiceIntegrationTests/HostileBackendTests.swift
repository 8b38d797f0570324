import Foundation
import PostgresTestKit
import SluiceClient
import SluiceGateway
import Testing

/// A gateway with one reactor before a server that does not keep to the protocol and one that does: searches of the
/// first fail as legs that failed, and those of the second are answered as if it were alone.
@Suite(.serialized) struct HostileBackendTests {
    private struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var script: FakePostgres.Script
        /// A search's leg brings these ids.
        var ids: [Int64]?

        init(_ name: String, ids: [Int64]? = nil, leg: @escaping @Sendable (Peer, Question) throws -> Void) {
            testDescription = name
            script = .init(leg: leg)
            self.ids = ids
        }

        init(_ name: String, greeting: @escaping @Sendable (Peer) throws -> Void) {
            testDescription = name
            script = .init(greeting: greeting)
        }
    }

    private static func rows(_ question: Question, _ rows: [(Int64, Double)]) -> [Message] {
        [.description(Peer.fields)] + rows.map { Peer.row(question, id: $0.0, distance: $0.1) }
            + [.complete("SELECT \(rows.count)")]
    }

    private static let cases: [Case] = [
        .init("an error without SQLSTATE") { peer, _ in peer.write(.error([("M", "no code")])) },
        .init("a negative length") { peer, _ in peer.write(Message("D", [], length: -1)) },
        .init("a column too few") { peer, _ in
            peer.write(.description(Array(Peer.fields.dropLast())), .complete("SELECT 0"))
        },
        .init("more rows than asked for") { try $0.answer($1, rows: 4) },
        .init("rows without end") { peer, question in
            peer.write(.description(Peer.fields))
            try peer.flood(Peer.row(question, id: 1, distance: 0))
        },
        .init("an unsolicited COPY") { peer, _ in peer.write(.copy("G")) },
        .init("a stall in the middle of a row") { peer, question in
            let row = Peer.row(question, id: 2, distance: 1).bytes
            peer.write(.description(Peer.fields), Message(raw: Array(row.prefix(30))))
            try peer.stall()
        },
        .init("notices without end") { peer, _ in try peer.flood(.notice("and so on")) },
        .init("nothing") { peer, _ in try peer.stall() },
        .init("nothing from the start", greeting: { try $0.stall() }),
        .init("nonsense from the start", greeting: { $0.write(Message(raw: [1, 2, 3])) }),
        .init("SCRAM iterations for an hour", greeting: { try $0.askForSCRAM(iterations: "2147483647") }),
        .init("SCRAM iterations for a second", greeting: { try $0.askForSCRAM(iterations: "1000000") }),
        // What a good server may bring, too: a zero vector's distance under cosine, the order of a relaxed scan, a view
        // whose ids are not unique. The merge puts it in order.
        .init("distances that are no numbers", ids: [2, 1]) { peer, question in
            for message in rows(question, [(1, 0.5), (9, .nan), (2, 0.25)]) { peer.write(message) }
        },
        .init("unsorted rows", ids: [3, 2, 1]) { peer, question in
            for message in rows(question, [(1, 0.75), (3, 0.25), (2, 0.5)]) { peer.write(message) }
        },
        .init("duplicate ids", ids: [1, 2]) { peer, question in
            for message in rows(question, [(1, 0.5), (1, 0.25), (2, 0.75)]) { peer.write(message) }
        },
    ]

    private static func config(_ bad: FakePostgres, _ good: FakePostgres) throws -> GatewayConfig {
        let text = """
            listen: {tcp: "127.0.0.1:0"}
            reactors: 1
            pool: {min_size: 1, max_size: 4, connect_timeout: 300ms}
            limits: {max_reply: 4096}
            routing: {probe_interval: 100ms}
            shards:
              - {name: bad, replicas: [{name: bad, dsn: "\(bad.dsn) password=geheim"}]}
              - {name: good, replicas: [{name: good, dsn: "\(good.dsn)"}]}
            collections:
              - {name: bad, table: t, metric: l2, dimensions: 3, columns: [name], shards: [bad]}
              - {name: good, table: t, metric: l2, dimensions: 3, columns: [name], shards: [good]}
            """
        return try GatewayConfig.parse(text, file: "hostile.yaml", environment: [:])
    }

    private static func query(_ collections: String..., deadline: Duration) -> SearchQuery {
        var query = SearchQuery(
            collections: collections, vector: [1, 2, 3], k: 3, columns: ["name"], deadline: deadline,
            allowPartial: true)
        query.bypassCache = true
        return query
    }

    @Test(.timeLimit(.minutes(1)), arguments: cases)
    private func aBadBackendCostsItsOwnLegsOnly(_ hostile: Case) async throws {
        let (bad, good) = (try FakePostgres(hostile.script), try FakePostgres())
        defer {
            bad.stop()
            good.stop()
        }
        try await withGateway(Self.config(bad, good)) { client, _ in
            let beside = Task {
                var worst = Duration.zero
                var count = 0
                while !Task.isCancelled {
                    let began = ContinuousClock.now
                    do {
                        let reply = try await client.search(Self.query("good", deadline: .seconds(10)))
                        #expect(reply.hits.map(\.id) == [1, 2, 3])
                    } catch {
                        if Task.isCancelled { break }
                        throw error
                    }
                    worst = max(worst, ContinuousClock.now - began)
                    count += 1
                }
                return (count, worst)
            }
            for _ in 0..<3 {
                let began = ContinuousClock.now
                let both = try await client.search(Self.query("bad", "good", deadline: .milliseconds(300)))
                #expect(ContinuousClock.now - began < .seconds(1))
                let leg = try #require(both.legs.first { $0.collection == "bad" })
                #expect(both.legs.contains { $0.collection == "good" && $0.status == .ok })
                #expect((leg.status == .ok) == (hostile.ids != nil), "\(leg.status): \(leg.message ?? "")")
                if let ids = hostile.ids {
                    let alone = try await client.search(Self.query("bad", deadline: .seconds(5)))
                    #expect(alone.hits.map(\.id) == ids)
                }
                #expect(!"\(both.legs)".contains("geheim"))
            }
            beside.cancel()
            let (count, worst) = try await beside.value
            #expect(count > 0 && worst < .milliseconds(300), "the slowest of \(count) took \(worst)")
        }
    }
}
