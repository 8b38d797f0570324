internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix

/// Asks a gateway's admin server.
public struct AdminClient: Sendable {
    public struct Answer: Sendable {
        public var status: Int
        public var type: String
        public var body: String
    }

    public struct Failure: Error, CustomStringConvertible {
        public var description: String
    }

    private static let mostBytes = 64 << 20
    private static let timeout = TimeAmount.seconds(10)

    public var host: String
    public var port: Int
    /// Of an identity that may administer; nil where there are no identities.
    public var token: String?

    public init(host: String, port: Int, token: String? = nil) {
        self.host = host
        self.port = port
        self.token = token
    }

    /// - Parameter accept: the media type that is wanted.
    /// - Throws: `Failure`.
    public func get(_ path: String, accept: String? = nil) async throws -> Answer {
        var headers = HTTPHeaders()
        if let accept { headers.add(name: "Accept", value: accept) }
        return try await ask(.GET, path, headers, nil)
    }

    /// - Parameter json: the body.
    /// - Throws: `Failure`.
    public func post(_ path: String, json: String = "{}") async throws -> Answer {
        var headers = HTTPHeaders([("Content-Type", "application/json")])
        if let token { headers.add(name: "Authorization", value: "Bearer \(token)") }
        return try await ask(.POST, path, headers, json)
    }

    private func ask(
        _ method: HTTPMethod, _ path: String, _ headers: HTTPHeaders, _ body: String?
    ) async throws -> Answer {
        let answer = MultiThreadedEventLoopGroup.singleton.next().makePromise(of: Answer.self)
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: answer.futureResult.eventLoop)
                .connectTimeout(.seconds(3))
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHTTPClientHandlers()
                        try channel.pipeline.syncOperations.addHandler(
                            NIOHTTPClientResponseAggregator(maxContentLength: Self.mostBytes))
                        try channel.pipeline.syncOperations.addHandler(AnswerHandler(answer))
                    }
                }
                .connect(host: host, port: port).get()
        } catch {
            answer.fail(error)
            throw Failure(description: "\(host):\(port) cannot be reached: \(error)")
        }
        let timeout = channel.eventLoop.scheduleTask(in: Self.timeout) { channel.close(promise: nil) }
        defer {
            timeout.cancel()
            channel.close(promise: nil)
        }
        var head = HTTPRequestHead(version: .http1_1, method: method, uri: path, headers: headers)
        head.headers.add(name: "Host", value: "\(host):\(port)")
        head.headers.add(name: "Connection", value: "close")
        head.headers.add(name: "Content-Length", value: String(body?.utf8.count ?? 0))
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        if let body {
            channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(string: body))), promise: nil)
        }
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        do { return try await answer.futureResult.get() } catch {
            throw Failure(description: "\(host):\(port) did not answer: \(error)")
        }
    }
}

/// Keeps its promise with the answer, or with why there is none.
private final class AnswerHandler: ChannelInboundHandler {
    typealias InboundIn = NIOHTTPClientResponseFull

    private var promise: EventLoopPromise<AdminClient.Answer>?

    init(_ promise: EventLoopPromise<AdminClient.Answer>) { self.promise = promise }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let response = unwrapInboundIn(data)
        finish(
            .success(
                AdminClient.Answer(
                    status: Int(response.head.status.code),
                    type: response.head.headers.first(name: "Content-Type") ?? "",
                    body: response.body.map { String(buffer: $0) } ?? "")))
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        finish(.failure(error))
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish(.failure(AdminClient.Failure(description: "the connection was closed")))
        context.fireChannelInactive()
    }

    private func finish(_ result: Result<AdminClient.Answer, any Error>) {
        promise?.completeWith(result)
        promise = nil
    }
}
