public import NIOCore

/// NEXT: the next hits of a list that the gateway holds, please, or the list is not needed any more.
public struct CursorRequest: Hashable, Sendable {
    public var cursor: WireCursor
    /// How many hits; 0 closes the cursor.
    public var pageSize: Int
    /// Which trace it is part of; nil for none.
    public var trace: TraceContext?

    public init(cursor: WireCursor, pageSize: Int) {
        self.cursor = cursor
        self.pageSize = pageSize
    }

    public init(decoding payload: ByteBuffer) throws(WireError) {
        var (cursor, pageSize): (WireCursor?, Int?)
        var trace: TraceContext?
        var reader = FieldReader(payload, of: "NEXT", once: [1, 2, 60])
        while let field = try reader.next() {
            switch field.tag {
            case 1: cursor = try field.cursor("NEXT")
            case 2: pageSize = try field.count("NEXT")
            case TraceContext.tag: trace = try field.traceContext("NEXT")
            default: break
            }
        }
        guard let cursor, let pageSize else { throw WireError(.malformed, "NEXT: without a cursor or a page size") }
        self.init(cursor: cursor, pageSize: pageSize)
        self.trace = trace
    }

    public func encode(into buffer: inout ByteBuffer) {
        buffer.writeField(1, cursor)
        buffer.writeField(2, count: pageSize)
        trace?.writeField(into: &buffer)
    }
}
