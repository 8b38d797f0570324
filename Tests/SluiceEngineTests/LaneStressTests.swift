import SluiceCore
import SluiceEngine
import Testing

/// Searches on several lanes at once, for the thread sanitizer to look at: they share breakers, budgets and admission.
@Suite struct LaneStressTests {
    /// Places are counted right whatever comes at the same time.
    @Test func admissionFromManyThreadsGivesEveryPlaceBack() async throws {
        let backend = ScriptedBackend(.rows([(1, 0.5)]))
        let slice = PoolMachine.Configuration(minSize: 2, maxSize: 2, maxWaiting: 100)
        let few = AdmissionMachine.Configuration(limit: .init(minimum: 1, maximum: 4, initial: 4), maxWaiting: 8)
        try await withLanes([[backend]], slices: [slice, slice], admission: few) { lanes, shared in
            await withTaskGroup(of: Void.self) { group in
                for task in 0..<16 {
                    group.addTask {
                        for step in 0..<100 {
                            let lane = lanes[(task + step) % lanes.count]
                            let now = lane.executor.now()
                            let priority: SearchPriority = (task + step).isMultiple(of: 2) ? .interactive : .batch
                            let ticket = try? shared.admission.arrived(
                                priority, deadline: now.advanced(by: .seconds(60)), now: now)
                            if let ticket { _ = await lane.search(.of(), admittedBy: ticket) }
                        }
                    }
                }
            }
            let snapshot = shared.admission.snapshot
            #expect(snapshot.waiting == 0 && snapshot.inFlight == 0)
        }
    }

    /// Every search ends, whatever is taken from siblings, shed, cancelled or asked anew meanwhile.
    @Test(.timeLimit(.minutes(1))) func searchesFromPlainTasksAllEnd() async throws {
        let shards = (0..<2).map { shard in
            ["a", "b"].map {
                ScriptedBackend(shard: "s\(shard)", replica: "s\(shard)-\($0)", .rows([(Int64(shard), 0.5)]))
            }
        }
        let slice = PoolMachine.Configuration(minSize: 1, maxSize: 2, maxWaiting: 50)
        let admission = AdmissionMachine.Configuration(
            limit: .init(minimum: 2, maximum: 12, initial: 12), maxWaiting: 1_000)
        try await withLanes(shards, slices: [slice, slice, slice], admission: admission) { lanes, shared in
            let ended = await withTaskGroup(of: Void.self, returning: Int.self) { group in
                for number in 0..<600 {
                    group.addTask {
                        let lane = lanes[number % lanes.count]
                        let collections = number.isMultiple(of: 2) ? ["a"] : ["a", "b"]
                        let search = Task { await lane.search(.of(collections, partial: true)) }
                        if number.isMultiple(of: 7) { search.cancel() }
                        _ = await search.value
                    }
                }
                for look in 0..<20 { group.addTask { await shared.lookAgain(at: "s\(look % shards.count)") } }
                return await group.reduce(0) { count, _ in count + 1 }
            }
            #expect(ended == 620)
            let snapshot = shared.admission.snapshot
            #expect(snapshot.waiting == 0 && snapshot.inFlight == 0)
        }
    }
}
