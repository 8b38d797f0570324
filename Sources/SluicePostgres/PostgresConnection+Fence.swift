internal import CLibpq
internal import SluiceReactor

/// What stands between a failed search and the next use of its connection: the server's results have been drained, and
/// the cancel request, if one was sent, has ended, so that neither can reach another search.
struct Fence {
    var isDrained = true
    var isCancelEnded = true
    /// How many cancel requests have ended.
    var cancels: Int64 = 0
    var timer: TimerID?
    var waiters: [CheckedContinuation<Bool, Never>] = []
}

extension PostgresConnection {
    /// Waits until nothing of the last search is left on this connection.
    /// - Returns: true if it may be used again; false if it has been closed.
    public func settle() async -> Bool {
        if let isClean = settled { return isClean }
        return await withCheckedContinuation { waiter in
            // A task that prefers another executor may be let in again between the question and the wait.
            if let isClean = settled { waiter.resume(returning: isClean) } else { fence.waiters.append(waiter) }
        }
    }

    /// Nil while something of the last search is left.
    private var settled: Bool? {
        switch state {
        case .idle: true
        case .dialling: false
        case .closed where isGone: false
        case .running, .fencing, .closed: nil
        }
    }

    /// On the reactor's thread: ends the search that runs, if there is one, with `cancelled`.
    public nonisolated func interrupt() {
        assumeIsolated { connection in
            guard let number = connection.operation?.number else { return }
            connection.abandon(number, PostgresFailure(.cancelled, "interrupted"))
        }
    }

    /// Answers the waiter of a search now, and stops the server's work behind the fence.
    func abandon(_ number: UInt64, _ failure: PostgresFailure) {
        guard state == .running, let current = operation, current.number == number else { return }
        if let timer = current.timer { reactor.cancel(timer) }
        current.timer = nil
        state = .fencing
        fence.isDrained = false
        fence.isCancelEnded = true
        current.finish(.failure(failure))
        let now = Reactor.now()
        let limit = now + max(0, settings.fenceTimeout.wholeNanoseconds)
        fence.timer = reactor.schedule(at: limit) { self.assumeIsolated { $0.fenceTimedOut(number) } }
        // A cancel request costs the server a process, more than most statements do, so it is only sent if the
        // statement does not end by itself: soon, or after a deadline by statement_timeout. Whoever asks and cancels
        // for ever must not make the servers do more than whoever only asks.
        let grace = failure.kind == .timedOut ? Self.statementTimeoutGrace : Self.cancelGrace
        _ = reactor.schedule(at: now + grace) { self.assumeIsolated { $0.cancelOnServer(number) } }
    }

    /// How long a statement that is not wanted any more may take to end by itself, in nanoseconds.
    private static var cancelGrace: Int64 { 10_000_000 }

    /// How long the server's own `statement_timeout` is waited for, in nanoseconds.
    private static var statementTimeoutGrace: Int64 { 50_000_000 }

    private func cancelOnServer(_ number: UInt64) {
        guard state == .fencing, operation?.number == number, !fence.isDrained else { return }
        guard let request = CancelRequest(handle) else { return giveUpFence() }
        fence.isCancelEnded = false
        let isAccepted = settings.cancels.submit { [reactor] in
            request.send()
            reactor.execute { self.assumeIsolated { $0.cancelEnded(number) } }
        }
        guard !isAccepted else { return }
        // As many as this server may have at a time are under way. The statement may end by itself before its turn; to
        // close the connection would cost the server more than either.
        fence.isCancelEnded = true
        _ = reactor.schedule(at: Reactor.now() + Self.cancelPause) { self.assumeIsolated { $0.cancelOnServer(number) } }
    }

    private func cancelEnded(_ number: UInt64) {
        guard operationNumber == number else { return }
        fence.isCancelEnded = true
        fence.cancels += 1
        openFenceIfClear()
        guard state == .fencing, !fence.isDrained else { return }
        // A server that had not begun the statement has dropped the request, and would run it to its end.
        let pause = Self.cancelPause << min(fence.cancels - 1, Self.mostDoublings)
        _ = reactor.schedule(at: Reactor.now() + pause) { self.assumeIsolated { $0.cancelOnServer(number) } }
    }

    /// How long a server has to end a statement before it is asked again, in nanoseconds; each time twice as long.
    private static var cancelPause: Int64 { 50_000_000 }
    private static var mostDoublings: Int64 { 10 }

    /// All results of the current pipeline have been read.
    func drained() {
        fence.isDrained = true
        openFenceIfClear()
    }

    private func openFenceIfClear() {
        guard fence.isDrained, fence.isCancelEnded, state == .fencing || state == .idle else { return }
        state = .idle
        endFence(isClean: true)
    }

    private func fenceTimedOut(_ number: UInt64) {
        guard state == .fencing, operationNumber == number else { return }
        giveUpFence()
    }

    /// The connection is of no use any more; its place is kept until the server has ended the statement, too.
    private func giveUpFence() {
        close(PostgresFailure(.connectionLost, "the server did not stop in time"), parting: Self.longParting)
    }

    func endFence(isClean: Bool) {
        if let timer = fence.timer { reactor.cancel(timer) }
        fence.timer = nil
        let waiters = fence.waiters
        fence = Fence()
        for waiter in waiters { waiter.resume(returning: isClean) }
    }
}

/// libpq's description of how to cancel what a connection runs.
///
/// `@unchecked Sendable`: a `PGcancel` is never changed after it was made, libpq documents `PQcancel` as safe to call
/// from any thread, and only the last reference frees it.
private final class CancelRequest: @unchecked Sendable {
    private let handle: OpaquePointer

    init?(_ connection: OpaquePointer?) {
        guard let handle = PQgetCancel(connection) else { return nil }
        self.handle = handle
    }

    /// Blocks until the server has closed the request's connection.
    func send() {
        var message = [CChar](repeating: 0, count: 256)
        _ = PQcancel(handle, &message, Int32(message.count))
    }

    deinit { PQfreeCancel(handle) }
}

extension Duration {
    fileprivate var wholeNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? .max : scaled.addingReportingOverflow(attoseconds / 1_000_000_000).partialValue
    }
}
