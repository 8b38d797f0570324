internal import DequeModule

/// Where a session comes from, as sessions are counted: an IPv4 address, or the /64 network of an IPv6 address, which
/// one host may have all of.
public struct PeerAddress: Hashable, Sendable {
    private let network: UInt64
    private let host: UInt64

    public init(ipv4 address: UInt32) {
        network = 0
        host = Self.mapped | UInt64(address)
    }

    /// - Parameters: both halves of the address, in the order of its text. An IPv4 address in an IPv6 one is that.
    public init(ipv6 high: UInt64, _ low: UInt64) {
        let isMapped = high == 0 && low >> 32 == Self.mapped >> 32
        network = high
        host = isMapped ? low : 0
    }

    /// `::ffff:0:0/96` (RFC 4291, 2.5.5.2).
    private static let mapped: UInt64 = 0xFFFF << 32
}

/// Which sessions there may be: so many in all, so many from one address, and so many that have not been welcomed yet.
/// Where those that have not been welcomed are in the way, the oldest of them makes room: whoever opens sockets and
/// stays silent keeps nobody out.
public struct SessionPlaces: Sendable {
    public struct Limits: Hashable, Sendable {
        public var sessions: Int
        /// Of sessions that have an address.
        public var perAddress: Int
        /// That have not been welcomed.
        public var unwelcomed: Int

        public init(sessions: Int, perAddress: Int, unwelcomed: Int) {
            self.sessions = max(1, sessions)
            self.perAddress = max(1, perAddress)
            self.unwelcomed = max(1, unwelcomed)
        }
    }

    public enum Refusal: Hashable, Sendable {
        case tooMany
        case tooManyFromAddress
    }

    public enum Arrival: Hashable, Sendable {
        /// - displaced: the session that has to end for it.
        case admitted(displaced: UInt64?)
        case refused(Refusal)
    }

    private struct Session {
        var address: PeerAddress?
        var isWelcomed = false
    }

    /// Sessions that are there keep their places whatever becomes of it.
    public var limits: Limits
    private var sessions: [UInt64: Session] = [:]
    private var fromAddress: [PeerAddress: Int] = [:]
    /// In the order of their arrival, with gaps: those that have been welcomed or have left since.
    private var arrivals: Deque<UInt64> = []
    public private(set) var unwelcomed = 0

    public init(_ limits: Limits) { self.limits = limits }

    public var count: Int { sessions.count }

    public func count(from address: PeerAddress) -> Int { fromAddress[address] ?? 0 }

    /// - Parameters:
    ///   - id: never used before.
    ///   - address: nil for a session that is not counted by its address.
    public mutating func arrived(_ id: UInt64, from address: PeerAddress?) -> Arrival {
        var displaced: UInt64?
        if let address, count(from: address) >= limits.perAddress {
            guard let oldest = oldestUnwelcomed(from: address) else { return .refused(.tooManyFromAddress) }
            displaced = oldest
        } else if sessions.count >= limits.sessions || unwelcomed >= limits.unwelcomed {
            guard let oldest = oldestUnwelcomed(from: nil) else { return .refused(.tooMany) }
            displaced = oldest
        }
        if let displaced { left(displaced) }
        sessions[id] = Session(address: address)
        if let address { fromAddress[address, default: 0] += 1 }
        arrivals.append(id)
        unwelcomed += 1
        return .admitted(displaced: displaced)
    }

    public mutating func welcomed(_ id: UInt64) {
        guard sessions[id]?.isWelcomed == false else { return }
        sessions[id]?.isWelcomed = true
        unwelcomed -= 1
        squeeze()
    }

    /// May be said more than once, and of sessions that were displaced.
    public mutating func left(_ id: UInt64) {
        guard let session = sessions.removeValue(forKey: id) else { return }
        if let address = session.address, let count = fromAddress[address] {
            fromAddress[address] = count > 1 ? count - 1 : nil
        }
        if !session.isWelcomed { unwelcomed -= 1 }
        squeeze()
    }

    private func oldestUnwelcomed(from address: PeerAddress?) -> UInt64? {
        arrivals.first { id in
            guard let session = sessions[id], !session.isWelcomed else { return false }
            return address == nil || session.address == address
        }
    }

    /// Removes gaps: those at the front, and all of them once they are many.
    private mutating func squeeze() {
        while let first = arrivals.first, sessions[first]?.isWelcomed != false { arrivals.removeFirst() }
        guard arrivals.count > 64, arrivals.count > 2 * unwelcomed else { return }
        arrivals.removeAll { sessions[$0]?.isWelcomed != false }
    }
}
