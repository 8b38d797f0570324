package import NIOCore
package import SluiceWire

/// One connection to a gateway: shakes hands, keeps the table of requests in flight, gives each answer to whom it
/// belongs. On its event loop only.
package final class ConnectionHandler: ChannelInboundHandler {
    package typealias InboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    /// What whoever hands out connections has to know.
    package enum Change: Sendable {
        /// No new requests, please; those in flight are still answered.
        case retired
        case closed
    }

    /// Requests that share a bound of how many the gateway has at a time, and wait for each other.
    private struct Lane {
        var limit: Int
        var queue = RequestQueue()
        /// How many the gateway has, and how many of those nobody waits for any more.
        var sent = 0
        var abandoned = 0

        var hasPlace: Bool { sent < limit }
        var isFullOfAbandoned: Bool { limit > 0 && abandoned >= limit }
    }

    private static let largestAnswer = 256 * 1_024 * 1_024
    /// PINGs take no place in flight, so they have a bound of their own; more wait for each other.
    private static let maximumPings = 64
    /// A request that was given up keeps its id and its place until the gateway answers. A gateway that lives answers a
    /// CANCEL at once; one that has not for so long is frozen, and another connection may reach one that is not.
    private static let abandonedPatience: TimeAmount = .seconds(5)
    /// The same, while requests that were given up hold every place, so that nothing else can be sent. Not at once: a
    /// caller may cancel many calls together.
    private static let fullPatience: TimeAmount = .milliseconds(500)

    private let hello: Hello
    private let welcomeTimeout: TimeAmount
    private let ready: EventLoopPromise<Void>
    private let onChange: @Sendable (Change) -> Void
    private var context: ChannelHandlerContext?
    private var decoder = FrameDecoder(maximumFrameLength: largestAnswer, lz4: true)
    private var encoder = FrameEncoder(lz4: false)
    private var received = ByteBuffer()
    private var outbound = ByteBuffer()
    private var isFlushScheduled = false
    private var isPaused = false
    private var welcome: Welcome?
    private var lateWelcome: Scheduled<Void>?
    private var isGoingAway = false
    /// By ticket, the callers' names for them: those that wait for a place or an answer.
    private var calls: [UInt64: RequestEntry] = [:]
    /// Searches and lists, which can be sent when WELCOME has said how many; and pings, which do not wait for them.
    private var lanes = [Lane(limit: 0), Lane(limit: maximumPings)]
    /// By request id: those that the gateway has, given up or not.
    private var sent: [UInt32: RequestEntry] = [:]
    private var abandonedWatch: Scheduled<Void>?
    /// For all calls together: most are answered long before their time is over.
    private var timer: (scheduled: Scheduled<Void>, at: NIODeadline)?
    /// Not before then are all calls looked at again.
    private var nextCheck = NIODeadline.uptimeNanoseconds(0)
    private var lastHeard = NIODeadline.uptimeNanoseconds(0)
    private var nextID: UInt32 = 0
    private var failure: SluiceError?

    /// - Parameters:
    ///   - welcomeTimeout: how long the gateway may take to say WELCOME.
    ///   - ready: succeeds at WELCOME, fails if the connection ends before.
    package init(
        hello: Hello, welcomeTimeout: TimeAmount, ready: EventLoopPromise<Void>,
        onChange: @escaping @Sendable (Change) -> Void
    ) {
        self.hello = hello
        self.welcomeTimeout = welcomeTimeout
        self.ready = ready
        self.onChange = onChange
    }

    /// The memory that what has arrived takes, in bytes.
    package var bytesHeld: Int { received.capacity }

    // MARK: Channel

    package func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    /// Also of a connection that was never made: of several addresses of a host only one is used.
    package func handlerRemoved(context: ChannelHandlerContext) {
        fail(SluiceError(.connectionLost, "the connection to the gateway ended", isRetryable: true))
    }

    package func channelActive(context: ChannelHandlerContext) {
        outbound.writeBytes(Preface.bytes)
        encoder.write(.hello, requestID: 0, into: &outbound) { hello.encode(into: &$0) }
        lateWelcome = schedule(at: context.eventLoop.now + welcomeTimeout) {
            $0.fail(SluiceError(.notConnected, "the gateway did not say WELCOME in time", isRetryable: true))
        }
        flush()
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        lastHeard = context.eventLoop.now
        if received.readableBytes == 0 { received = bytes } else { received.writeBuffer(&bytes) }
        do throws(WireError) {
            while self.context != nil, let frame = try decoder.next(&received) { try take(frame) }
        } catch {
            fail(SluiceError(.protocolViolation, "the gateway broke the protocol: \(error.message)"))
        }
        received.reclaim()
    }

    package func channelReadComplete(context: ChannelHandlerContext) { flush() }

    package func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(
            SluiceError(
                .connectionLost, "the connection to the gateway failed: \(TLSDial.reason(error))", isRetryable: true))
    }

    package func channelInactive(context: ChannelHandlerContext) {
        fail(SluiceError(.connectionLost, "the gateway closed the connection", isRetryable: true))
    }

    /// Ends the connection; whoever waits on it is told.
    package func fail(_ error: SluiceError) {
        guard let context else { return }
        self.context = nil
        failure = error
        lateWelcome?.cancel()
        abandonedWatch?.cancel()
        timer?.scheduled.cancel()
        let inFlight = sent.values.filter { $0.abandonedAt == nil }
        let waiting = takeQueued()
        sent.removeAll()
        calls.removeAll()
        context.close(promise: nil)
        onChange(.closed)
        ready.fail(error)
        for entry in inFlight { entry.finish(.failure(RequestFailure(error.unanswered))) }
        for entry in waiting { entry.finish(.failure(unsent(error))) }
    }

    private func takeQueued() -> [RequestEntry] { lanes.indices.flatMap { lanes[$0].queue.removeAll() } }

    private func unsent(_ error: SluiceError) -> RequestFailure {
        RequestFailure(error, isMovable: error.code != .closed)
    }

    // MARK: Answers

    private func take(_ frame: Frame) throws(WireError) {
        switch frame.kind {
        case .welcome where welcome == nil: try takeWelcome(frame)
        case .error where frame.requestID == 0:
            fail(SluiceError(try ErrorReply(decoding: frame.payload)))
        case .goAway: retire()
        case .result, .countResult, .collectionList, .pong, .error: answer(frame)
        case .loadResult, .writeResult: answer(frame)
        case .resultPart, .loadReady, .loadCredit, .loadProgress: try takePart(frame)
        case .welcome, .hello, .ping, .cancel, .search, .collections, .get, .count, .next, .load, .loadRows, .loadEnd,
            .write:
            throw WireError(.protocolViolation, "a frame that only a client sends, or a second WELCOME")
        }
    }

    private func takeWelcome(_ frame: Frame) throws(WireError) {
        let welcome = try Welcome(decoding: frame.payload)
        self.welcome = welcome
        lanes[0].limit = welcome.maximumInFlight
        encoder = FrameEncoder(lz4: welcome.features.contains(.lz4))
        lateWelcome?.cancel()
        ready.succeed()
        sendQueued(in: 0)
    }

    private func answer(_ frame: Frame) {
        if let entry = sent.removeValue(forKey: frame.requestID) {
            lanes[entry.lane].sent -= 1
            if entry.abandonedAt != nil {
                lanes[entry.lane].abandoned -= 1
            } else {
                finish(entry, .success(frame))
            }
            sendQueued(in: entry.lane)
        }
        closeIfDone()
    }

    private func takePart(_ frame: Frame) throws(WireError) {
        // Nobody wants those of a request that was given up.
        guard let entry = sent[frame.requestID], entry.abandonedAt == nil else { return }
        guard let onPart = entry.request.onPart, (frame.kind != .resultPart) == (entry.request.kind == .load) else {
            throw WireError(.protocolViolation, "a part of an answer that was not to come in parts")
        }
        entry.lastPart = lastHeard
        onPart(frame)
    }

    private func finish(_ entry: RequestEntry, _ answer: Request.Answer) {
        calls[entry.ticket] = nil
        entry.finish(answer)
    }

    /// After GOAWAY, or a refusal that says the same. What was not sent yet has to go elsewhere.
    package func retire() {
        guard context != nil, !isGoingAway else { return }
        isGoingAway = true
        onChange(.retired)
        for entry in takeQueued() { finish(entry, .failure(unsent(Self.goingAway))) }
        closeIfDone()
    }

    private static var goingAway: SluiceError {
        SluiceError(.shuttingDown, "the gateway is going away", isRetryable: true)
    }

    private func closeIfDone() {
        guard isGoingAway, sent.isEmpty else { return }
        fail(SluiceError(.connectionLost, "the gateway went away", isRetryable: true))
    }

    // MARK: Requests

    /// - Parameter ticket: the caller's name for this request, to cancel it by.
    package func send(_ request: Request, ticket: UInt64) {
        let entry = RequestEntry(ticket: ticket, request: request)
        if let failure { return entry.finish(.failure(unsent(failure))) }
        guard !isGoingAway else { return entry.finish(.failure(unsent(Self.goingAway))) }
        if let refusal = place(entry) { return entry.finish(.failure(RequestFailure(refusal))) }
        // Done already if it was too large or too late to be sent.
        if case .over = entry.place { return }
        calls[ticket] = entry
        wake(at: entry.due)
    }

    /// Sends the request, or has it wait for its turn.
    /// - Returns: why it cannot even wait.
    private func place(_ entry: RequestEntry) -> SluiceError? {
        let lane = entry.lane
        if lanes[lane].hasPlace, lanes[lane].queue.isEmpty {
            transmit(entry)
        } else if !lanes[lane].queue.append(entry) {
            let (count, bytes) = (lanes[lane].queue.count, lanes[lane].queue.bytes)
            return SluiceError(.busy, "\(count) requests of \(bytes) bytes wait in this client", isRetryable: true)
        }
        return nil
    }

    private func sendQueued(in lane: Int) {
        while context != nil, lanes[lane].hasPlace, let entry = lanes[lane].queue.popFirst() { transmit(entry) }
    }

    private func transmit(_ entry: RequestEntry) {
        guard let context else { return }
        let request = entry.request
        let left = Duration(request.limit.deadline - context.eventLoop.now)
        guard left >= .microseconds(1) else {
            let error = request.limit.passedUnsent("the time was over before the request could be sent")
            return finish(entry, .failure(RequestFailure(error)))
        }
        let most = welcome?.maximumFrameLength ?? .max
        let size = request.payload.readableBytes + (request.tellsDeadline ? SearchRequest.deadlineFieldLength : 0)
        guard size <= most - 8 else {
            let error = SluiceError(.frameTooLarge, "the request is larger than the gateway's \(most) bytes")
            return finish(entry, .failure(RequestFailure(error)))
        }
        let id = freeID()
        entry.place = .sent(id)
        sent[id] = entry
        lanes[entry.lane].sent += 1
        encoder.write(request.kind, requestID: id, into: &outbound) { buffer in
            buffer.writeImmutableBuffer(request.payload)
            if request.tellsDeadline { SearchRequest.write(deadline: left, into: &buffer) }
        }
        scheduleFlush()
    }

    /// The gateway takes another request that is no PING.
    var hasRoom: Bool { lanes[0].hasPlace }

    /// As the gateway calls itself.
    var server: String? { welcome?.server }

    /// The most that a frame's payload may have, in bytes; nil before WELCOME.
    package var maximumPayload: Int? { welcome.map { $0.maximumFrameLength - 8 } }

    /// Sends a further frame of a request that the gateway has. Its payload is not copied.
    /// - Parameter written: called when it has left this process, or is not sent, because the request is over.
    package func sendMore(
        _ kind: FrameKind, _ payload: ByteBuffer, ticket: UInt64, written: @escaping @Sendable () -> Void
    ) {
        guard let context, let entry = calls[ticket], case .sent(let id) = entry.place else { return written() }
        encoder.writeHeader(kind, requestID: id, payloadLength: payload.readableBytes, into: &outbound)
        context.write(wrapOutboundOut(outbound), promise: nil)
        outbound = context.channel.allocator.buffer(capacity: 256)
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.whenComplete { _ in written() }
        context.writeAndFlush(wrapOutboundOut(payload), promise: promise)
    }

    private func freeID() -> UInt32 {
        repeat { nextID = nextID == .max ? 1 : nextID + 1 } while sent[nextID] != nil
        return nextID
    }

    // MARK: Back-pressure

    /// Stops reading from the connection, or goes on: whoever takes the parts of an answer has too many already, or
    /// wants more. The gateway then cannot send either.
    package func setReading(_ isReading: Bool) {
        guard let context, isPaused == isReading else { return }
        isPaused = !isReading
        if isReading { for entry in sent.values { entry.lastPart = context.eventLoop.now } }
        context.channel.setOption(.autoRead, value: isReading).whenFailure { _ in }
    }

    // MARK: Giving up

    /// The caller does not want the answer any more: the gateway is told, and the id stays taken until it answers.
    package func cancel(ticket: UInt64, _ error: SluiceError = SluiceError(.cancelled, "the call was cancelled")) {
        guard let entry = calls[ticket] else { return }
        giveUp(entry, error)
    }

    private func wake(at due: NIODeadline) {
        let due = max(due, nextCheck)
        if let timer, timer.at <= due { return }
        timer?.scheduled.cancel()
        timer = schedule(at: due) { $0.checkTime() }.map { ($0, due) }
    }

    private func checkTime() {
        // One that was cancelled too late finds another in its place.
        timer?.scheduled.cancel()
        timer = nil
        guard let context else { return }
        let now = context.eventLoop.now
        nextCheck = now + .nanoseconds(Self.nanosecondsOfACall * Int64(calls.count))
        for entry in calls.values.filter({ $0.due <= now }) { timeIsUp(entry, now) }
        if let next = calls.values.lazy.map(\.due).min() { wake(at: next) }
    }

    /// Several times what it takes to look at one: with many calls, that must not be all that is done.
    private static let nanosecondsOfACall: Int64 = 200

    private func timeIsUp(_ entry: RequestEntry, _ now: NIODeadline) {
        switch entry.place {
        case .queued: giveUp(entry, entry.request.limit.passedUnsent("the time was over before the gateway had room"))
        case .sent:
            entry.due = patienceEnd(of: entry, now)
            if entry.due <= now { giveUp(entry, entry.request.unanswered) }
        case .over: break
        }
    }

    /// An answer may be late, because it has to travel; so may each part of one, and more so if this client does not
    /// take it.
    private func patienceEnd(of entry: RequestEntry, _ now: NIODeadline) -> NIODeadline {
        let limit = entry.request.limit
        if let waitsSince = entry.request.waitsSince {
            // As long as the gateway waits for us it may be silent; else every frame of it is a sign of life.
            return max(waitsSince() ?? now, lastHeard) + (limit.deadline - limit.begin)
        }
        let lastPart = isPaused && entry.request.onPart != nil ? now : entry.lastPart
        return max(limit.deadline, lastPart ?? limit.deadline) + limit.grace
    }

    private func giveUp(_ entry: RequestEntry, _ error: SluiceError) {
        guard let context else { return }
        switch entry.place {
        case .queued: lanes[entry.lane].queue.remove(entry)
        case .sent(let id):
            entry.abandonedAt = context.eventLoop.now
            lanes[entry.lane].abandoned += 1
            // A PING is answered at once or not at all; there is nothing to stop.
            if entry.request.kind != .ping { encoder.write(.cancel, requestID: id, into: &outbound) { _ in } }
            scheduleFlush()
            watchAbandoned()
        case .over: return
        }
        finish(entry, .failure(RequestFailure(error)))
    }

    private var isFullOfAbandoned: Bool { lanes.contains(where: \.isFullOfAbandoned) }

    private func watchAbandoned() {
        if isFullOfAbandoned { return checkAbandoned() }
        guard abandonedWatch == nil, let context else { return }
        abandonedWatch = schedule(at: context.eventLoop.now + Self.abandonedPatience) { $0.checkAbandoned() }
    }

    /// Ends the connection if the gateway has not answered what was given up for too long. Without this, requests that
    /// nobody waits for would hold its places for ever.
    private func checkAbandoned() {
        abandonedWatch?.cancel()
        abandonedWatch = nil
        guard let context, let oldest = sent.values.compactMap(\.abandonedAt).min() else { return }
        // In the middle of a large answer the gateway cannot say anything else.
        let since = received.readableBytes > 0 ? max(oldest, lastHeard) : oldest
        let end = since + (isFullOfAbandoned ? Self.fullPatience : Self.abandonedPatience)
        guard context.eventLoop.now >= end else {
            abandonedWatch = schedule(at: end) { $0.checkAbandoned() }
            return
        }
        fail(
            SluiceError(
                .connectionLost, "the gateway does not answer: this client has given up the connection",
                isRetryable: true))
    }

    // MARK: The event loop

    private func schedule(at deadline: NIODeadline, _ task: @escaping (ConnectionHandler) -> Void) -> Scheduled<Void>? {
        guard let context else { return nil }
        let bound = NIOLoopBound((handler: self, task: task), eventLoop: context.eventLoop)
        return context.eventLoop.scheduleTask(deadline: deadline) { bound.value.task(bound.value.handler) }
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
