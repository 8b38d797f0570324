import Foundation
import SluiceClient
import SluiceCore
import SluiceGateway
import SluicePostgres
import SluiceReactor
import Synchronization
import Testing

extension PostgreSQL {
    @Suite(.serialized) struct Soak {
        private static let points = 128

        /// Points on a circle: each query's nearest row is the one with its own number, and no other.
        private static func vector(_ number: Int) -> [Float] {
            let angle = 2 * Double.pi * Double(number) / Double(points)
            return [Float(cos(angle)), Float(sin(angle)), 0]
        }

        private func makeTable(_ replicas: Replicas) throws {
            for (shard, name) in ["s0", "s1"].enumerated() {
                let rows = (0..<Self.points).filter { $0 % 2 == shard }.map { number in
                    "(\(number), '\(Self.vector(number))')"
                }
                try replicas.query(
                    "\(name)-a",
                    "drop table if exists public.soak; create table public.soak (id bigint primary key, "
                        + "embedding vector(3)); insert into public.soak values \(rows.joined(separator: ","))")
                let hasArrived = Slow.waitUntil {
                    let count = try? replicas.query("\(name)-b", "select count(*) from public.soak")
                    return count == "\(rows.count)"
                }
                #expect(hasArrived)
            }
        }

        /// SLUICE_SOAK_SEARCHES says how many (a million take some minutes); cancels, time-outs far too short and
        /// terminated backends all the while.
        @Test func noReplyCarriesAnothersRows() async throws {
            let replicas = try Replicas()
            try makeTable(replicas)
            let count = ProcessInfo.processInfo.environment["SLUICE_SOAK_SEARCHES"].flatMap(Int.init) ?? 30_000
            let tally = SoakTally(limit: count)
            let table = "  - {name: soak, table: soak, metric: l2, dimensions: 3}"
            try await withGateway(
                replicas.config(pool: "{min_size: 8, max_size: 8}", extraCollections: table)
            ) { client, gateway in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for worker in 0..<32 { group.addTask { await Self.work(client, tally, worker) } }
                    let victims = ["s0-a", "s0-b", "s1-a", "s1-b"]
                    var round = 0
                    while !tally.isOver {
                        try replicas.terminateBackends(of: victims[round % 4], where: "random() < 0.5")
                        round += 1
                    }
                    try await group.waitForAll()
                }
                #expect(gateway.integrityFailures == 0)
            }
            let result = tally.counts
            #expect(result.wrong == 0, "\(result)")
            #expect(result.answered > count / 2 && result.cancelled > 0 && result.late > 0, "\(result)")
            print("soak: \(result)")
        }

        private static func work(_ client: SluiceClient, _ tally: SoakTally, _ worker: Int) async {
            var random = SplitMix64(seed: UInt64(worker))
            while tally.begin() {
                let number = Int.random(in: 0..<points, using: &random)
                var query = SearchQuery(collections: ["soak"], vector: vector(number), k: 1, deadline: .seconds(5))
                let kind = Int.random(in: 0..<8, using: &random)
                if kind == 0 { query.deadline = .microseconds(.random(in: 1...2_000, using: &random)) }
                let yields = Int.random(in: 0..<40, using: &random)
                let search = Task { [query] in try await client.search(query) }
                if kind == 1 {
                    for _ in 0..<yields { await Task.yield() }
                    search.cancel()
                }
                let result = await search.result
                tally.note(result, expecting: Int64(number))
            }
        }

