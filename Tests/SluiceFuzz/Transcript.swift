import NIOCore
import SluiceGateway
import SluiceWire

/// What a gateway has said, frame by frame, and the rules that hold for it whatever a client sends.
struct Transcript {
    private let limits: GatewayConfig.Limits
    private var rest = ByteBuffer()
    private var decoder = FrameDecoder(maximumFrameLength: 16 * 1_048_576, lz4: true)
    private var isWelcomed = false
    private var hasEnded = false

    init(_ limits: GatewayConfig.Limits) { self.limits = limits }

    mutating func take(_ bytes: ByteBuffer) throws(FuzzFinding) {
        rest.writeImmutableBuffer(bytes)
        while true {
            let frame: Frame?
            do { frame = try decoder.next(&rest) } catch {
                throw FuzzFinding("the gateway broke the protocol: \(error)")
            }
            guard let frame else { break }
            try expect(!hasEnded, "\(frame.kind) after the session's error")
            try check(frame)
        }
        try expect(rest.readableBytes == 0, "half a frame has left")
        rest.clear()
    }

    private mutating func check(_ frame: Frame) throws(FuzzFinding) {
        do throws(WireError) {
            switch frame.kind {
            case .welcome: isWelcomed = try Welcome(decoding: frame.payload).maximumFrameLength == limits.maxFrame
            case .error:
                let reply = try ErrorReply(decoding: frame.payload)
                hasEnded = frame.requestID == 0
                if reply.code == .internalError { throw WireError(.internalError, reply.message) }
            case .goAway: _ = try GoAway(decoding: frame.payload)
            case .collectionList: _ = try CollectionList(decoding: frame.payload)
            case .result, .resultPart:
                let result = try SearchResult(decoding: frame.payload)
                for list in result.lists { _ = try list.hits(of: result.legs) }
            case .countResult: _ = try CountResult(decoding: frame.payload)
            case .loadReady: _ = try LoadReady(decoding: frame.payload)
            case .loadCredit: _ = try LoadCredit(decoding: frame.payload)
            case .loadProgress: _ = try LoadProgress(decoding: frame.payload)
            case .loadResult: _ = try LoadResult(decoding: frame.payload)
            case .writeResult: _ = try WriteResult(decoding: frame.payload)
            case .pong: break
            case .hello, .ping, .cancel, .search, .collections, .get, .count, .next, .load, .loadRows, .loadEnd,
                .write:
                throw WireError(.protocolViolation, "only a client sends it")
            }
        } catch {
            throw FuzzFinding("the gateway sent \(frame.kind), which is wrong: \(error)")
        }
        try expect(isWelcomed || frame.kind == .error, "\(frame.kind) before WELCOME")
    }
}
