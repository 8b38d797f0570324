internal import NIOCore
internal import SluiceCore
internal import SluiceEngine
internal import SluiceWire
internal import Synchronization

/// What bounds one session: how often, how much at a time, and how much memory.
struct SessionBounds {
    /// Why it is not read from.
    struct Pauses: OptionSet {
        let rawValue: UInt8

        /// Its peer does not take what waits for it.
        static let unwritable = Pauses(rawValue: 1)
        /// Others have the loop.
        static let turn = Pauses(rawValue: 2)
        /// It holds more than others while there is too much.
        static let memory = Pauses(rawValue: 4)
    }

    var allowances: SessionAllowances
    var turn = TurnBudget()
    /// When the turn began, once that was asked.
    var turnTime: Instant?
    var isYielding = false
    var watch: SessionWatch
    var isWatched = false
    var pauses: Pauses = []
    var account: MemoryAccount?
    /// Bytes that the account has been told of.
    var charged = 0
    /// The payload of the frame that is being handled.
    var frameBytes = 0
    /// The payloads of the requests at work.
    var inFlightBytes = 0
    /// Frames that have been cut so far.
    var frames: UInt64 = 0
    /// Bytes that were written so far.
    var flushed: UInt64 = 0

    init(_ limits: GatewayConfig.Limits, now: Instant) {
        allowances = SessionAllowances(
            pings: limits.maxPings, cancels: limits.maxCancels, errors: limits.maxErrors,
            inFlight: limits.maxInFlight, now: now)
        watch = SessionWatch(.init(frame: limits.frameTimeout, idle: limits.streamIdle))
    }
}

extension SessionHandler {
    /// Before WELCOME there is nothing to say that needs much room.
    static func helloLength(_ limits: GatewayConfig.Limits) -> Int { min(limits.maxFrame, 16_384) }

    // MARK: Rates

    /// Counts a frame. False if it goes beyond a limit: it has been answered then, or has ended the session.
    func allows(_ action: SessionMachine.FrameAction, _ frame: Frame) -> Bool {
        let bytes = frame.payload.readableBytes
        bounds.frames &+= 1
        bounds.frameBytes = bytes
        bounds.turn.spend(on: frame.kind, payload: bytes)
        let isEmpty = bytes < Self.leastRowBytes
        if let kind = SessionAllowances.kind(of: action, frame.kind, isEmpty: isEmpty) {
            return takesAllowance(kind)
        }
        return action.isRequest ? mayBegin(frame.requestID, bytes) : true
    }

    func spend(since began: Instant) {
        bounds.turn.spend(measured: began.duration(to: context.lane.executor.now()))
    }

    /// A packed row's length, its id, and the length of its vector.
    private static var leastRowBytes: Int { 16 }

    private func takesAllowance(_ kind: SessionAllowances.Kind) -> Bool {
        if bounds.allowances.take(kind, now: turnTime) { return true }
        let most =
            switch kind {
            case .pings: context.limits.maxPings
            case .cancels: context.limits.maxCancels
            case .errors: context.limits.maxErrors
            }
        fail(.limitExceeded, "more than \(most) \(kind.rawValue) a second (limits.max_\(kind.rawValue))")
        return false
    }

    /// Once a turn: to ask for the time costs a tenth of what a ping does.
    private var turnTime: Instant {
        if let time = bounds.turnTime { return time }
        let now = context.lane.executor.now()
        bounds.turnTime = now
        return now
    }

    /// A request has been answered by this error.
    func noteError(_ code: ErrorCode) {
        guard channelContext != nil, code.isClientsFault else { return }
        _ = takesAllowance(.errors)
    }

    // MARK: Memory

    func openAccount(_ channelContext: ChannelHandlerContext) {
        let eventLoop = channelContext.eventLoop
        let handler = NIOLoopBound(self, eventLoop: eventLoop)
        bounds.account = context.memory.open(context.sessionID) { isReading in
            eventLoop.execute { handler.value.pause(.memory, !isReading) }
        }
    }

    func closeAccount() {
        bounds.account?.add(-bounds.charged)
        bounds.account?.close()
        bounds.account = nil
        bounds.charged = 0
    }

