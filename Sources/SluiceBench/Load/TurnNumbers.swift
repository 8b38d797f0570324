internal import SluiceCore

extension SplitMix64 {
    /// As it is after so many numbers.
    init(seed: UInt64, at place: Int) {
        self.init(seed: seed &+ UInt64(bitPattern: Int64(place)) &* 0x9E37_79B9_7F4A_7C15)
    }
}

/// Ids of a range, each as likely as any other.
struct DrawnIDs: Sendable {
    let range: ClosedRange<Int64>

    /// - Parameter turn: the same has the same ids.
    func ids(_ count: Int, turn: Int) -> [Int64] {
        // Mixed twice, so that a turn's numbers are not the next one's.
        var turns = SplitMix64(seed: 0, at: turn)
        var random = SplitMix64(seed: turns.next())
        return (0..<count).map { _ in Int64.random(in: range, using: &random) }
    }
}
