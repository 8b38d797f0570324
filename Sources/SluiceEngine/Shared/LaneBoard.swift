internal import Synchronization

/// What each lane's slice of each pool has just now, for the other lanes: how many connections are idle, how many legs
/// wait, whether the server can be reached. A hint, read without a lock and true only for the moment.
///
/// A lane whose leg begins to wait says so and then looks for idle connections elsewhere; one whose connection becomes
/// idle says so and then looks for legs that wait. Sequential consistency makes one of the two see the other.
public final class LaneBoard: Sendable {
    private final class Place: Sendable {
        let idle = Atomic<Int>(0)
        let waiting = Atomic<Int>(0)
        let isReachable = Atomic<Bool>(true)
    }

    private let lanes: Int
    private let places: [Place]

    public init(lanes: Int, backends: Int) {
        self.lanes = max(1, lanes)
        places = (0..<self.lanes * max(0, backends)).map { _ in Place() }
    }

    /// The same with places for more backends.
    init(after earlier: LaneBoard, backends: Int) {
        lanes = earlier.lanes
        let more = lanes * backends - earlier.places.count
        places = earlier.places + (0..<max(0, more)).map { _ in Place() }
    }

    func note(idle: Int, waiting: Int, isReachable: Bool, lane: Int, backend: Int) {
        guard lanes > 1, let place = place(lane, backend) else { return }
        place.idle.store(idle, ordering: .sequentiallyConsistent)
        place.waiting.store(waiting, ordering: .sequentiallyConsistent)
        place.isReachable.store(isReachable, ordering: .sequentiallyConsistent)
    }

    /// Another lane that had an idle connection.
    func lane(withIdle backend: Int, besides lane: Int) -> Int? {
        first(backend, besides: lane) { $0.idle.load(ordering: .sequentiallyConsistent) > 0 }
    }

    /// Another lane in whose slice legs waited.
    func lane(waitingFor backend: Int, besides lane: Int) -> Int? {
        first(backend, besides: lane) { $0.waiting.load(ordering: .sequentiallyConsistent) > 0 }
    }

    /// Another lane that could reach the server.
    func lane(reaching backend: Int, besides lane: Int) -> Int? {
        first(backend, besides: lane) { $0.isReachable.load(ordering: .sequentiallyConsistent) }
    }

    private func first(_ backend: Int, besides lane: Int, _ condition: (Place) -> Bool) -> Int? {
        if lanes == 1 { return nil }
        for step in 1..<lanes {
            let other = (lane + step) % lanes
            if let place = place(other, backend), condition(place) { return other }
        }
        return nil
    }

    private func place(_ lane: Int, _ backend: Int) -> Place? {
        let index = backend * lanes + lane
        return places.indices.contains(index) ? places[index] : nil
    }
}
