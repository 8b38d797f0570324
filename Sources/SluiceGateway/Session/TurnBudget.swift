internal import SluiceCore
package import SluiceWire

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

    /// How long others have the loop before the next turn: as long as this one was too long, and a little.
    package var pause: Duration { .microseconds(50 + max(0, -left)) }

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
        // Measured.
        case .search, .get, .count, .next, .load, .write: 0
        case .collections: 2
        default: 1
        }
    }
}
