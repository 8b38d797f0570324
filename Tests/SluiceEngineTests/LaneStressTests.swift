import SluiceCore
import SluiceEngine
import Synchronization
import Testing

/// Searches on several lanes at once, for the thread sanitizer to look at: they share breakers, budgets, admission and
/// each other's connections.
@Suite struct LaneStressTests {
    @Test(arguments: [0, 8])
    func searchesOnAllLanesAllEnd(variant: Int) async throws {
        let cancels = variant & 1 != 0
        let looks = variant & 2 != 0 ? 20 : 0
        let fails = variant & 4 != 0
        var shards = [
            [
                ScriptedBackend(replica: "s0-a", .rows([(1, 0.5)])),
            ],
            [ScriptedBackend(shard: "s1", replica: "s1-a", .rows([(2, 0.25), (3, 0.75)]))],
        ]
        if fails { shards[0].append(ScriptedBackend(replica: "s0-b", .fail(.recoveryConflict, sqlState: "40001"))) }
        let slice = PoolMachine.Configuration(minSize: variant & 8 != 0 ? 2 : 1, maxSize: 2, maxWaiting: 50)
        let admission = AdmissionMachine.Configuration(
            limit: .init(minimum: 2, maximum: 12, initial: 12), maxWaiting: 1_000)
        try await withLanes(shards, slices: [slice, slice, slice], admission: admission) { lanes, shared in
            let done = Atomic2()
            let watch = Task {
                try? await Task.sleep(for: .seconds(8))
                for lane in lanes { note("\(variant) \(done.count.load(ordering: .relaxed)) \(await lane.pools)") }
                note("\(variant) \(shared.admission.snapshot.inFlight) \(shared.admission.snapshot.waiting)")
            }
            defer { watch.cancel() }
            let answered = await withTaskGroup(of: Bool.self) { group in
                for number in 0..<600 {
                    group.addTask {
                        let lane = lanes[number % lanes.count]
                        let collections = number.isMultiple(of: 2) ? ["a"] : ["a", "b"]
                        let search = Task { await lane.search(.of(collections, partial: true)) }
                        if cancels, number.isMultiple(of: 5) { search.cancel() }
                        let outcome = await search.value
                        for work in outcome.unsettled { await work.value }
                        done.count.add(1, ordering: .relaxed)
                        if case .failure(let error) = outcome.result { note("\(variant) \(number) \(error.code) \(error.message)") }
                        return (try? outcome.result.get()) != nil
                    }
                }
                for _ in 0..<looks { group.addTask { await shared.lookAgain(atShard: 0) == () } }
                return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            note("\(variant) answered \(answered)")
            for lane in lanes { #expect(await lane.pools.allSatisfy { $0.occupancy.leased == 0 }) }
        }
        note("\(variant) ended")
        #expect(shards.flatMap(\.self).allSatisfy { $0.seen.withLock(\.open) == 0 })
    }

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

import Foundation
func note(_ text: String) { FileHandle.standardError.write(Data((text + "\n").utf8)) }
final class Atomic2: Sendable { let count = Atomic<Int>(0) }
