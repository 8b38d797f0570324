internal import Synchronization

/// Which kind of index serves a collection's metric on a shard.
public enum IndexKind: UInt8, Hashable, Sendable {
    /// Nobody has looked yet, or it cannot be seen.
    case unknown
    case none
    case hnsw
    case ivfflat
}

/// The index of a (collection, shard), noted by whoever has looked; read from any thread.
public final class IndexNote: Sendable {
    private let value = Atomic<UInt8>(IndexKind.unknown.rawValue)

    init() {}

    public var kind: IndexKind { IndexKind(rawValue: value.load(ordering: .relaxed)) ?? .unknown }

    public func update(_ kind: IndexKind) { value.store(kind.rawValue, ordering: .relaxed) }
}
