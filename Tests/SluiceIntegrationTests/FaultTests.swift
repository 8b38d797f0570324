import Foundation
import SluiceClient
import SluicePostgres
import SluiceReactor
import Testing

/// Something real that goes wrong with one standby.
struct Fault: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var lasts: Duration
    var begin: @Sendable (Replicas) async throws -> Void
    var end: @Sendable (Replicas) async throws -> Void

    static let victim = "s0-b"

    static let all = [
        Fault(testDescription: "SIGKILL", lasts: .seconds(4)) {
            try $0.script("kill", victim)
        } end: {
            try $0.script("start", victim)
        },
        Fault(testDescription: "SIGSTOP", lasts: .seconds(10)) {
            try $0.script("stop", victim)
        } end: {
            try $0.script("cont", victim)
        },
        Fault(testDescription: "restart", lasts: .zero) {
            try $0.script("down", victim)
        } end: {
            try $0.script("start", victim)
        },
        Fault(testDescription: "replay paused", lasts: .seconds(3)) {
            try $0.superuser(victim, "select pg_wal_replay_pause()")
            try $0.superuser("s0-a", "create table public.churn as select generate_series(1, 20000) as n")
        } end: {
            try $0.superuser("s0-a", "drop table public.churn")
            try $0.superuser(victim, "select pg_wal_replay_resume()")
        },
        Fault(testDescription: "all its backends terminated", lasts: .seconds(2)) {
            try $0.terminateBackends(of: victim)
        } end: {
            try $0.terminateBackends(of: victim)
        },
    ]

    /// Packets that are dropped without a reset: only root can do that.
    static let cut = Fault(testDescription: "packets dropped", lasts: .seconds(10)) {
        try $0.script("cut", victim)
    } end: {
        try $0.script("mend", victim)
    }
}

extension PostgreSQL {
    @Suite(.serialized) struct Faults {
        @Test(arguments: Fault.all) func aSickStandbyHardlyShows(fault: Fault) async throws {
            try await live(through: fault)
        }

        @Test(.enabled(if: geteuid() == 0, "dropping packets needs root"))
        func aStandbyThatIsCutOffHardlyShows() async throws { try await live(through: .cut) }

        /// Others take every connection that the server has.
        @Test func aStandbyWithoutConnectionsLeftHardlyShows() async throws {
            let replicas = try Replicas()
            let outsiders = try Outsiders(replicas, of: Fault.victim)
            try await live(
                through: Fault(testDescription: "max_connections", lasts: .seconds(3)) {
                    try await outsiders.takeAll()
                    try $0.terminateBackends(of: Fault.victim, where: "application_name <> 'outsider'")
                    try await outsiders.takeAll()
                } end: { _ in
                    await outsiders.leave()
                })
            outsiders.reactor.stop()
        }

        private func live(through fault: Fault) async throws {
            let replicas = try Replicas()
            let queries = try Samples().queries.map {
                SearchQuery(collections: ["programs", "libraries"], vector: $0, k: 10, deadline: .seconds(1))
            }
            try await withGateway(replicas.config(pool: "{min_size: 4, max_size: 8}")) { client, _ in
                let tally = try await SteadyLoad.run(client, queries) { load in
                    await load.go(on: .seconds(1))
                    try await fault.begin(replicas)
                    await load.go(on: fault.lasts)
                    try await fault.end(replicas)
                    let isBack = await load.wait(atMost: .seconds(15)) {
                        $0.legs.contains { $0.replica == Fault.victim }
                    }
                    #expect(isBack, "no traffic on \(Fault.victim) within 15 s after the fault")
                    await load.go(on: .seconds(1))
                }
                #expect(tally.answered > 500)
                #expect(Double(tally.failed) <= 0.005 * Double(tally.answered + tally.failed), "\(tally)")
                #expect(tally.late == 0 && tally.wrong == 0, "\(tally)")
            }
        }

        /// Half of the rows are gone, and half is what is asked for.
        @Test func aDeadShardIsLeftOutWithoutAStormOfAttempts() async throws {
            let replicas = try Replicas()
            let queries = try Samples().queries.map {
                var query = SearchQuery(collections: ["programs"], vector: $0, k: 10, deadline: .seconds(1))
                query.minCoverage = 0.45
                return query
            }
            try await withGateway(replicas.config()) { client, _ in
                let victims = ["s1-a", "s1-b"]
                defer { for victim in victims { _ = try? replicas.script("start", victim) } }
                let whole = try await SteadyLoad.run(client, queries) { load in
                    await load.go(on: .seconds(1))
                    for victim in victims { try replicas.script("kill", victim) }
                    let isPartial = await load.wait(atMost: .seconds(5)) { abs($0.coverage - 0.5) < 0.05 }
                    #expect(isPartial)
                    let before = load.tally
                    await load.go(on: .seconds(4))
                    let answered = load.tally.answered - before.answered
                    #expect(answered > 100 && load.tally.failed == before.failed, "\(load.tally)")
                    #expect(Double(load.tally.attempts - before.attempts) <= 1.2 * Double(answered), "\(load.tally)")
                }
                #expect(whole.late == 0 && whole.wrong == 0, "\(whole)")
            }
        }
    }
}

extension Replicas {
    /// Of every backend that the gateway's role has there.
    func terminateBackends(of replica: String, where condition: String = "true") throws {
        try superuser(
            replica,
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'sluice' and \(condition)")
    }
}

extension Replicas {
    /// To connect to one server without a gateway.
    func settings(of name: String, _ more: String = "") throws -> ConnectionSettings {
        let replica = try replica(name)
        let password = try String(contentsOfFile: topology.passwordFile, encoding: .utf8)
        let workers = BlockingWorkers(limit: 1, queueLimit: 1)
        return ConnectionSettings(
            target: try ConnectionString(
                "host=127.0.0.1 port=\(replica.port) dbname=sluice user=sluice \(more)",
                password: password.trimmingCharacters(in: .whitespacesAndNewlines)),
            isPooled: false, resolver: AddressResolver(workers: workers), cancels: CancelAllowance(workers: workers),
            dials: DialAllowance(workers: BlockingWorkers(limit: 2)))
    }
}

/// Connections to one server that are not the gateway's.
actor Outsiders {
    nonisolated let reactor: Reactor
    private let settings: ConnectionSettings
    private var connections: [PostgresConnection] = []

    init(_ replicas: Replicas, of name: String) throws {
        reactor = try Reactor(name: "outsiders")
        settings = try replicas.settings(of: name, "application_name=outsider")
    }

    /// Connects until the server refuses.
    func takeAll() async throws {
        for _ in 0..<200 {
            do {
                connections.append(
                    try await PostgresConnection.connect(
                        settings, on: reactor, deadline: Reactor.now() + 5_000_000_000, onClose: {}))
            } catch {
                return
            }
        }
        Issue.record("the server never ran out of connections")
    }

    func leave() async {
        for connection in connections { await connection.close() }
        connections.removeAll()
    }
}
