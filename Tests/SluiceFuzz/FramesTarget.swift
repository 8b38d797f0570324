import NIOCore
import SluiceGateway
import SluiceWire

/// What a client sends, through the gateway's session and a lane to scripted databases. Four bytes say how: whether
/// the handshake is made first, how the bytes are cut, how the databases answer and how time passes.
enum FramesTarget {
    private struct Plan {
        let shakesHands: Bool
        let lz4: Bool
        let limits: GatewayConfig.Limits
        let goesAway: Bool
        let isDeafAtFirst: Bool
        /// Bytes that arrive together.
        let piece: Int
        let script: UInt8
        let pause: Duration

        init(_ control: inout FuzzControl) throws(FuzzFinding) {
            let flags = control.byte()
            shakesHands = flags & 1 == 0
            lz4 = flags & 2 != 0
            guard var limits = defaults else { throw FuzzFinding("no limits") }
            limits.maxFrame = flags & 4 == 0 ? 65_536 : 4_096
            limits.maxInFlight = flags & 8 == 0 ? 16 : 2
            limits.maxK = 100
            limits.maxRows = 10_000
            limits.maxReply = flags & 16 == 0 ? 65_536 : 256
            limits.maxUnsent = flags & 16 == 0 ? 1_048_576 : 65_536
            self.limits = limits
            goesAway = flags & 32 != 0
            isDeafAtFirst = flags & 64 != 0
            let piece = Int(control.byte())
            self.piece = piece == 0 ? .max : piece
            script = control.byte()
            pause = .milliseconds(Int(control.byte()))
        }
    }

    private static let defaults = try? GatewayConfig.parse(
        """
        shards: [{name: s0, replicas: [{dsn: "host=127.0.0.1 dbname=x user=x"}]}]
        collections: [{name: a, table: a, metric: l2, dimensions: 1}]
        """, file: "fuzz.yaml", environment: [:]
    ).limits

    static func run(_ input: UnsafeRawBufferPointer) throws(FuzzFinding) {
        var control = FuzzControl(input)
        let plan = try Plan(&control)
        var bytes = plan.shakesHands ? handshake(lz4: plan.lz4) : []
        bytes += control.rest
        let world = try FuzzWorld(limits: plan.limits, script: plan.script)
        var said = Transcript(plan.limits)
        world.setWritable(!plan.isDeafAtFirst)
        var rest = bytes[...]
        while !rest.isEmpty {
            world.receive(rest.prefix(plan.piece))
            rest = rest.dropFirst(plan.piece)
            world.settle()
            if plan.pause > .zero { world.advance(by: plan.pause) }
            try said.take(world.output())
        }
        world.setWritable(true)
        if plan.goesAway { world.goAway() }
        world.advance(by: .milliseconds(200))
        try said.take(world.output())
        try world.end()
    }

    private static func handshake(lz4: Bool) -> [UInt8] {
        var buffer = ByteBuffer(bytes: Preface.bytes)
        FrameEncoder(lz4: false).write(.hello, requestID: 0, into: &buffer) {
            Hello(clientName: "fuzz", features: lz4 ? .lz4 : []).encode(into: &$0)
        }
        return Array(buffer.readableBytesView)
    }

    // MARK: Seeds

    static var seeds: [FuzzSeed] {
        let golden = GoldenFrames.all.map { FuzzSeed($0.name, [0, 0, 0, 0] + $0.bytes) }
        let whole = GoldenFrames.all.filter { !$0.name.hasPrefix("bad-") }
        let raw = Preface.bytes + whole.filter { $0.kind == FrameKind.hello.rawValue }.prefix(1).flatMap(\.bytes)
        let others: [FuzzSeed] = [
            FuzzSeed("made-raw", [1, 3, 0, 0] + raw), FuzzSeed("made-preface-only", [1, 0, 0, 0] + Preface.bytes),
            FuzzSeed("made-http", [1, 0, 0, 0] + "GET / HTTP/1.1\r\n\r\n".utf8),
            FuzzSeed("made-lz4", [2, 0, 0, 0] + compressed), FuzzSeed("made-load", [0, 0, 0, 1] + load),
            FuzzSeed("made-load-cut", [0, 5, 0, 1] + load), FuzzSeed("made-write", [0, 0, 0, 0] + write),
            FuzzSeed("made-cancel", [0, 0, 99, 0] + searches + frame(.cancel, 1) + frame(.cancel, 2)),
            FuzzSeed("made-going-away", [32, 9, 7, 0] + searches), FuzzSeed("made-deaf", [64, 50, 0, 5] + searches),
            FuzzSeed("made-small-limits", [12, 0, 3, 9] + searches),
            FuzzSeed("made-small-replies", [16, 0, 0, 0] + searches),
        ]
        return golden + others
    }

