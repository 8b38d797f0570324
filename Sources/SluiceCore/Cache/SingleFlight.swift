/// Searches for the same thing at the same time: one leads and is executed, the others follow and get its answer. So a
/// popular search that is not cached yet, or no longer, reaches the backends once and not a thousand times.
///
/// A search ends here exactly once: as a leader by `leaderEnded` or `cancelled`; as a follower by being in what
/// `leaderEnded` returns, or by `cancelled`.
///
/// Source: the name and the idea are from Go's `golang.org/x/sync/singleflight`; there the leader's cancel ends all.
public struct SingleFlight<Key: Hashable & Sendable>: Sendable {
    public enum ArrivalAction: Hashable, Sendable {
        /// Execute it, and report its end.
        case lead
        /// Wait: an answer, or the lead, comes by a later event.
        case follow
        /// Execute it as if there were no flight, and report nothing: as many follow as may, or the id is here already.
        case executeAlone
    }

    public enum CancelAction: Hashable, Sendable {
        /// This follower leads from now on: execute it.
        case promote(UInt64)
        /// It was a follower, and the others do not notice.
        case leave
        /// It led, and nobody followed: the flight is over.
        case land
        /// It is in no flight.
        case none
    }

    private struct Flight: Sendable {
        var leader: UInt64
        /// In the order of their arrival.
        var followers: [UInt64] = []
    }

    private let mostFollowers: Int
    private var flights: [Key: Flight] = [:]
    private var keys: [UInt64: Key] = [:]

    /// - Parameter mostFollowers: of one flight, so that its end is not too much work at once; 0 or more.
    public init(mostFollowers: Int = 1_000) { self.mostFollowers = max(0, mostFollowers) }

    public var flightCount: Int { flights.count }
    /// Leaders and followers of all flights.
    public var searchCount: Int { keys.count }

    /// - Parameter id: the search's, which no other one has.
    public mutating func arrived(_ id: UInt64, for key: Key) -> ArrivalAction {
        guard keys[id] == nil else { return .executeAlone }
        guard let flight = flights[key] else {
            flights[key] = Flight(leader: id)
            keys[id] = key
            return .lead
        }
        guard flight.followers.count < mostFollowers else { return .executeAlone }
        flights[key]?.followers.append(id)
        keys[id] = key
        return .follow
    }

    /// The leader has an answer, or an error that every follower would get as well. One that is the leader's alone, as
    /// its own deadline's passing, is not for the others: that is `cancelled`.
    /// - Returns: those who get the same, in the order of their arrival; none if it does not lead.
    public mutating func leaderEnded(_ id: UInt64) -> [UInt64] {
        guard let key = keys[id], let flight = flights[key], flight.leader == id else { return [] }
        flights[key] = nil
        keys[id] = nil
        for follower in flight.followers { keys[follower] = nil }
        return flight.followers
    }

    /// It ends without an answer, for a reason of its own. Who has followed for the longest takes over the lead.
    public mutating func cancelled(_ id: UInt64) -> CancelAction {
        guard let key = keys.removeValue(forKey: id), var flight = flights.removeValue(forKey: key) else {
            return .none
        }
        if flight.leader != id {
            flight.followers.removeAll { $0 == id }
            flights[key] = flight
            return .leave
        }
        guard !flight.followers.isEmpty else { return .land }
        flight.leader = flight.followers.removeFirst()
        flights[key] = flight
        return .promote(flight.leader)
    }
}
