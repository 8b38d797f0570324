internal import SluiceCore
package import SluiceWire

/// Whether a peer sends next to nothing at a time.
package struct Dribble: Sendable {
    /// So few bytes are no part of a large frame that is on its way.
    package static let few = 256
    /// Reads in a row that are nothing unusual.
    package static let usual = 4

    private var count: UInt8 = 0

    package init() {}

    /// True if the peer should not be read from for a moment.
    /// - Parameter completed: whether they made a frame complete.
    package mutating func arrived(_ bytes: Int, completed: Bool) -> Bool {
        guard !completed, bytes < Self.few else {
            count = count > 2 && bytes < Self.few ? count - 2 : 0
            return false
        }
        count = min(count + 1, UInt8(Self.usual) + 1)
        return count > Self.usual
    }
}

/// How much of its event loop's time one session may take before others have their turn, in microseconds. For what is
/// cheap it is an estimate instead of read from a clock: a ping costs not much more than to ask for the time.
package struct TurnBudget: Sendable {
    /// One turn's: what a good client that shares the loop waits for each other session that never stops.
    package static let size = 128
    private static let bytesPerUnit = 4_096

    private var left = Self.size

    package init() {}

    package var hasRoom: Bool { left > 0 }

    package mutating func begin() { left = Self.size }

    package static let shortestPause = Duration.microseconds(50)

    /// How long others have the loop after this turn: as long as it took.
    package var pause: Duration { max(Self.shortestPause, .microseconds(Self.size - left)) }

    /// - Parameter payload: in bytes, decompressed.
    package mutating func spend(on kind: FrameKind, payload: Int) {
        left -= Self.cost(of: kind) + payload / Self.bytesPerUnit
    }

    /// For work whose cost nobody knows before.
    package mutating func spend(measured time: Duration) { left -= Int(time.microseconds) }

    /// For an answer that was made on the loop.
    package mutating func spend(answer bytes: Int) { left -= bytes / Self.bytesPerUnit }

    private static func cost(of kind: FrameKind) -> Int {
        switch kind {
        // What it takes on its lane, and the way back; reading it is measured.
        case .search, .get, .count, .next, .load, .write: 16
        case .collections: 2
        default: 1
        }
    }
}
