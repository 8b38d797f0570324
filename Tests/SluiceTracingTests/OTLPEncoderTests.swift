import NIOCore
import SluiceTracing
import SluiceWire
import Testing
import Tracing

@Suite struct OTLPEncoderTests {
    private let parent = TraceContext(
        traceID: TraceID(high: 0x0af7_6519_16cd_43dd, low: 0x8448_eb21_1c80_319c), spanID: 7, flags: 1,
        state: "rojo=1")

    private func text(_ span: FinishedSpan, resource: [(name: String, value: String)] = []) throws -> String {
        String(buffer: try OTLPEncoder(resource: resource).encode([span]))
    }

    private func span(_ kind: SpanKind = .server) -> FinishedSpan {
        var own = parent
        own.spanID = 0xb7ad_6b71_6920_3331
        return FinishedSpan(
            context: own, parent: parent, name: "sluice search", kind: kind, start: 1_700_000_000_000_000_001)
    }

    /// Ids in hexadecimal digits, 64-bit numbers as texts, enumerations as numbers: as OTLP has its JSON.
    @Test func aSpanHasTheFormOfOTLP() throws {
        var span = span()
        span.end = 1_700_000_000_000_000_900
        span.attributes = [
            "b": true, "d": .double(0.5), "i": .int64(.max), "l": .stringArray(["x", "y"]), "s": "a \"word\"\n",
        ]
        span.events = [
            SpanEvent(name: "e", at: DefaultTracerClock.Timestamp(nanosecondsSinceEpoch: 5), attributes: [:])
        ]
        span.status = SpanStatus(code: .error)
        #expect(
            try text(span, resource: [("service.name", "sluice")]) == """
                {"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"sluice"}}]},\
                "scopeSpans":[{"scope":{"name":"sluice"},"spans":[{"attributes":[\
                {"key":"b","value":{"boolValue":true}},{"key":"d","value":{"doubleValue":0.5}},\
                {"key":"i","value":{"intValue":"9223372036854775807"}},\
                {"key":"l","value":{"arrayValue":{"values":[{"stringValue":"x"},{"stringValue":"y"}]}}},\
                {"key":"s","value":{"stringValue":"a \\"word\\"\\n"}}],"endTimeUnixNano":"1700000000000000900",\
                "events":[{"attributes":[],"name":"e","timeUnixNano":"5"}],"flags":1,"kind":2,"name":"sluice search",\
                "parentSpanId":"0000000000000007","spanId":"b7ad6b7169203331",\
                "startTimeUnixNano":"1700000000000000001","status":{"code":2},\
                "traceId":"0af7651916cd43dd8448eb211c80319c","traceState":"rojo=1"}]}]}]}
                """)
    }

    @Test func aFirstSpanHasNoParent() throws {
        var span = span()
        span.parent = nil
        span.context.state = ""
        let text = try text(span)
        #expect(
            !text.contains("parentSpanId") && !text.contains("traceState") && text.contains(#""status":{"code":0}"#))
    }

    @Test(arguments: zip([SpanKind.internal, .server, .client, .producer, .consumer], 1...5))
    func kindsAreNumbers(kind: SpanKind, number: Int) throws {
        #expect(try text(span(kind)).contains(#""kind":\#(number),"#))
    }

    @Test func numbersThatJSONHasNotAreWords() throws {
        var span = span()
        span.attributes = ["a": .double(.nan), "b": .double(-.infinity)]
        let text = try text(span)
        #expect(text.contains(#"{"doubleValue":"NaN"}"#) && text.contains(#"{"doubleValue":"-Infinity"}"#))
    }

    /// A character may be as long as somebody likes.
    @Test func aTextIsCutByItsBytes() throws {
        var span = span()
        span.attributes = ["a": .string("e" + String(repeating: "\u{301}", count: 10_000))]
        let text = try text(span)
        #expect(text.utf8.count < 1_000 && text.unicodeScalars.count { $0 == "\u{301}" } == 127)
    }

    @Test func aSpanIsNoLargerThanItMayBe() throws {
        var span = span()
        for number in 0..<1_000 { span.attributes["k\(number)"] = String(repeating: "x", count: 1_000) }
        let text = try text(span)
        #expect(text.utf8.count < 64 * 400 && text.contains(#""droppedAttributesCount":936"#))
    }
}
