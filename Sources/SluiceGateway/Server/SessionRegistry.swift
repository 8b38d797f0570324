internal import Glibc
internal import NIOCore
internal import SluiceCore
internal import Synchronization

/// The sessions that are open, so that they can be counted, told to go away and closed.
final class SessionRegistry: Sendable {
    /// What a session is told from outside.
    enum Notice: Sendable {
        case goAway
        /// To look again at what it may do.
        case accessChanged
        /// To look again at what all sessions share.
        case commonsChanged
        /// Another one needs its place.
        case displaced
    }

    struct Entry: Sendable {
        var channel: any Channel
        var tell: @Sendable (Notice) -> Void
    }

    enum Opening: Sendable {
        case opened(UInt64)
        /// Nobody is let in any more.
        case closed
        case refused(SessionPlaces.Refusal)
    }

    private struct State {
        var places: SessionPlaces
        var entries: [UInt64: Entry] = [:]
        /// Sessions that are being set up.
        var reserved: Set<UInt64> = []
        /// Those of them whose place another has already.
        var displaced: Set<UInt64> = []
        var opened: UInt64 = 0
        var refused = 0
        var isGoingAway = false
        var count: Int { entries.count + reserved.count }
        var waiters: [UInt64: (atMost: Int, continuation: CheckedContinuation<Void, Never>)] = [:]
        var nextWaiter: UInt64 = 0

        /// Those who waited for this many sessions or more.
        mutating func takeServed() -> [CheckedContinuation<Void, Never>] {
            if waiters.isEmpty { return [] }
            let served = waiters.filter { $0.value.atMost >= count }
            for key in served.keys { waiters[key] = nil }
            return served.values.map(\.continuation)
        }
    }

    private let state: Mutex<State>

    init(_ limits: SessionPlaces.Limits) { state = Mutex(State(places: SessionPlaces(limits))) }

    /// A number and a place for a new session, if need be the place of the oldest that has not been welcomed. `remove`
    /// must follow.
    /// - Parameter address: nil for a session that is not counted by its address.
    func open(from address: PeerAddress?) -> Opening {
        let (opening, displaced) = state.withLock { state -> (Opening, Entry?) in
            guard !state.isGoingAway else { return (.closed, nil) }
            state.opened += 1
            let id = state.opened
            switch state.places.arrived(id, from: address) {
            case .refused(let reason):
                state.refused += 1
                return (.refused(reason), nil)
            case .admitted(let displaced):
                state.reserved.insert(id)
                guard let displaced else { return (.opened(id), nil) }
                if state.reserved.contains(displaced) { state.displaced.insert(displaced) }
                return (.opened(id), state.entries[displaced])
            }
        }
        displaced?.tell(.displaced)
        return opening
    }

    /// How many are open, have ever been opened, and were refused for want of a place.
    var counts: (open: Int, opened: Int, refused: Int) {
        state.withLock { ($0.count, Int(clamping: $0.opened) - $0.refused, $0.refused) }
    }

    func add(_ id: UInt64, _ entry: Entry) {
        let notice = state.withLock { state -> Notice? in
            if state.reserved.remove(id) != nil { state.entries[id] = entry }
            // Either came while the session was being set up.
            if state.displaced.remove(id) != nil { return .displaced }
            return state.isGoingAway ? .goAway : nil
        }
        if let notice { entry.tell(notice) }
    }

    /// The session has had WELCOME: no other takes its place.
    func welcomed(_ id: UInt64) { state.withLock { $0.places.welcomed(id) } }

    func remove(_ id: UInt64) {
        let served = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            state.places.left(id)
            state.entries[id] = nil
            state.reserved.remove(id)
            state.displaced.remove(id)
            return state.takeServed()
        }
        for waiter in served { waiter.resume() }
    }

    /// Tells every session to go, and lets no new one in.
    func goAway() {
        let entries = state.withLock { state in
            state.isGoingAway = true
            return Array(state.entries.values)
        }
        for entry in entries { entry.tell(.goAway) }
    }

    /// Has every session look again at what it may do.
    func accessChanged() { tellAll(.accessChanged) }

    /// Has every session look again at what all of them share.
    func commonsChanged() { tellAll(.commonsChanged) }

    private func tellAll(_ notice: Notice) {
        for entry in state.withLock({ Array($0.entries.values) }) { entry.tell(notice) }
    }

    /// For those who come.
    func limitsChanged(to limits: SessionPlaces.Limits) { state.withLock { $0.places.limits = limits } }

    func closeAll() {
        for entry in state.withLock({ Array($0.entries.values) }) { entry.channel.close(promise: nil) }
    }

    /// Returns when no more than this many sessions are open, or the task is cancelled.
    func wait(untilAtMost count: Int) async {
        let number = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isServed = state.withLock { state in
                    let isServed = state.count <= count || Task.isCancelled
                    if !isServed { state.waiters[number] = (count, continuation) }
                    return isServed
                }
                if isServed { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: number) }?.continuation.resume()
        }
    }
}

extension SessionPlaces.Refusal {
    /// What the client is told.
    var message: String {
        switch self {
        case .tooMany: "the gateway has as many sessions as it may; try again later (limits.max_sessions)"
        case .tooManyFromAddress:
            "the gateway has as many sessions of this address as it may (limits.max_sessions_per_address)"
        }
    }
}

extension PeerAddress {
    /// Nil for what has no address to be counted by, like a Unix socket.
    init?(_ address: SocketAddress?) {
        switch address {
        case .v4(let address):
            self.init(ipv4: UInt32(bigEndian: address.address.sin_addr.s_addr))
        case .v6(let address):
            var bytes = address.address.sin6_addr
            let (high, low) = withUnsafeBytes(of: &bytes) { bytes in
                (bytes.loadUnaligned(as: UInt64.self), bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            }
            self.init(ipv6: UInt64(bigEndian: high), UInt64(bigEndian: low))
        case .unixDomainSocket, nil:
            return nil
        }
    }
}
