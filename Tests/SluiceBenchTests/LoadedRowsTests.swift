import SluiceBench
import SluiceClient
import Synchronization
import Testing

/// What a load leaves, and what it does not touch.
@Suite struct LoadedRowsTests {
    private static func session(firstID: Int64, on target: ScriptedTarget, until end: Interruption) -> BenchSession {
        let loading = Workload.Loading(collection: "a", rows: 3, firstID: firstID, vectors: [.float([1, 2])])
        var plan = BenchSession.Plan(mix: RequestMix(.load))
        (plan.workers, plan.warmup, plan.seconds) = (1, .zero, .seconds(3_600))
        let workload = Workload(
            subjects: [Workload.Subject(name: "a", vectors: [.float([1, 2])])], terms: .init(), loading: loading)
        return BenchSession(plan, workload, on: target, interruption: end) { _ in }
    }

    /// The row 109 is found by its id, the row 10 by a search.
    @Test(arguments: [100, 5] as [Int64])
    func aLoadWhoseIdsAreTakenIsRefusedAndNothingIsDeleted(firstID: Int64) async {
        let target = ScriptedTarget(there: [109])
        await #expect(throws: BenchFailure.self) { () async throws in
            _ = try await Self.session(firstID: firstID, on: target, until: Interruption()).run()
        }
        #expect(target.asked.loads == 0 && target.asked.deleted.isEmpty)
    }

    @Test func blocksThatWereNotAppliedAreNotDeleted() async throws {
        let interruption = Interruption()
        let number = Mutex(0)
        let target = ScriptedTarget { () async throws(BenchFailure) -> BenchAnswer in
            let turn = number.withLock { number in
                number += 1
                return number
            }
            if turn == 5 { interruption.end() }
            guard turn == 2 || turn == 3 || turn == 4 else { return .plain }
            var failure = BenchFailure("bad_row", "")
            // The second block is refused; the third is on some shards; of the fourth nothing is known.
            failure.effect = [.none, .partial, .unknown][turn - 2]
            throw failure
        }
        let outcome = try await Self.session(firstID: 200, on: target, until: interruption).run()
        let asked = target.asked
        #expect(asked.loads >= 5 && asked.deleted == Array(200..<203) + Array(209..<200 + Int64(3 * asked.loads)))
        #expect(outcome.warnings.count == 1 && outcome.warnings[0].contains("begins at id 206"))
    }
}
