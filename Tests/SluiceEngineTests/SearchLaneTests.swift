import SluiceCore
import SluiceEngine
import Synchronization
import Testing

@Suite struct SearchLaneTests {
    private func code(_ outcome: SearchOutcome) -> SearchError.Code? {
        guard case .failure(let error) = outcome.result else { return nil }
        return error.code
    }

    @Test func legsAreMergedInTheTotalOrder() async throws {
        let first = ScriptedBackend(.rows([(5, 0.1), (7, 0.3)]))
        let second = ScriptedBackend(shard: "s1", replica: "s1-a", .rows([(2, 0.1), (9, 0.2), (1, .nan)]))
        try await withLane([[first], [second]]) { lane in
            let answer = try await lane.search(.of(k: 4)).result.get()
            #expect(answer.hits.map(\.id) == [2, 5, 9, 7])
            #expect(answer.hits.map(\.leg) == [1, 0, 1, 0])
            #expect(answer.coverage == 1 && answer.legs.map(\.replica) == ["s0-a", "s1-a"])
        }
    }

    @Test func equalDistancesAreOrderedByCollectionWhateverTheOrderAsked() async throws {
        let backend = ScriptedBackend(.rows([(1, 0.5)]))
        try await withLane([[backend]], poolSize: 1) { lane in
            let answer = try await lane.search(.of(["b", "a"])).result.get()
            #expect(answer.hits.map { answer.legs[$0.leg].collection } == ["a", "b"])
        }
    }

