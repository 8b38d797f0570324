import NIOCore
import NIOEmbedded
import SluiceClient
import SluiceWire

/// What a gateway sends, through the client's connection with a request of each kind in flight. Four bytes say how:
/// whether WELCOME comes first, which requests there are, how the bytes are cut and how time passes.
enum ClientTarget {
    static func run(_ input: UnsafeRawBufferPointer) throws(FuzzFinding) {
        var control = FuzzControl(input)
        let (flags, asked, piece, pause) = (control.byte(), control.byte(), Int(control.byte()), control.byte())
        let link = try FuzzLink()
        if flags & 1 == 0 { link.receive(welcome(inFlight: flags & 2 == 0 ? 16 : 1, lz4: flags & 4 != 0)[...]) }
        for (place, kind) in kinds.enumerated() where asked & (1 << UInt8(place)) == 0 {
            link.ask(kind, place, isShort: flags & 8 != 0)
        }
        if flags & 16 != 0 { link.cancel(0) }
        var rest = Array(control.rest)[...]
        while !rest.isEmpty {
            link.receive(rest.prefix(piece == 0 ? .max : piece))
            rest = rest.dropFirst(piece == 0 ? .max : piece)
            if pause > 0 { link.advance(by: .milliseconds(Int64(pause))) }
            try link.check()
        }
        if flags & 32 != 0 { link.cancel(1) }
        try link.end()
    }

    private static let kinds: [FrameKind] = [.search, .search, .get, .count, .collections, .ping, .load, .write]

    private static func welcome(inFlight: Int, lz4: Bool) -> [UInt8] {
        frame(.welcome, 0) {
            Welcome(
                server: "fuzz", features: lz4 ? .lz4 : [], maximumFrameLength: 65_536, maximumInFlight: inFlight,
                maximumK: 100, sessionID: 1
            ).encode(into: &$0)
        }
    }

    private static func frame(
        _ kind: FrameKind, _ id: UInt32, lz4: Bool = false, _ payload: (inout ByteBuffer) -> Void = { _ in }
    ) -> [UInt8] {
        var buffer = ByteBuffer()
        FrameEncoder(lz4: lz4, compressionThreshold: 64).write(kind, requestID: id, into: &buffer, payload: payload)
        return Array(buffer.readableBytesView)
    }

    // MARK: Seeds

    /// The golden answers go to the request that they can be one of: ids are given in the order of `kinds`, from 1.
    static var seeds: [FuzzSeed] {
        let golden = GoldenFrames.all.map { golden in
            var bytes = golden.bytes
            if let kind = FrameKind(rawValue: golden.kind), let id = requests[kind], bytes.count >= 12 {
                bytes.replaceSubrange(8..<12, with: [0, 0, 0, id])
            }
            return FuzzSeed(golden.name, [0, 0, 0, 0] + bytes)
        }
        let leg = LegReport(
            collection: "a", shard: "s0", replica: "s0-a", status: .ok, rows: 0, wait: .zero, execute: .zero)
        let empty = SearchResult(legs: [leg], hits: PackedHits(), coverage: 1, elapsed: .zero)
        let answers = (1...4).flatMap { id in frame(.result, id) { empty.encode(into: &$0) } }
        let part = frame(.resultPart, 2) { empty.encode(into: &$0) }
        let load =
            frame(.loadReady, 7) { LoadReady(credit: 100, shards: ["s0"]).encode(into: &$0) }
            + frame(.loadCredit, 7) { LoadCredit(credit: 10, rowsTaken: 1).encode(into: &$0) }
            + frame(.loadProgress, 7) { LoadProgress(phase: .rows, done: 1).encode(into: &$0) }
            + frame(.loadResult, 7) { LoadResult(rows: 1, shards: [], elapsed: .zero).encode(into: &$0) }
        let goAway = frame(.goAway, 0) { GoAway(code: .shuttingDown, message: "bye").encode(into: &$0) }
        let error = frame(.error, 1) { ErrorReply(code: .busy, message: "later").encode(into: &$0) }
        let compressed = frame(.result, 1, lz4: true) { empty.encode(into: &$0) }
        return golden + [
            FuzzSeed("made-answers", [0, 0, 0, 0] + part + answers),
            FuzzSeed("made-cut", [0, 0, 7, 1] + part + answers),
            FuzzSeed("made-load", [0, 0, 0, 1] + load),
            FuzzSeed("made-going-away", [0, 0, 0, 0] + error + goAway + answers),
            FuzzSeed("made-narrow", [2, 0, 0, 9] + answers), FuzzSeed("made-given-up", [58, 0, 0, 255] + answers),
            FuzzSeed("made-compressed", [4, 0, 0, 0] + compressed),
            FuzzSeed("made-raw", [1, 0, 3, 0] + welcome(inFlight: 1, lz4: true)),
            FuzzSeed("made-http", [1, 0, 0, 0] + "HTTP/1.1 400 Bad Request\r\n\r\n".utf8),
        ]
    }

