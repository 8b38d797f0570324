internal import Logging
internal import NIOCore
internal import SluiceCore
internal import SluiceEngine
internal import SluiceWire

/// Whose the session is, and what it may do.
extension SessionHandler {
    /// - Throws: why the session is not let in.
    func identified(_ hello: Hello) throws(Refusal) -> SessionAccess {
        var peer = context.peer
        if let channel = channelContext?.channel {
            peer.certificateNames = PeerInspection.certificateNames(of: channel)
        }
        let access = try context.commons.access.admit(
            token: hello.token?.readableBytesView, peer: peer, at: WallClock.seconds(),
            now: context.lane.executor.now())
        context.logger.debug("a session is \(access.identity.shownName)", metadata: logged)
        return access
    }

    /// The rules have changed, or the time of a token may be over.
    func accessChanged() {
        guard channelContext != nil, !machine.isAwaitingHello else { return }
        let now = context.lane.executor.now()
        guard let access = context.commons.access.again(access, at: WallClock.seconds(), now: now) else {
            return fail(.unauthenticated, "what this session was let in by was revoked, or its time is over")
        }
        self.access = access
    }

    /// The largest k that this session may ask for.
    var maximumK: Int { min(context.limits.maxK, access.identity.limits.maxK ?? .max) }

    /// A request, if its identity has not used up what it may have in a second.
    func metered(_ frame: Frame, _ handle: (Frame) -> Void) {
        do throws(SearchError) {
            try access.meter.requested(bytes: frame.payload.readableBytes, now: context.lane.executor.now())
        } catch {
            context.commons.shared.meters.shed(.identity)
            return answer(frame.requestID, error)
        }
        handle(frame)
    }

    /// A place among those that the identity has; its task gives it back when the databases' work has ended.
    func hasPlace(_ requestID: UInt32) -> Bool {
        if access.meter.begin() { return true }
        loads[requestID] = nil
        context.commons.shared.meters.shed(.identity)
        // Not the session's own fault: others of the identity may have them all.
        answer(
            requestID,
            SearchError(
                .busy, "this identity has as many requests in flight as it may; temporarily busy, retry",
                retryAfter: .milliseconds(20)))
        return false
    }

    /// A request as its identity may make it; nil if it may not, and has been told so.
    func permitted<Request>(_ requestID: UInt32, _ permit: () throws(SearchError) -> Request) -> Request? {
        do throws(SearchError) {
            return try permit()
        } catch {
            answer(requestID, error)
            return nil
        }
    }
}
