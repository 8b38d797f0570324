/// How many requests each lane has in flight. The next goes to the one with the fewest for each of its connections, so
/// that none stands idle while requests wait at another.
package struct LaneShares {
    private let connections: [Int]
    private var inFlight: [Int]
    private var turn = 0

    /// - Parameter connections: each lane's, to each shard; there is a lane, and each has at least one.
    package init(connections: [Int]) {
        self.connections = connections
        inFlight = connections.map { _ in 0 }
    }

    /// - Returns: the lane for a request that begins.
    package mutating func begin() -> Int {
        turn &+= 1
        var best = turn % connections.count
        for step in 1..<connections.count {
            let lane = (turn + step) % connections.count
            if (inFlight[lane] + 1) * connections[best] < (inFlight[best] + 1) * connections[lane] { best = lane }
        }
        inFlight[best] += 1
        return best
    }

    package mutating func end(_ lane: Int) { inFlight[lane] -= 1 }

    /// So many connections over so many lanes, as even as can be: the numbers of each lane's.
    package static func split(_ connections: Int, over lanes: Int) -> [Range<Int>] {
        var first = 0
        return (0..<lanes).map { lane in
            let share = connections / lanes + (lane < connections % lanes ? 1 : 0)
            defer { first += share }
            return first..<first + share
        }
    }
}
