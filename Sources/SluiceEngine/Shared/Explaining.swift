internal import SluiceCore
internal import Synchronization

/// Which slow searches are explained, for all lanes together, and where an index was missed.
final class Explaining: Sendable {
    struct Place: Hashable, Sendable {
        var collection: String
        var shard: String
        var replica: String
    }

    private struct State {
        var sampling: ExplainSampling
        /// As they were explained last; the configuration's names.
        var missed: Set<Place> = []
    }

    private let state: Mutex<State>

    /// - Parameter oneIn: of so many slow searches; 0 for none.
    init(oneIn: Int) { state = Mutex(State(sampling: ExplainSampling(oneIn: oneIn))) }

    func changed(toOneIn count: Int) { state.withLock { $0.sampling.oneIn = count } }

    /// - Returns: true if it is to be explained; `ended` must follow then.
    func slowSearchEnded(now: Instant, using generator: inout SplitMix64) -> Bool {
        state.withLock { $0.sampling.slowSearchEnded(now: now, using: &generator) }
    }

    func ended() { state.withLock { $0.sampling.ended() } }

    /// - Returns: whether this is another answer than the last one there; no miss is taken for granted at first.
    func noted(missedIndex: Bool, at place: Place) -> Bool {
        state.withLock {
            missedIndex ? $0.missed.insert(place).inserted : $0.missed.remove(place) != nil
        }
    }
}
