internal import Logging
internal import NIOCore
internal import SluiceCore
internal import SluiceEngine
internal import SluiceWire

/// One client's connection: cuts frames, asks `SessionMachine` what they mean, runs requests on the session's lane and
/// writes the answers, with one flush for each turn of the event loop.
final class SessionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private(set) var context: SessionContext
    /// Nobody's before HELLO.
    var access = SessionAccess.nobody
    var machine: SessionMachine
    private var decoder: FrameDecoder
    private var encoder = FrameEncoder(lz4: false)
    private var hasPreface = false
    var received = ByteBuffer()
    var outbound = ByteBuffer()
    /// Written, and not yet taken by the kernel.
    var unsent = 0
    private var isWritable = true
    private var isFlushScheduled = false
    private(set) var channelContext: ChannelHandlerContext?
    private var closing: Scheduled<Void>?
    private var starting: [StartingRequest] = []
    private var running: [UInt32: RunningRequest] = [:]
    /// Streams that wait until the client has read what there is.
    private var drainWaiters: [UInt32: CheckedContinuation<Void, Never>] = [:]
    let backlog = SharedBacklog()
    private let queue = LaneQueue()
    var loads: [UInt32: LoadInput] = [:]
    /// Of the requests that are part of a trace.
    var traces: [UInt32: RequestTrace] = [:]
    /// What it may do, and what it does just now.
    var bounds: SessionBounds
    /// It has not had its share of the loop's turn.
    var hasTurn = true

    init(_ context: SessionContext) {
        self.context = context
        machine = SessionMachine(maximumInFlight: context.limits.maxInFlight)
        decoder = FrameDecoder(maximumFrameLength: Self.helloLength(context.limits), lz4: false)
        bounds = SessionBounds(context.limits, now: context.lane.executor.now())
    }

    // MARK: Channel

    func handlerAdded(context channelContext: ChannelHandlerContext) {
        self.channelContext = channelContext
        openAccount(channelContext)
    }

    func channelActive(context channelContext: ChannelHandlerContext) {
        // Not cancelled after HELLO: among many timers, to find one costs more than to let it come.
        let session = NIOLoopBound(WeakSession(handler: self), eventLoop: channelContext.eventLoop)
        channelContext.eventLoop.scheduleTask(in: .init(context.limits.handshakeTimeout)) {
            session.value.handler?.handshakeTimedOut()
        }
        channelContext.fireChannelActive()
    }

    func channelRead(context channelContext: ChannelHandlerContext, data: NIOAny) {
        // A session that has ended may still be read from for a moment.
        guard self.channelContext != nil else { return }
        var bytes = unwrapInboundIn(data)
        let count = bytes.readableBytes
        context.commons.traffic.received(count)
        let frames = count < Dribble.few ? bounds.frames : 0
        if received.readableBytes == 0 { received = bytes } else { received.writeBuffer(&bytes) }
        process()
        received.reclaim()
        if count < Dribble.few { arrived(count, frames: frames) }
    }

    func channelReadComplete(context channelContext: ChannelHandlerContext) {
        turnEnded()
        channelContext.fireChannelReadComplete()
    }

    /// A peer that does not read its answers is not read from either.
    func channelWritabilityChanged(context channelContext: ChannelHandlerContext) {
        isWritable = channelContext.channel.isWritable
        if isWritable {
            // What had arrived before it stopped reading.
            catchUp()
        }
        pause(.unwritable, !isWritable)
        channelContext.fireChannelWritabilityChanged()
    }

    func channelInactive(context channelContext: ChannelHandlerContext) {
        ended()
        channelContext.fireChannelInactive()
    }

    func errorCaught(context channelContext: ChannelHandlerContext, error: any Error) {
        context.logger.debug("session failed: \(error)", metadata: logged)
        channelContext.close(promise: nil)
    }

    /// What all sessions share has changed. What this one was told at its beginning stays so: the size of its frames,
    /// how many requests it may have in flight.
    func commonsChanged(_ commons: SessionCommons) { context.commons = commons }

    private func ended() {
        machine.closed()
        closeAccount()
        closing?.cancel()
        for request in starting { drop(request) }
        starting.removeAll()
        for request in running.values { request.cancel() }
        running.removeAll()
        loads.removeAll()
        endTraces()
        channelContext = nil
        received = ByteBuffer()
        resumeStreams()
    }

    // MARK: Frames

    func process() {
        do throws(WireError) {
            if !hasPreface {
                guard try Preface.check(&received) else { return }
                hasPreface = true
            }
            while channelContext != nil {
                if outbound.readableBytes >= Self.flushThreshold { flush() }
                // Answers that nobody takes must not pile up: what has arrived waits until the peer reads again.
                guard isWritable, hasTurn, !bounds.pauses.contains(.lane), let frame = try decoder.next(&received)
                else { break }
                handle(frame)
            }
            launchStarting()
            if !hasTurn { yieldTurn() }
        } catch {
            fail(error.code, error.message)
        }
    }

    /// Goes on with what has arrived, outside of a read.
    func catchUp() {
        process()
        received.reclaim()
        scheduleFlush()
    }

    private func handle(_ frame: Frame) {
        let action = machine.frameReceived(frame.kind, requestID: frame.requestID)
        // What costs nothing to ask for is counted, and the rest is measured.
        switch bounds.came(action, frame, clock: context.lane.executor) {
        case .within: perform(action, frame)
        case .beyond(let kind): exceeded(kind)
        case .request where mayBegin(frame): measured { perform(action, frame) }
        case .request: break
        }
        hasTurn = bounds.turn.hasRoom
    }

    private func perform(_ action: SessionMachine.FrameAction, _ frame: Frame) {
        switch action {
        case .welcome(let goAway): welcome(frame, goAway: goAway)
        case .pong: pong(frame)
        case .search: metered(frame, search)
        case .get: metered(frame, get)
        case .count: metered(frame, count)
        case .next: metered(frame, next)
        case .load: metered(frame, load)
        case .loadRows: loadRows(frame)
        case .loadEnd: loadEnd(frame)
        case .write: metered(frame, write)
        case .listCollections: listCollections(frame)
        case .cancel: cancel(frame.requestID)
        case .nothing: break
        case .refuse(let code, let message): refuse(frame.requestID, code, message)
        case .fail(let code, let message): fail(code, message)
        }
    }

    private func welcome(_ frame: Frame, goAway: Bool) {
        do throws(WireError) {
            let hello = try Hello(decoding: frame.payload)
            do throws(Refusal) { access = try identified(hello) } catch {
                return fail(.unauthenticated, error.rawValue)
            }
            let features = hello.features.intersection(.lz4)
            let agreed = features.contains(.lz4)
            decoder = FrameDecoder(
                maximumFrameLength: context.limits.maxFrame, lz4: agreed, maximumRatio: context.limits.maxLZ4Ratio)
            context.commons.registry.welcomed(context.sessionID)
            let welcome = Welcome(
                server: context.commons.serverName, features: features, maximumFrameLength: context.limits.maxFrame,
                maximumInFlight: context.limits.maxInFlight, maximumK: maximumK,
                sessionID: context.sessionID)
            // WELCOME itself is never compressed: the client learns of the agreement from it.
            write(.welcome, frame.requestID) { welcome.encode(into: &$0) }
            encoder = FrameEncoder(lz4: agreed)
            if goAway { writeGoAway("the gateway is shutting down") }
        } catch {
            fail(error.code, error.message)
        }
    }

    private func pong(_ frame: Frame) {
        guard frame.payload.readableBytes <= Self.maximumPingBytes else {
            return fail(.malformed, "PING carries at most \(Self.maximumPingBytes) bytes")
        }
        write(.pong, frame.requestID) { $0.writeImmutableBuffer(frame.payload) }
    }

    private static var maximumPingBytes: Int { 64 }

    private func listCollections(_ frame: Frame) {
        let list = context.commons.collections.list(for: access.identity)
        bounds.turn.spend(answer: list.readableBytes)
        answer(frame.requestID, .collectionList) { $0.writeImmutableBuffer(list) }
    }

    // MARK: Requests that take time

    /// Asks for admission, runs a request on the session's lane, and answers it.
    ///
    /// It goes there when all that has arrived has been looked at: one that is cancelled in the same breath costs the
    /// lane nothing.
    func start<Answer: ReplyMessage>(
        _ requestID: UInt32, _ priority: SearchPriority, deadline: Instant, now: Instant,
        _ work: @escaping @Sendable (SearchLane, Admission.Ticket) async -> Outcome<Answer>
    ) {
        guard channelContext != nil, hasPlace(requestID) else { return }
        let ticket: Admission.Ticket
        do throws(SearchError) {
            ticket = try context.commons.shared.arrived(
                priority, of: context.sessionID, deadline: deadline, now: now)
        } catch {
            access.meter.end()
            return answer(requestID, error)
        }
        let bytes = take()
        starting.append(
            StartingRequest(id: requestID, bytes: bytes, ticket: ticket) { [self] in
                begin(requestID, bytes) { await work($0, ticket) }
            })
    }

    /// Runs a request on the session's lane, and answers it.
    func run<Answer: ReplyMessage>(
        _ requestID: UInt32, _ work: @escaping @Sendable (SearchLane) async -> Outcome<Answer>
    ) {
        guard channelContext != nil, hasPlace(requestID) else { return }
        begin(requestID, take(), work)
    }

    /// Counts a request that stands in the lane's queue from now on.
    /// - Returns: the bytes that it was sent in.
    private func take() -> Int {
        bounds.inFlightBytes += bounds.frameBytes
        if !queue.added() { pause(.lane, true) }
        return bounds.frameBytes
    }

    /// What has arrived has been looked at: what was not cancelled in the same breath goes to the lane.
    private func launchStarting() {
        if starting.isEmpty { return }
        let requests = starting
        starting.removeAll()
        for request in requests { request.begin() }
    }

    private func cancel(_ requestID: UInt32) {
        guard let place = starting.firstIndex(where: { $0.id == requestID }) else {
            running[requestID]?.cancel()
            return
        }
        drop(starting.remove(at: place))
        answer(requestID, SearchError(.cancelled, "the request was cancelled before it began"))
    }

    /// Gives back what a request has taken that will not run.
    private func drop(_ request: StartingRequest) {
        bounds.inFlightBytes -= request.bytes
        access.meter.end()
        context.commons.shared.admission.turnedAway(request.ticket, now: context.lane.executor.now())
        _ = queue.began()
    }

    private func begin<Answer: ReplyMessage>(
        _ requestID: UInt32, _ bytes: Int, _ work: @escaping @Sendable (SearchLane) async -> Outcome<Answer>
    ) {
        guard let eventLoop = channelContext?.eventLoop else { return }
        let handler = NIOLoopBound(self, eventLoop: eventLoop)
        let request = RunningRequest(bytes: bytes)
        running[requestID] = request
        let task = Task(executorPreference: context.lane.executor) {
            [lane = context.lane, account = bounds.account, meter = access.meter, trace = traces[requestID], queue] in
            if queue.began() { eventLoop.execute { handler.value.laneHasRoom() } }
            defer {
                meter.end()
                request.ended()
            }
            let outcome = await work(lane)
            let reply = Reply(outcome.result, trace)
            let bytes = reply.payload.readableBytes
            account?.add(bytes)
            meter.answered(bytes: bytes, now: lane.executor.now())
            let isSettling = !outcome.unsettled.isEmpty
            eventLoop.execute {
                account?.add(-bytes)
                handler.value.ended(requestID, reply, isSettling: isSettling)
            }
            guard isSettling else { return }
            for work in outcome.unsettled { await work.value }
            eventLoop.execute { handler.value.settled() }
        }
        request.began(task)
    }

    private func ended(_ requestID: UInt32, _ reply: Reply, isSettling: Bool) {
        bounds.inFlightBytes -= running.removeValue(forKey: requestID)?.bytes ?? 0
        loads[requestID] = nil
        noteEnd(requestID, reply.error)
        write(reply.kind, requestID) { $0.writeImmutableBuffer(reply.payload) }
        machine.requestAnswered(requestID, isSettling: isSettling)
        scheduleFlush()
        closeIfDone()
        if let error = reply.error { noteError(error) }
    }

    private func settled() {
        machine.requestSettled()
        closeIfDone()
    }

    // MARK: Answers

    /// What a request is told before its answer.
    func send(_ kind: FrameKind, _ requestID: UInt32, _ payload: (inout ByteBuffer) -> Void) {
        guard channelContext != nil else { return }
        write(kind, requestID, payload)
        scheduleFlush()
    }

    func answer(_ requestID: UInt32, _ kind: FrameKind, _ payload: (inout ByteBuffer) -> Void) {
        write(kind, requestID, payload)
        machine.requestAnswered(requestID, isSettling: false)
        closeIfDone()
    }

    func answer(_ requestID: UInt32, _ error: WireError) {
        answer(requestID, ErrorReply(code: error.code, message: error.message))
    }

    func answer(_ requestID: UInt32, _ error: SearchError) {
        answer(requestID, ReplyEncoder.errorReply(error))
    }

    private func answer(_ requestID: UInt32, _ error: ErrorReply) {
        var error = error
        error.traceID = traces[requestID].flatMap { TraceID($0.id) }
        noteEnd(requestID, error.code)
        answer(requestID, .error) { [error] in error.encode(into: &$0) }
        noteError(error.code)
    }

    private func refuse(_ requestID: UInt32, _ code: ErrorCode, _ message: String) {
        write(.error, requestID) { ErrorReply(code: code, message: message).encode(into: &$0) }
        logFailure(requestID, nil, code)
        noteError(code)
    }

    /// Says why, and closes.
    func fail(_ code: ErrorCode, _ message: String) {
        guard let channelContext else { return }
        machine.closed()
        context.logger.debug("closing a session: \(message)", metadata: logged)
        write(.error, 0) { ErrorReply(code: code, message: message).encode(into: &$0) }
        flush()
        close(channelContext, code)
        ended()
    }

    private func handshakeTimedOut() {
        guard machine.isAwaitingHello else { return }
        fail(.handshakeTimeout, "no HELLO in time")
    }

    /// Tells the client to go elsewhere; the session ends when what is in flight has.
    func goAway(_ message: String) {
        guard channelContext != nil else { return }
        if machine.goAwayRequested() { writeGoAway(message) }
        scheduleFlush()
        closeIfDone()
    }

    private func writeGoAway(_ message: String) {
        let notice = GoAway(code: .shuttingDown, message: message)
        write(.goAway, 0) { notice.encode(into: &$0) }
    }

    /// Once all answers have left. Requests that were on their way when GOAWAY left are still answered for a moment:
    /// closing at once would reset the connection under them.
    private func closeIfDone() {
        guard machine.isDone, closing == nil, let channelContext else { return }
        flush()
        // `sent` comes back here when the last byte has left, which may have been during the flush.
        guard unsent == 0, closing == nil else { return }
        let handler = NIOLoopBound(self, eventLoop: channelContext.eventLoop)
        closing = channelContext.eventLoop.scheduleTask(in: Self.linger) {
            handler.value.flush()
            handler.value.channelContext?.close(mode: .all, promise: nil)
        }
    }

    private static var linger: TimeAmount { .milliseconds(100) }

    private func write(_ kind: FrameKind, _ requestID: UInt32, _ payload: (inout ByteBuffer) -> Void) {
        // Taken when there is something to say: nearly all sessions are silent.
        if outbound.capacity == 0, let channelContext {
            outbound = channelContext.channel.allocator.buffer(capacity: Self.outboundCapacity)
        }
        encoder.write(kind, requestID: requestID, into: &outbound, payload: payload)
    }

    private static var outboundCapacity: Int { 4_096 }

    /// Answers that come from the lane one by one leave together at the end of the loop's turn.
    func scheduleFlush() {
        guard !isFlushScheduled, let channelContext else { return }
        isFlushScheduled = true
        let handler = NIOLoopBound(self, eventLoop: channelContext.eventLoop)
        channelContext.eventLoop.execute { handler.value.turnEnded() }
    }

    func flush() {
        isFlushScheduled = false
        guard let channelContext, outbound.readableBytes > 0 else { return }
        let full = outbound
        let bytes = full.readableBytes
        unsent += bytes
        bounds.flushed &+= UInt64(bytes)
        context.commons.traffic.sent(bytes)
        guard unsent <= context.limits.maxUnsent else { return givenUp(channelContext) }
        let handler = NIOLoopBound(self, eventLoop: channelContext.eventLoop)
        let sent = channelContext.eventLoop.makePromise(of: Void.self)
        sent.futureResult.whenComplete { _ in handler.value.sent(bytes) }
        // Before the write, which may complete at once and come back here.
        outbound = ByteBuffer()
        channelContext.writeAndFlush(wrapOutboundOut(full), promise: sent)
    }

    // MARK: Streams

    /// A part of a stream, if its request still runs; the stream goes on once the client has read most of what waits.
    func send(
        _ part: AnswerPart, from parts: PartQueue, of requestID: UInt32, until deadline: Instant,
        then resumption: CheckedContinuation<Void, Never>
    ) {
        guard channelContext != nil, let request = running[requestID], !request.isCancelled,
            parts.failure == nil, context.lane.executor.now() < deadline
        else { return resumption.resume() }
        write(.resultPart, requestID) { ReplyEncoder.write(part, into: &$0) }
        flush()
        guard channelContext != nil, unsent > Self.streamWindow else { return resumption.resume() }
        drainWaiters[requestID] = resumption
    }

    /// One stream's deadline has come, or it was cancelled.
    func resumeStream(_ requestID: UInt32) { drainWaiters.removeValue(forKey: requestID)?.resume() }

    func resumeStreams() {
        let waiters = drainWaiters
        drainWaiters.removeAll()
        for waiter in waiters.values { waiter.resume() }
    }

    /// What may wait for a client that reads a stream, in bytes.
    private static var streamWindow: Int { 1_048_576 }

    private func sent(_ bytes: Int) {
        unsent -= bytes
        if unsent <= Self.streamWindow / 2, !drainWaiters.isEmpty { resumeStreams() }
        if unsent == 0 { closeIfDone() }
        settle()
    }

    /// The peer asks and does not read.
    func givenUp(_ channelContext: ChannelHandlerContext) {
        context.logger.debug("closing a session: \(unsent) bytes of answers are waiting for it", metadata: logged)
        machine.closed()
        outbound.clear()
        channelContext.close(mode: .all, promise: nil)
        ended()
    }

    private static var flushThreshold: Int { 256 * 1_024 }
}
