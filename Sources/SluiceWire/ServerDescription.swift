internal import NIOCore

/// What the server of a replica runs, as a gateway has seen it.
public struct ServerDescription: Hashable, Sendable {
    public var shard: String
    public var replica: String
    /// PostgreSQL's version, as the server says it.
    public var postgres: String
    /// pgvector's; nil if it is not in the database.
    public var vector: String?

    public init(shard: String, replica: String, postgres: String, vector: String?) {
        self.shard = shard
        self.replica = replica
        self.postgres = postgres
        self.vector = vector
    }

    init(decoding payload: ByteBuffer) throws(WireError) {
        self.init(shard: "", replica: "", postgres: "", vector: nil)
        var reader = FieldReader(payload, of: "COLLECTION_LIST", once: [1, 2, 3, 4])
        while let field = try reader.next() {
            switch field.tag {
            case 1: shard = try field.text("COLLECTION_LIST")
            case 2: replica = try field.text("COLLECTION_LIST")
            case 3: postgres = try field.text("COLLECTION_LIST")
            case 4: vector = try field.text("COLLECTION_LIST")
            default: break
            }
        }
    }

    func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, shard)
        buffer.writeField(2, replica)
        buffer.writeField(3, postgres)
        if let vector { buffer.writeField(4, vector) }
    }
}
