import Foundation
import Glibc
import SluiceClient
import SluiceGateway
import Synchronization
import Testing

extension PostgreSQL {
    /// Gateways that share the connections of one server.
    @Suite(.serialized) struct FleetBudget {
        private static let budget = 12
        private static let vector: [Float] = [1] + Array(repeating: 0, count: 383)

        /// Counts what the server has of the gateways' role as fast as it can, in a session of its own.
        private static let sampling = """
            do $$ declare
                most int := 0;
                now int;
                looks int := 0;
            begin
                while not exists (select from public.sampling_ended) loop
                    perform pg_stat_clear_snapshot();
                    select count(*) into now from pg_stat_activity
                    where usename = 'sluice' and backend_type = 'client backend';
                    most := greatest(most, now);
                    looks := looks + 1;
                end loop;
                perform set_config('sampling.result', most || ' ' || looks, false);
            end $$;
            select current_setting('sampling.result')
            """

        /// Searches without a pause, until told to stop.
        private final class Searches: Sendable {
            private let failed = Mutex<[String]>([])
            private let isOver = Atomic(false)
            private let tasks = Mutex<[Task<Void, Never>]>([])
            private let answered = Atomic(0)

            init(_ client: SluiceClient) {
                let started = (0..<8).map { _ in
                    Task {
                        while !isOver.load(ordering: .relaxed) {
                            do {
                                let query = SearchQuery(collections: ["programs"], vector: FleetBudget.vector, k: 3)
                                _ = try await client.search(query)
                                answered.add(1, ordering: .relaxed)
                            } catch {
                                failed.withLock { $0.append("\(error)") }
                            }
                        }
                    }
                }
                tasks.withLock { $0 = started }
            }

            /// - Returns: how many have been answered, and what went wrong.
            func end() async -> (answered: Int, failures: [String]) {
                isOver.store(true, ordering: .relaxed)
                for task in tasks.withLock({ $0 }) { await task.value }
                return (answered.load(ordering: .relaxed), failed.withLock { $0 })
            }
        }

        private struct Member {
            var gateway: RealGateway
            var client: SluiceClient
            var searches: Searches

            init(_ config: String) async throws {
                gateway = try await RealGateway(config)
                client = try await SluiceClient.connect(gateway.address)
                searches = Searches(client)
            }

            /// Its searches, and then the gateway, end well.
            func leave() async {
                let (answered, failures) = await searches.end()
                await client.close()
                #expect(answered > 0 && failures == [], "\(gateway.log)")
                #expect(await gateway.stop() == 0, "\(gateway.log)")
            }

            func killed() async {
                kill(gateway.pid, SIGKILL)
                _ = await searches.end()
                await client.close()
                _ = await gateway.stop()
            }
        }

        private func config(_ replicas: Replicas, fleet: String) -> String {
            replicas.text(dsn: { $0.name.hasSuffix("-a") ? "host=127.0.0.1 port=\($0.port)" : nil })
                + """

                reactors: 1
                pool: {min_size: 8, max_size: 8, connection_budget: \(Self.budget)}
                fleet: {floor: 2, reserve: 2\(fleet)}
                """
        }

        private func superuser(_ replicas: Replicas, _ sql: String) throws -> String {
            try replicas.superuser("s0-a", sql)
        }

        /// Waits until the query says so; how long that may take is what is promised.
        private func expect(
            _ expected: String, _ replicas: Replicas, _ sql: String, within seconds: Int = 10,
            _ place: SourceLocation = #_sourceLocation
        ) throws {
            let clock = ContinuousClock()
            let limit = clock.now.advanced(by: .seconds(seconds))
            var last = try superuser(replicas, sql)
            while last != expected, clock.now < limit { last = try superuser(replicas, sql) }
            #expect(last == expected, sourceLocation: place)
        }

        /// Poolers keep connections of earlier tests open.
        private func clear(_ replicas: Replicas) throws {
            _ = try superuser(
                replicas, "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = 'sluice'")
            try expect("0", replicas, "select count(*) from pg_stat_activity where usename = 'sluice'")
        }

        private static let claims = """
            select coalesce(string_agg(split_part(application_name, '/', 3), ' '
                order by split_part(application_name, '/', 3)), '')
            from pg_stat_activity where usename = 'sluice' and application_name like 'sluice/%/%/%'
            """

        @Test(.timeLimit(.minutes(3))) func theServerNeverHasMoreThanItsBudget() async throws {
            let replicas = try Replicas()
            let table = "drop table if exists public.sampling_ended"
            _ = try superuser(replicas, table + "; create table public.sampling_ended (at timestamptz)")
            defer { _ = try? superuser(replicas, table) }
            try clear(replicas)
            // A thread of its own, as it waits for a process.
            let (results, continuation) = AsyncStream.makeStream(of: String.self)
            Thread.detachNewThread {
                let result = try? replicas.superuser("s0-a", Self.sampling)
                continuation.yield(result ?? "")
                continuation.finish()
            }
            do {
                try await comeAndGo(replicas)
            } catch {
                Issue.record(error)
            }
            _ = try superuser(replicas, "insert into public.sampling_ended values (now())")
            var sampled = ""
            for await result in results { sampled = result }
            let numbers = sampled.split(separator: " ").compactMap { Int($0) }
            try #require(numbers.count == 2)
            #expect(numbers[0] <= Self.budget && numbers[0] >= 9, "of \(numbers[1]) looks")
            #expect(numbers[1] > 1_000)
        }

