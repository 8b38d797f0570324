internal import NIOCore
internal import SluiceWire

/// COLLECTION_LIST's payload for whoever asks: of what he may use.
struct CollectionLists: Sendable {
    private let collections: [CollectionDescription]
    /// Made once for those who may use everything.
    private let whole: ByteBuffer

    /// - Parameter collections: sorted by name.
    init(_ collections: [CollectionDescription]) {
        self.collections = collections
        whole = Self.payload(collections)
    }

    func list(for identity: Identity) -> ByteBuffer {
        let seen = collections.filter { identity.sees($0.name) }
        return seen.count == collections.count ? whole : Self.payload(seen)
    }

    private static func payload(_ collections: [CollectionDescription]) -> ByteBuffer {
        var payload = ByteBuffer()
        CollectionList(collections: collections).encode(into: &payload)
        return payload
    }
}
