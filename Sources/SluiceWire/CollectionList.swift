public import NIOCore

/// A column that filters may name.
public struct FilterableColumn: Hashable, Sendable {
    public var name: String
    /// bool, int, float, text, timestamp, uuid or text[]; open, like every text of a gateway.
    public var type: String

    public init(name: String, type: String) {
        self.name = name
        self.type = type
    }

    init(decoding payload: ByteBuffer) throws(WireError) {
        self.init(name: "", type: "")
        var reader = FieldReader(payload, of: "COLLECTION_LIST", once: [1, 2])
        while let field = try reader.next() {
            switch field.tag {
            case 1: name = try field.text("COLLECTION_LIST")
            case 2: type = try field.text("COLLECTION_LIST")
            default: break
            }
        }
    }

    func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, name)
        buffer.writeField(2, type)
    }
}

/// One collection as a gateway describes it.
public struct CollectionDescription: Hashable, Sendable {
    public var name: String
    /// l2, inner_product, cosine, l1, hamming or jaccard.
    public var metric: String
    public var dimensions: Int
    public var columns: [String]
    public var shards: [String]
    /// Nil for a form that this version does not know.
    public var vectorForm: VectorForm?
    /// What a filter may name.
    public var filterable: [FilterableColumn]
    /// The model that its vectors are made with, if that is declared.
    public var model: String?
    /// It can be searched for text, too.
    public var hasText: Bool

    public init(
        name: String, metric: String, dimensions: Int, columns: [String], shards: [String],
        vectorForm: VectorForm? = .vector, filterable: [FilterableColumn] = [], model: String? = nil,
        hasText: Bool = false
    ) {
        self.name = name
        self.metric = metric
        self.dimensions = dimensions
        self.columns = columns
        self.shards = shards
        self.vectorForm = vectorForm
        self.filterable = filterable
        self.model = model
        self.hasText = hasText
    }

    /// What stands for a form without a name here: left out, it would be taken for `vector`.
    private static let unknownForm = UInt8.max

    init(decoding payload: ByteBuffer) throws(WireError) {
        self.init(name: "", metric: "", dimensions: 0, columns: [], shards: [])
        var reader = FieldReader(payload, of: "COLLECTION_LIST", once: [1, 2, 3, 6, 8, 9])
        while let field = try reader.next() {
            switch field.tag {
            case 1: name = try field.text("COLLECTION_LIST")
            case 2: metric = try field.text("COLLECTION_LIST")
            case 3: dimensions = Int(try field.integer(as: UInt32.self, "COLLECTION_LIST"))
            case 4: columns.append(try field.text("COLLECTION_LIST"))
            case 5: shards.append(try field.text("COLLECTION_LIST"))
            case 6: vectorForm = VectorForm(rawValue: try field.integer(as: UInt8.self, "COLLECTION_LIST"))
            case 7: filterable.append(try FilterableColumn(decoding: field.value))
            case 8: model = try field.text("COLLECTION_LIST")
            case 9: hasText = try field.flag("COLLECTION_LIST")
            default: break
            }
        }
    }

    func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, name)
        buffer.writeField(2, metric)
        buffer.writeField(3, UInt32(clamping: dimensions))
        for column in columns { buffer.writeField(4, column) }
        for shard in shards { buffer.writeField(5, shard) }
        if vectorForm != .vector { buffer.writeField(6, vectorForm?.rawValue ?? Self.unknownForm) }
        for column in filterable { buffer.writeField(7) { column.encode(into: &$0) } }
        if let model { buffer.writeField(8, model) }
        buffer.writeFlag(9, hasText)
    }
}

/// The answer to COLLECTIONS.
public struct CollectionList: Hashable, Sendable {
    public var collections: [CollectionDescription]
    /// Of the replicas of the collections' shards, those that the gateway has had a connection to.
    public var servers: [ServerDescription]

    public init(collections: [CollectionDescription], servers: [ServerDescription] = []) {
        self.collections = collections
        self.servers = servers
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        self.init(collections: [])
        var reader = FieldReader(payload, of: "COLLECTION_LIST", once: [])
        while let field = try reader.next() {
            switch field.tag {
            case 1: collections.append(try CollectionDescription(decoding: field.value))
            case 2: servers.append(try ServerDescription(decoding: field.value))
            default: break
            }
        }
    }

    public func encode(into buffer: inout ByteBuffer) {
        for collection in collections { buffer.writeField(1) { collection.encode(into: &$0) } }
        for server in servers { buffer.writeField(2) { server.encode(into: &$0) } }
    }
}
