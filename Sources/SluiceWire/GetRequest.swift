public import NIOCore

/// The rows of these ids, please. The answer is a RESULT with the rows in the order of the ids.
public struct GetRequest: Hashable, Sendable {
    public var collection: String
    /// An id that is there again is answered once, at its first place.
    public var ids: [Int64]
    public var columns: [String]
    /// With the vector as a further column, the last.
    public var withVector: Bool
    /// The time left; nil for the gateway's default.
    public var deadline: Duration?
    /// Accept an answer without the rows of shards that do not answer.
    public var allowPartial: Bool
    public var freshness = FreshnessTerms()
    /// Which trace it is part of; nil for none.
    public var trace: TraceContext?

    public static let idRange = 1...10_000

    public init(
        collection: String, ids: [Int64], columns: [String] = [], withVector: Bool = false, deadline: Duration? = nil,
        allowPartial: Bool = false
    ) {
        self.collection = collection
        self.ids = ids
        self.columns = columns
        self.withVector = withVector
        self.deadline = deadline
        self.allowPartial = allowPartial
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        var (collection, ids): (String?, [Int64]?)
        self.init(collection: "", ids: [])
        var reader = FieldReader(
            payload, of: "GET", once: [1, 2, 4, 5, 8, 10, 11, 60], most: FieldReader.requestFields)
        while let field = try reader.next() {
            switch field.tag {
            case 1: collection = try field.text("GET")
            case 2:
                // Before memory is taken for them.
                try Self.check(count: try field.packedCount(ofBytes: 8, "GET"))
                ids = try field.packed(Int64.self, "GET")
            case 3:
                guard columns.count < SearchRequest.maximumColumns else { throw Self.tooManyColumns }
                columns.append(try field.text("GET"))
            case 4: withVector = try field.flag("GET")
            case 5: deadline = try field.microseconds("GET")
            case 8: allowPartial = try field.flag("GET")
            case 9...11: try freshness.take(field, field.tag - 9, "GET")
            case TraceContext.tag: trace = try field.traceContext("GET")
            default: break
            }
        }
        guard let collection, let ids else { throw WireError(.malformed, "GET: without a collection or ids") }
        (self.collection, self.ids) = (collection, ids)
    }

    /// - Throws: `invalidArgument` for what a gateway would refuse without looking at the collection.
    public func validate() throws(WireError) {
        try Self.check(count: ids.count)
        guard columns.count <= SearchRequest.maximumColumns else { throw Self.tooManyColumns }
        try freshness.validate()
    }

    private static func check(count: Int) throws(WireError) {
        guard idRange.contains(count) else {
            throw Rules.wrong("\(count) ids are asked for; it must be \(idRange.lowerBound) to \(idRange.upperBound)")
        }
    }

    private static var tooManyColumns: WireError {
        Rules.wrong("at most \(SearchRequest.maximumColumns) columns can be asked for")
    }

    public func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, collection)
        buffer.writeField(2, packed: ids)
        for column in columns { buffer.writeField(3, column) }
        buffer.writeFlag(4, withVector)
        if let deadline { SearchRequest.write(deadline: deadline, into: &buffer) }
        buffer.writeFlag(8, allowPartial)
        freshness.encode(from: 9, into: &buffer)
        trace?.writeField(into: &buffer)
    }
}