    private static let requests: [FrameKind: UInt8] = [
        .result: 1, .resultPart: 2, .countResult: 4, .collectionList: 5, .pong: 6, .loadReady: 7, .loadCredit: 7,
        .loadProgress: 7, .loadResult: 7, .writeResult: 8, .error: 1,
    ]
}

/// One connection of a client on a virtual clock.
private final class FuzzLink {
    private let loop = EmbeddedEventLoop()
    private let channel: EmbeddedChannel
    private let handler: ConnectionHandler
    private var asked = 0
    /// How often each request was answered.
    private var answers: [Int: Int] = [:]
    private var received = 0

    init() throws(FuzzFinding) {
        let ready = loop.makePromise(of: Void.self)
        handler = ConnectionHandler(hello: Hello(), welcomeTimeout: .seconds(5), ready: ready, onChange: { _ in })
        channel = EmbeddedChannel(handler: handler, loop: loop)
        do { try channel.connect(to: SocketAddress(unixDomainSocketPath: "/nowhere")).wait() } catch {
            throw FuzzFinding("no channel: \(error)")
        }
    }

    func receive(_ bytes: ArraySlice<UInt8>) {
        received += bytes.count
        _ = try? channel.writeInbound(ByteBuffer(bytes: bytes))
        settle()
    }

    func advance(by time: TimeAmount) {
        loop.advanceTime(by: time)
        settle()
    }

    /// What is sent goes nowhere.
    private func settle() {
        loop.run()
        while (try? channel.readOutbound(as: ByteBuffer.self)) ?? nil != nil {}
    }

    func ask(_ kind: FrameKind, _ place: Int, isShort: Bool) {
        asked += 1
        let inParts = kind == .load || place == 1
        let limit = TimeLimit(isShort ? .milliseconds(100) : .seconds(30), isCallers: true, from: loop.now)
        let request = Request(
            kind: kind, payload: ByteBuffer(repeating: 0, count: 16), limit: limit,
            onPart: inParts ? { Self.read($0) } : nil,
            waitsSince: kind == .load ? { [loop] in loop.now } : nil
        ) { [weak self] answer in
            self?.answers[place, default: 0] += 1
            if case .success(let frame) = answer { Self.read(frame) }
        }
        handler.send(request, ticket: UInt64(place))
        settle()
    }

    func cancel(_ place: Int) {
        handler.cancel(ticket: UInt64(place))
        settle()
    }

    /// As a caller is given it.
    private static func read(_ frame: Frame) {
        switch frame.kind {
        case .result, .resultPart:
            guard let result = try? SearchResult(decoding: frame.payload) else { return }
            _ = try? SearchReply(result)
            _ = try? GetReply(result, withVectors: true)
        case .countResult: _ = (try? CountResult(decoding: frame.payload)).map { CountReply($0) }
        case .collectionList: _ = try? CollectionList(decoding: frame.payload)
        case .error: _ = (try? ErrorReply(decoding: frame.payload)).map { SluiceError($0) }
        case .loadReady: _ = try? LoadReady(decoding: frame.payload)
        case .loadCredit: _ = try? LoadCredit(decoding: frame.payload)
        case .loadProgress: _ = try? SluiceWire.LoadProgress(decoding: frame.payload)
        case .loadResult: _ = (try? LoadResult(decoding: frame.payload)).map { LoadReport($0, id: .random()) }
        case .writeResult: _ = (try? WriteResult(decoding: frame.payload)).map { WriteReport($0) }
        default: break
        }
    }

    func check() throws(FuzzFinding) {
        let held = handler.bytesHeld
        try expect(held <= 2 * received + 131_072, "\(held) bytes are held of \(received) that came")
        for (place, count) in answers { try expect(count == 1, "request \(place) was answered \(count) times") }
    }

    /// However the connection ends, everybody who waits is told.
    func end() throws(FuzzFinding) {
        advance(by: .seconds(600))
        _ = try? channel.finish(acceptAlreadyClosed: true)
        settle()
        try check()
        try expect(answers.count == asked, "\(asked - answers.count) requests of \(asked) were never answered")
    }
}
