public import SluiceCore
internal import Synchronization

/// Which of the two ways to another search's answer are open to a search: what all of its collections opted in to.
public struct AnswerUse: Hashable, Sendable {
    /// Equal searches at the same time share one execution.
    public var shares: Bool
    /// An answer may be as old as the cache's time to live.
    public var caches: Bool

    public init(shares: Bool, caches: Bool) {
        self.shares = shares
        self.caches = caches
    }
}

/// Where a search's answer is from.
public enum AnswerSource: Hashable, Sendable {
    case executed
    /// An equal search was being executed when this one came.
    case shared
    case cache
}

/// Answers that several searches have in common, for all lanes: one execution for equal searches at the same time
/// (`SingleFlight`), and answers kept for a while (`ResultCache`). A search that wants neither does not come here.
///
/// The key must hold whatever the answer depends on, so two searches with equal keys differ in their deadlines only.
public final class SharedAnswers<Key: Hashable & Sendable, Answer: Sendable>: Sendable {
    private typealias Waiting = CheckedContinuation<Fate, Never>

    private enum Fate: Sendable {
        /// The leader ended for a reason of its own: this search is executed now.
        case lead
        case end(Result<Answer, SearchError>)
    }

    /// A follower. Its fate may come before it has begun to wait.
    private enum Seat {
        case expected
        case waiting(Waiting)
        case decided(Fate)
    }

    private struct State {
        var flights: SingleFlight<Key>
        var cache: ResultCache<Key, Answer>
        var seats: [UInt64: Seat] = [:]
        var latestID: UInt64 = 0
        var followed: UInt64 = 0
        var promoted: UInt64 = 0

        /// - Parameter id: a follower's that is in no flight any more, or leads one from now on.
        /// - Returns: what is to be resumed with its fate; nil if it will find it.
        mutating func decide(_ id: UInt64, _ fate: Fate) -> Waiting? {
            if case .waiting(let continuation) = seats.removeValue(forKey: id) { return continuation }
            seats[id] = .decided(fate)
            return nil
        }
    }

    private enum Arrival {
        case cached(Answer)
        case lead(UInt64)
        case follow(UInt64)
        case executeAlone
    }

    private let size: @Sendable (Key, Answer) -> Int
    private let mayStore: @Sendable (Answer) -> Bool
    private let isOwn: @Sendable (Result<Answer, SearchError>) -> Bool
    private let state: Mutex<State>

    /// - Parameters:
    ///   - mostFollowers: of one execution; whoever comes then is executed besides. 0 or more.
    ///   - size: a key's and its answer's bytes; asked for only when it is to be stored.
    ///   - mayStore: false for an answer that a later search should not be given, as a partial one.
    ///   - isOwn: whether an end concerns the search alone that was executed, so that those that followed it must be
    ///     executed themselves.
    public init(
        cache: ResultCache<Key, Answer>.Configuration, mostFollowers: Int = 1_000,
        size: @escaping @Sendable (Key, Answer) -> Int, mayStore: @escaping @Sendable (Answer) -> Bool,
        isOwn: @escaping @Sendable (Result<Answer, SearchError>) -> Bool = { SharedAnswers.isOwnFailure($0) }
    ) {
        self.size = size
        self.mayStore = mayStore
        self.isOwn = isOwn
        state = Mutex(State(flights: SingleFlight(mostFollowers: mostFollowers), cache: ResultCache(cache)))
    }

    /// The search's own cancel or deadline.
    public static func isOwnFailure(_ result: Result<Answer, SearchError>) -> Bool {
        guard case .failure(let error) = result else { return false }
        return error.code == .cancelled || error.code == .deadlineExceeded
    }

    /// An answer to one search: a stored one, that of an equal search which is being executed, or its own. Runs on its
    /// caller's thread.
    ///
    /// Whoever follows ends with `deadlineExceeded` at its own deadline, with `cancelled` as soon as its task is, and
    /// otherwise as the search does that is executed.
    /// - Parameters:
    ///   - deadline: for following; `execute` keeps it by itself.
    ///   - executor: the caller's, for the timer.
    ///   - execute: not called, or once, in the caller's task; it must end soon when that is cancelled.
    public func answer(
        for key: Key, _ use: AnswerUse, until deadline: Instant, on executor: any LaneExecutor,
        execute: () async -> Result<Answer, SearchError>
    ) async -> (result: Result<Answer, SearchError>, source: AnswerSource) {
        guard use.shares || use.caches else { return (await execute(), .executed) }
        let leader: UInt64?
        switch arrived(key, use, now: executor.now()) {
        case .cached(let answer): return (.success(answer), .cache)
        case .executeAlone: leader = nil
        case .lead(let id): leader = id
        case .follow(let id):
            switch await wait(id, until: deadline, on: executor) {
            case .end(.success) where executor.now() > deadline: return (.failure(late), .shared)
            case .end(let result): return (result, .shared)
            case .lead: leader = id
            }
            if let error = reasonToEnd(deadline, now: executor.now()) {
                ended(id, key, .failure(error), bytes: nil, isOwn: true, now: executor.now())
                return (.failure(error), .shared)
            }
        }
        let result = await execute()
        ended(
            leader, key, result, bytes: use.caches ? bytesToStore(key, result) : nil,
            isOwn: isOwn(result) || wasCancelled(result), now: executor.now())
        return (result, .executed)
    }

