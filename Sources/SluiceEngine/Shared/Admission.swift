public import SluiceCore
internal import Synchronization

/// Lets searches in, for all lanes: `AdmissionMachine` with the continuations of those that wait.
public final class Admission: Sendable {
    /// A search that was told to wait. Its fate may come before it has begun to.
    private enum Seat {
        case expected
        case waiting(CheckedContinuation<SearchError?, Never>)
        case decided(SearchError?)
        /// It will not run; the decision that was being made just then is still to come.
        case turnedAway
    }

    private struct State {
        var machine: AdmissionMachine
        var seats: [UInt64: Seat] = [:]
        var nextWaiter: UInt64 = 0
    }

    private let isEnabled: Bool
    private let state: Mutex<State>

    /// - Parameter configuration: nil to let everything in.
    public init(_ configuration: AdmissionMachine.Configuration?) {
        isEnabled = configuration != nil
        let configuration = configuration ?? .init(limit: .init(minimum: 1, maximum: 1), maxWaiting: 0)
        state = Mutex(State(machine: AdmissionMachine(configuration)))
    }

    /// Not whether it lets everything in.
    public func reconfigured(_ configuration: AdmissionMachine.Configuration) {
        if isEnabled { state.withLock { $0.machine.reconfigured(configuration) } }
    }

    /// What is known, for reports.
    public var snapshot: AdmissionMachine { state.withLock { $0.machine } }

    /// How much is let in at a time just now.
    var limit: Int { isEnabled ? state.withLock(\.machine.currentLimit) : .max }

    /// What a search that came was told.
    public struct Ticket: Sendable {
        /// Nil if it was let in at once.
        fileprivate var waiter: UInt64?
        fileprivate var latestStart: Instant

        static func letIn(at now: Instant) -> Ticket { Ticket(waiter: nil, latestStart: now) }
    }

    /// Decides about a search on whatever thread it arrives, so that a refusal costs next to nothing. Who gets a ticket
    /// must `enter` with it.
    /// - Parameter session: whose it is; sessions take turns.
    /// - Throws: `busy`.
    public func arrived(
        _ priority: SearchPriority, of session: UInt64 = 0, deadline: Instant, now: Instant
    ) throws(SearchError) -> Ticket {
        guard isEnabled else { return .letIn(at: now) }
        let (ticket, arrival) = state.withLock { state in
            state.nextWaiter += 1
            let waiter = state.nextWaiter
            let arrival = state.machine.searchArrived(
                id: waiter, priority: priority, session: session, deadline: deadline, now: now)
            guard case .queue = arrival else { return (Ticket.letIn(at: now), arrival) }
            state.seats[waiter] = .expected
            return (Ticket(waiter: waiter, latestStart: state.machine.latestStart(of: waiter) ?? now), arrival)
        }
        switch arrival {
        case .admit: break
        case .shed(let retryAfter, let depth):
            throw SearchError(busyBecause: "the gateway", retryAfter: retryAfter, depth: depth)
        case .queue(let displaced): if let displaced { decide(displaced, busy) }
        }
        return ticket
    }

    /// Returns once the search may run; `left` must follow then.
    /// - Throws: `busy`, or `cancelled` if the task was.
    func enter(_ ticket: Ticket, on executor: any LaneExecutor) async throws(SearchError) {
        guard let waiter = ticket.waiter else { return }
        if let error = await wait(waiter, until: ticket.latestStart, on: executor) { throw error }
    }

    /// A search with a ticket will not be run: it was at fault itself.
    public func turnedAway(_ ticket: Ticket, now: Instant) {
        guard isEnabled else { return }
        guard let waiter = ticket.waiter else { return wasLetInForNothing(now) }
        let wasLetIn = state.withLock { state in
            switch state.seats.removeValue(forKey: waiter) {
            case .decided(let error): return error == nil
            case .expected, .waiting, .turnedAway, nil:
                if !state.machine.waiterCancelled(waiter) { state.seats[waiter] = .turnedAway }
                return false
            }
        }
        if wasLetIn { wasLetInForNothing(now) }
    }

    private func wasLetInForNothing(_ now: Instant) {
        left(now, SearchError(.invalidArgument, ""), now: now)
    }

    /// A request is over that was admitted at `admitted`.
    /// - Parameter isMeasured: false if it asked for so much that its time says nothing.
    func left(_ admitted: Instant, _ error: SearchError?, isMeasured: Bool = true, now: Instant) {
        guard isEnabled else { return }
        let outcome: AdmissionMachine.Outcome =
            switch error?.code {
            case nil where !isMeasured: .ignored
            case nil: .ok
            case .busy: .dropped
            case .deadlineExceeded: .timedOut
            default: .ignored
            }
        let departure = state.withLock {
            $0.machine.searchEnded(took: admitted.duration(to: now), outcome: outcome, now: now)
        }
        for waiter in departure.admitted where !decide(waiter, nil) { wasLetInForNothing(now) }
        for waiter in departure.expired { decide(waiter, busy) }
    }

    // MARK: Waiting

    private var busy: SearchError {
        let (pause, depth) = state.withLock { ($0.machine.retryAfter, $0.machine.waiting) }
        return SearchError(busyBecause: "the gateway", retryAfter: pause, depth: depth)
    }

    private func wait(
        _ waiter: UInt64, until patience: Instant, on executor: any LaneExecutor
    ) async -> SearchError? {
        let timer = executor.schedule(at: patience) { self.giveUp(waiter, self.busy) }
        defer { executor.cancel(timer) }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let fate = state.withLock { state -> Seat? in
                    if case .decided = state.seats[waiter] { return state.seats.removeValue(forKey: waiter) }
                    state.seats[waiter] = .waiting(continuation)
                    return nil
                }
                if case .decided(let error) = fate { continuation.resume(returning: error) }
            }
        } onCancel: {
            giveUp(waiter, .cancelled)
        }
    }

    /// Ends a wait, unless the search has been let in already.
    private func giveUp(_ waiter: UInt64, _ error: SearchError) {
        if state.withLock({ $0.machine.waiterCancelled(waiter) }) { decide(waiter, error) }
    }

    /// False if nobody is there any more whom it concerns.
    @discardableResult
    private func decide(_ waiter: UInt64, _ error: SearchError?) -> Bool {
        let (continuation, isThere) = state.withLock { state -> (CheckedContinuation<SearchError?, Never>?, Bool) in
            switch state.seats.removeValue(forKey: waiter) {
            case .waiting(let continuation): return (continuation, true)
            case .expected:
                state.seats[waiter] = .decided(error)
                return (nil, true)
            case .decided(let earlier):
                state.seats[waiter] = .decided(earlier)
                return (nil, true)
            case .turnedAway: return (nil, false)
            case nil: return (nil, true)
            }
        }
        continuation?.resume(returning: error)
        return isThere
    }
}
