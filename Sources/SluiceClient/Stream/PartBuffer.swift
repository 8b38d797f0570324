internal import NIOCore
internal import SluiceWire
internal import Synchronization

/// The parts of an answer between the connection, which brings them, and the one task that takes them. Bounded: when it
/// is full the connection is not read from.
final class PartBuffer: Sendable {
    enum Event: Sendable {
        /// - isDrained: the connection may be read from again.
        case part(Frame, isDrained: Bool)
        case end(Request.Answer)
    }

    private struct State {
        var parts = CircularBuffer<Frame>()
        var bytes = 0
        var isFull = false
        var end: Request.Answer?
        var waiter: CheckedContinuation<Event, Never>?

        mutating func take() -> Event? {
            guard let part = parts.popFirst() else { return end.map { .end($0) } }
            bytes -= part.payload.readableBytes
            let isDrained = isFull && bytes <= PartBuffer.low
            if isDrained { isFull = false }
            return .part(part, isDrained: isDrained)
        }
    }

    /// When the connection is no longer read from, and when it is again. What a turn of reading brings comes on top.
    static let high = 1_048_576
    static let low = 262_144

    private let state = Mutex(State())

    /// The memory of the parts that wait.
    var bytes: Int { state.withLock { $0.bytes } }

    /// - Returns: true if this has filled it.
    func append(_ part: Frame) -> Bool {
        let (waiter, fills) = state.withLock { state -> (CheckedContinuation<Event, Never>?, Bool) in
            guard state.end == nil else { return (nil, false) }
            if let waiter = state.waiter {
                state.waiter = nil
                return (waiter, false)
            }
            state.parts.append(part)
            state.bytes += part.payload.readableBytes
            let fills = !state.isFull && state.bytes >= Self.high
            if fills { state.isFull = true }
            return (nil, fills)
        }
        waiter?.resume(returning: .part(part, isDrained: false))
        return fills
    }

    /// The first end counts.
    func finish(_ answer: Request.Answer) {
        let waiter = state.withLock { state -> CheckedContinuation<Event, Never>? in
            guard state.end == nil else { return nil }
            state.end = answer
            let waiter = state.waiter
            state.waiter = nil
            return waiter
        }
        waiter?.resume(returning: .end(answer))
    }

    /// An end that does not wait for the parts before it to be taken, nor for one that came but was not taken.
    func abandon(_ error: SluiceError) {
        let end = Request.Answer.failure(RequestFailure(error))
        let waiter = state.withLock { state in
            let waiter = state.waiter
            state = State(end: end)
            return waiter
        }
        waiter?.resume(returning: .end(end))
    }

    /// By one task at a time.
    func next() async -> Event {
        await withCheckedContinuation { continuation in
            let event = state.withLock { state -> Event? in
                if let event = state.take() { return event }
                state.waiter = continuation
                return nil
            }
            if let event { continuation.resume(returning: event) }
        }
    }
}
