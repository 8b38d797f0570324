import SluiceBench
import SluiceClient
import Synchronization
import Testing

/// Which requests a load makes, and what of them counts.
@Suite struct TurnTests {
    /// Ends a run after so many answers.
    private static func target(endingAfter count: Int, _ interruption: Interruption) -> ScriptedTarget {
        let answered = Mutex(0)
        return ScriptedTarget {
            await Task.yield()
            let number = answered.withLock { answered in
                answered += 1
                return answered
            }
            if number == count { interruption.end() }
            return .plain
        }
    }

    private static func gets(
        _ subjects: [Workload.Subject], _ terms: Workload.Terms = .init(), workers: Int = 8, seed: UInt64 = 1
    ) async -> [[Int64]] {
        let interruption = Interruption()
        let target = target(endingAfter: 2_000, interruption)
        let load = LoadRun(
            pace: .closed(workers: workers), mix: RequestMix(.get), warmup: .zero, seconds: .seconds(3_600), seed: seed)
        _ = await load.measure(
            Workload(subjects: subjects, terms: terms), on: target, faults: nil, until: interruption)
        return target.asked.gets
    }

    @Test func workersShareTheTurnsSoThatNoneIsTakenTwice() async {
        let subject = Workload.Subject(name: "a", vectors: [], ids: Array(0..<10_000))
        let ids = await Self.gets([subject]).flatMap { $0 }
        let taken = Set(ids)
        #expect(ids.count >= 2_000 && taken.count == ids.count)
        // Consecutive, round the end: only one of them has no next.
        #expect(taken.count { !taken.contains(($0 + 1) % 10_000) } == 1)
    }

    @Test func anotherSeedBeginsAtAnotherPlace() async {
        let subject = Workload.Subject(name: "a", vectors: [], ids: Array(0..<10_000))
        let first = await Self.gets([subject], workers: 1, seed: 1)
        #expect(await Self.gets([subject], workers: 1, seed: 1).prefix(1_000) == first.prefix(1_000))
        #expect(await Self.gets([subject], workers: 1, seed: 2).first != first.first)
    }

    @Test func severalCollectionsAndSeveralIdsAreTakenInTurnWithoutALeftOver() async {
        var terms = Workload.Terms()
        terms.getIDs = 3
        let subjects = [
            Workload.Subject(name: "a", vectors: [], ids: Array(0..<9_999)),
            Workload.Subject(name: "b", vectors: [], ids: Array(100_000..<109_999)),
        ]
        let ids = await Self.gets(subjects, terms).flatMap { $0 }
        #expect(Set(ids).count == ids.count)
        #expect(abs(ids.count { $0 < 100_000 } * 2 - ids.count) <= 3)
    }

    @Test func idsOfARangeAreSpreadOverItAndTheSameWithTheSameSeed() async {
        var terms = Workload.Terms()
        (terms.getIDs, terms.idRange) = (2, 1...1_000_000)
        let subject = Workload.Subject(name: "a", vectors: [])
        let gets = await Self.gets([subject], terms, workers: 1)
        let ids = gets.flatMap { $0 }
        #expect(ids.allSatisfy { (1...1_000_000).contains($0) })
        // Of 4,000 in a million, about 8 come twice; in each tenth there are about 400.
        #expect(Set(ids).count > 3_900)
        for tenth in 0..<10 {
            let count = ids.count { ($0 - 1) / 100_000 == tenth }
            #expect((300...500).contains(count), "tenth \(tenth)")
        }
        #expect(await Self.gets([subject], terms, workers: 1).prefix(1_000) == gets.prefix(1_000))
        #expect(await Self.gets([subject], terms, workers: 1, seed: 2).first != gets.first)
    }

    @Test func eachCollectionIsFilteredByWhatItsOwnRowsHave() async throws {
        let filters = try (0..<6).map { try Filter(parsing: "x = \($0)") }
        let subjects = [
            Workload.Subject(name: "a", vectors: [.float([1])], filters: Array(filters[..<3])),
            Workload.Subject(name: "b", vectors: [.float([1])], filters: Array(filters[3...])),
        ]
        let interruption = Interruption()
        let target = Self.target(endingAfter: 100, interruption)
        let load = LoadRun(
            pace: .closed(workers: 1), mix: RequestMix(.filtered), warmup: .zero, seconds: .seconds(3_600), seed: 1)
        _ = await load.measure(
            Workload(subjects: subjects, terms: .init()), on: target, faults: nil, until: interruption)
        for subject in subjects {
            let asked = target.asked.searches.filter { $0.collections == [subject.name] }.map(\.filter)
            #expect(Set(asked) == Set(subject.filters.map { $0 }))
        }
    }

    // MARK: What counts

    @Test func whatAnInterruptionEndsIsNoErrorAndIsSaid() async {
        let interruption = Interruption()
        let asked = Mutex(0)
        let target = ScriptedTarget { () async throws(BenchFailure) -> BenchAnswer in
            let number = asked.withLock { asked in
                asked += 1
                return asked
            }
            guard number > 10 else { return .plain }
            interruption.end()
            throw BenchFailure("cancelled", "")
        }
        let load = LoadRun(
            pace: .closed(workers: 1), mix: RequestMix(.ping), warmup: .zero, seconds: .seconds(3_600), seed: 1)
        let run = await load.measure(
            Workload(subjects: [], terms: .init()), on: target, faults: nil, until: interruption
        ).run
        #expect(run.answered == 10 && run.errors.isEmpty && run.givenUp == 1 && run.isInterrupted == true)
        #expect(run.asked == 11)
    }

    /// At 200 a second for half a second, of which some are held up until 150 ms and more after the end.
    private static func run(stragglers: Int) async -> Measurement.Run {
        let gate = Gate()
        let left = Mutex(stragglers)
        let target = ScriptedTarget {
            let isHeld = left.withLock { left in
                left -= 1
                return left >= 0
            }
            if isHeld { _ = await gate.passed(after: .max) }
            return .plain
        }
        let load = LoadRun(
            pace: .open(rate: 200, .even, maxInFlight: 1_000), mix: RequestMix(.ping), warmup: .zero,
            seconds: .milliseconds(500), seed: 1)
        return await load.measure(
            Workload(subjects: [], terms: .init()), on: target, faults: nil, until: Interruption()
        ) { elapsed, _ in
            if elapsed > .milliseconds(650) { gate.open() }
        }.run
    }

    @Test func oneStragglerDoesNotMakeARateTooMuch() async {
        let run = await Self.run(stragglers: 1)
        #expect(run.answered == 100 && run.asked == 100 && run.seconds == 0.5)
        #expect(abs(run.throughput - 198) < 1e-6 && abs((run.askedPerSecond ?? 0) - 200) < 1e-6)
        #expect(KneeRule().objection(to: run) == nil && run.latency.max > 600_000)
    }

    @Test func answersThatComeAfterTheEndAreNoThroughput() async {
        let run = await Self.run(stragglers: 50)
        #expect(run.answered == 100 && abs(run.throughput - 100) < 1e-6)
        #expect(KneeRule().objection(to: run) == "100/s were answered of 200/s")
    }
}
