import SluiceClient
import Synchronization

/// Searches without pause on a few tasks, each answer held against the one that the healthy replicas gave.
final class SteadyLoad: Sendable {
    struct Tally: Sendable {
        var answered = 0
        var failures: [String: Int] = [:]
        /// Ended more than 100 ms after their deadline, however they ended.
        var late = 0
        /// Answers with other hits than the healthy replicas gave.
        var wrong = 0
        var slowest = Duration.zero
        /// Of the legs of all answers.
        var attempts = 0

        var failed: Int { failures.values.reduce(0, +) }
    }

    private struct Wait {
        var deadline: ContinuousClock.Instant
        var condition: @Sendable (SearchReply) -> Bool
        var continuation: CheckedContinuation<Bool, Never>
    }

    private struct State {
        var tally = Tally()
        var waits: [Wait] = []
        var isOver = false
    }

    private let queries: [SearchQuery]
    private let expected: [[Int64]]
    private let client: SluiceClient
    private let state = Mutex(State())

    private init(_ client: SluiceClient, _ queries: [SearchQuery], expected: [[Int64]]) {
        self.client = client
        self.queries = queries
        self.expected = expected
    }

    /// Runs the load from before `body` until after it.
    static func run(
        _ client: SluiceClient, _ queries: [SearchQuery], tasks: Int = 4,
        during body: (SteadyLoad) async throws -> Void
    ) async throws -> Tally {
        var expected: [[Int64]] = []
        for var query in queries {
            query.minCoverage = nil
            expected.append(try await client.search(query).hits.map(\.id))
        }
        let load = SteadyLoad(client, queries, expected: expected)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<tasks { group.addTask { await load.work(from: task) } }
            defer { load.stop() }
            try await body(load)
        }
        return load.tally
    }

    /// So far.
    var tally: Tally { state.withLock(\.tally) }

    /// Until an answer fulfils the condition; false if none does in time. Looked at after every search.
    func wait(atMost limit: Duration, until condition: @escaping @Sendable (SearchReply) -> Bool) async -> Bool {
        await withCheckedContinuation { continuation in
            let wait = Wait(
                deadline: ContinuousClock.now.advanced(by: limit), condition: condition, continuation: continuation)
            state.withLock { $0.waits.append(wait) }
        }
    }

    /// Lets the load go on for a while.
    func go(on duration: Duration) async { _ = await wait(atMost: duration) { _ in false } }

    private func stop() { state.withLock { $0.isOver = true } }

    private func work(from first: Int) async {
        var turn = first
        while !state.withLock(\.isOver), !Task.isCancelled {
            let place = turn % queries.count
            turn += 1
            let began = ContinuousClock.now
            do throws(SluiceError) {
                let reply = try await client.search(queries[place])
                note(reply, place, took: began.duration(to: .now))
            } catch {
                note(error, place, took: began.duration(to: .now))
            }
        }
    }

    private func note(_ reply: SearchReply, _ place: Int, took: Duration) {
        let isWrong = reply.coverage == 1 && reply.hits.map(\.id) != expected[place]
        ended(place, took: took, reply) { tally in
            tally.answered += 1
            tally.attempts += reply.legs.reduce(0) { $0 + $1.attempts }
            if isWrong { tally.wrong += 1 }
        }
    }

    private func note(_ error: SluiceError, _ place: Int, took: Duration) {
        ended(place, took: took, nil) { $0.failures["\(error)", default: 0] += 1 }
    }

    private func ended(_ place: Int, took: Duration, _ reply: SearchReply?, _ count: (inout Tally) -> Void) {
        let isLate = queries[place].deadline.map { took > $0 + .milliseconds(100) } ?? false
        let now = ContinuousClock.now
        let over = state.withLock { state -> [(Wait, Bool)] in
            count(&state.tally)
            if isLate { state.tally.late += 1 }
            state.tally.slowest = max(state.tally.slowest, took)
            let over = state.waits.map { ($0, reply.map($0.condition) ?? false) }
            state.waits = over.filter { !$0.1 && $0.0.deadline > now }.map(\.0)
            return over.filter { $0.1 || $0.0.deadline <= now }
        }
        for (wait, isFulfilled) in over { wait.continuation.resume(returning: isFulfilled) }
    }
}