    /// Whatever it says: it may have failed because it was cancelled.
    private func wasCancelled(_ result: Result<Answer, SearchError>) -> Bool {
        if case .failure = result { Task.isCancelled } else { false }
    }

    /// Why a search that may lead now need not be executed any more.
    private func reasonToEnd(_ deadline: Instant, now: Instant) -> SearchError? {
        if now >= deadline { return late }
        return Task.isCancelled ? .cancelled : nil
    }

    private var late: SearchError { SearchError(.deadlineExceeded, "the answer was not ready by the deadline") }

    // MARK: Leading

    private func arrived(_ key: Key, _ use: AnswerUse, now: Instant) -> Arrival {
        state.withLock { state in
            if use.caches, let answer = state.cache.value(for: key, now: now) { return .cached(answer) }
            guard use.shares else { return .executeAlone }
            state.latestID += 1
            let id = state.latestID
            switch state.flights.arrived(id, for: key) {
            case .lead: return .lead(id)
            case .executeAlone: return .executeAlone
            case .follow:
                state.seats[id] = .expected
                state.followed &+= 1
                return .follow(id)
            }
        }
    }

    private func bytesToStore(_ key: Key, _ result: Result<Answer, SearchError>) -> Int? {
        guard case .success(let answer) = result, mayStore(answer) else { return nil }
        return size(key, answer)
    }

    /// Stores the answer and ends the flight at one moment, so that nobody comes in between.
    /// - Parameters:
    ///   - leader: nil if it was executed alone.
    ///   - bytes: nil if it is not to be stored.
    private func ended(
        _ leader: UInt64?, _ key: Key, _ result: Result<Answer, SearchError>, bytes: Int?, isOwn: Bool, now: Instant
    ) {
        let fate = isOwn ? Fate.lead : .end(result)
        let waiting = state.withLock { state -> [Waiting] in
            if let bytes, case .success(let answer) = result {
                _ = state.cache.insert(answer, for: key, bytes: bytes, now: now)
            }
            guard let leader else { return [] }
            guard isOwn else { return state.flights.leaderEnded(leader).compactMap { state.decide($0, fate) } }
            guard case .promote(let next) = state.flights.cancelled(leader) else { return [] }
            state.promoted &+= 1
            return state.decide(next, fate).map { [$0] } ?? []
        }
        for continuation in waiting { continuation.resume(returning: fate) }
    }

    // MARK: Following

    private func wait(_ id: UInt64, until deadline: Instant, on executor: any LaneExecutor) async -> Fate {
        let timer = executor.schedule(at: deadline) { self.giveUp(id, self.late) }
        defer { executor.cancel(timer) }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let fate = state.withLock { state -> Fate? in
                    if case .decided(let fate) = state.seats.removeValue(forKey: id) { return fate }
                    state.seats[id] = .waiting(continuation)
                    return nil
                }
                if let fate { continuation.resume(returning: fate) }
            }
        } onCancel: {
            giveUp(id, .cancelled)
        }
    }

    /// Ends a wait, unless its fate is known already.
    private func giveUp(_ id: UInt64, _ error: SearchError) {
        let fate = Fate.end(.failure(error))
        let continuation = state.withLock { state -> Waiting? in
            switch state.seats[id] {
            case .decided, nil: return nil
            case .expected, .waiting: break
            }
            _ = state.flights.cancelled(id)
            return state.decide(id, fate)
        }
        continuation?.resume(returning: fate)
    }
}

extension SharedAnswers {
    /// What is known, for reports. The totals wrap.
    public struct Snapshot: Hashable, Sendable {
        /// Executions that others may follow.
        public var flights: Int
        /// Searches that follow one now.
        public var following: Int
        /// Searches that did, in all.
        public var followed: UInt64
        /// Those of them that had to take over the lead.
        public var promoted: UInt64
        public var stored: Int
        public var storedBytes: Int
        public var hits: UInt64
        public var misses: UInt64
        public var evicted: UInt64
        public var expired: UInt64
    }

    public var snapshot: Snapshot {
        state.withLock { state in
            let counters = state.cache.counters
            return Snapshot(
                flights: state.flights.flightCount, following: state.seats.count, followed: state.followed,
                promoted: state.promoted, stored: state.cache.count, storedBytes: state.cache.bytes,
                hits: counters.hits, misses: counters.misses, evicted: counters.evicted, expired: counters.expired)
        }
    }

    /// Lets answers go whose time is over. Each search that may use the cache does that too; this is for the times
    /// when none comes, so call it now and then.
    /// - Returns: how many went.
    @discardableResult
    public func expire(now: Instant) -> Int { state.withLock { $0.cache.expire(now: now) } }
}
