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
        let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
        let answer = eventLoop.makePromise(of: Answer.self)
        var head = HTTPRequestHead(version: .http1_1, method: method, uri: path, headers: headers)
        head.headers.add(name: "Host", value: "\(host.contains(":") ? "[\(host)]" : host):\(port)")
        head.headers.add(name: "Connection", value: "close")
        head.headers.add(name: "Content-Length", value: String(body.readableBytes))
        ClientBootstrap(group: eventLoop)
            .connectTimeout(.seconds(3))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try prepare(channel, answer) }
            }
            .connect(host: host, port: port)
            .whenComplete { [head] result in
                switch result {
                case .success(let channel): write(head, body, to: channel, until: answer.futureResult)
                case .failure(let error): answer.fail(Unreached(cause: error))
                }
            }
        do {
            return try await withTaskCancellationHandler {
                try await answer.futureResult.get()
            } onCancel: {
                answer.fail(Failure(description: "the call was given up"))
            }
        } catch let error as Unreached {
            throw Failure(description: "\(host):\(port) cannot be reached: \(error.cause)")
        } catch {
            throw Failure(description: "\(host):\(port) did not answer: \(error)")
        }
    }

    /// Sends the request on a connection that closes when there is an answer, or none is wanted any more.
    private func write(
        _ head: HTTPRequestHead, _ body: ByteBuffer, to channel: any Channel, until answer: EventLoopFuture<Answer>
    ) {
        let end = channel.eventLoop.scheduleTask(in: timeout) { channel.close(promise: nil) }
        answer.whenComplete { _ in
            end.cancel()
            channel.close(promise: nil)
        }
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        if body.readableBytes > 0 { channel.write(HTTPClientRequestPart.body(.byteBuffer(body)), promise: nil) }
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
    }

    private func prepare(_ channel: any Channel, _ answer: EventLoopPromise<Answer>) throws {
        let pipeline = channel.pipeline.syncOperations
        if let tls {
            // A certificate is of a name; where there is only an address, no name is asked for.
            let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
            try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: isAddress ? nil : host))
        }
        try pipeline.addHTTPClientHandlers()
        try pipeline.addHandler(NIOHTTPClientResponseAggregator(maxContentLength: mostBytes))
        try pipeline.addHandler(AnswerHandler(answer))
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
