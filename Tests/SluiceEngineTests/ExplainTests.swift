import SluiceCore
import SluiceEngine
import Synchronization
import Testing

/// What becomes of slow searches besides their line in the log. Here every search is slow.
@Suite struct ExplainTests {
    private static func outline(_ use: PlanOutline.IndexUse) -> PlanOutline {
        PlanOutline(steps: "Limit > Index Scan using a_idx", indexUse: use, rows: 3, cost: 4.5)
    }

    private func backend(
        _ replica: String = "s0-a", _ step: ScriptedBackend.Step = .rows([(1, 0.5)]),
        use: PlanOutline.IndexUse? = .vector
    ) -> ScriptedBackend {
        ScriptedBackend(replica: replica, step, outline: use.map(Self.outline))
    }

    private func explained(_ backend: ScriptedBackend) -> [BackendSearch] { backend.seen.withLock { $0.explained } }

    /// All connections of a lane are there, and idle.
    private func allIdle(_ lane: SearchLane) async {
        while await lane.pools.contains(where: { $0.occupancy.idle < $0.occupancy.limit }) {}
    }

    /// What a lane had to do when a search had ended is done.
    private func settle(_ lane: SearchLane) async { for _ in 0..<6 { _ = await lane.pools } }

    @Test func theStatementIsExplainedAsItWasRun() async throws {
        let backend = backend()
        let journal = Journal(slow: .zero, explainOneIn: 1)
        try await withLane([[backend]], journal: journal) { lane in
            await allIdle(lane)
            let outcome = await lane.search(.of(efSearch: 77))
            #expect((try? outcome.result.get())?.hits.count == 1)
            await settle(lane)
        }
        let asked = try #require(explained(backend).first)
        let ran = try #require(backend.seen.withLock { $0.searches.first })
        #expect(explained(backend).count == 1 && asked.shape === ran.shape)
        #expect(asked.settings.values == ran.settings.values && asked.settings.shape === ran.settings.shape)
        #expect(asked.subject == ran.subject && asked.parameters.count == ran.parameters.count)
        #expect(asked.timeout <= .seconds(1))
        let plan = try #require(journal.slowSearches.first?.value.plan)
        #expect(plan.outline == Self.outline(.vector) && !plan.isIndexMissed)
        #expect(plan.collection == "a" && plan.shard == "s0" && plan.replica == "s0-a")
        #expect(journal.events.isEmpty)
    }

    @Test func anIndexThatIsNotUsedIsAnEventWhenThatIsNew() async throws {
        let backend = backend(use: PlanOutline.IndexUse.none)
        let journal = Journal(slow: .zero, explainOneIn: 1)
        try await withLane([[backend]], journal: journal) { lane in
            repeat {
                await allIdle(lane)
                _ = await lane.search(.of())
                await settle(lane)
            } while explained(backend).count < 2
        }
        #expect(journal.slowSearches.contains { $0.value.plan?.isIndexMissed == true })
        #expect(journal.events.map(\.value.kind) == [.plan])
        #expect(journal.events.first?.value.text == "slow searches of a use no index")
    }

    @Test func nothingIsExplainedThatIsNotToBe() async throws {
        for journal in [
            Journal(slow: .zero, explainOneIn: 0), Journal(slow: .seconds(60), explainOneIn: 1), Journal(slow: nil),
        ] {
            let backend = backend()
            try await withLane([[backend]], journal: journal) { lane in
                await allIdle(lane)
                _ = await lane.search(.of())
                await settle(lane)
            }
            #expect(explained(backend).isEmpty)
        }
    }

    /// It looks at every row because it was told to.
    @Test func anExactSearchIsNotExplained() async throws {
        let backend = backend()
        try await withLane([[backend]], journal: Journal(slow: .zero, explainOneIn: 1)) { lane in
            await allIdle(lane)
            _ = await lane.search(.of(exact: true))
            await settle(lane)
        }
        #expect(explained(backend).isEmpty && backend.seen.withLock { $0.searches.count } == 1)
    }

