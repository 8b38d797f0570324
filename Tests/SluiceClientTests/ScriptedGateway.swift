import NIOCore
import NIOPosix
import SluiceWire
import Synchronization
import Testing

/// A gateway that does what a test says with each frame.
final class ScriptedGateway: Sendable {
    /// One session, as the script may use it. On its event loop only.
    struct Session {
        let context: ChannelHandlerContext

        func send(_ kind: FrameKind, _ requestID: UInt32, _ payload: (inout ByteBuffer) -> Void = { _ in }) {
            var buffer = context.channel.allocator.buffer(capacity: 256)
            FrameEncoder(lz4: false).write(kind, requestID: requestID, into: &buffer, payload: payload)
            context.writeAndFlush(NIOAny(buffer), promise: nil)
        }

        func fail(_ code: ErrorCode, _ requestID: UInt32) {
            send(.error, requestID) { ErrorReply(code: code, message: "scripted").encode(into: &$0) }
        }

        func sendBytes(_ bytes: [UInt8]) { context.writeAndFlush(NIOAny(ByteBuffer(bytes: bytes)), promise: nil) }

        func close() { context.close(promise: nil) }

        /// An answer with one hit of this id.
        func answer(_ requestID: UInt32, id: Int64) {
            send(.result, requestID) { buffer in
                var hits = HitWriter(capacity: 1)
                hits.append(leg: 0, id: id, distance: 0.5, cells: [0, 0, 0, 2, 0x68, 0x69])
                let leg = LegReport(
                    collection: "a", shard: "s0", replica: "s0-a", status: .ok, rows: 1, wait: .zero, execute: .zero,
                    columns: [ColumnType(name: "name", typeOID: 25)])
                SearchResult(legs: [leg], hits: hits.finish(), coverage: 1, elapsed: .zero).encode(into: &buffer)
            }
        }
    }

    typealias Script = @Sendable (Session, Frame) -> Void

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let gateway: ScriptedGateway
        private var received = ByteBuffer()
        private var decoder = FrameDecoder(maximumFrameLength: 1_048_576, lz4: true)
        private var hasPreface = false

        init(_ gateway: ScriptedGateway) { self.gateway = gateway }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var bytes = unwrapInboundIn(data)
            received.writeBuffer(&bytes)
            if !hasPreface { hasPreface = (try? Preface.check(&received)) ?? false }
            guard hasPreface else { return }
            while let frame = try? decoder.next(&received) {
                gateway.kinds.withLock { $0.append(frame.kind) }
                gateway.script(Session(context: context), frame)
                gateway.frames.continuation.yield(frame)
            }
        }
    }

    private let script: Script
    let kinds = Mutex<[FrameKind]>([])
    /// Every frame that clients have sent.
    let frames = AsyncStream.makeStream(of: Frame.self)
    private let listener = Mutex<(any Channel)?>(nil)

    private init(_ script: @escaping Script) { self.script = script }

    static func start(port: Int = 0, _ script: @escaping Script) async throws -> ScriptedGateway {
        let gateway = ScriptedGateway(script)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Handler(gateway))
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        gateway.listener.withLock { $0 = channel }
        return gateway
    }

    var port: Int { listener.withLock { $0?.localAddress?.port } ?? 0 }
    var address: String { "sluice://127.0.0.1:\(port)" }

    func stop() async throws { try await listener.withLock { $0 }?.close().get() }

    /// Answers HELLO; everything else goes to the test's own script.
    static func welcoming(inFlight: Int = 100, _ script: @escaping Script) -> Script {
        { session, frame in
            guard frame.kind == .hello else { return script(session, frame) }
            session.send(.welcome, frame.requestID) {
                Welcome(
                    server: "scripted", features: [], maximumFrameLength: 65_536, maximumInFlight: inFlight,
                    maximumK: 100, sessionID: 1
                ).encode(into: &$0)
            }
        }
    }
}
