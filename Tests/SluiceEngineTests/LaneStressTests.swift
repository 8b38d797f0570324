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
}
