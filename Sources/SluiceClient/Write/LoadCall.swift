internal import NIOCore
internal import SluiceWire
internal import Synchronization

/// One load on one connection, between the task that sends its rows and the connection, which brings credit and the
/// end. Each waits for it by one continuation, resumed once.
final class LoadCall: Sendable {
    private struct State {
        var credit: Int?
        /// What a frame has at best: enough to be worth it, and not all the credit at once.
        var frameSize = 0
        var isWriting = false
        var hasEnded = false
        var rowsSent = 0
        var waitsSince: NIODeadline?
        var sender: (bytes: Int, continuation: CheckedContinuation<Bool, Never>)?
        var end: Request.Answer?
        var ender: CheckedContinuation<Request.Answer, Never>?

        /// Takes the credit for it; nil as long as it has to wait.
        mutating func mayGoOn(_ bytes: Int) -> Bool? {
            if end != nil { return false }
            guard let credit, credit >= bytes, !isWriting else { return nil }
            self.credit = credit - bytes
            return true
        }

        /// What a change has to wake the sender with.
        mutating func wake() -> (() -> Void)? {
            guard let (bytes, continuation) = sender, let goesOn = mayGoOn(bytes) else { return nil }
            sender = nil
            waitsSince = nil
            return { continuation.resume(returning: goesOn) }
        }
    }

    private static let largestFrame = 256 * 1_024

    private let link: Link
    private let ticket: UInt64
    private let progress: (@Sendable (LoadProgress) -> Void)?
    private let state = Mutex(State())

    init(_ link: Link, ticket: UInt64, progress: (@Sendable (LoadProgress) -> Void)?) {
        self.link = link
        self.ticket = ticket
        self.progress = progress
    }

    /// True once LOAD_END is on its way: from then on the gateway may commit.
    var hasEnded: Bool { state.withLock { $0.hasEnded } }

    /// True once the gateway was ready: rows have been asked for.
    var hasBegun: Bool { state.withLock { $0.credit != nil } }

    // MARK: The connection's side

    /// - Parameter silence: how long the gateway may say nothing while it is waited for.
    func start(_ payload: ByteBuffer, silence: TimeLimit) {
        state.withLock { $0.waitsSince = .now() }
        link.run { handler in
            let request = Request(
                kind: .load, payload: payload, limit: silence,
                onPart: { [weak handler] in self.take($0, handler) },
                waitsSince: { self.state.withLock { $0.waitsSince } },
                complete: { self.finish($0) })
            handler.send(request, ticket: self.ticket)
        }
    }

    private func take(_ frame: Frame, _ handler: ConnectionHandler?) {
        do throws(WireError) {
            switch frame.kind {
            case .loadReady:
                let credit = try LoadReady(decoding: frame.payload).credit
                let most = min(Self.largestFrame, handler?.maximumPayload ?? Self.largestFrame)
                grant(credit, frameSize: max(1, min(most, credit / 4)))
            case .loadCredit:
                let credit = try LoadCredit(decoding: frame.payload)
                grant(credit.credit)
                report(.rows, done: credit.rowsTaken)
            default:
                let told = try SluiceWire.LoadProgress(decoding: frame.payload)
                report(
                    LoadProgress.Phase(rawValue: told.phase.name) ?? .unknown, done: told.done, total: told.total,
                    shard: told.shard)
            }
        } catch {
            handler?.fail(SluiceError(.protocolViolation, "the gateway broke the protocol: \(error.message)"))
        }
    }

    private func report(_ phase: LoadProgress.Phase, done: Int, total: Int = 0, shard: String? = nil) {
        guard let progress else { return }
        let sent = state.withLock { $0.rowsSent }
        progress(LoadProgress(phase: phase, done: done, total: total, shard: shard, rowsSent: sent))
    }

    private func grant(_ credit: Int, frameSize: Int? = nil) {
        let wake = state.withLock { state in
            state.credit = (state.credit ?? 0) + credit
            if let frameSize { state.frameSize = frameSize }
            return state.wake()
        }
        wake?()
    }

    private func written() {
        state.withLock { state in
            state.isWriting = false
            return state.wake()
        }?()
    }

    private func finish(_ answer: Request.Answer) {
        let (wake, ender) = state.withLock { state in
            state.end = answer
            let ender = state.ender
            state.ender = nil
            return (state.wake(), ender)
        }
        wake?()
        ender?.resume(returning: answer)
    }

    // MARK: The caller's side

    func cancel(_ error: SluiceError? = nil) {
        let error = error ?? SluiceError(.cancelled, "the call was cancelled")
        link.run { [ticket] in $0.cancel(ticket: ticket, error) }
    }

    /// By one task at a time.
    func end() async -> Request.Answer {
        await withCheckedContinuation { continuation in
            let answer = state.withLock { state in
                if state.end == nil { state.ender = continuation }
                return state.end
            }
            if let answer { continuation.resume(returning: answer) }
        }
    }

    /// Waits until the gateway is ready.
    /// - Returns: the bytes that a frame should have; nil if the load is over already.
    func ready() async -> Int? { await room(for: 0) ? state.withLock { $0.frameSize } : nil }

    /// Waits for credit, and for the frame before to have left: what the gateway does not take is not made.
    private func room(for bytes: Int) async -> Bool {
        await withCheckedContinuation { continuation in
            let goesOn = state.withLock { state -> Bool? in
                if let goesOn = state.mayGoOn(bytes) {
                    state.waitsSince = nil
                    return goesOn
                }
                state.sender = (bytes, continuation)
                state.waitsSince = .now()
                return nil
            }
            if let goesOn { continuation.resume(returning: goesOn) }
        }
    }

    /// Sends rows when there is credit for them.
    /// - Returns: false if the load is over.
    func send(_ payload: ByteBuffer, rows: Int) async -> Bool {
        guard await room(for: payload.readableBytes) else { return false }
        state.withLock { state in
            state.isWriting = true
            state.rowsSent += rows
        }
        link.run { [ticket] handler in
            guard payload.readableBytes <= handler.maximumPayload ?? .max else {
                let error = SluiceError(
                    .frameTooLarge, "a row of \(payload.readableBytes) bytes is larger than the gateway's frames")
                return handler.cancel(ticket: ticket, error)
            }
            handler.sendMore(.loadRows, payload, ticket: ticket) { self.written() }
        }
        return true
    }

    func finishSending() async {
        guard await room(for: 0) else { return }
        let rows = state.withLock { state in
            state.hasEnded = true
            state.waitsSince = .now()
            return state.rowsSent
        }
        var payload = ByteBuffer()
        LoadEnd(rows: rows).encode(into: &payload)
        link.run { [ticket, payload] in $0.sendMore(.loadEnd, payload, ticket: ticket) {} }
    }
}
