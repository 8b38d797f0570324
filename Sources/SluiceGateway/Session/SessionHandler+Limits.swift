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
        /// It sends next to nothing at a time.
        static let dribble = Pauses(rawValue: 8)
        /// Its lane has enough of its requests to begin.
        static let lane = Pauses(rawValue: 16)
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
    var dribble = Dribble()
    /// Bytes that were written so far.
    var flushed: UInt64 = 0

    init(_ limits: GatewayConfig.Limits, now: Instant) {
        allowances = SessionAllowances(
            pings: limits.maxPings, cancels: limits.maxCancels, errors: limits.maxErrors,
            inFlight: limits.maxInFlight, now: now)
        watch = SessionWatch(.init(frame: limits.frameTimeout, idle: limits.streamIdle))
    }

    enum Verdict {
        case within
        case beyond(SessionAllowances.Kind)
        /// More has to be asked.
        case request
    }

    /// Counts a frame. All of it in one access, because a ping costs not much more than a few of them.
    mutating func came(_ action: SessionMachine.FrameAction, _ frame: Frame, clock: any LaneExecutor) -> Verdict {
        let bytes = frame.payload.readableBytes
        frames &+= 1
        frameBytes = bytes
        turn.spend(on: frame.kind, payload: bytes)
        if let kind = SessionAllowances.kind(of: action, frame.kind, isEmpty: bytes < Self.leastRowBytes) {
            return takes(kind, clock: clock) ? .within : .beyond(kind)
        }
        return action.isRequest ? .request : .within
    }

    /// A packed row's length, its id, and the length of its vector.
    private static var leastRowBytes: Int { 16 }

    mutating func takes(_ kind: SessionAllowances.Kind, clock: any LaneExecutor) -> Bool {
        // Once a turn: to ask for the time costs a tenth of what a ping does.
        let now = turnTime ?? clock.now()
        turnTime = now
        return allowances.take(kind, now: now)
    }

    mutating func begin() {
        turn.begin()
        turnTime = nil
    }
}

extension SessionHandler {
    /// Before WELCOME there is nothing to say that needs much room.
    static func helloLength(_ limits: GatewayConfig.Limits) -> Int { min(limits.maxFrame, 16_384) }

    // MARK: Rates

    func exceeded(_ kind: SessionAllowances.Kind) {
        let most =
            switch kind {
            case .pings: context.limits.maxPings
            case .cancels: context.limits.maxCancels
            case .errors: context.limits.maxErrors
            }
        fail(.limitExceeded, "more than \(most) \(kind.rawValue) a second (limits.max_\(kind.rawValue))")
    }

    func measured(_ work: () -> Void) {
        let began = context.lane.executor.now()
        work()
        bounds.turn.spend(measured: began.duration(to: context.lane.executor.now()))
    }

    /// A request has been answered by this error.
    func noteError(_ code: ErrorCode) {
        guard channelContext != nil, code.isClientsFault else { return }
        if !bounds.takes(.errors, clock: context.lane.executor) { exceeded(.errors) }
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
    func mayBegin(_ frame: Frame) -> Bool {
        let (requestID, bytes) = (frame.requestID, frame.payload.readableBytes)
        if context.memory.isExhausted {
            context.commons.shared.meters.shed(.memory)
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
        if !bounds.isYielding { beginTurn() }
    }

    private func beginTurn() {
        bounds.begin()
        hasTurn = true
    }

    /// The session has had its share of the loop: others come first, then it goes on with what it has.
    func yieldTurn() {
        guard !bounds.isYielding, let channelContext else { return }
        bounds.isYielding = true
        pause(.turn, true)
        context.commons.turns.turns(of: channelContext.eventLoop).wait(self, bounds.turn.pause)
    }

    /// - Returns: how long others have the loop then; nil if the session is over.
    func goOn() -> Duration? {
        guard channelContext != nil else { return nil }
        bounds.isYielding = false
        beginTurn()
        process()
        let pause = bounds.turn.pause
        received.reclaim()
        turnEnded()
        if !bounds.isYielding { self.pause(.turn, false) }
        return pause
    }

    /// The lane has begun most of the session's requests.
    func laneHasRoom() {
        guard channelContext != nil else { return }
        bounds.pauses.remove(.lane)
        catchUp()
        setReading()
    }

    /// A peer that sends a few bytes at a time, and no frame with them, is read from less often: each read costs the
    /// loop as much as one of 64 KiB.
    func arrived(_ bytes: Int, frames before: UInt64) {
        guard bounds.dribble.arrived(bytes, completed: bounds.frames != before), let channelContext else { return }
        pause(.dribble, true)
        let session = NIOLoopBound(WeakSession(handler: self), eventLoop: channelContext.eventLoop)
        channelContext.eventLoop.scheduleTask(in: .milliseconds(2)) { session.value.handler?.pause(.dribble, false) }
    }

    func pause(_ reason: SessionBounds.Pauses, _ isPaused: Bool) {
        let before = bounds.pauses.isEmpty
        if isPaused { bounds.pauses.insert(reason) } else { bounds.pauses.remove(reason) }
        guard before != bounds.pauses.isEmpty else { return }
        setReading()
    }

    private func setReading() {
        guard let channelContext else { return }
        // Fails only if the channel is closed.
        try? channelContext.channel.syncOptions?.setOption(.autoRead, value: bounds.pauses.isEmpty)
    }

    // MARK: Peers that do not move

    private func startWatching() {
        guard let channelContext else { return }
        bounds.isWatched = true
        let session = NIOLoopBound(WeakSession(handler: self), eventLoop: channelContext.eventLoop)
        let limits = SessionWatch.Limits(frame: context.limits.frameTimeout, idle: context.limits.streamIdle)
        channelContext.eventLoop.scheduleTask(in: .init(limits.pause)) { session.value.handler?.look() }
    }

    private func look() {
        bounds.isWatched = false
        guard let channelContext else { return }
        let buffered = (try? channelContext.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
        let signs = SessionWatch.Signs(
            frames: bounds.frames,
            // What has arrived may also wait for its turn, or until the answers before it have been read.
            isWithinFrame: received.readableBytes > 0 && bounds.pauses.isDisjoint(with: [.unwritable, .turn, .lane]),
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

    /// Whoever breaks the rules has as a rule sent more, and a socket with unread bytes is reset when it is closed: the
    /// reason for the end needs a moment to be read before that. Nor can a peer that comes again each time have the
    /// loop set up more than some sessions a second.
    func close(_ channelContext: ChannelHandlerContext, _ code: ErrorCode) {
        if [.busy, .shuttingDown, .handshakeTimeout].contains(code) {
            return channelContext.close(mode: .all, promise: nil)
        }
        let channel = channelContext.channel
        try? channel.syncOptions?.setOption(.autoRead, value: false)
        channelContext.eventLoop.scheduleTask(in: Self.lastMoment) {
            // TLS ends when it has read the peer's end, too.
            try? channel.syncOptions?.setOption(.autoRead, value: true)
            channel.close(mode: .all, promise: nil)
        }
    }

    private static var lastMoment: TimeAmount { .milliseconds(200) }
}
