import Foundation
import SluiceAdmin
import SluiceGateway
import Testing

@Suite struct TopScreenTests {
    /// As the gateway writes it.
    static func replica(
        _ name: String, role: String = "standby", leases: Int = 0, leased: Int = 0, latency: String = "0.0012",
        lag: String = "0.5"
    ) -> String {
        """
        {"name": "\(name)", "role": "\(role)", "is_reachable": true, "is_drained": false, "breaker": "closed",
         "versions": {"postgresql": "16.10", "pgvector": "0.8.5"},
         "lag": \(lag), "latency": \(latency), "in_flight": \(leased), "settling": 0,
         "pool": {"idle": 0, "leased": \(leased), "dialling": 0, "closing": 0, "backing_off": 0, "waiting": 0,
                  "limit": 8, "leases": \(leases), "waits": 0, "dials": 0, "dial_failures": 0, "expired": 0,
                  "refused": 0}}
        """
    }

    static func frame(
        _ at: Double, _ replicas: [String], ok: Double = 0, topology: String? = nil, collection: String = ""
    ) throws -> LiveFrame {
        let text = """
            {"at": \(at), "state": {
               "is_ready": true, "is_draining": false,
               "process": {"version": "9.9", "started_at": 0, "uptime": 7300, "resident_bytes": 52428800,
                           "cpu_time": 1},
               "clients": {"sessions": 3, "max_sessions": 10, "sessions_opened": 4, "sessions_refused": 0,
                           "received_bytes": 1, "sent_bytes": 1, "held_bytes": 0, "max_held_bytes": 1,
                           "paused_sessions": 0},
               "admission": {"running": 2, "limit": 16, "waiting": 0}, "reactors": [{"lag": 0}],
               "collections": [{"name": "programs", "metric": "cosine", "dimensions": 3, "shards": ["s0"],
                                "is_ready": true\(collection)}],
               "shards": [{"name": "s0", "primary": "a", "is_in_conflict": false, "conflicts": 0, "extra_attempts": 0,
                           "refused_extra_attempts": 0, "replicas": [\(replicas.joined(separator: ","))],
                           "topology": \(topology ?? "null")}],
               "integrity_failures": 0},
             "requests": {"results": {"ok": \(ok), "deadline_exceeded": \(ok / 10)}, "bounds": [0.001, 0.01],
                          "counts": [\(ok), \(ok / 10), 0]},
             "searches": [], "shed": 0, "retries": 0, "hedges": 0,
             "events": [{"number": 1, "at": 3661, "kind": "role", "shard": "s0", "replica": "b",
                         "text": "is a primary now"}],
             "slow_searches": []}
            """
        return try AdminFixture.decoder.decode(LiveFrame.self, from: Data(text.utf8))
    }

    private static func screen() throws -> TopScreen {
        var screen = TopScreen()
        screen.take(try frame(100, [replica("a", role: "primary"), replica("b"), replica("c")]))
        screen.take(
            try frame(
                102,
                [
                    replica("a", role: "primary", leases: 10, leased: 1, latency: "0.1"),
                    replica("b", leases: 300, leased: 4, lag: "7"),
                    replica("c", leases: 20, latency: "null", lag: "null"),
                ], ok: 2_000))
        return screen
    }

    @Test(arguments: [("\"epoch\": 3, ", "moving programs (epoch 3)"), ("", "moving programs (epoch ?)")])
    func aCollectionThatIsBeingMovedIsShown(epoch: String, words: String) throws {
        var screen = TopScreen()
        screen.take(
            try Self.frame(
                1, [Self.replica("a")],
                collection: ", \(epoch)\"move\": {\"next_epoch\": 4, \"next_shards\": [\"s0\"]}"))
        #expect(screen.lines[2] == words, "\(screen.lines)")
        screen.take(try Self.frame(2, [Self.replica("a")]))
        #expect(!screen.lines.contains { $0.contains("moving") })
    }

    @Test func ratesAreOfTheTimeBetweenTheFrames() throws {
        let screen = try Self.screen()
        #expect(screen.rows.map(\.uses) == [5, 150, 10])
        #expect(screen.lines[0] == "sluice 9.9, up 2 h, ready: 1100 requests/s, 100 not answered/s")
        #expect(screen.lines[1].hasPrefix("p50 ≤ 1.0 ms, p99 ≤ 10 ms  running 2/16, waiting 0  sessions 3"))
    }

    @Test func everySizeIsKept() throws {
        var screen = try Self.screen()
        for height in [0, 1, 5, 6, 7, 24, 60] {
            for width in [0, 1, 20, 80, 200] {
                for isDetailed in [false, true] {
                    (screen.width, screen.height) = (width, height)
                    screen.press(isDetailed ? .enter : .back)
                    #expect(screen.lines.count <= max(height, 1))
                    #expect(screen.lines.allSatisfy { $0.count <= width })
                }
            }
        }
    }

    @Test func whatDoesNotFitIsSaidSo() throws {
        var screen = TopScreen()
        screen.take(try Self.frame(1, (0..<40).map { Self.replica("r\($0)") }))
        #expect(screen.lines.count == 24)
        #expect(screen.lines[screen.lines.count - 2].contains("more lines"))
        #expect(screen.lines.last?.hasPrefix("q quit") == true)
    }

    @Test func rowsAreSortedByWhatWasChosen() throws {
        var screen = try Self.screen()
        var orders: [TopScreen.Order: [String]] = [:]
        for _ in TopScreen.Order.allCases {
            orders[screen.order] = screen.rows.map(\.replica.name)
            screen.press(.sort)
        }
        #expect(screen.order == .name, "round and round")
        #expect(orders[.name] == ["a", "b", "c"])
        #expect(orders[.uses] == ["b", "c", "a"])
        #expect(orders[.leased] == ["b", "a", "c"])
        #expect(orders[.latency] == ["a", "b", "c"])
        #expect(orders[.lag] == ["b", "a", "c"])
        screen.press(.reverse)
        #expect(screen.rows.map(\.replica.name) == ["c", "b", "a"])
    }

    @Test func theMarkStaysWithItsReplica() throws {
        var screen = try Self.screen()
        #expect(screen.marked == "s0/a")
        screen.press(.up)
        #expect(screen.marked == "s0/a")
        screen.press(.down)
        #expect(screen.marked == "s0/b")
        screen.press(.reverse)
        #expect(screen.marked == "s0/b")
        screen.press(.down)
        screen.press(.down)
        #expect(screen.marked == "s0/a")
    }

    @Test func theDetailsAreOfTheMarkedReplica() throws {
        var screen = try Self.screen()
        screen.press(.down)
        screen.press(.enter)
        let text = screen.lines.joined(separator: "\n")
        #expect(text.contains("s0/b: standby, serving") && text.contains("01:01:01 is a primary now"))
        #expect(text.contains("PostgreSQL 16.10, pgvector 0.8.5"))
        screen.press(.down)
        #expect(screen.lines.joined(separator: "\n").contains("s0/c: standby"))
        #expect(!screen.lines.joined(separator: "\n").contains("is a primary now"))
    }
}
