import Histogram
import SluiceBench
import SluiceClient
import Synchronization
import Testing

@Suite struct LoadTests {
    private static let subjects = [
        Workload.Subject(name: "a", vectors: [.float([1, 0]), .float([0, 1])], ids: [1, 2, 3]),
        Workload.Subject(name: "b", vectors: [.float([1, 1])], ids: [9]),
    ]

    private func workload(_ terms: Workload.Terms = .init(), loading: Workload.Loading? = nil) -> Workload {
        Workload(
            subjects: Self.subjects, terms: terms, filters: [Filter(parsingOrNil: "x = 1")].compactMap { $0 },
            loading: loading)
    }

    private func run(_ pace: LoadRun.Pace, _ kind: RequestKind, milliseconds: Int = 100) -> LoadRun {
        LoadRun(
            pace: pace, mix: RequestMix(kind), warmup: .zero, seconds: .milliseconds(milliseconds), seed: 1)
    }

    @Test func aClosedLoopNeverHasMoreInFlightThanItsWorkers() async {
        let inFlight = Mutex((now: 0, most: 0))
        let target = ScriptedTarget {
            inFlight.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
            await Task.yield()
            inFlight.withLock { $0.now -= 1 }
            return .plain
        }
        let (run, latencies) = await run(.closed(workers: 3), .ping).measure(
            workload(), on: target, faults: nil, until: Interruption())
        #expect(run.answered == target.asked.pings && run.answered > 3)
        #expect(inFlight.withLock { $0.most } <= 3 && Int(latencies.totalCount) == run.answered)
        #expect(run.kinds["ping"]?.count == run.answered && run.errors.isEmpty && run.rate == nil)
        #expect(run.timeline.reduce(0) { $0 + $1.answered } == run.answered)
    }

    /// The target answers nothing before the schedule is over: of a generator that waits for answers, only the first
    /// request would be late. Here each is as late as its due time says.
    @Test func latencyCountsFromWhenARequestWasDueWhateverHasBeenAnswered() async {
        let gate = Gate()
        let target = ScriptedTarget {
            if await gate.passed(after: 50) { gate.open() }
            return .plain
        }
        // The last of 50 arrivals opens the gate, 490 ms after the first was due.
        let (run, latencies) = await run(
            .open(rate: 100, .even, maxInFlight: 1_000), .ping, milliseconds: 500
        ).measure(workload(), on: target, faults: nil, until: Interruption())
        #expect(run.answered == 50 && run.errors.isEmpty)
        #expect(run.latency.max >= 485_000)
        // Evenly from 0 to 490 ms, not one at 490 and the others at once.
        #expect(run.latency.p50 >= 235_000 && Int(latencies.totalCount) == 50)
        #expect(abs((run.askedPerSecond ?? 0) - 100) < 1e-6)
    }

    @Test func whatWouldBeInFlightBeyondTheLimitIsCountedAndNotSent() async {
        let gate = Gate()
        let target = ScriptedTarget {
            _ = await gate.passed(after: .max)
            return .plain
        }
        let interruption = Interruption()
        let load = run(.open(rate: 200, .even, maxInFlight: 2), .ping, milliseconds: 250)
        let (run, _) = await load.measure(workload(), on: target, faults: nil, until: interruption) { elapsed, _ in
            if elapsed > .milliseconds(250) { gate.open() }
        }
        #expect(run.answered == 2 && target.asked.pings == 2)
        #expect(run.errors == [LoadRun.notSent: 48])
    }

    @Test func whatFailsIsCountedByItsCode() async {
        let turn = Mutex(0)
        let target = ScriptedTarget { () async throws(BenchFailure) -> BenchAnswer in
            let number = turn.withLock { turn in
                turn += 1
                return turn
            }
            if number.isMultiple(of: 2) { throw BenchFailure("busy", "", isBusy: true) }
            return BenchAnswer(
                legs: [.init(shard: "s0", attempts: 2, hedges: 1, waiting: 10, executing: 30)], isPartial: true)
        }
        let (run, _) = await run(.closed(workers: 1), .search).measure(
            workload(), on: target, faults: nil, until: Interruption())
        let failed = run.errors["busy"] ?? 0
        #expect(failed + run.answered == target.asked.searches.count && abs(failed - run.answered) <= 1)
        #expect(run.partial == run.answered && run.busy?.count == failed)
        let leg = run.legs.first
        #expect(leg?.count == run.answered && leg?.attempts == 2 * run.answered && leg?.hedges == run.answered)
        #expect(leg?.waiting == 10 && leg?.executing == 30)
    }

    @Test func anInterruptionEndsARunAndKeepsWhatWasMeasured() async {
        let interruption = Interruption()
        let count = Mutex(0)
        let target = ScriptedTarget {
            if count.withLock({ count in
                count += 1
                return count == 100
            }) {
                interruption.end()
            }
            return .plain
        }
        let (run, _) = await run(.closed(workers: 1), .ping, milliseconds: 3_600_000).measure(
            workload(), on: target, faults: nil, until: interruption)
        #expect((99...100).contains(run.answered) && run.seconds < 3_000)
    }

    // MARK: What is asked

