public import NIOCore

/// How many rows a collection has, or how many of them a filter finds?
public struct CountRequest: Hashable, Sendable {
    public var collection: String
    public var filter: FilterExpression?
    /// Count instead of estimating.
    public var exact: Bool
    /// The time left; nil for the gateway's default.
    public var deadline: Duration?
    /// Which trace it is part of; nil for none.
    public var trace: TraceContext?

    public init(
        collection: String, filter: FilterExpression? = nil, exact: Bool = false, deadline: Duration? = nil
    ) {
        self.collection = collection
        self.filter = filter
        self.exact = exact
        self.deadline = deadline
    }

    public init(decoding payload: ByteBuffer, filters: FilterBounds = .init()) throws(WireError) {
        var collection: String?
        self.init(collection: "")
        var reader = FieldReader(
            payload, of: "COUNT", once: [1, 2, 3, 5, 60], most: FieldReader.requestFields)
        while let field = try reader.next() {
            switch field.tag {
            case 1: collection = try field.text("COUNT")
            case 2: filter = try FilterExpression(decoding: field.value, within: filters)
            case 3: exact = try field.flag("COUNT")
            case 5: deadline = try field.microseconds("COUNT")
            case TraceContext.tag: trace = try field.traceContext("COUNT")
            default: break
            }
        }
        guard let collection else { throw WireError(.malformed, "COUNT: without a collection") }
        self.collection = collection
    }

    /// - Throws: `invalidArgument` for what a gateway would refuse without looking at the collection.
    public func validate() throws(WireError) { try filter?.validate() }

    public func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, collection)
        if let filter { buffer.writeField(2) { filter.encodeOrNothing(into: &$0) } }
        buffer.writeFlag(3, exact)
        if let deadline { SearchRequest.write(deadline: deadline, into: &buffer) }
        trace?.writeField(into: &buffer)
    }
}

/// The answer to COUNT.
public struct CountResult: Hashable, Sendable {
    /// Over all shards; finite and not negative.
    public var rows: Double
    /// Counted, not estimated.
    public var isExact: Bool
    public var legs: [LegReport]

    public init(rows: Double, isExact: Bool, legs: [LegReport]) {
        self.rows = rows
        self.isExact = isExact
        self.legs = legs
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        self.init(rows: .nan, isExact: false, legs: [])
        var reader = FieldReader(payload, of: "COUNT_RESULT", once: [1, 2])
        while let field = try reader.next() {
            switch field.tag {
            case 1: rows = try field.double("COUNT_RESULT")
            case 2: isExact = try field.flag("COUNT_RESULT")
            case 3: legs.append(try LegReport(decoding: field.value))
            default: break
            }
        }
        guard rows.isFinite, rows >= 0 else {
            throw WireError(.malformed, "COUNT_RESULT: without a finite number of rows from 0 on")
        }
    }

    public func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, rows)
        buffer.writeFlag(2, isExact)
        for leg in legs { buffer.writeField(3) { leg.encode(into: &$0) } }
    }
}
