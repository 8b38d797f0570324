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
        /// From 1, in the order of their coming.
        let number: Int

        func send(_ kind: FrameKind, _ requestID: UInt32, _ payload: (inout ByteBuffer) -> Void = { _ in }) {
            var buffer = context.channel.allocator.buffer(capacity: 256)
            FrameEncoder(lz4: false).write(kind, requestID: requestID, into: &buffer, payload: payload)
            context.writeAndFlush(NIOAny(buffer), promise: nil)
        }

        func welcome(inFlight: Int = 100) {
            send(.welcome, 0) {
                Welcome(
                    server: "scripted", features: [], maximumFrameLength: 65_536, maximumInFlight: inFlight,
                    maximumK: 100, sessionID: 1
                ).encode(into: &$0)
            }
        }

        func fail(_ code: ErrorCode, _ requestID: UInt32) {
            send(.error, requestID) { ErrorReply(code: code, message: "scripted").encode(into: &$0) }
        }

        /// To be used later, from elsewhere.
        var held: Held {
            Held(context: NIOLoopBound(context, eventLoop: context.eventLoop), number: number)
        }

        func sendBytes(_ bytes: [UInt8]) { context.writeAndFlush(NIOAny(ByteBuffer(bytes: bytes)), promise: nil) }

        func close() { context.close(promise: nil) }

        func answer(_ requestID: UInt32, _ result: SearchResult, part: Bool = false) {
            send(part ? .resultPart : .result, requestID) { result.encode(into: &$0) }
        }

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

    /// A session that something is done to later.
    struct Held: Sendable {
        let context: NIOLoopBound<ChannelHandlerContext>
        let number: Int

        func run(_ body: @escaping @Sendable (Session) -> Void) {
            context.eventLoop.execute { body(Session(context: context.value, number: number)) }
        }
    }

    typealias Script = @Sendable (Session, Frame) -> Void

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let gateway: ScriptedGateway
        private var number = 0
        private var received = ByteBuffer()
        private var decoder = FrameDecoder(maximumFrameLength: 1_048_576, lz4: true)
        private var hasPreface = false

        init(_ gateway: ScriptedGateway) { self.gateway = gateway }

        func channelActive(context: ChannelHandlerContext) {
            let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
            number = gateway.sessions.withLock { sessions in
                sessions.append(bound)
                return sessions.count
            }
            gateway.onAccept(Session(context: context, number: number))
        }

        func channelInactive(context: ChannelHandlerContext) { gateway.ends.continuation.yield(number) }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var bytes = unwrapInboundIn(data)
            received.writeBuffer(&bytes)
            if !hasPreface { hasPreface = (try? Preface.check(&received)) ?? false }
            guard hasPreface else { return }
            while let frame = try? decoder.next(&received) {
                gateway.kinds.withLock { $0.append(frame.kind) }
                gateway.script(Session(context: context, number: number), frame)
                gateway.frames.continuation.yield(frame)
            }
        }
    }

    private let script: Script
    private let onAccept: @Sendable (Session) -> Void
    private let sessions = Mutex<[NIOLoopBound<ChannelHandlerContext>]>([])
    let kinds = Mutex<[FrameKind]>([])
    /// Every frame that clients have sent.
    let frames = AsyncStream.makeStream(of: Frame.self)
    /// The numbers of the sessions that have ended.
    let ends = AsyncStream.makeStream(of: Int.self)
    private let listener = Mutex<(any Channel)?>(nil)

    private init(_ script: @escaping Script, onAccept: @escaping @Sendable (Session) -> Void) {
        self.script = script
        self.onAccept = onAccept
    }

    /// - Parameter onAccept: runs before the client has said anything.
    static func start(
        port: Int = 0, onAccept: @escaping @Sendable (Session) -> Void = { _ in }, _ script: @escaping Script
    ) async throws -> ScriptedGateway {
        let gateway = ScriptedGateway(script, onAccept: onAccept)
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

    /// As if its process were gone: nothing listens, and its sessions end without a word.
    func kill() async throws {
        try await stop()
        for session in sessions.withLock({ $0 }) {
            try? await session.eventLoop.flatSubmit { session.value.channel.close() }.get()
        }
    }

    /// Does something to the session of this number, in its own time.
    func inSession(_ number: Int, _ body: @escaping @Sendable (Session) -> Void) throws {
        let session = try #require(sessions.withLock { $0.dropFirst(number - 1).first })
        session.eventLoop.execute { body(Session(context: session.value, number: number)) }
    }

    /// Waits for the next frame of this kind.
    func next(_ kind: FrameKind) async {
        for await frame in frames.stream where frame.kind == kind { return }
    }

    /// Waits for the end of this session.
    func end(of number: Int) async {
        for await ended in ends.stream where ended == number { return }
    }

    /// Answers HELLO; everything else goes to the test's own script.
    static func welcoming(inFlight: Int = 100, _ script: @escaping Script) -> Script {
        { session, frame in
            if frame.kind == .hello { session.welcome(inFlight: inFlight) } else { script(session, frame) }
        }
    }
}

extension SearchResult {
    /// Of one leg for each collection; each list has hits of these ids, at the distances 0, 1, 2...
    /// - Parameter list: the ids, and the place of their collection.
    static func scripted(_ lists: [(ids: [Int64], leg: Int)], collections: [String] = ["a"]) -> SearchResult {
        let legs = collections.map { name in
            LegReport(
                collection: name, shard: "s0", replica: "s0-a", status: .ok, rows: 1, wait: .zero, execute: .zero)
        }
        let packed = lists.map { list in
            var writer = HitWriter(capacity: list.ids.count)
            for (place, id) in list.ids.enumerated() {
                writer.append(leg: list.leg, id: id, distance: Double(place), cells: [])
            }
            return writer.finish()
        }
        var result = SearchResult(
            legs: legs, hits: packed.first ?? PackedHits(), coverage: 1, elapsed: .milliseconds(1))
        result.furtherHits = Array(packed.dropFirst())
        return result
    }
}