    @Test func eachKindAsksWhatItsNameSays() async {
        var terms = Workload.Terms()
        (terms.k, terms.batch, terms.getIDs, terms.efSearch) = (7, 5, 2, 80)
        let target = ScriptedTarget()
        let workload = workload(terms)
        for kind in [RequestKind.search, .multi, .filtered, .batch, .get] {
            _ = await run(.closed(workers: 1), kind, milliseconds: 20).measure(
                workload, on: target, faults: nil, until: Interruption())
        }
        let asked = target.asked
        let names = Set(asked.searches.map(\.collections))
        #expect(names == [["a"], ["b"], ["a", "b"]])
        #expect(asked.searches.allSatisfy { $0.k == 7 && $0.efSearch == 80 })
        #expect(asked.searches.contains { $0.filter != nil } && asked.searches.contains { $0.filter == nil })
        #expect(asked.batches.allSatisfy { $0 == 5 } && !asked.batches.isEmpty)
        #expect(Set(asked.gets).isSubset(of: [[1, 2], [2, 3], [3, 1], [9, 9]]) && asked.gets.count > 2)
    }

    @Test func whatIsLoadedIsDeletedAtTheEndUnlessItIsToBeKept() async throws {
        for keeps in [false, true] {
            let target = ScriptedTarget()
            let loading = Workload.Loading(collection: "a", rows: 3, firstID: 100, vectors: [.float([1, 2])])
            var plan = BenchSession.Plan(mix: RequestMix(.load))
            (plan.workers, plan.warmup, plan.seconds, plan.keepsLoaded) = (2, .zero, .milliseconds(20), keeps)
            let outcome = try await BenchSession(
                plan, workload(loading: loading), on: target, interruption: Interruption()
            ) { _ in }.run()
            let asked = target.asked
            #expect(outcome.runs.count == 1 && asked.loadedRows > 0)
            let ids = keeps ? [] : Array(100..<100 + Int64(asked.loadedRows))
            #expect(asked.deleted == ids)
        }
    }

    // MARK: A session

    @Test func recallIsMeasuredWithEachEfSearch() async throws {
        var plan = BenchSession.Plan(mix: RequestMix(.search))
        (plan.workers, plan.warmup, plan.seconds) = (1, .zero, .milliseconds(20))
        (plan.recallWith, plan.recallQueries) = ([10, 100], 4)
        let target = ScriptedTarget()
        let outcome = try await BenchSession(plan, workload(), on: target, interruption: Interruption()) { _ in }.run()
        #expect(outcome.recall.map(\.efSearch) == [10, 100])
        // Of ten, the even ones; of ten, all.
        #expect(outcome.recall.map(\.recall) == [0.5, 1])
        #expect(outcome.runs.map(\.efSearch) == [10, 100])
        #expect(outcome.recall.allSatisfy { $0.throughput > 0 })
    }

    @Test func repeatsAreRunsAndTheMedianStandsForThem() async throws {
        var plan = BenchSession.Plan(mix: RequestMix(.ping))
        (plan.workers, plan.warmup, plan.seconds, plan.repeats) = (1, .zero, .milliseconds(20), 3)
        let outcome = try await BenchSession(
            plan, workload(), on: ScriptedTarget(), interruption: Interruption()
        ) { _ in }.run()
        let place = try #require(outcome.representative)
        let sorted = outcome.runs.map(\.throughput).sorted()
        #expect(outcome.runs.count == 3 && outcome.latencies.count == 3)
        #expect(outcome.runs[place].throughput == sorted[1])
    }

    @Test func aSweepEndsAtTheFirstRateThatIsTooMuch() async throws {
        var plan = BenchSession.Plan(mix: RequestMix(.ping))
        (plan.warmup, plan.seconds, plan.maxInFlight) = (.zero, .milliseconds(200), 16_384)
        plan.sweep = try RateSweep(parsing: "50:400:4")
        plan.spacing = .even
        // Beyond so many in all, the target refuses.
        let left = Mutex(40)
        let target = ScriptedTarget { () async throws(BenchFailure) -> BenchAnswer in
            guard
                left.withLock({ left in
                    left -= 1
                    return left >= 0
                })
            else { throw BenchFailure("busy", "", isBusy: true) }
            return .plain
        }
        let outcome = try await BenchSession(plan, workload(), on: target, interruption: Interruption()) { _ in }.run()
        // 10 and 20 requests are answered, of the next 40 only 10.
        #expect(outcome.runs.count == 3)
        #expect(abs((outcome.knee?.rate ?? 0) - 100) < 1e-6)
    }
}

extension Filter {
    fileprivate init?(parsingOrNil text: String) {
        guard let filter = try? Filter(parsing: text) else { return nil }
        self = filter
    }
}

/// Holds whoever comes until it is opened.
final class Gate: Sendable {
    private struct State {
        var isOpen = false
        var waiters: [CheckedContinuation<Void, Never>] = []
        var arrived = 0
    }

    private let state = Mutex(State())

    /// - Returns: true, at once, for the one that is the last of so many; false for others, once it is open.
    func passed(after count: Int) async -> Bool {
        let isLast = state.withLock { state in
            state.arrived += 1
            return state.arrived == count
        }
        if isLast { return true }
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                if !state.isOpen { state.waiters.append(continuation) }
                return state.isOpen
            }
            if isOpen { continuation.resume() }
        }
        return false
    }

    func open() {
        let waiters = state.withLock { state in
            state.isOpen = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume() }
    }
}
