import Logging
import NIOCore
import NIOPosix
import SluiceGateway
import SluiceWire
import Testing

/// A client that sends what it likes and sees every frame, and the end, of a session.
struct RawClient {
    enum Event: Sendable {
        case frame(Frame)
        case closed
    }

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private var received = ByteBuffer()
        private var decoder = FrameDecoder(maximumFrameLength: 16_777_216, lz4: true)
        private let events: AsyncStream<Event>.Continuation

        init(_ events: AsyncStream<Event>.Continuation) { self.events = events }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var bytes = unwrapInboundIn(data)
            received.writeBuffer(&bytes)
            while let frame = try? decoder.next(&received) { events.yield(.frame(frame)) }
        }

        func channelInactive(context: ChannelHandlerContext) {
            events.yield(.closed)
            events.finish()
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }

    let channel: any Channel
    private let events: AsyncStream<Event>

    /// - Parameters:
    ///   - isReading: false for a peer that takes nothing until `startReading`.
    ///   - address: of this machine, to come from.
    init(_ gateway: Gateway, isReading: Bool = true, from address: String = "127.0.0.1") async throws {
        let (events, continuation) = AsyncStream.makeStream(of: Event.self)
        self.events = events
        channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(to: SocketAddress(ipAddress: address, port: 0))
            .channelOption(.autoRead, value: isReading)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Collector(continuation))
                }
            }
            .connect(host: "127.0.0.1", port: gateway.tcpAddress?.port ?? 0).get()
    }

    func startReading() async throws { try await channel.setOption(.autoRead, value: true).get() }

    func send(_ bytes: [UInt8]) async throws { try await channel.writeAndFlush(ByteBuffer(bytes: bytes)).get() }

    func send(
        _ kind: FrameKind, _ requestID: UInt32, lz4: Bool = false, _ payload: (inout ByteBuffer) -> Void = { _ in }
    )
        async throws
    {
        try await channel.writeAndFlush(Self.frame(kind, requestID, lz4: lz4, payload)).get()
    }

    static func frame(
        _ kind: FrameKind, _ requestID: UInt32, lz4: Bool = false, _ payload: (inout ByteBuffer) -> Void = { _ in }
    ) -> ByteBuffer {
        var buffer = ByteBuffer()
        FrameEncoder(lz4: lz4).write(kind, requestID: requestID, into: &buffer, payload: payload)
        return buffer
    }

    /// Preface and HELLO, and the WELCOME that answers them.
    @discardableResult
    func shakeHands(features: Features = []) async throws -> Welcome {
        try await send(Preface.bytes)
        try await send(.hello, 0) { Hello(clientName: "raw", features: features).encode(into: &$0) }
        return try Welcome(decoding: try await next(.welcome).payload)
    }

    func next() async -> Event {
        var iterator = events.makeAsyncIterator()
        return await iterator.next() ?? .closed
    }

    func next(_ kind: FrameKind) async throws -> Frame {
        guard case .frame(let frame) = await next(), frame.kind == kind else { throw Unexpected(wanted: kind) }
        return frame
    }

    func nextError() async throws -> (requestID: UInt32, reply: ErrorReply) {
        let frame = try await next(.error)
        return (frame.requestID, try ErrorReply(decoding: frame.payload))
    }

    /// The session must have said why, as a whole, and closed.
    func expectEnd(
        _ code: ErrorCode, words: String = "", sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let (requestID, reply) = try await nextError()
        #expect(requestID == 0, sourceLocation: sourceLocation)
        #expect(reply.code == code, "\(reply.message)", sourceLocation: sourceLocation)
        if !words.isEmpty { #expect(reply.message.contains(words), sourceLocation: sourceLocation) }
        guard case .closed = await next() else {
            Issue.record("the session is still open", sourceLocation: sourceLocation)
            return
        }
    }

    struct Unexpected: Error {
        var wanted: FrameKind
    }
}

/// A gateway whose only replica cannot be reached: enough for everything that is decided before a database is asked.
/// - Parameter collections: further ones, as the configuration's lines.
func withDeafGateway(
    limits: String = "{}", collections: String = "", _ body: (Gateway) async throws -> Void
) async throws {
    let config = try GatewayConfig.parse(
        """
        listen: {tcp: "127.0.0.1:0"}
        limits: \(limits)
        shards: [{name: s0, replicas: [{name: s0-a, dsn: "host=127.0.0.1 port=1 dbname=x user=x"}]}]
        collections:
          - {name: programs, table: programs, metric: cosine, dimensions: 3, columns: [name]}
          - {name: lengths, table: lengths, metric: l2, dimensions: 3, columns: [name]}
        \(collections)
        """, file: "test.yaml", environment: [:])
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let gateway = try await Gateway.start(config, logger: logger)
    do {
        try await body(gateway)
        // Whatever the test did: others are served.
        let other = try await RawClient(gateway)
        try await other.shakeHands()
        try await other.send(.ping, 9) { $0.writeString("still there") }
        #expect(try await other.next(.pong).payload == ByteBuffer(string: "still there"))
        try await other.channel.close()
    } catch {
        await gateway.shutDown()
        throw error
    }
    await gateway.shutDown()
}
