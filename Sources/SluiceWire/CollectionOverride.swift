internal import NIOCore

/// What one collection of a search is asked instead of the rest; nil for the same.
public struct CollectionOverride: Hashable, Sendable {
    public var collection: String
    public var vector: VectorBytes?
    public var k: Int?
    /// An empty list asks for none.
    public var columns: [String]?
    public var filter: FilterExpression?

    public init(
        collection: String, vector: VectorBytes? = nil, k: Int? = nil, columns: [String]? = nil,
        filter: FilterExpression? = nil
    ) {
        self.collection = collection
        self.vector = vector
        self.k = k
        self.columns = columns
        self.filter = filter
    }

    /// What needs no knowledge of the collection.
    public func validate() throws(WireError) {
        try vector?.validate()
        try filter?.validate()
        try Rules.check(k, in: 1...Int(UInt32.max), "k for \(collection)")
        guard (columns?.count ?? 0) <= SearchRequest.maximumColumns else { throw Self.tooManyColumns }
    }

    private static var tooManyColumns: WireError {
        Rules.wrong("a collection is asked for at most \(SearchRequest.maximumColumns) columns")
    }
}

extension CollectionOverride {
    init(decoding payload: ByteBuffer, filters: inout FilterBounds) throws(WireError) {
        var (collection, vector): (String?, ByteBuffer?)
        var form = VectorForm.vector
        self.init(collection: "")
        var reader = FieldReader(
            payload, of: "override", once: [1, 2, 3, 4, 6, 7], most: FieldReader.requestFields)
        while let field = try reader.next() {
            switch field.tag {
            case 1: collection = try field.text("override")
            case 2: vector = field.value
            case 3: form = try field.choice("override")
            case 4: k = try field.count("override")
            case 5: try take(column: try field.text("override"))
            case 6:
                try filters.take(field.value.readableBytes)
                filter = try FilterExpression(decoding: field.value, within: filters)
            case 7: if try field.flag("override"), columns == nil { columns = [] }
            default: break
            }
        }
        guard let collection else { throw WireError(.malformed, "override: without a collection") }
        self.collection = collection
        self.vector = vector.map { VectorBytes(unchecked: $0, form: form) }
    }

    private mutating func take(column: String) throws(WireError) {
        guard (columns?.count ?? 0) < SearchRequest.maximumColumns else { throw Self.tooManyColumns }
        columns = (columns ?? []) + [column]
    }

    func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, collection)
        if let vector {
            buffer.writeField(2) { $0.writeImmutableBuffer(vector.bytes) }
            if vector.form != .vector { buffer.writeField(3, vector.form.rawValue) }
        }
        if let k { buffer.writeField(4, count: k) }
        for column in columns ?? [] { buffer.writeField(5, column) }
        if let filter { buffer.writeField(6) { filter.encodeOrNothing(into: &$0) } }
        if columns?.isEmpty == true { buffer.writeField(7, UInt8(1)) }
    }
}

extension FilterExpression {
    /// A filter beyond its limits is written as an empty field, which every gateway refuses; `validate()` says so
    /// before.
    func encodeOrNothing(into buffer: inout ByteBuffer) { try? encode(into: &buffer) }

    /// - Throws: `invalidArgument` for what a gateway would refuse: a limit, or a value out of its range.
    public func validate() throws(WireError) {
        var scratch = ByteBuffer()
        try encode(into: &scratch)
    }
}