    private static func frame(
        _ kind: FrameKind, _ id: UInt32, lz4: Bool = false, _ payload: (inout ByteBuffer) -> Void = { _ in }
    ) -> [UInt8] {
        var buffer = ByteBuffer()
        FrameEncoder(lz4: lz4, compressionThreshold: 64).write(kind, requestID: id, into: &buffer, payload: payload)
        return Array(buffer.readableBytesView)
    }

    private static var compressed: [UInt8] {
        var search = SearchRequest(collections: ["programs"], vector: VectorBytes([1]), k: 3)
        search.columns = Array(repeating: "name", count: 20)
        return frame(.search, 1, lz4: true) { search.encode(into: &$0) }
    }

    /// One of each way to search, and what belongs to it.
    private static var searches: [UInt8] {
        let leaf = FilterExpression.compare(column: "name", .equal, .text("gzip"))
        var requests = (0..<8).map { _ in
            SearchRequest(collections: ["programs"], vector: VectorBytes([1]), k: 3, columns: ["name"])
        }
        requests[1].filter = .or([leaf, .not(.oneOf(column: "n", [.int(1)]))])
        requests[2].stream = true
        requests[3].pageSize = 2
        requests[4].group = Grouping(column: "section", size: 2)
        requests[5].text = TextSearch("words to find")
        requests[6].vectors = [VectorBytes([1]), VectorBytes([2])]
        requests[7].collections = ["libraries", "programs"]
        requests[7].separate = true
        var bytes = requests.enumerated().flatMap { place, request in
            frame(.search, UInt32(place + 1)) { request.encode(into: &$0) }
        }
        var like = SearchRequest(collections: ["libraries"], vectors: [], k: 2, deadline: .milliseconds(50))
        like.byID = RowReference(collection: "programs", id: 7)
        bytes += frame(.search, 20) { like.encode(into: &$0) }
        bytes += frame(.get, 21) {
            GetRequest(collection: "programs", ids: [1, 2], withVector: true).encode(into: &$0)
        }
        bytes += frame(.count, 22) { CountRequest(collection: "programs", filter: leaf).encode(into: &$0) }
        return bytes + frame(.ping, 23) { $0.writeString("still there") } + frame(.collections, 24)
    }

    private static var rows: ByteBuffer {
        var writer = RowWriter()
        for id in Int64(1)...3 {
            try? writer.append(id: id, vector: VectorBytes([1]), values: [.text("a"), .int(2)])
        }
        return writer.bytes
    }

    private static var load: [UInt8] {
        let (rows, key) = (rows, RequestKey(high: 1, low: 2))
        let request = LoadRequest(collection: "programs", columns: ["name", "n"], loadID: key, buildIndex: false)
        return frame(.load, 1) { request.encode(into: &$0) } + frame(.loadRows, 1) { $0.writeImmutableBuffer(rows) }
            + frame(.loadEnd, 1) { LoadEnd(rows: 3).encode(into: &$0) }
    }

    private static var write: [UInt8] {
        let rows = rows
        return frame(.write, 1) {
            WriteRequest(
                collection: "programs", columns: ["name", "n"], rows: rows, deletes: [7], key: .init(high: 3, low: 4)
            ).encode(into: &$0)
        }
    }
}
