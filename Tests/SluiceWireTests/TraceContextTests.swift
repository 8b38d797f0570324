import NIOCore
import SluiceWire
import Testing

@Suite struct TraceContextTests {
    private static let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    private static let context = TraceContext(
        traceID: TraceID(high: 0x0af7_6519_16cd_43dd, low: 0x8448_eb21_1c80_319c), spanID: 0xb7ad_6b71_6920_3331,
        flags: 1, state: "rojo=00f067aa0ba902b7")

    @Test func aTraceparentIsReadAndWrittenTheSame() throws {
        let context = try #require(
            TraceContext(traceparent: Self.text, tracestate: "rojo=00f067aa0ba902b7"))
        #expect(context == Self.context && context.traceparent == Self.text && context.isSampled)
        let small = TraceContext(traceID: TraceID(high: 0, low: 1), spanID: 2, flags: 0)
        #expect(small.traceparent == "00-00000000000000000000000000000001-0000000000000002-00" && !small.isSampled)
        #expect(TraceContext(traceparent: small.traceparent) == small)
    }

    @Test func aLaterVersionMaySayMore() {
        let later = Self.text.replacing("00-0a", with: "cc-0a", maxReplacements: 1)
        #expect(TraceContext(traceparent: later)?.traceID == Self.context.traceID)
        #expect(TraceContext(traceparent: later + "-what")?.traceID == Self.context.traceID)
        #expect(TraceContext(traceparent: later + "what") == nil)
    }

    @Test(arguments: [
        "", "00", text + "-what", text + " ", String(text.dropLast()), text.uppercased(),
        text.replacing("-", with: "_"), text.replacing("00-0a", with: "ff-0a"), text.replacing("dd84", with: "dg84"),
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-001",
        "00-0af7651916cd43dd8448eb211c80319ß-b7ad6b7169203331-1",
    ])
    func whatIsNoTraceparentIsRefused(text: String) {
        #expect(TraceContext(traceparent: text) == nil)
    }

    @Test(arguments: ["a=\u{7}", "a=\r\nX: 1", "ä=1", String(repeating: "a", count: 513)])
    func aStateThatNoHeaderMayHaveIsLeftOut(state: String) {
        #expect(TraceContext(traceparent: Self.text, tracestate: state)?.state == "")
    }

    /// Every kind of request has it at the same tag.
    private static func count(_ body: (inout ByteBuffer) -> Void) throws -> TraceContext? {
        var buffer = ByteBuffer()
        CountRequest(collection: "a").encode(into: &buffer)
        buffer.writeMultipleIntegers(UInt16(60), UInt32(0))
        let start = buffer.writerIndex
        body(&buffer)
        buffer.setInteger(UInt32(buffer.writerIndex - start), at: start - 4)
        return try CountRequest(decoding: buffer).trace
    }

    @Test func idsOfZerosAreNoContext() throws {
        let none = try Self.count { $0.writeMultipleIntegers(UInt64(0), UInt64(0), UInt64(7), UInt8(1)) }
        let orphan = try Self.count { $0.writeMultipleIntegers(UInt64(1), UInt64(2), UInt64(0), UInt8(1)) }
        #expect(none == nil && orphan == nil)
    }

    @Test func aStateWithOtherBytesIsLeftOutOnTheWireToo() throws {
        let found = try Self.count { buffer in
            buffer.writeMultipleIntegers(UInt64(1), UInt64(2), UInt64(3), UInt8(1))
            buffer.writeBytes([0x61, 0x0a])
        }
        #expect(found == TraceContext(traceID: TraceID(high: 1, low: 2), spanID: 3, flags: 1))
    }

    @Test func itCanBeAddedToARequestThatIsEncodedAlready() throws {
        var buffer = ByteBuffer()
        CursorRequest(cursor: WireCursor(high: 1, low: 2), pageSize: 3).encode(into: &buffer)
        Self.context.writeField(into: &buffer)
        #expect(try CursorRequest(decoding: buffer).trace == Self.context)
    }
}
