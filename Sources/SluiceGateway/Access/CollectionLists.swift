internal import NIOCore
internal import SluiceWire

/// COLLECTION_LIST's payload for whoever asks: of what he may use.
struct CollectionLists: Sendable {
    private let collections: [CollectionDescription]
    /// What the replicas' servers run: known when a connection to them has been made.
    private let servers: @Sendable () -> [ServerDescription]
    /// The collections of those who may use everything, made once.
    private let whole: ByteBuffer

    /// - Parameter collections: sorted by name.
    init(
        _ collections: [CollectionDescription], servers: @escaping @Sendable () -> [ServerDescription] = { [] }
    ) {
        self.collections = collections
        self.servers = servers
        whole = Self.payload(collections)
    }

    func list(for identity: Identity) -> ByteBuffer {
        let seen = collections.filter { identity.sees($0.name) }
        var payload = seen.count == collections.count ? whole : Self.payload(seen)
        let shards = Set(seen.flatMap(\.shards))
        let known = servers().filter { shards.contains($0.shard) }
        if !known.isEmpty { CollectionList(collections: [], servers: known).encode(into: &payload) }
        return payload
    }

    private static func payload(_ collections: [CollectionDescription]) -> ByteBuffer {
        var payload = ByteBuffer()
        CollectionList(collections: collections).encode(into: &payload)
        return payload
    }
}
