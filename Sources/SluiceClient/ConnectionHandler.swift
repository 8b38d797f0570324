internal import NIOCore
internal import SluiceWire

/// One connection to a gateway: shakes hands, keeps the table of requests in flight, gives each answer to whom it
/// belongs. On its event loop only.
final class ConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    typealias Answer = Result<Frame, SluiceError>

    /// A request that waits for its answer.
    struct Pending {
        let complete: (Answer) -> Void
        let deadline: Scheduled<Void>?
    }

    /// A request that waits for its turn, because the gateway takes only so many at a time.
    private struct Queued {
        let ticket: UInt64
        let request: Request
    }

    struct Request {
        let kind: FrameKind
        let payload: ByteBuffer
        /// When to stop waiting for an answer.
        let patience: Duration?
        let complete: (Answer) -> Void
    }

    private static let maximumQueued = 100_000
    private static let largestAnswer = 256 * 1_024 * 1_024

    private let hello: Hello
    private let ready: EventLoopPromise<Void>
    private let onClose: @Sendable () -> Void
    private var context: ChannelHandlerContext?
    private var decoder = FrameDecoder(maximumFrameLength: largestAnswer, lz4: true)
    private var encoder = FrameEncoder(lz4: false)
    private var received = ByteBuffer()
    private var outbound = ByteBuffer()
    private var isFlushScheduled = false
    private var welcome: Welcome?
    private var isGoingAway = false
    private var pending: [UInt32: Pending] = [:]
    /// Requests that were given up while the gateway still works on them: their ids stay taken.
    private var abandoned: Set<UInt32> = []
    private var queue: [Queued] = []
    private var tickets: [UInt64: UInt32] = [:]
    private var nextID: UInt32 = 0
    private var failure: SluiceError?

    init(hello: Hello, ready: EventLoopPromise<Void>, onClose: @escaping @Sendable () -> Void) {
        self.hello = hello
        self.ready = ready
        self.onClose = onClose
    }

    // MARK: Channel

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func channelActive(context: ChannelHandlerContext) {
        outbound.writeBytes(Preface.bytes)
        encoder.write(.hello, requestID: 0, into: &outbound) { hello.encode(into: &$0) }
        flush()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if received.readableBytes == 0 { received = bytes } else { received.writeBuffer(&bytes) }
        do throws(WireError) {
            while self.context != nil, let frame = try decoder.next(&received) { try take(frame) }
        } catch {
            fail(SluiceError(.protocolViolation, "the gateway broke the protocol: \(error.message)"))
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) { flush() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(SluiceError(.connectionLost, "the connection to the gateway failed: \(error)", isRetryable: true))
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(SluiceError(.connectionLost, "the gateway closed the connection", isRetryable: true))
    }

    /// Ends the connection; whoever waits on it is told.
    func fail(_ error: SluiceError) {
        guard let context else { return }
        self.context = nil
        failure = failure ?? error
        let waiting = Array(pending.values)
        let queued = queue
        pending.removeAll()
        queue.removeAll()
        tickets.removeAll()
        context.close(promise: nil)
        onClose()
        ready.fail(failure ?? error)
        for each in waiting {
            each.deadline?.cancel()
            each.complete(.failure(failure ?? error))
        }
        for each in queued { each.request.complete(.failure(failure ?? error)) }
    }

    // MARK: Answers

    private func take(_ frame: Frame) throws(WireError) {
        switch frame.kind {
        case .welcome where welcome == nil: try takeWelcome(frame)
        case .error where frame.requestID == 0:
            fail(SluiceError(try ErrorReply(decoding: frame.payload)))
        case .goAway:
            isGoingAway = true
            onClose()
            refuseQueued()
        case .result, .collectionList, .pong, .error: answer(frame)
        case .welcome, .hello, .ping, .cancel, .search, .collections:
            throw WireError(.protocolViolation, "a frame that only a client sends, or a second WELCOME")
        }
    }

    private func takeWelcome(_ frame: Frame) throws(WireError) {
        let welcome = try Welcome(decoding: frame.payload)
        self.welcome = welcome
        encoder = FrameEncoder(lz4: welcome.features.contains(.lz4))
        ready.succeed()
        sendQueued()
    }

    private func answer(_ frame: Frame) {
        if abandoned.remove(frame.requestID) == nil, let request = pending.removeValue(forKey: frame.requestID) {
            request.deadline?.cancel()
            request.complete(.success(frame))
        }
        sendQueued()
        closeIfDone()
    }

    /// After GOAWAY what was not sent yet has to go elsewhere.
    private func refuseQueued() {
        let waiting = queue
        queue.removeAll()
        for each in waiting {
            each.request.complete(
                .failure(SluiceError(.shuttingDown, "the gateway is going away", isRetryable: true)))
        }
        closeIfDone()
    }

    private func closeIfDone() {
        guard isGoingAway, pending.isEmpty, abandoned.isEmpty else { return }
        fail(SluiceError(.connectionLost, "the gateway went away", isRetryable: true))
    }

    // MARK: Requests

    /// - Parameter ticket: the caller's name for this request, to cancel it by.
    func send(_ request: Request, ticket: UInt64) {
        if let failure { return request.complete(.failure(failure)) }
        guard !isGoingAway else {
            return request.complete(
                .failure(SluiceError(.shuttingDown, "the gateway is going away", isRetryable: true)))
        }
        guard queue.count < Self.maximumQueued else {
            return request.complete(
                .failure(SluiceError(.busy, "\(queue.count) requests wait in this client", isRetryable: true)))
        }
        queue.append(Queued(ticket: ticket, request: request))
        sendQueued()
    }

    private func sendQueued() {
        guard let welcome, !queue.isEmpty else { return }
        var sent = 0
        while sent < queue.count, pending.count + abandoned.count < welcome.maximumInFlight {
            transmit(queue[sent], limit: welcome.maximumFrameLength)
            sent += 1
        }
        queue.removeFirst(sent)
    }

    private func transmit(_ queued: Queued, limit: Int) {
        let request = queued.request
        guard request.payload.readableBytes + 8 <= limit else {
            return request.complete(
                .failure(SluiceError(.init(.frameTooLarge), "the request is larger than the gateway's \(limit) bytes")))
        }
        let id = freeID()
        let deadline = request.patience.flatMap { patience in
            context.map { context in
                let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
                return context.eventLoop.scheduleTask(in: TimeAmount(patience)) { handler.value.gaveUp(id) }
            }
        }
        let ticket = queued.ticket
        tickets[ticket] = id
        pending[id] = Pending(
            complete: { [weak self] answer in
                self?.tickets[ticket] = nil
                request.complete(answer)
            }, deadline: deadline)
        encoder.write(request.kind, requestID: id, into: &outbound) { $0.writeImmutableBuffer(request.payload) }
        scheduleFlush()
    }

    private func freeID() -> UInt32 {
        repeat { nextID = nextID == .max ? 1 : nextID + 1 } while pending[nextID] != nil || abandoned.contains(nextID)
        return nextID
    }

    /// The caller does not want the answer any more: the gateway is told, and the id stays taken until it answers.
    func cancel(ticket: UInt64) {
        let error = SluiceError(.cancelled, "the call was cancelled")
        if let id = tickets[ticket] {
            abandon(id, error)
        } else if let place = queue.firstIndex(where: { $0.ticket == ticket }) {
            queue.remove(at: place).request.complete(.failure(error))
        }
    }

    private func gaveUp(_ id: UInt32) {
        abandon(id, SluiceError(.deadlineExceeded, "the gateway did not answer in time", isRetryable: true))
    }

    private func abandon(_ id: UInt32, _ error: SluiceError) {
        guard let request = pending.removeValue(forKey: id) else { return }
        abandoned.insert(id)
        encoder.write(.cancel, requestID: id, into: &outbound) { _ in }
        scheduleFlush()
        request.deadline?.cancel()
        request.complete(.failure(error))
    }

    private func scheduleFlush() {
        guard !isFlushScheduled, let context else { return }
        isFlushScheduled = true
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.execute { handler.value.flush() }
    }

    private func flush() {
        isFlushScheduled = false
        guard let context, outbound.readableBytes > 0 else { return }
        context.writeAndFlush(wrapOutboundOut(outbound), promise: nil)
        outbound = context.channel.allocator.buffer(capacity: 4_096)
    }
}
