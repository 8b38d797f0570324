import NIOCore
import NIOPosix
import SluiceGateway
import SluiceWire
import Testing

/// A session by hand, for what the client does not show: which connection asks, cursors, and lists by their places.
struct RawSession {
    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private var received = ByteBuffer()
        private var decoder = FrameDecoder(maximumFrameLength: 64 << 20, lz4: false)
        private let frames: AsyncStream<Frame>.Continuation

        init(_ frames: AsyncStream<Frame>.Continuation) { self.frames = frames }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var bytes = unwrapInboundIn(data)
            received.writeBuffer(&bytes)
            while let frame = try? decoder.next(&received) { frames.yield(frame) }
        }

        func channelInactive(context: ChannelHandlerContext) { frames.finish() }
    }

    struct Ended: Error {}

    private let channel: any Channel
    private let frames: AsyncStream<Frame>

    init(_ gateway: Gateway) async throws {
        let (frames, continuation) = AsyncStream.makeStream(of: Frame.self)
        self.frames = frames
        channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Collector(continuation))
                }
            }
            .connect(host: "127.0.0.1", port: gateway.tcpAddress?.port ?? 0).get()
        try await channel.writeAndFlush(ByteBuffer(bytes: Preface.bytes)).get()
        try await send(.hello, 0) { Hello(clientName: "raw").encode(into: &$0) }
        #expect(try await next().kind == .welcome)
    }

    func close() async throws { try await channel.close().get() }

    func send(
        _ kind: FrameKind, _ requestID: UInt32, _ payload: (inout ByteBuffer) -> Void
    ) async throws {
        try await send([Self.frame(kind, requestID, payload)])
    }

    /// In one piece, so that the gateway has them all before it answers the first.
    func send(_ frames: [ByteBuffer]) async throws {
        var all = ByteBuffer()
        for frame in frames { all.writeImmutableBuffer(frame) }
        try await channel.writeAndFlush(all).get()
    }

    static func frame(
        _ kind: FrameKind, _ requestID: UInt32, _ payload: (inout ByteBuffer) -> Void
    ) -> ByteBuffer {
        var buffer = ByteBuffer()
        FrameEncoder(lz4: false).write(kind, requestID: requestID, into: &buffer, payload: payload)
        return buffer
    }

    func next() async throws -> Frame {
        var iterator = frames.makeAsyncIterator()
        guard let frame = await iterator.next() else { throw Ended() }
        return frame
    }

    /// The answer to the only request in flight; an ERROR is thrown.
    func result() async throws -> SearchResult {
        let frame = try await next()
        guard frame.kind == .result else { throw try ErrorReply(decoding: frame.payload) }
        return try SearchResult(decoding: frame.payload)
    }

    func search(_ change: (inout SearchRequest) -> Void) async throws -> SearchResult {
        var request = SearchRequest(collections: [], vectors: [], k: 10)
        change(&request)
        try await send(.search, 1) { request.encode(into: &$0) }
        return try await result()
    }

    func next(_ cursor: WireCursor, size: Int) async throws -> SearchResult {
        try await send(.next, 1) { CursorRequest(cursor: cursor, pageSize: size).encode(into: &$0) }
        return try await result()
    }
}

extension ErrorReply: Error {}
