package import NIOCore
package import NIOHTTP1
internal import NIOPosix
internal import NIOSSL

extension HTTPCall {
    /// Sends a request whose answer is lines that come over time, as an event stream's.
    ///
    /// Returns when the server has ended the answer, or nobody wants more of it. A call whose task is cancelled is
    /// given up at once.
    /// - Parameters:
    ///   - mostLineBytes: a longer line ends it.
    ///   - take: called for each line, without its end, on an event loop's thread; false for no more.
    /// - Throws: `Failure`, which tells nothing of headers and body, if it does not begin, or breaks.
    package func lines(
        _ method: HTTPMethod, _ path: String, _ headers: HTTPHeaders = [:], body: ByteBuffer = ByteBuffer(),
        mostLineBytes: Int, _ take: @escaping @Sendable ([UInt8]) -> Bool
    ) async throws(Failure) {
        let eventLoop = MultiThreadedEventLoopGroup.singleton.next()
        let end = eventLoop.makePromise(of: Void.self)
        var head = HTTPRequestHead(version: .http1_1, method: method, uri: path, headers: headers)
        head.headers.add(name: "Host", value: "\(host.contains(":") ? "[\(host)]" : host):\(port)")
        head.headers.add(name: "Content-Length", value: String(body.readableBytes))
        ClientBootstrap(group: eventLoop)
            .connectTimeout(.seconds(3))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try addCodec(to: channel)
                    try channel.pipeline.syncOperations.addHandler(
                        LineHandler(end, mostBytes: mostLineBytes, take))
                }
            }
            .connect(host: host, port: port)
            .whenComplete { [head] result in
                switch result {
                case .success(let channel):
                    end.futureResult.whenComplete { _ in channel.close(promise: nil) }
                    channel.write(HTTPClientRequestPart.head(head), promise: nil)
                    channel.write(HTTPClientRequestPart.body(.byteBuffer(body)), promise: nil)
                    channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
                case .failure(let error): end.fail(error)
                }
            }
        do {
            try await withTaskCancellationHandler {
                try await end.futureResult.get()
            } onCancel: {
                end.fail(Failure(description: "the call was given up"))
            }
        } catch {
            throw Failure(description: "\(host):\(port) broke off: \(error)")
        }
    }

    private func addCodec(to channel: any Channel) throws {
        let pipeline = channel.pipeline.syncOperations
        if let tls {
            let isAddress = (try? SocketAddress(ipAddress: host, port: 0)) != nil
            try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: isAddress ? nil : host))
        }
        try pipeline.addHTTPClientHandlers()
    }
}

/// Cuts an answer's body into lines.
private final class LineHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private var end: EventLoopPromise<Void>?
    private let mostBytes: Int
    private let take: @Sendable ([UInt8]) -> Bool
    private var buffer = ByteBuffer()

    init(_ end: EventLoopPromise<Void>, mostBytes: Int, _ take: @escaping @Sendable ([UInt8]) -> Bool) {
        self.end = end
        self.mostBytes = mostBytes
        self.take = take
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            guard head.status == .ok else {
                return finish(.failure(HTTPCall.Failure(description: "status \(head.status.code)")), context)
            }
        case .body(var part):
            guard end != nil else { return }
            buffer.writeBuffer(&part)
            cut(context)
        case .end: finish(.success(()), context)
        }
    }

    private func cut(_ context: ChannelHandlerContext) {
        while let length = buffer.readableBytesView.firstIndex(of: 0x0A).map({ $0 - buffer.readerIndex }) {
            guard length <= mostBytes, let line = buffer.readBytes(length: length) else { break }
            buffer.moveReaderIndex(forwardBy: 1)
            if !line.isEmpty, !take(line) { return finish(.success(()), context) }
        }
        guard buffer.readableBytes <= mostBytes else {
            return finish(.failure(HTTPCall.Failure(description: "a line is too long")), context)
        }
        buffer.discardReadBytes()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { finish(.failure(error), context) }

    func channelInactive(context: ChannelHandlerContext) {
        finish(.failure(HTTPCall.Failure(description: "the connection was closed")), context)
        context.fireChannelInactive()
    }

    private func finish(_ result: Result<Void, any Error>, _ context: ChannelHandlerContext) {
        end?.completeWith(result)
        end = nil
        context.close(promise: nil)
    }
}