    @Test func statementsAreFiniteAndQualified() async throws {
        let backend = ScriptedBackend(.rows([]))
        try await withLane([[backend]]) { lane in
            _ = await lane.search(.of(k: 7, columns: ["name"]))
            _ = await lane.search(.of(k: 7, columns: ["name"], exact: true))
            let searches = backend.seen.withLock { $0.searches }
            #expect(
                searches[0].shape.sql(vectorSchema: "ext") == """
                    SELECT $2 AS token, t."id", t."embedding" OPERATOR("ext".<=>) $1, t."name" FROM "public"."a" AS t \
                    ORDER BY t."embedding" OPERATOR("ext".<=>) $1 LIMIT 7
                    """)
            #expect(searches[1].shape.sql(vectorSchema: "public").contains("$1, t.\"id\" LIMIT 7"))
            #expect(searches[1].settings.shape.names == ["enable_indexscan"] && searches[1].settings.values == ["off"])
            #expect(
                searches[0].settings.shape.sql == "SELECT pg_catalog.set_config('statement_timeout', $1, true)")
            #expect(searches.allSatisfy { $0.timeout > .zero && $0.timeout <= .seconds(30) })
        }
    }

    @Test func efSearchIsRaisedToKBecauseHNSWFindsNoMore() async throws {
        let backend = ScriptedBackend(.rows([]))
        try await withLane([[backend]]) { lane in
            for (k, efSearch) in [(10, nil), (80, nil), (80, 50), (10, 200)] as [(Int, Int?)] {
                _ = await lane.search(.of(k: k, efSearch: efSearch))
            }
            let values = backend.seen.withLock { seen in
                seen.searches.map { Array(zip($0.settings.shape.names, $0.settings.values).map { "\($0)=\($1)" }) }
            }
            #expect(values == [[], ["hnsw.ef_search=80"], ["hnsw.ef_search=80"], ["hnsw.ef_search=200"]])
        }
    }

    @Test(arguments: [AttemptFailure.connectionLost, .notServing, .recoveryConflict])
    func aFailureOfOneReplicaIsMadeGoodByAnother(failure: AttemptFailure) async throws {
        let bad = ScriptedBackend(.fail(failure, sqlState: "57P01"))
        let good = ScriptedBackend(replica: "s0-b", .rows([(1, 0.5)]))
        var generous = ShardMachine.Configuration()
        generous.budget = .init(share: 1, minimumPerSecond: 1_000)
        try await withLane([[bad, good]], shardConfiguration: generous) { lane in
            for _ in 0..<20 {
                let answer = try await lane.search(.of()).result.get()
                #expect(answer.legs[0].replica == "s0-b" && answer.legs[0].status == .ok)
            }
            #expect(bad.seen.withLock { !$0.searches.isEmpty && $0.settled == $0.searches.count })
        }
    }

    @Test func aStatementAtFaultIsNotRepeated() async throws {
        let bad = ScriptedBackend(.fail(.statement, sqlState: "42P01"))
        let other = ScriptedBackend(replica: "s0-b", .fail(.statement, sqlState: "42P01"))
        try await withLane([[bad, other]]) { lane in
            let outcome = await lane.search(.of())
            guard case .failure(let error) = outcome.result else {
                Issue.record("it must fail")
                return
            }
            #expect(error.code == .backendError && error.message.contains("42P01"))
            #expect(bad.seen.withLock(\.searches.count) + other.seen.withLock(\.searches.count) == 1)
        }
    }

    @Test func aShardThatCannotBeReachedIsNamedOrLeftOut() async throws {
        let up = ScriptedBackend(.rows([(1, 0.5)]))
        let down = ScriptedBackend(shard: "s1", replica: "s1-a", isUp: false)
        try await withLane([[up], [down]]) { lane in
            let outcome = await lane.search(.of())
            guard case .failure(let error) = outcome.result else {
                Issue.record("it must fail")
                return
            }
            #expect(error.code == .unavailable && error.message.contains("shard s1"))
            let answer = try await lane.search(.of(partial: true)).result.get()
            #expect(answer.coverage == 0.5 && answer.hits.map(\.id) == [1])
            #expect(answer.legs.map(\.status) == [.ok, .unavailable])
        }
    }

    @Test func cancellingEndsEveryLegAndSettlesTheConnections() async throws {
        let first = ScriptedBackend(.hang)
        let second = ScriptedBackend(shard: "s1", replica: "s1-a", .hang)
        try await withLane([[first], [second]], poolSize: 1) { lane in
            let search = Task { await lane.search(.of()) }
            for backend in [first, second] {
                var begun = backend.begun.stream.makeAsyncIterator()
                await begun.next()
            }
            search.cancel()
            let outcome = await search.value
            #expect(code(outcome) == .cancelled)
            for work in outcome.unsettled { await work.value }
            #expect(first.seen.withLock(\.settled) == 1 && second.seen.withLock(\.settled) == 1)
            #expect(await lane.pools.allSatisfy { $0.occupancy.idle == 1 })
        }
    }

    @Test func cancellingAWaiterGivesItsPlaceUp() async throws {
        let backend = ScriptedBackend(.hang)
        try await withLane([[backend]], poolSize: 1) { lane in
            let holder = Task { await lane.search(.of()) }
            var begun = backend.begun.stream.makeAsyncIterator()
            await begun.next()
            let waiter = Task { await lane.search(.of()) }
            while await lane.pools[0].counters.waits == 0 { await Task.yield() }
            waiter.cancel()
            #expect(code(await waiter.value) == .cancelled)
            #expect(await lane.pools[0].occupancy.waiting == 0)
            holder.cancel()
            _ = await holder.value
        }
    }

    @Test func aFullPoolSaysBusyAndAFullQueueSaysItAtOnce() async throws {
        let backend = ScriptedBackend(.hang)
        try await withLane([[backend]], poolSize: 1, maxWaiting: 1, acquireTimeout: .milliseconds(30)) { lane in
            let holder = Task { await lane.search(.of()) }
            var begun = backend.begun.stream.makeAsyncIterator()
            await begun.next()
            let waiter = Task { await lane.search(.of()) }
            while await lane.pools[0].counters.waits == 0 { await Task.yield() }
            #expect(code(await lane.search(.of())) == .busy)
            #expect(code(await waiter.value) == .busy)
            holder.cancel()
            _ = await holder.value
        }
    }

    @Test func aPoolIsNeverUsedBeyondItsSize() async throws {
        let backend = ScriptedBackend(.rows([(1, 0.5)]))
        try await withLane([[backend]], poolSize: 3, maxWaiting: 1_000) { lane in
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<300 { group.addTask { #expect((try? await lane.search(.of()).result.get()) != nil) } }
            }
            #expect(backend.seen.withLock(\.openMost) == 3)
            #expect(backend.seen.withLock(\.searches.count) == 300)
            #expect(backend.seen.withLock(\.dials) == 3)
        }
    }
}
