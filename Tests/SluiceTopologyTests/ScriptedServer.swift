import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// An HTTP server that answers as a test says.
final class ScriptedServer: Sendable {
    enum Reply: Sendable {
        case text(Int, String)
        /// It takes a request, and says nothing.
        case silence
        /// Lines of an answer that goes on.
        case lines([String], ends: Bool)
    }

    struct Request: Sendable {
        var path: String
        var body: String
        var authorization: String?
        /// How many of this path came before.
        var number: Int
    }

    private let script: @Sendable (Request) -> Reply
    private let counts = Mutex<[String: Int]>([:])
    private let channel = Mutex<(any Channel)?>(nil)

    private init(_ script: @escaping @Sendable (Request) -> Reply) { self.script = script }

    static func start(_ script: @escaping @Sendable (Request) -> Reply) async throws -> ScriptedServer {
        let server = ScriptedServer(script)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(Handler(server))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        server.channel.withLock { $0 = channel }
        return server
    }

    var port: Int { channel.withLock { $0?.localAddress?.port } ?? 0 }

    func stop() async throws { try await channel.withLock { $0 }?.close() }

    func count(of path: String) -> Int { counts.withLock { $0[path] ?? 0 } }

    fileprivate func reply(to path: String, _ body: String, _ authorization: String?) -> Reply {
        let number = counts.withLock { counts in
            defer { counts[path, default: 0] += 1 }
            return counts[path] ?? 0
        }
        return script(Request(path: path, body: body, authorization: authorization, number: number))
    }
}

private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let server: ScriptedServer
    private var path = ""
    private var authorization: String?
    private var body = ByteBuffer()

    init(_ server: ScriptedServer) { self.server = server }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            path = head.uri
            authorization = head.headers.first(name: "Authorization")
            body.clear()
        case .body(var part): body.writeBuffer(&part)
        case .end: answer(context, server.reply(to: path, String(buffer: body), authorization))
        }
    }

    private func answer(_ context: ChannelHandlerContext, _ reply: ScriptedServer.Reply) {
        var head = HTTPResponseHead(version: .http1_1, status: .ok)
        switch reply {
        case .silence: return
        case .text(let status, let text):
            head.status = .init(statusCode: status)
            head.headers.add(name: "Content-Length", value: String(text.utf8.count))
            write(context, head, text)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        case .lines(let lines, let ends):
            head.headers.add(name: "Transfer-Encoding", value: "chunked")
            write(context, head, lines.map { $0 + "\n" }.joined())
            if ends {
                context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
            } else {
                context.flush()
            }
        }
    }

    private func write(_ context: ChannelHandlerContext, _ head: HTTPResponseHead, _ text: String) {
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
    }
}
