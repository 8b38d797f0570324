internal import Foundation
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Synchronization

/// An OpenTelemetry collector that answers as a test says, and keeps what it takes.
package final class TraceCollector: Sendable {
    package struct Reply: Sendable {
        var status: Int
        var headers: [(String, String)]
        var body: String
        fileprivate var isSilent = false

        /// It takes a request, and says nothing.
        package static var silence: Reply {
            var reply = Reply(0)
            reply.isSilent = true
            return reply
        }

        package init(_ status: Int, headers: [(String, String)] = [], body: String = "{}") {
            self.status = status
            self.headers = headers
            self.body = body
        }
    }

    package struct Request: Sendable {
        package var path: String
        package var headers: [(name: String, value: String)]
        package var body: String
        /// What it was answered by.
        package var status: Int
    }

    private struct State {
        var script: [Reply]
        var requests: [Request] = []
    }

    private let state: Mutex<State>
    private let arrivals = AsyncStream.makeStream(of: Void.self)
    private let channel = Mutex<(any Channel)?>(nil)

    private init(_ script: [Reply]) { state = Mutex(State(script: script)) }

    /// - Parameter script: its first answers; every further one is 200.
    package static func start(_ script: [Reply] = []) async throws -> TraceCollector {
        let collector = TraceCollector(script)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Handler(collector))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        collector.channel.withLock { $0 = channel }
        return collector
    }

    package var port: Int { channel.withLock { $0?.localAddress?.port } ?? 0 }

    package func stop() async throws { try await channel.withLock { $0 }?.close() }

    package var requests: [Request] { state.withLock { $0.requests } }

    /// Waits for the next request until there is what a test wants. By one task at a time.
    package func wait(until isEnough: (TraceCollector) throws -> Bool) async throws {
        var next = arrivals.stream.makeAsyncIterator()
        while try !isEnough(self) { _ = await next.next() }
    }

    /// Those that were taken.
    package func spans() throws -> [CollectedSpan] {
        try requests.filter { $0.status == 200 }.flatMap { request in
            let export = try JSONDecoder().decode(CollectedExport.self, from: Data(request.body.utf8))
            return export.resourceSpans.flatMap { part in
                let service = part.resource.attributes.first { $0.key == "service.name" }?.value.text ?? ""
                return part.scopeSpans.flatMap(\.spans).map { span in
                    var span = span
                    span.service = service
                    return span
                }
            }
        }
    }

    fileprivate func take(_ path: String, _ headers: HTTPHeaders, _ body: ByteBuffer) -> Reply {
        let reply = state.withLock { state in
            let reply = state.script.isEmpty ? Reply(200) : state.script.removeFirst()
            state.requests.append(
                Request(
                    path: path, headers: headers.map { ($0.name, $0.value) }, body: String(buffer: body),
                    status: reply.status))
            return reply
        }
        arrivals.continuation.yield()
        return reply
    }
}

/// A span, as the JSON has it.
package struct CollectedSpan: Decodable, Sendable {
    package var traceId, spanId, name: String
    package var parentSpanId, traceState: String?
    package var kind: Int
    package var startTimeUnixNano, endTimeUnixNano: String
    package var status: Status?
    private var attributes: [CollectedAttribute]
    package fileprivate(set) var service = ""

    package struct Status: Decodable, Sendable {
        package var code: Int
    }

    private enum CodingKeys: CodingKey {
        case traceId
        case spanId
        case name
        case parentSpanId
        case traceState
        case kind
        case startTimeUnixNano
        case endTimeUnixNano
        case status
        case attributes
    }

    package subscript(_ key: String) -> String? { attributes.first { $0.key == key }?.value.text }
}

private struct CollectedAttribute: Decodable, Sendable {
    struct Value: Decodable, Sendable {
        struct List: Decodable, Sendable {
            var values: [Value]
        }

        var stringValue, intValue: String?
        var doubleValue: Double?
        var boolValue: Bool?
        var arrayValue: List?

        var text: String {
            if let arrayValue { return arrayValue.values.map(\.text).joined(separator: ",") }
            return stringValue ?? intValue ?? doubleValue.map { "\($0)" } ?? boolValue.map { "\($0)" } ?? ""
        }
    }

    var key: String
    var value: Value
}

private struct CollectedExport: Decodable {
    struct Resource: Decodable {
        var attributes: [CollectedAttribute]
    }

    struct Scope: Decodable {
        var spans: [CollectedSpan]
    }

    struct Part: Decodable {
        var resource: Resource
        var scopeSpans: [Scope]
    }

    var resourceSpans: [Part]
}

private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let collector: TraceCollector
    private var head: HTTPRequestHead?
    private var body = ByteBuffer()

    init(_ collector: TraceCollector) { self.collector = collector }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body.clear()
        case .body(var part): body.writeBuffer(&part)
        case .end:
            guard let head else { return }
            answer(context, collector.take(head.uri, head.headers, body))
        }
    }

    private func answer(_ context: ChannelHandlerContext, _ reply: TraceCollector.Reply) {
        if reply.isSilent { return }
        var head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: reply.status))
        head.headers.add(name: "Content-Length", value: String(reply.body.utf8.count))
        for (name, value) in reply.headers { head.headers.add(name: name, value: value) }
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: reply.body)))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
}
