import NIOCore
import SluiceWire
import Testing

/// What GET, COUNT and NEXT may ask for: whatever a client writes beyond it is refused when it is read, and names what
/// is wrong. Their bad frames are among the golden vectors.
@Suite struct RequestLimitTests {
    private func error(_ body: () throws(WireError) -> Void) -> WireError? {
        do throws(WireError) {
            try body()
            return nil
        } catch { return error }
    }

    private func refusal(_ request: GetRequest) -> WireError? {
        var payload = ByteBuffer()
        request.encode(into: &payload)
        return error { () throws(WireError) in try GetRequest(decoding: payload).validate() }
    }

    private func refusal(_ request: CountRequest) -> WireError? {
        var payload = ByteBuffer()
        request.encode(into: &payload)
        return error { () throws(WireError) in try CountRequest(decoding: payload).validate() }
    }

    @Test(arguments: [(0, false), (1, true), (10_000, true), (10_001, false)])
    func ids(count: Int, isAllowed: Bool) {
        let request = GetRequest(collection: "a", ids: (0..<count).map { Int64($0) })
        let wrong = WireError(.invalidArgument, "\(count) ids are asked for; it must be 1 to 10000")
        #expect(refusal(request) == (isAllowed ? nil : wrong))
        #expect(error(request.validate) == (isAllowed ? nil : wrong))
    }

    @Test(arguments: [(0, true), (256, true), (257, false)])
    func columns(count: Int, isAllowed: Bool) {
        let request = GetRequest(collection: "a", ids: [1], columns: (0..<count).map { "c\($0)" })
        let wrong = WireError(.invalidArgument, "at most 256 columns can be asked for")
        #expect(refusal(request) == (isAllowed ? nil : wrong))
        #expect(error(request.validate) == (isAllowed ? nil : wrong))
    }

    @Test(arguments: ["a\0", String(repeating: "x", count: 1_025)])
    func names(name: String) {
        let requests = [
            refusal(GetRequest(collection: name, ids: [1])), refusal(CountRequest(collection: name)),
            refusal(GetRequest(collection: "a", ids: [1], columns: [name])),
        ]
        for (error, word) in zip(requests, ["GET: field 1", "COUNT: field 1", "GET: field 3"]) {
            #expect(error?.code == .malformed && error?.message.hasPrefix(word) == true)
        }
        #expect(refusal(GetRequest(collection: String(repeating: "x", count: 1_024), ids: [1])) == nil)
    }

    /// A filter has the same limits in COUNT as in SEARCH; what cannot be written is refused as what cannot be read.
    @Test func filtersOfCounts() {
        let deep = (1..<17).reduce(FilterExpression.isNull(column: "c")) { filter, _ in .not(filter) }
        let request = CountRequest(collection: "a", filter: deep)
        #expect(error(request.validate) == WireError(.invalidArgument, "filter: it is more than 16 levels deep"))
        #expect(refusal(request) == WireError(.malformed, "filter: it is cut short"))
        #expect(refusal(CountRequest(collection: "a", filter: .isNull(column: "c"))) == nil)
    }

    @Test func pages() throws {
        let cursor = WireCursor(high: 1, low: 2)
        for size in [0, 1, Int(UInt32.max)] {
            var payload = ByteBuffer()
            CursorRequest(cursor: cursor, pageSize: size).encode(into: &payload)
            #expect(try CursorRequest(decoding: payload) == CursorRequest(cursor: cursor, pageSize: size))
        }
    }
}
