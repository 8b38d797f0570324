package import NIOCore
package import NIOHTTP1

extension HTTPCall {
    /// Sends a request whose answer is lines that come over time, as an event stream's.
    ///
    /// Returns when the server has ended the answer, or nobody wants more of it. A call whose task is cancelled is
    /// given up at once.
    /// - Parameters:
    ///   - mostLineBytes: a longer line ends it.
    ///   - idle: as does this time without a byte: a connection whose other end has gone without a word says nothing.
    ///   - take: called for each line, without its end, on an event loop's thread; false for no more.
    /// - Throws: `Failure`, which tells nothing of headers and body, if it does not begin, or breaks.
    package func lines(
        _ method: HTTPMethod, _ path: String, _ headers: HTTPHeaders = [:], body: ByteBuffer = ByteBuffer(),
        mostLineBytes: Int, idle: TimeAmount? = nil, _ take: @escaping @Sendable ([UInt8]) -> Bool
    ) async throws(Failure) {
        let head = HTTPRequestHead(version: .http1_1, method: method, uri: path, headers: headers)
        try await exchange(head, body, within: nil, ifBroken: "broke off") { (end: EventLoopPromise<Void>) in
            var handlers: [any ChannelHandler] = []
            if let idle { handlers.append(IdleStateHandler(readTimeout: idle)) }
            handlers.append(LineHandler(end, mostBytes: mostLineBytes, take))
            return handlers
        }
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

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is IdleStateHandler.IdleStateEvent else { return context.fireUserInboundEventTriggered(event) }
        finish(.failure(HTTPCall.Failure(description: "nothing has come for too long")), context)
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