        /// A deferred constraint fails when the transaction ends, which is at the Sync: the connection stays in step.
        @Test func anErrorAtTheCommitDoesNotReachTheNextSearch() async throws {
            let replicas = try Replicas()
            try replicas.query(
                "s0-a",
                "drop table if exists public.deferred; create table public.deferred (id bigint primary key, "
                    + "other bigint references public.deferred deferrable initially deferred); "
                    + "grant all on public.deferred to sluice")
            let reactor = try Reactor(name: "commit")
            let limit = Reactor.now() + 10_000_000_000
            let connection = try await PostgresConnection.connect(
                try replicas.settings(of: "s0-a"), on: reactor, deadline: limit, onClose: {})
            for _ in 0..<3 {
                let insertion = Self.statement(
                    "INSERT INTO public.deferred SELECT 1, 2 WHERE $1 IS NOT NULL "
                        + "RETURNING $2::bigint, 1::bigint, 0::float8")
                await #expect {
                    try await connection.search(insertion, deadline: limit)
                } throws: { ($0 as? PostgresFailure)?.sqlState == "23503" }
                #expect(await connection.settle())
                let rows = try await connection.search(
                    Self.statement("SELECT $2::bigint, 1::bigint, 0::float8 WHERE $1 IS NOT NULL"), deadline: limit)
                #expect(rows.ids == [1])
            }
            await connection.close()
            reactor.stop()
        }

        private final class Text: StatementText {
            let text: String
            init(_ text: String) { self.text = text }
            func sql(for facts: ServerFacts) -> String { text }
        }

        /// Whoever asks whether a connection is clean is told so, however close to that moment; its task prefers no
        /// executor, so it may be let in twice.
        @Test func aSettledConnectionSaysSo() async throws {
            let replicas = try Replicas()
            let reactor = try Reactor(name: "settling")
            let connection = try await PostgresConnection.connect(
                try replicas.settings(of: "s0-a"), on: reactor, deadline: Reactor.now() + 10_000_000_000, onClose: {})
            var random = SplitMix64(seed: 12)
            for round in 0..<1_000 {
                let search = Task {
                    try await connection.search(Self.sleep, deadline: Reactor.now() + 20_000_000_000)
                }
                for _ in 0..<Int.random(in: 0..<60, using: &random) { await Task.yield() }
                search.cancel()
                await #expect { try await search.value } throws: { ($0 as? PostgresFailure)?.kind == .cancelled }
                let isClean = await connection.settle()
                try #require(isClean, "round \(round)")
            }
            await connection.close()
            reactor.stop()
        }

        /// A server that has not begun a statement drops the request to cancel it.
        @Test func aCancelThatComesTooEarlyIsSentAgain() async throws {
            let replicas = try Replicas()
            let reactor = try Reactor(name: "early")
            let connection = try await PostgresConnection.connect(
                try replicas.settings(of: "s0-a", "application_name=early"), on: reactor,
                deadline: Reactor.now() + 10_000_000_000, onClose: {})
            let found = try replicas.query(
                "s0-a", "select pid from pg_stat_activity where application_name = 'early'")
            let pid = try #require(Int32(found))
            kill(pid, SIGSTOP)
            defer { kill(pid, SIGCONT) }
            let search = Task { try await connection.search(Self.sleep, deadline: Reactor.now() + 20_000_000_000) }
            await Task.yield()
            search.cancel()
            await #expect { try await search.value } throws: { ($0 as? PostgresFailure)?.kind == .cancelled }
            // SIGINT waits for the process; it finds it before the statement does.
            #expect(try Slow.waitUntil { try Self.pendingSignals(of: pid) & 1 << (SIGINT - 1) != 0 })
            kill(pid, SIGCONT)
            #expect(await connection.settle())
            await connection.close()
            reactor.stop()
        }

        private static func pendingSignals(of pid: Int32) throws -> UInt64 {
            let status = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
            let line = status.split(separator: "\n").first { $0.hasPrefix("ShdPnd:") }
            return line.flatMap { UInt64($0.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16) } ?? 0
        }

        /// Twenty seconds, unless it is cancelled.
        private static var sleep: SearchStatement {
            statement(
                "SELECT $2::bigint, 1::bigint, 0::float8 FROM pg_sleep(20) WHERE $1 IS NOT NULL",
                timeoutMilliseconds: 20_000)
        }

        private static func statement(_ sql: String, timeoutMilliseconds: Int32 = 1_000) -> SearchStatement {
            SearchStatement(
                query: Text(sql), settings: Text("SELECT pg_catalog.set_config('statement_timeout', $1, true)"),
                timeoutMilliseconds: timeoutMilliseconds, settingValues: [], subject: [0, 1, 0, 0, 0, 0, 0, 0],
                token: 7,
                columnCount: 0, maximumRows: 1, maximumBytes: 100)
        }

        /// The check itself: rows that carry another token are refused, and their connection is closed.
        @Test func rowsWithAnothersTokenAreRefused() async throws {
            let replicas = try Replicas()
            let reactor = try Reactor(name: "token")
            let settings = try replicas.settings(of: "s0-a")
            let limit = Reactor.now() + 10_000_000_000
            let connection = try await PostgresConnection.connect(settings, on: reactor, deadline: limit, onClose: {})
            let own = try await connection.search(
                Self.statement("SELECT $2::bigint, 1::bigint, 0::float8 WHERE $1 IS NOT NULL"), deadline: limit)
            #expect(own.ids == [1])
            await #expect {
                try await connection.search(
                    Self.statement("SELECT $2::bigint + 1, 1::bigint, 0::float8 WHERE $1 IS NOT NULL"), deadline: limit)
            } throws: { ($0 as? PostgresFailure)?.kind == .integrity }
            #expect(await connection.settle() == false)
            reactor.stop()
        }
    }
}

/// What the searches of a soak came to, for all its tasks.
private final class SoakTally: Sendable {
    struct Counts {
        var begun = 0
        var answered = 0
        var cancelled = 0
        var late = 0
        var failures: [String: Int] = [:]
        var wrong = 0
    }

    private let state = Mutex(Counts())
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    var counts: Counts { state.withLock(\.self) }

    /// False once all have begun.
    func begin() -> Bool {
        state.withLock { counts in
            guard counts.begun < limit else { return false }
            counts.begun += 1
            return true
        }
    }

    var isOver: Bool { counts.begun >= limit }

    func note(_ result: Result<SearchReply, any Error>, expecting id: Int64) {
        state.withLock { counts in
            switch result {
            case .success(let reply):
                counts.answered += 1
                let isRight = reply.hits.map(\.id) == [id] && reply.hits.allSatisfy { $0.distance < 1e-6 }
                if !isRight { counts.wrong += 1 }
            case .failure(let error as SluiceError) where error.code == .cancelled: counts.cancelled += 1
            case .failure(let error as SluiceError) where error.code == .deadlineExceeded: counts.late += 1
            case .failure(let error):
                counts.failures["\((error as? SluiceError)?.code.description ?? "other")", default: 0] += 1
            }
        }
    }
}
