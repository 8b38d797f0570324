import SluiceCore
import SluiceEngine
import Synchronization
import Testing

@Suite struct SharedAnswersTests {
    private let answer = TestAnswer(key: "a")

    private static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    // MARK: Following

    @Test func aThousandEqualSearchesAreExecutedOnce() async throws {
        try await Sharing.with { sharing in
            let searches = (0..<1_000).map { sharing.start(lane: $0 % 2) }
            await sharing.following(999)
            sharing.held.endFirst(.success(answer))
            var sources: [AnswerSource: Int] = [:]
            for search in searches {
                let (result, source) = await search.value
                #expect(result.answer == answer)
                sources[source, default: 0] += 1
            }
            #expect(sources == [.executed: 1, .shared: 999] && sharing.held.begun == 1)
            #expect(sharing.answers.snapshot.followed == 999 && sharing.answers.snapshot.promoted == 0)
            #expect(sharing.sized.count.load(ordering: .relaxed) == 0, "nothing is stored")
        }
    }

    @Test func searchesForOtherThingsAreExecutedBesides() async throws {
        try await Sharing.with { sharing in
            let searches = ["a", "b", "c"].map { sharing.start($0) } + [sharing.start(shares: false)]
            await sharing.held.begun(4)
            for _ in searches { sharing.held.endFirst(.success(answer)) }
            for search in searches { #expect(await search.value.source == .executed) }
        }
    }

    @Test func whoComesWhenTooManyFollowIsExecutedBesides() async throws {
        try await Sharing.with(mostFollowers: 1) { sharing in
            let leader = sharing.start()
            await sharing.held.begun(1)
            let follower = sharing.start(lane: 1)
            await sharing.following(1)
            let other = sharing.start()
            await sharing.held.begun(2)
            sharing.held.endFirst(.success(answer))
            #expect(await leader.value.source == .executed)
            #expect(await follower.value.source == .shared)
            sharing.held.endFirst(.success(answer))
            #expect(await other.value.source == .executed)
        }
    }

    @Test func whoHasWaitedLongestTakesOverFromALeaderThatIsCancelled() async throws {
        try await Sharing.with { sharing in
            let leader = sharing.start()
            await sharing.held.begun(1)
            var followers: [Sharing.Search] = []
            for count in 1...10 {
                followers.append(sharing.start(lane: count % 2))
                await sharing.following(count)
            }
            leader.cancel()
            #expect(await leader.value.result.code == .cancelled)
            await sharing.held.begun(2)
            #expect(sharing.answers.snapshot.following == 9 && sharing.answers.snapshot.promoted == 1)
            // The first one's end changes nothing any more.
            sharing.held.endFirst(.success(TestAnswer(key: "nobody's")))
            sharing.held.endFirst(.success(answer))
            var sources: [AnswerSource] = []
            for follower in followers {
                let (result, source) = await follower.value
                #expect(result.answer == answer)
                sources.append(source)
            }
            #expect(sources == [.executed] + Array(repeating: .shared, count: 9) && sharing.held.begun == 2)
        }
    }

    @Test func aLeadersOwnDeadlineIsNotItsFollowers() async throws {
        try await Sharing.with { sharing in
            let leader = sharing.start()
            await sharing.held.begun(1)
            let followers = [sharing.start(lane: 1), sharing.start(lane: 1)]
            await sharing.following(2)
            sharing.held.endFirst(.failure(SearchError(.deadlineExceeded, "scripted")))
            #expect(await leader.value.result.code == .deadlineExceeded)
            await sharing.held.begun(2)
            sharing.held.endFirst(.success(answer))
            for follower in followers { #expect(await follower.value.result.answer == answer) }
        }
    }

    @Test func aLeaderThatIsCancelledFailsAloneWhateverItSays() async throws {
        try await Sharing.with { sharing in
            let (caller, held) = (sharing.callers[0], sharing.held)
            let leader = Task {
                await caller.ask {
                    _ = await held.execute()
                    return .failure(SearchError(.unavailable, "scripted"))
                }
            }
            await sharing.held.begun(1)
            let follower = sharing.start(lane: 1)
            await sharing.following(1)
            leader.cancel()
            #expect(await leader.value.result.code == .unavailable)
            await sharing.held.begun(2)
            for _ in 0..<2 { sharing.held.endFirst(.success(answer)) }
            #expect(await follower.value.result.answer == answer)
        }
    }

    @Test func anyOtherFailureOfALeaderIsItsFollowersToo() async throws {
        try await Sharing.with { sharing in
            let leader = sharing.start()
            await sharing.held.begun(1)
            let followers = [sharing.start(), sharing.start(lane: 1)]
            await sharing.following(2)
            sharing.held.endFirst(.failure(SearchError(.unavailable, "scripted")))
            for search in [leader] + followers { #expect(await search.value.result.code == .unavailable) }
            #expect(sharing.held.begun == 1)
        }
    }

    @Test func aFollowerKeepsItsOwnDeadline() async throws {
        try await Sharing.with { sharing in
            let leader = sharing.start()
            await sharing.held.begun(1)
            let hasty = sharing.start(lane: 1, until: Self.at(10))
            let tooLate = sharing.start(until: Self.at(0))
            #expect(await tooLate.value.result.code == .deadlineExceeded)
            let patient = sharing.start(lane: 1, until: Self.at(1_000))
            await sharing.following(2)
            sharing.advance(by: .milliseconds(9))
            #expect(sharing.answers.snapshot.following == 2)
            sharing.advance(by: .milliseconds(1))
            #expect(await hasty.value.result.code == .deadlineExceeded)
            sharing.held.endFirst(.success(answer))
            #expect(await patient.value.result.answer == answer)
            #expect(await leader.value.result.answer == answer)
        }
    }

    @Test func anAnswerThatComesTooLateForAFollowerIsNotGivenToIt() async throws {
        try await Sharing.with { sharing in
            let leader = sharing.start()
            await sharing.held.begun(1)
            let follower = sharing.start(until: Self.at(10))
            await sharing.following(1)
            sharing.callers[0].lane.advance(by: .milliseconds(11), firingTimers: false)
            sharing.held.endFirst(.success(answer))
            #expect(await follower.value.result.code == .deadlineExceeded)
            #expect(await leader.value.result.answer == answer)
        }
    }

    @Test func aFollowerThatIsCancelledLeavesAtOnce() async throws {
        try await Sharing.with { sharing in
            let leader = sharing.start()
            await sharing.held.begun(1)
            let (leaving, staying) = (sharing.start(lane: 1), sharing.start(lane: 1))
            await sharing.following(2)
            leaving.cancel()
            #expect(await leaving.value.result.code == .cancelled)
            let (caller, held) = (sharing.callers[1], sharing.held)
            let before = Task {
                withUnsafeCurrentTask { $0?.cancel() }
                return await caller.ask { await held.execute() }
            }
            #expect(await before.value.result.code == .cancelled)
            #expect(sharing.answers.snapshot.following == 1)
            sharing.held.endFirst(.success(answer))
            #expect(await staying.value.result.answer == answer)
            _ = await leader.value
        }
    }

    // MARK: The cache

    @Test func anAnswerIsGivenAgainUntilItsTimeIsOver() async throws {
        try await Sharing.with(timeToLive: .milliseconds(50)) { sharing in
            #expect(await sharing.ask("a").source == .executed)
            sharing.advance(by: .milliseconds(49))
            let (result, source) = await sharing.ask("a", lane: 1, shares: true)
            #expect(source == .cache && result.answer == answer)
            #expect(await sharing.ask("a", caches: false).source == .executed, "not everybody wants it")
            sharing.advance(by: .milliseconds(1))
            #expect(await sharing.ask("a", lane: 1).source == .executed)
            #expect(sharing.answers.snapshot.hits == 1 && sharing.answers.snapshot.misses == 2)
            sharing.advance(by: .milliseconds(50))
            #expect(sharing.answers.expire(now: Self.at(100)) == 1 && sharing.answers.snapshot.storedBytes == 0)
        }
    }

    @Test func whatIsSharedIsStoredOnceForAllWhoComeLater() async throws {
        try await Sharing.with { sharing in
            let searches = (0..<20).map { sharing.start(lane: $0 % 2, caches: true) }
            await sharing.following(19)
            sharing.held.endFirst(.success(answer))
            for search in searches { #expect(await search.value.result.answer == answer) }
            #expect(await sharing.start(caches: true).value.source == .cache)
            #expect(sharing.sized.count.load(ordering: .relaxed) == 1 && sharing.answers.snapshot.stored == 1)
        }
    }

    @Test func onlyWholeAnswersAreStored() async throws {
        try await Sharing.with { sharing in
            for _ in 0..<2 {
                let partial = TestAnswer(key: "a", isPartial: true)
                #expect(await sharing.ask("a", partial).source == .executed)
                let failed = await sharing.callers[0].ask("b", shares: false, caches: true) {
                    .failure(SearchError(.unavailable, "scripted"))
                }
                #expect(failed.source == .executed)
            }
            #expect(sharing.answers.snapshot.stored == 0 && sharing.sized.count.load(ordering: .relaxed) == 0)
        }
    }

    @Test func theAnswersStayWithinTheirBytes() async throws {
        let one = 100 + ResultCache<String, TestAnswer>.overhead
        try await Sharing.with(mostBytes: 3 * one) { sharing in
            for key in 0..<10 {
                _ = await sharing.ask("\(key)")
                #expect(sharing.answers.snapshot.storedBytes <= 3 * one)
            }
            var sources: [AnswerSource] = []
            for key in 5..<10 { sources.append(await sharing.ask("\(key)", caches: key > 6).source) }
            #expect(sources == [.executed, .executed, .cache, .cache, .cache])
            #expect(sharing.answers.snapshot.evicted == 7)
            _ = await sharing.ask("big", TestAnswer(key: "big", bytes: 3 * one))
            #expect(await sharing.ask("big").source == .executed, "larger than all together may be")
        }
    }

    @Test func whoWantsNeitherLeavesNoTrace() async throws {
        try await Sharing.with { sharing in
            for _ in 0..<3 { #expect(await sharing.ask("a", caches: false).source == .executed) }
            let snapshot = sharing.answers.snapshot
            #expect(snapshot.misses == 0 && snapshot.stored == 0 && snapshot.followed == 0)
        }
    }

    // MARK: Anything

    /// Searches that end, fail, run out of time and are cancelled in any order: each ends once, with an answer to its
    /// own question, and nothing is left behind (`Sharing.with` looks).
    @Test(arguments: 0..<60)
    func everySearchEndsOnce(seed: UInt64) async throws {
        var generator = SplitMix64(seed: seed)
        let most = Int.random(in: 0...40, using: &generator)
        try await Sharing.with(timeToLive: .milliseconds(2), mostFollowers: most) { sharing in
            let executions = Tally()
            var searches: [(id: Int, key: String, task: Sharing.Search)] = []
            for id in 0..<200 {
                let key = "\(Int.random(in: 0..<4, using: &generator))"
                let caller = sharing.callers[Int.random(in: 0..<2, using: &generator)]
                let use = Int.random(in: 0..<4, using: &generator)
                let pause = Int.random(in: 0..<40, using: &generator)
                let end = Int.random(in: 0..<8, using: &generator)
                let patience = Duration.milliseconds(Int64.random(in: -1...20, using: &generator))
                let deadline = caller.lane.now().advanced(by: patience)
                let task = Task {
                    await caller.ask(key, shares: use > 0, caches: use != 1, until: deadline) {
                        executions.add(id)
                        for _ in 0..<pause { await Task.yield() }
                        return Self.end(key, end)
                    }
                }
                searches.append((id, key, task))
                switch Int.random(in: 0..<4, using: &generator) {
                case 0: searches.randomElement(using: &generator)?.task.cancel()
                case 1: sharing.advance(by: .milliseconds(1))
                case 2: await Task.yield()
                default: break
                }
            }
            for (id, key, task) in searches {
                let (result, source) = await task.value
                #expect(executions.count(id) == (source == .executed ? 1 : 0))
                if let answer = result.answer { #expect(answer.key == key) }
                if source == .cache { #expect(result.answer?.isPartial == false) }
            }
        }
    }

    private final class Tally: Sendable {
        private let counts = Mutex<[Int: Int]>([:])

        func add(_ id: Int) { counts.withLock { $0[id, default: 0] += 1 } }
        func count(_ id: Int) -> Int { counts.withLock { $0[id] ?? 0 } }
    }

    private static func end(_ key: String, _ end: Int) -> TestResult {
        if Task.isCancelled { return .failure(SearchError(.cancelled, "scripted")) }
        return switch end {
        case 0: .failure(SearchError(.unavailable, "scripted"))
        case 1: .failure(SearchError(.deadlineExceeded, "scripted"))
        case 2: .success(TestAnswer(key: key, isPartial: true))
        default: .success(TestAnswer(key: key))
        }
    }
}
