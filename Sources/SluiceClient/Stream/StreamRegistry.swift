internal import Synchronization

/// The connections of a client's streams, so that closing the client ends them.
final class StreamRegistry: Sendable {
    private struct State {
        var pools: [ObjectIdentifier: LinkPool] = [:]
        var isClosed = false
    }

    static let maximumStreams = 64

    private let state = Mutex(State())

    func add(_ pool: LinkPool) throws(SluiceError) {
        let refusal = state.withLock { state -> SluiceError? in
            if state.isClosed { return LinkPool.closedError }
            guard state.pools.count < Self.maximumStreams else {
                return SluiceError(.busy, "\(Self.maximumStreams) streams are open already", isRetryable: true)
            }
            state.pools[ObjectIdentifier(pool)] = pool
            return nil
        }
        if let refusal { throw refusal }
    }

    func remove(_ pool: LinkPool) { state.withLock { _ = $0.pools.removeValue(forKey: ObjectIdentifier(pool)) } }

    func close() -> [LinkPool] {
        state.withLock { state in
            state.isClosed = true
            return Array(state.pools.values)
        }
    }
}
