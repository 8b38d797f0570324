import SluiceCore
import SluiceEngine
import Synchronization
import Testing

struct TestAnswer: Hashable, Sendable {
    var key: String
    var bytes = 100
    var isPartial = false
}

typealias TestResult = Result<TestAnswer, SearchError>

extension Result where Failure == SearchError {
    var answer: Success? { try? get() }

    var code: SearchError.Code? {
        if case .failure(let error) = self { error.code } else { nil }
    }
}

/// Executions that end when a test says so, or when their task is cancelled.
final class HeldExecutions: Sendable {
    private let state = Mutex<(begun: Int, open: [AsyncStream<TestResult>.Continuation])>((0, []))
    private let changes = AsyncStream.makeStream(of: Void.self)

    var begun: Int { state.withLock(\.begun) }

    func execute() async -> TestResult {
        let (results, end) = AsyncStream.makeStream(of: TestResult.self)
        state.withLock { state in
            state.begun += 1
            state.open.append(end)
        }
        changes.continuation.yield()
        for await result in results { return result }
        return .failure(SearchError(.cancelled, "scripted"))
    }

    /// Returns when so many have begun, in all.
    func begun(_ count: Int) async {
        var iterator = changes.stream.makeAsyncIterator()
        while begun < count { _ = await iterator.next() }
    }

    /// Ends the one that began first.
    func endFirst(_ result: TestResult) {
        let end = state.withLock { $0.open.isEmpty ? nil : $0.open.removeFirst() }
        end?.yield(result)
    }
}

/// Asks as a lane does: an actor on the lane's thread, whose executions use its own state.
actor TestCaller {
    nonisolated let lane: ManualLane
    nonisolated var unownedExecutor: UnownedSerialExecutor { lane.asUnownedSerialExecutor() }
    private let answers: SharedAnswers<String, TestAnswer>
    private(set) var executed = 0

    init(lane: ManualLane, answers: SharedAnswers<String, TestAnswer>) {
        self.lane = lane
        self.answers = answers
    }

    func ask(
        _ key: String = "a", shares: Bool = true, caches: Bool = false, until deadline: Instant = .distantFuture,
        _ execute: @Sendable () async -> TestResult
    ) async -> (result: TestResult, source: AnswerSource) {
        await answers.answer(for: key, AnswerUse(shares: shares, caches: caches), until: deadline, on: lane) {
            assertIsolated()
            executed += 1
            return await execute()
        }
    }
}

/// Two lanes, and what they share.
struct Sharing {
    let answers: SharedAnswers<String, TestAnswer>
    let callers: [TestCaller]
    let held = HeldExecutions()
    let sized = Atomics()

    /// How often an answer's size was asked for.
    final class Atomics: Sendable {
        let count = Atomic(0)
    }

    typealias Search = Task<(result: TestResult, source: AnswerSource), Never>

    static func with(
        mostBytes: Int = 1 << 20, timeToLive: Duration = .seconds(1), mostFollowers: Int = 1_000,
        _ body: (Sharing) async throws -> Void
    ) async throws {
        var cache = ResultCache<String, TestAnswer>.Configuration()
        cache.mostBytes = mostBytes
        cache.timeToLive = timeToLive
        let lanes = try (0..<2).map { try ManualLane(name: "share-\($0)") }
        defer { for lane in lanes { lane.stop() } }
        let sharing = Sharing(cache, mostFollowers: mostFollowers, lanes: lanes)
        try await body(sharing)
        let snapshot = sharing.answers.snapshot
        #expect(snapshot.flights == 0 && snapshot.following == 0 && lanes.allSatisfy { $0.timerCount == 0 })
    }

    private init(
        _ cache: ResultCache<String, TestAnswer>.Configuration, mostFollowers: Int, lanes: [ManualLane]
    ) {
        let sized = sized
        let answers = SharedAnswers<String, TestAnswer>(
            cache: cache, mostFollowers: mostFollowers,
            size: { _, answer in
                sized.count.add(1, ordering: .relaxed)
                return answer.bytes
            },
            mayStore: { !$0.isPartial })
        self.answers = answers
        callers = lanes.map { TestCaller(lane: $0, answers: answers) }
    }

    /// A search whose execution is held.
    func start(
        _ key: String = "a", lane: Int = 0, shares: Bool = true, caches: Bool = false,
        until deadline: Instant = .distantFuture
    ) -> Search {
        let (caller, held) = (callers[lane], held)
        return Task {
            await caller.ask(key, shares: shares, caches: caches, until: deadline) { await held.execute() }
        }
    }

    /// A search that is executed at once, if it is.
    func ask(
        _ key: String, lane: Int = 0, shares: Bool = false, caches: Bool = true, _ answer: TestAnswer? = nil
    ) async -> (result: TestResult, source: AnswerSource) {
        await callers[lane].ask(key, shares: shares, caches: caches) { .success(answer ?? TestAnswer(key: key)) }
    }

    func following(_ count: Int) async { while answers.snapshot.following != count { await Task.yield() } }

    func advance(by duration: Duration) { for caller in callers { caller.lane.advance(by: duration) } }
}
