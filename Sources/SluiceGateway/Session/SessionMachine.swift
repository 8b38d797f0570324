package import SluiceWire

/// What one session may do next: the state rules of the protocol, without a socket.
package struct SessionMachine: Sendable {
    private enum State {
        case awaitingHello
        case open
        /// GOAWAY has been sent: what is in flight ends, nothing new begins.
        case goingAway
        case closed
    }

    package enum FrameAction: Hashable, Sendable {
        /// - goAway: say that at once, too.
        case welcome(goAway: Bool)
        case pong
        case search
        case get
        case count
        case next
        case listCollections
        case load
        case loadRows
        case loadEnd
        case write
        case cancel
        case nothing
        /// Answer this request with an error; the session goes on.
        case refuse(ErrorCode, String)
        /// Send the error for the session as a whole, then close.
        case fail(ErrorCode, String)
    }

    private let maximumInFlight: Int
    private var state = State.awaitingHello
    /// GOAWAY was asked for before HELLO came: it follows WELCOME.
    private var mustGoAway = false
    private var inFlight: Set<UInt32> = []
    /// Requests that are answered, but whose work the backends are still ending.
    private var settling = 0

    package init(maximumInFlight: Int) { self.maximumInFlight = maximumInFlight }

    package var isAwaitingHello: Bool { state == .awaitingHello }

    /// True once nothing is left to wait for after GOAWAY.
    package var isDone: Bool {
        switch state {
        case .goingAway: inFlight.isEmpty && settling == 0
        case .awaitingHello: mustGoAway
        case .open, .closed: false
        }
    }

    package mutating func frameReceived(_ kind: FrameKind, requestID: UInt32) -> FrameAction {
        switch (state, kind) {
        case (.closed, _):
            return .nothing
        case (.awaitingHello, .hello):
            state = mustGoAway ? .goingAway : .open
            return .welcome(goAway: mustGoAway)
        case (.awaitingHello, _):
            return fail("the first frame must be HELLO")
        case (_, .hello):
            return fail("a second HELLO")
        case (_, .ping):
            return .pong
        case (_, .cancel):
            return inFlight.contains(requestID) ? .cancel : .nothing
        case (_, .search):
            return requestReceived(requestID, .search)
        case (_, .collections):
            return requestReceived(requestID, .listCollections)
        case (_, .get):
            return requestReceived(requestID, .get)
        case (_, .count):
            return requestReceived(requestID, .count)
        case (_, .next):
            return requestReceived(requestID, .next)
        case (_, .load):
            return requestReceived(requestID, .load)
        case (_, .write):
            return requestReceived(requestID, .write)
        case (_, .loadRows):
            return inFlight.contains(requestID) ? .loadRows : .nothing
        case (_, .loadEnd):
            return inFlight.contains(requestID) ? .loadEnd : .nothing
        case (_, .welcome), (_, .pong), (_, .goAway), (_, .error), (_, .result), (_, .collectionList),
            (_, .countResult), (_, .resultPart), (_, .loadReady), (_, .loadCredit), (_, .loadProgress),
            (_, .loadResult), (_, .writeResult):
            return fail("only a gateway sends this kind of frame")
        }
    }

    private mutating func requestReceived(_ requestID: UInt32, _ action: FrameAction) -> FrameAction {
        guard requestID != 0 else { return fail("request id 0 belongs to the session itself") }
        guard !inFlight.contains(requestID) else { return fail("duplicate request id \(requestID)") }
        if state == .goingAway {
            return .refuse(.shuttingDown, "the gateway is going away; connect again, to another one if you can")
        }
        guard inFlight.count + settling < maximumInFlight else {
            return .refuse(.tooManyInFlight, "\(maximumInFlight) requests are in flight already; wait for an answer")
        }
        inFlight.insert(requestID)
        return action
    }

    /// The request has been answered. If its work goes on in a backend, its place stays taken until `settled`.
    package mutating func requestAnswered(_ requestID: UInt32, isSettling: Bool) {
        guard inFlight.remove(requestID) != nil else { return }
        if isSettling { settling += 1 }
    }

    package mutating func requestSettled() { settling = max(0, settling - 1) }

    /// True if GOAWAY should be sent now. Before WELCOME nothing may be said: then it follows that.
    package mutating func goAwayRequested() -> Bool {
        if state == .awaitingHello { mustGoAway = true }
        guard state == .open else { return false }
        state = .goingAway
        return true
    }

    package mutating func closed() { state = .closed }

    private mutating func fail(_ message: String) -> FrameAction {
        state = .closed
        return .fail(.protocolViolation, message)
    }
}
