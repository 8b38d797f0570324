package import NIOCore
package import SluiceWire

/// By when a call is to be over. Fixed when it begins: connecting, waiting for a place and a second attempt all take
/// from the same time.
package struct TimeLimit: Sendable {
    package let deadline: NIODeadline
    let begin: NIODeadline
    /// What the gateway may be late with its answer, because the answer has to travel.
    package let grace: TimeAmount
    /// False if the caller named no limit and it is this client's own.
    package let isCallers: Bool

    /// Longer times are cut to this: nobody waits so long, and sums of it stay in range.
    private static let longest: Duration = .seconds(365 * 86_400)

    package init(_ time: Duration, grace: Duration = .zero, isCallers: Bool, from now: NIODeadline = .now()) {
        begin = now
        deadline = now + TimeAmount(min(max(.zero, time), Self.longest))
        self.grace = TimeAmount(grace)
        self.isCallers = isCallers
    }

    /// Of a call whose time was over before anything of it was sent.
    func passedUnsent(_ what: String) -> SluiceError {
        SluiceError(isCallers ? .deadlineExceeded : .noAnswer, what, isRetryable: true)
    }
}

/// Why a request has no answer.
package struct RequestFailure: Error {
    package let error: SluiceError
    /// The connection, and not the request, is to blame, and the request certainly did not run: another connection may
    /// have it.
    package let isMovable: Bool
    /// The gateway has answered it with this.
    package let isAnswer: Bool

    package init(_ error: SluiceError, isMovable: Bool = false, isAnswer: Bool = false) {
        self.error = error
        self.isMovable = isMovable
        self.isAnswer = isAnswer
    }

    /// What the caller is told when there is no further attempt.
    var final: SluiceError {
        guard isMovable, error.code == .connectionLost else { return error }
        return SluiceError(
            .notConnected, "the connection ended before the request was sent: \(error.message)", isRetryable: true)
    }
}

/// A request as a connection takes it.
package struct Request {
    package typealias Answer = Result<Frame, RequestFailure>

    let kind: FrameKind
    /// Without the time left, which is written when the request is sent.
    let payload: ByteBuffer
    let limit: TimeLimit
    /// Called for each part that precedes the answer, on the connection's event loop; nil for a request that did not
    /// ask for parts.
    let onPart: ((Frame) -> Void)?
    /// Of a request that goes on for as long as the gateway shows signs of life, the limit being how long it may be
    /// silent: since when it is waited for, or nil while it waits for more of the request.
    let waitsSince: (() -> NIODeadline?)?
    /// Called once, on the connection's event loop.
    let complete: (Answer) -> Void

    package init(
        kind: FrameKind, payload: ByteBuffer, limit: TimeLimit, onPart: ((Frame) -> Void)? = nil,
        waitsSince: (() -> NIODeadline?)? = nil, complete: @escaping (Answer) -> Void
    ) {
        self.kind = kind
        self.payload = payload
        self.limit = limit
        self.onPart = onPart
        self.waitsSince = waitsSince
        self.complete = complete
    }

    /// The requests that carry a deadline. The gateway ends them by it itself, and is silent only if something is wrong
    /// with it; the others have just the caller's limit.
    private var hasDeadline: Bool { [.search, .get, .count, .write].contains(kind) }

    /// Whether the gateway is told how much time is left.
    var tellsDeadline: Bool { hasDeadline && limit.isCallers }

    var unanswered: SluiceError {
        let code: SluiceError.Code = !hasDeadline && limit.isCallers ? .deadlineExceeded : .noAnswer
        return SluiceError(code, "the gateway did not answer in time", isRetryable: true)
    }
}

/// A request on a connection, until its answer has come. On the event loop only.
final class RequestEntry {
    enum Place {
        case queued
        case sent(UInt32)
        /// The caller has been told; the gateway may still be at work.
        case over
    }

    let ticket: UInt64
    let request: Request
    var place = Place.queued
    /// When it is to be looked at whether anybody should wait for it any longer.
    var due: NIODeadline
    /// When the last part of its answer came, or this client was last too busy to take one.
    var lastPart: NIODeadline?
    /// When it was given up while the gateway had it: its id stays taken until the gateway answers.
    var abandonedAt: NIODeadline?

    init(ticket: UInt64, request: Request) {
        self.ticket = ticket
        self.request = request
        due = request.limit.deadline
    }

    /// 0 for what takes a place in flight, 1 for PINGs, which do not.
    var lane: Int { request.kind == .ping ? 1 : 0 }
    var isQueued: Bool { if case .queued = place { true } else { false } }

    func finish(_ answer: Request.Answer) {
        place = .over
        request.complete(answer)
    }
}

/// Requests that wait for their turn, because the gateway takes only so many at a time. Bounded by number and by bytes.
struct RequestQueue {
    private static let maximumCount = 100_000
    /// Vectors and filters are the caller's memory twice as long as they wait here.
    private static let maximumBytes = 64 * 1_024 * 1_024

    /// Those given up are skipped when their turn comes, or swept when they are the most.
    private var entries = CircularBuffer<RequestEntry>()
    private(set) var count = 0
    private(set) var bytes = 0

    var isEmpty: Bool { count == 0 }

    /// - Returns: false if there is no room.
    mutating func append(_ entry: RequestEntry) -> Bool {
        let size = entry.request.payload.readableBytes
        guard count < Self.maximumCount, size <= Self.maximumBytes - bytes else { return false }
        entries.append(entry)
        count += 1
        bytes += size
        return true
    }

    mutating func popFirst() -> RequestEntry? {
        while let entry = entries.popFirst() {
            guard entry.isQueued else { continue }
            forget(entry)
            return entry
        }
        return nil
    }

    /// The entry gives up its place; to be called before it is finished.
    mutating func remove(_ entry: RequestEntry) {
        guard entry.isQueued else { return }
        forget(entry)
        entry.place = .over
        if entries.count > 2 * count + 64 { entries.removeAll { !$0.isQueued } }
    }

    mutating func removeAll() -> [RequestEntry] {
        let waiting = Array(entries.filter(\.isQueued))
        self = RequestQueue()
        return waiting
    }

    private mutating func forget(_ entry: RequestEntry) {
        count -= 1
        bytes -= entry.request.payload.readableBytes
    }
}