        private func comeAndGo(_ replicas: Replicas) async throws {
            let text = config(replicas, fleet: "")
            let first = try await Member(text)
            // 8 for searches, and the one by which it looks; 2 of 12 are kept for whoever comes.
            try expect("9", replicas, Self.claims)
            let second = try await Member(text)
            try expect("5 5", replicas, Self.claims)
            let third = try await Member(text)
            try expect("3 3 4", replicas, Self.claims)
            await second.killed()
            try expect("5 5", replicas, Self.claims)
            let fourth = try await Member(text)
            try expect("3 3 4", replicas, Self.claims)
            // The server ends the connection by which one looks: it makes another one.
            try replicas.terminateBackends(of: "s0-a", where: "application_name like 'sluice/%/3/%'")
            try expect("3 3 4", replicas, Self.claims)
            await first.leave()
            try expect("5 5", replicas, Self.claims)
            await third.leave()
            try expect("9", replicas, Self.claims)
            await fourth.leave()
            try expect("", replicas, Self.claims)
        }

        @Test(.timeLimit(.minutes(1))) func whileAnotherHoldsTheLockNobodyGrowsAndAllAreSeen() async throws {
            let replicas = try Replicas()
            let text = config(replicas, fleet: "")
            try clear(replicas)
            let first = try await Member(text)
            try expect("9", replicas, Self.claims)
            // A thread of its own, as it waits for a process.
            Thread.detachNewThread {
                _ = try? replicas.superuser(
                    "s0-a",
                    "select pg_advisory_lock(127045566293349); select pg_sleep(3)")
            }
            try expect("1", replicas, "select count(*) from pg_locks where locktype = 'advisory' and granted")
            let second = try await Member(text)
            try expect("5 5", replicas, Self.claims)
            for member in [first, second] {
                #expect(!member.gateway.log.contains("the other gateways cannot be seen"))
            }
            await first.leave()
            await second.leave()
        }

        @Test(.timeLimit(.minutes(2))) func aTableShowsTheClaimsWhereTheServersDoNot() async throws {
            let replicas = try Replicas()
            let port = try #require(replicas.topology.shards.first?.replicas.first?.port)
            // One that was killed in an earlier run counts for a minute.
            _ = try superuser(replicas, "drop table if exists sluice_gateway.leases")
            let text = config(
                replicas,
                fleet: ", discovery: table, dsn: \"host=127.0.0.1 port=\(port) dbname=sluice user=sluice\", "
                    + "password_file: \(replicas.topology.passwordFile)")
            let claims = """
                select coalesce(string_agg(claim::text, ' ' order by claim), '') from sluice_gateway.leases
                where replica = 's0/s0-a' and expires > now()
                """
            let first = try await Member(text)
            try expect("8", replicas, claims)
            let second = try await Member(text)
            try expect("5 5", replicas, claims)
            await first.killed()
            // It shows its claim for 8 s, and has its floor for a minute longer; the rest is what one has use for.
            try expect("8", replicas, claims, within: 20)
            let expired = "select count(*) from sluice_gateway.leases where replica = 's0/s0-a' and expires <= now()"
            try expect("1", replicas, expired)
            await second.leave()
            try expect("", replicas, claims)
        }

        @Test func withoutSightOfTheOthersAGatewayHasItsFloor() async throws {
            let replicas = try Replicas()
            let config = try replicas.config(
                pool: "{max_size: 8, connection_budget: \(Self.budget)}",
                extra: "reactors: 1\nfleet: {discovery: table, dsn: host=127.0.0.1 port=1, floor: 3}",
                replicas: { $0.name.hasSuffix("-a") })
            try await withGateway(config) { client, gateway in
                let query = SearchQuery(collections: ["programs"], vector: Self.vector, k: 3)
                #expect(try await client.search(query).coverage == 1)
                let state = try #require(await gateway.state())
                for replica in state.shards.flatMap(\.replicas) {
                    #expect(replica.pool.limit == 3)
                    #expect(replica.fleet == .init(budget: Self.budget, gateways: nil))
                }
                // Of an operator's word and the floor the smaller one counts.
                for (size, limit) in [(2, 2), (8, 3)] {
                    try await gateway.perform(.resize(minSize: 0, maxSize: size), shard: "s0", replica: "s0-a")
                    let end = ContinuousClock.now.advanced(by: .seconds(10))
                    var last: Int?
                    repeat {
                        last = await gateway.state()?.shards.first?.replicas.first?.pool.limit
                    } while last != limit && ContinuousClock.now < end
                    #expect(last == limit)
                }
            }
        }
    }
}