    /// A search that found no connection was slow for another reason, and nobody is kept waiting for a plan.
    @Test func withoutAnIdleConnectionNothingIsExplained() async throws {
        let backend = backend("s0-a", .hold)
        let journal = Journal(slow: .zero, explainOneIn: 1)
        try await withLane([[backend]], poolSize: 2, journal: journal) { lane in
            let first = Task { await lane.search(.of()) }
            await backend.held(1)
            let second = Task { await lane.search(.of()) }
            await backend.held(2)
            // It waits, and gets the connection of the one that ends.
            let third = Task { await lane.search(.of()) }
            while await lane.pools[0].occupancy.waiting == 0 {}
            backend.releaseOne()
            _ = await first.value
            await backend.held(3)
            await settle(lane)
            #expect(explained(backend).isEmpty && journal.slowSearches.count == 1)
            backend.releaseOne()
            backend.releaseOne()
            _ = await (second.value, third.value)
        }
    }

    /// The next search would have to wait for it.
    @Test func theOnlyConnectionIsLeftToSearches() async throws {
        let backend = backend()
        let journal = Journal(slow: .zero, explainOneIn: 1)
        try await withLane([[backend]], poolSize: 1, journal: journal) { lane in
            await allIdle(lane)
            _ = await lane.search(.of())
            await settle(lane)
        }
        #expect(explained(backend).isEmpty && journal.slowSearches.count == 1)
    }

    @Test func aReplicaWhoseBreakerIsOpenIsLeftAlone() async throws {
        let backend = backend("s0-a", .hold)
        let journal = Journal(slow: .zero, explainOneIn: 1)
        let pool = PoolMachine.Configuration(minSize: 2, maxSize: 2, maxWaiting: 100)
        try await withLanes([[backend]], slices: [pool], journal: journal) { lanes, shared in
            await allIdle(lanes[0])
            let search = Task { await lanes[0].search(.of()) }
            await backend.held(1)
            shared.topology.shards[0].breakerOpened(0, for: nil, now: lanes[0].executor.now())
            backend.releaseOne()
            _ = await search.value
            await settle(lanes[0])
        }
        #expect(explained(backend).isEmpty && journal.slowSearches.count == 1)
    }

    /// The connection comes back all the same, and the next slow search is explained.
    @Test func aPlanThatDoesNotComeHurtsNobody() async throws {
        let backend = backend(use: nil)
        let journal = Journal(slow: .zero, explainOneIn: 1)
        try await withLane([[backend]], poolSize: 2, journal: journal) { lane in
            await allIdle(lane)
            _ = await lane.search(.of())
            await settle(lane)
            await allIdle(lane)
            #expect((try? await lane.search(.of()).result.get())?.hits.count == 1)
            await settle(lane)
        }
        #expect(!explained(backend).isEmpty)
        #expect(backend.seen.withLock { $0.settled } == explained(backend).count)
        #expect(journal.slowSearches.allSatisfy { $0.value.plan == nil } && journal.events.isEmpty)
    }

    /// Of several legs the one that its server took longest for.
    @Test func theSlowestLegIsTheOneThatIsExplained() async throws {
        let fast = ScriptedBackend(
            shard: "s0", replica: "s0-a", .hold, outline: Self.outline(.vector))
        let slow = ScriptedBackend(shard: "s1", replica: "s1-a", .hold, outline: Self.outline(.other))
        let journal = Journal(slow: .zero, explainOneIn: 1)
        try await withLane([[fast], [slow]], journal: journal) { lane in
            await allIdle(lane)
            let search = Task { await lane.search(.of()) }
            await fast.held(1)
            await slow.held(1)
            fast.releaseOne()
            while fast.seen.withLock(\.open) > 0 { await Task.yield() }
            await settle(lane)
            slow.releaseOne()
            _ = await search.value
            await settle(lane)
        }
        #expect(explained(fast).isEmpty && explained(slow).count == 1)
        #expect(journal.slowSearches.first?.value.plan?.shard == "s1")
    }
}
