package import NIOCore
package import NIOHTTP1
internal import NIOPosix
package import NIOSSL

/// Asks an HTTP/1.1 server, each time on a connection of its own.
package struct HTTPCall: Sendable {
    package struct Answer: Sendable {
        package var status: Int
        package var headers: HTTPHeaders
        package var body: ByteBuffer
    }

    package struct Failure: Error, CustomStringConvertible {
        package var description: String
    }

    private struct Unreached: Error {
        var cause: any Error
    }

    package var host: String
    package var port: Int
    /// Nil for a plain connection.
    package var tls: NIOSSLContext?
    /// For the whole of the call, once it is connected.
    package var timeout = TimeAmount.seconds(10)
    /// The largest body that is taken.
    package var mostBytes = 64 << 20

    package init(host: String, port: Int, tls: NIOSSLContext? = nil) {
        self.host = host
        self.port = port
        self.tls = tls
    }

    /// A call whose task is cancelled is given up at once, connected or not.
    /// - Throws: `Failure`, which tells nothing of headers and body.
    package func send(
        _ method: HTTPMethod, _ path: String, _ headers: HTTPHeaders = [:], body: ByteBuffer = ByteBuffer()
    ) async throws(Failure) -> Answer {
        var head = HTTPRequestHead(version: .http1_1, method: method, uri: path, headers: headers)
        head.headers.add(name: "Connection", value: "close")
        let mostBytes = mostBytes
        return try await exchange(head, body, within: timeout, ifBroken: "did not answer") { answer in
            [NIOHTTPClientResponseAggregator(maxContentLength: mostBytes), AnswerHandler(answer)]
        }
    }

    /// Connects, and sends a request. The connection closes when the promise that the handlers have is kept.
    /// - Parameters:
    ///   - limit: from when it is connected; nil for none.
    ///   - words: what is said of a connection that was made and failed.
    ///   - handlers: what the answer goes through, made on the connection's event loop.
    func exchange<End: Sendable>(
        _ head: HTTPRequestHead, _ body: ByteBuffer, within limit: TimeAmount?, ifBroken words: String,
        _ handlers: @escaping @Sendable (EventLoopPromise<End>) -> [any ChannelHandler]
    ) async throws(Failure) -> End {
        let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
        let end = eventLoop.makePromise(of: End.self)
        var head = head
        head.headers.add(name: "Host", value: "\(host.contains(":") ? "[\(host)]" : host):\(port)")
        head.headers.add(name: "Content-Length", value: String(body.readableBytes))
        ClientBootstrap(group: eventLoop)
            .connectTimeout(.seconds(3))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try addCodec(to: channel)
                    try channel.pipeline.syncOperations.addHandlers(handlers(end))
                }
            }
            .connect(host: host, port: port)
            .whenComplete { [head] result in
                switch result {
                case .success(let channel): Self.write(head, body, to: channel, until: end.futureResult, within: limit)
                case .failure(let error): end.fail(Unreached(cause: error))
                }
            }
        do {
            return try await withTaskCancellationHandler {
                try await end.futureResult.get()
            } onCancel: {
                end.fail(Failure(description: "the call was given up"))
            }
        } catch let error as Unreached {
            throw Failure(description: "\(host):\(port) cannot be reached: \(error.cause)")
        } catch {
            throw Failure(description: "\(host):\(port) \(words): \(error)")
        }
    }

    /// Sends the request on a connection that closes at the end, or when its time is over.
    private static func write(
        _ head: HTTPRequestHead, _ body: ByteBuffer, to channel: any Channel,
        until end: EventLoopFuture<some Sendable>, within limit: TimeAmount?
    ) {
        let timer = limit.map { channel.eventLoop.scheduleTask(in: $0) { channel.close(promise: nil) } }
        end.whenComplete { _ in
            timer?.cancel()
            channel.close(promise: nil)
        }
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        if body.readableBytes > 0 { channel.write(HTTPClientRequestPart.body(.byteBuffer(body)), promise: nil) }
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
    }

    private func addCodec(to channel: any Channel) throws {
        let pipeline = channel.pipeline.syncOperations
        if let tls {
            // A certificate is of a name; where there is only an address, no name is asked for.
            let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
            try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: isAddress ? nil : host))
        }
        try pipeline.addHTTPClientHandlers()
    }
}

/// Keeps its promise with the answer, or with why there is none.
private final class AnswerHandler: ChannelInboundHandler {
    typealias InboundIn = NIOHTTPClientResponseFull

    private var promise: EventLoopPromise<HTTPCall.Answer>?

    init(_ promise: EventLoopPromise<HTTPCall.Answer>) { self.promise = promise }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let response = unwrapInboundIn(data)
        finish(
            .success(
                HTTPCall.Answer(
                    status: Int(response.head.status.code), headers: response.head.headers,
                    body: response.body ?? ByteBuffer())))
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        finish(.failure(error))
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish(.failure(HTTPCall.Failure(description: "the connection was closed")))
        context.fireChannelInactive()
    }

    private func finish(_ result: Result<HTTPCall.Answer, any Error>) {
        promise?.completeWith(result)
        promise = nil
    }
}
