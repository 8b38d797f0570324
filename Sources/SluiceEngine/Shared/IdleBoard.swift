internal import Synchronization

/// How many idle connections each lane has to each backend, for lanes that have none left: a hint, read without a lock
/// and true only for the moment.
public final class IdleBoard: Sendable {
    private final class Count: Sendable {
        let value = Atomic<Int>(0)
    }

    private let lanes: Int
    private let counts: [Count]

    public init(lanes: Int, backends: Int) {
        self.lanes = max(1, lanes)
        counts = (0..<self.lanes * max(0, backends)).map { _ in Count() }
    }

    func noteIdle(_ count: Int, lane: Int, backend: Int) {
        let place = backend * lanes + lane
        if counts.indices.contains(place) { counts[place].value.store(count, ordering: .relaxed) }
    }

    /// Another lane that had an idle connection just now.
    func lane(withIdle backend: Int, besides lane: Int) -> Int? {
        if lanes == 1 { return nil }
        for step in 1..<lanes {
            let other = (lane + step) % lanes
            let place = backend * lanes + other
            if counts.indices.contains(place), counts[place].value.load(ordering: .relaxed) > 0 { return other }
        }
        return nil
    }
}