    /// Before memory is taken for it, new work is refused if there is too much already.
    private func mayBegin(_ requestID: UInt32, _ bytes: Int) -> Bool {
        if context.memory.isExhausted {
            answer(requestID, context.memory.busy)
            return false
        }
        guard bounds.inFlightBytes == 0 || bounds.inFlightBytes + bytes <= context.limits.maxInFlightBytes else {
            answer(
                requestID,
                WireError(
                    .tooManyInFlight,
                    "the requests in flight have \(bounds.inFlightBytes) bytes; wait for an answer "
                        + "(limits.max_in_flight_bytes)"))
            return false
        }
        return true
    }

    /// Tells the account what is held now, and has the session watched if something is waited for.
    func settle() {
        // A part of a frame may be a small part of the buffer that it came in.
        let arrived = received.readableBytes == 0 ? 0 : received.storageCapacity
        let held = arrived + outbound.readableBytes + unsent + bounds.inFlightBytes
        if held != bounds.charged, let account = bounds.account {
            account.add(held - bounds.charged)
            bounds.charged = held
        }
        if !bounds.isWatched, arrived > 0 || unsent > 0 { startWatching() }
    }

    // MARK: Turns

    func turnEnded() {
        flush()
        settle()
        guard !bounds.isYielding else { return }
        bounds.turn.begin()
        bounds.turnTime = nil
    }

    /// The session has had its share of the loop: others come first, then it goes on with what it has.
    func yieldTurn() {
        guard !bounds.isYielding, let channelContext else { return }
        bounds.isYielding = true
        pause(.turn, true)
        let handler = NIOLoopBound(self, eventLoop: channelContext.eventLoop)
        // Not `execute`, which would come before anything that has arrived for others.
        channelContext.eventLoop.scheduleTask(in: .init(bounds.turn.pause)) { handler.value.goOn() }
    }

    private func goOn() {
        guard channelContext != nil else { return }
        bounds.isYielding = false
        bounds.turn.begin()
        bounds.turnTime = nil
        process()
        received.reclaim()
        turnEnded()
        if !bounds.isYielding { pause(.turn, false) }
    }

    func pause(_ reason: SessionBounds.Pauses, _ isPaused: Bool) {
        let before = bounds.pauses.isEmpty
        if isPaused { bounds.pauses.insert(reason) } else { bounds.pauses.remove(reason) }
        guard before != bounds.pauses.isEmpty, let channelContext else { return }
        // Fails only if the channel is closed.
        try? channelContext.channel.syncOptions?.setOption(.autoRead, value: bounds.pauses.isEmpty)
    }

    // MARK: Peers that do not move

    private func startWatching() {
        guard let channelContext else { return }
        bounds.isWatched = true
        let handler = NIOLoopBound(self, eventLoop: channelContext.eventLoop)
        let limits = SessionWatch.Limits(frame: context.limits.frameTimeout, idle: context.limits.streamIdle)
        channelContext.eventLoop.scheduleTask(in: .init(limits.pause)) { handler.value.look() }
    }

    private func look() {
        bounds.isWatched = false
        guard let channelContext else { return }
        let buffered = (try? channelContext.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        let signs = SessionWatch.Signs(
            frames: bounds.frames,
            // What has arrived may also wait for its turn, or until the answers before it have been read.
            isWithinFrame: received.readableBytes > 0 && bounds.pauses.isDisjoint(with: [.unwritable, .turn]),
            taken: bounds.flushed &- UInt64(clamping: buffered), isOwed: unsent > 0)
        switch bounds.watch.looked(signs, now: context.lane.executor.now()) {
        case .rest: break
        case .lookAgain: startWatching()
        case .endStreams:
            backlog.untaken.add(1, ordering: .relaxed)
            resumeStreams()
            startWatching()
        case .closeUnfinished:
            fail(.limitExceeded, "a frame was begun and not sent to its end in time (limits.frame_timeout)")
        case .closeUnread: givenUp(channelContext)
        }
    }

    // MARK: Ends

    /// The oldest session without WELCOME makes room for another one.
    func displaced() {
        fail(.busy, "the gateway has as many sessions as it may that have not said HELLO; this was the oldest")
    }

    /// Whoever floods has sent more, and a socket with unread bytes is reset when it is closed: the reason for the end
    /// needs a moment to be read before that.
    func close(_ channelContext: ChannelHandlerContext, _ code: ErrorCode) {
        guard code == .limitExceeded else { return channelContext.close(mode: .all, promise: nil) }
        let channel = channelContext.channel
        try? channel.syncOptions?.setOption(.autoRead, value: false)
        channelContext.eventLoop.scheduleTask(in: .milliseconds(50)) { channel.close(mode: .all, promise: nil) }
    }
}
