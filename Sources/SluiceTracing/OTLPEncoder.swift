internal import Foundation
package import NIOCore
internal import SluiceWire
internal import Tracing

/// Spans as OTLP's JSON: `ExportTraceServiceRequest` in the JSON form of protocol buffers, with ids in hexadecimal
/// digits, as OTLP has it.
///
/// Source: OpenTelemetry Protocol 1.3, "JSON Protobuf Encoding".
package struct OTLPEncoder {
    private static let mostAttributes = 64
    /// Of a text, in UTF-8; what is longer is cut.
    private static let mostBytes = 256

    private let resource: Resource
    private let encoder: JSONEncoder

    package init(resource: [(name: String, value: String)]) {
        self.resource = Resource(attributes: resource.map { KeyValue(key: $0.name, value: .string($0.value)) })
        encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
    }

    /// - Throws: Foundation's error; no span is known that would be the cause.
    package func encode(_ spans: [FinishedSpan]) throws -> ByteBuffer {
        let scope = ScopeSpans(scope: Scope(name: "sluice"), spans: spans.map(OTLPSpan.init))
        let request = Request(resourceSpans: [ResourceSpans(resource: resource, scopeSpans: [scope])])
        return ByteBuffer(bytes: try encoder.encode(request))
    }

    /// How many spans the collector says that it did not take.
    static func rejected(_ body: ByteBuffer) -> Int {
        guard body.readableBytes > 2,
            let answer = try? JSONDecoder().decode(Response.self, from: Data(body.readableBytesView))
        else { return 0 }
        switch answer.partialSuccess?.rejectedSpans {
        case .text(let text): return max(0, Int(text) ?? 0)
        case .number(let number): return max(0, number)
        case nil: return 0
        }
    }

    // MARK: Messages

    private struct Request: Encodable {
        var resourceSpans: [ResourceSpans]
    }

    private struct ResourceSpans: Encodable {
        var resource: Resource
        var scopeSpans: [ScopeSpans]
    }

    private struct Resource: Encodable {
        var attributes: [KeyValue]
    }

    private struct ScopeSpans: Encodable {
        var scope: Scope
        var spans: [OTLPSpan]
    }

    private struct Scope: Encodable {
        var name: String
    }

    private struct OTLPSpan: Encodable {
        var traceId, spanId: String
        var traceState, parentSpanId: String?
        var flags: UInt32
        var name: String
        var kind: Int
        var startTimeUnixNano, endTimeUnixNano: String
        var attributes: [KeyValue]
        var droppedAttributesCount: Int?
        var events: [Event]
        var status: Status

        init(_ span: FinishedSpan) {
            traceId = "\(span.context.traceID)"
            spanId = span.context.spanText
            traceState = span.context.state.isEmpty ? nil : span.context.state
            parentSpanId = span.parent?.spanText
            flags = UInt32(span.context.flags)
            name = OTLPEncoder.cut(span.name)
            kind =
                switch span.kind {
                case .internal: 1
                case .server: 2
                case .client: 3
                case .producer: 4
                case .consumer: 5
                }
            startTimeUnixNano = String(span.start)
            endTimeUnixNano = String(span.end)
            attributes = KeyValue.list(span.attributes)
            let dropped = span.attributes.count - attributes.count
            droppedAttributesCount = dropped > 0 ? dropped : nil
            events = span.events.map(Event.init)
            status = Status(span.status)
        }
    }

    private struct Event: Encodable {
        var timeUnixNano, name: String
        var attributes: [KeyValue]

        init(_ event: SpanEvent) {
            timeUnixNano = String(event.nanosecondsSinceEpoch)
            name = OTLPEncoder.cut(event.name)
            attributes = KeyValue.list(event.attributes)
        }
    }

    private struct Status: Encodable {
        /// 0 unset, 1 ok, 2 error.
        var code: Int
        var message: String?

        init(_ status: SpanStatus?) {
            switch status?.code {
            case .ok: code = 1
            case .error: code = 2
            case nil: code = 0
            }
            message = (status?.message).map(OTLPEncoder.cut)
        }
    }

    private struct KeyValue: Encodable {
        var key: String
        var value: Value

        static func list(_ attributes: SpanAttributes) -> [KeyValue] {
            var list: [KeyValue] = []
            func take(_ key: String, _ value: SpanAttribute) {
                guard list.count < mostAttributes, let value = Value(value) else { return }
                list.append(KeyValue(key: cut(key), value: value))
            }
            attributes.forEach(take)
            return list.sorted { $0.key < $1.key }
        }
    }

    private indirect enum Value: Encodable {
        case string(String)
        /// 64 bits are a text in this form of JSON.
        case int(Int64)
        case double(Double)
        case bool(Bool)
        case array([Value])

        private enum Key: CodingKey {
            case stringValue
            case intValue
            case doubleValue
            case boolValue
            case arrayValue
        }

        private struct List: Encodable {
            var values: [Value]
        }

        /// - Returns: nil for a kind that this version does not know.
        init?(_ attribute: SpanAttribute) {
            switch attribute {
            case .int32(let value): self = .int(Int64(value))
            case .int64(let value): self = .int(value)
            case .double(let value): self = .double(value)
            case .bool(let value): self = .bool(value)
            case .string(let value): self = .string(cut(value))
            case .stringConvertible(let value): self = .string(cut("\(value)"))
            case .int32Array(let values): self = .list(values) { .int(Int64($0)) }
            case .int64Array(let values): self = .list(values) { .int($0) }
            case .doubleArray(let values): self = .list(values) { .double($0) }
            case .boolArray(let values): self = .list(values) { .bool($0) }
            case .stringArray(let values): self = .list(values) { .string(cut($0)) }
            case .stringConvertibleArray(let values): self = .list(values) { .string(cut("\($0)")) }
            default: return nil
            }
        }

        private static func list<Element>(_ values: [Element], _ value: (Element) -> Value) -> Value {
            .array(values.prefix(mostAttributes).map(value))
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: Key.self)
            switch self {
            case .string(let value): try container.encode(value, forKey: .stringValue)
            case .int(let value): try container.encode(String(value), forKey: .intValue)
            case .double(let value): try container.encode(value, forKey: .doubleValue)
            case .bool(let value): try container.encode(value, forKey: .boolValue)
            case .array(let values): try container.encode(List(values: values), forKey: .arrayValue)
            }
        }
    }

    private struct Response: Decodable {
        struct Partial: Decodable {
            var rejectedSpans: Count?
        }

        /// The protocol has it as a text; some write a number.
        enum Count: Decodable {
            case text(String)
            case number(Int)

            init(from decoder: any Decoder) throws {
                let container = try decoder.singleValueContainer()
                if let number = try? container.decode(Int.self) {
                    self = .number(number)
                } else {
                    self = .text(try container.decode(String.self))
                }
            }
        }

        var partialSuccess: Partial?
    }

    /// By bytes: a single character may have any number of them.
    private static func cut(_ text: String) -> String {
        text.utf8.count <= mostBytes ? text : String(decoding: text.utf8.prefix(mostBytes), as: UTF8.self)
    }
}
