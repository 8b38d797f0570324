import NIOCore
import SluiceClient
import SluiceWire
import Synchronization
import Testing

/// What a scripted gateway has seen of a load.
final class LoadLog: Sendable {
    struct State {
        var request: LoadRequest?
        var bytes = 0
        var frames = 0
        var rows = 0
        var end: Int?
        var isCancelled = false
    }

    let state = Mutex(State())

    func note(_ frame: Frame) {
        state.withLock { state in
            switch frame.kind {
            case .load: state.request = try? LoadRequest(decoding: frame.payload)
            case .loadRows:
                state.bytes += frame.payload.readableBytes
                state.frames += 1
                var rest = frame.payload
                while let length = rest.readInteger(as: UInt32.self), rest.readSlice(length: Int(length)) != nil {
                    state.rows += 1
                }
                // Only whole rows.
                if rest.readableBytes > 0 { state.rows = -1_000_000 }
            case .loadEnd: state.end = (try? LoadEnd(decoding: frame.payload))?.rows
            case .cancel: state.isCancelled = true
            default: break
            }
        }
    }

    var rows: Int { state.withLock { $0.rows } }
}

extension ScriptedGateway.Session {
    func ready(_ id: UInt32, credit: Int) {
        send(.loadReady, id) { LoadReady(credit: credit, shards: ["s0"]).encode(into: &$0) }
    }

    func credit(_ id: UInt32, _ credit: Int, rows: Int = 0) {
        send(.loadCredit, id) { LoadCredit(credit: credit, rowsTaken: rows).encode(into: &$0) }
    }

    func loaded(_ id: UInt32, rows: Int, error: WireError? = nil) {
        send(.loadResult, id) { buffer in
            let shard = SluiceWire.ShardReport(
                shard: "s0", outcome: error == nil ? .committed : .notApplied, rows: rows,
                lsn: error == nil ? 42 : nil)
            let bad = error == nil ? [] : [SluiceWire.BadRow(row: 3, message: "wrong")]
            LoadResult(rows: rows, shards: [shard], badRows: bad, badRowCount: bad.count, elapsed: .zero, error: error)
                .encode(into: &buffer)
        }
    }
}

@Suite(.timeLimit(.minutes(1))) struct LoadTests {
    /// A row of one column and 8 dimensions: 68 bytes.
    private static func row(_ id: Int64) -> LoadRow {
        LoadRow(id: id, vector: [Float](repeating: Float(id), count: 8), values: [.int(Int(id))])
    }

    private static let rowBytes = 4 + 8 + 4 + 36 + 9

    private func rows(_ count: Int) -> AsyncStream<LoadRow> {
        var ids = (0..<Int64(count)).makeIterator()
        let next = Mutex(ids)
        _ = ids.next()
        return AsyncStream { next.withLock { $0.next() }.map { Self.row($0) } }
    }

    @Test func rowsAreSentUnderCreditAndCounted() async throws {
        let log = LoadLog()
        let told = Mutex<[Int]>([])
        let isOver = Mutex(false)
        try await withScriptedGateway { session, frame in
            log.note(frame)
            let id = frame.requestID
            switch frame.kind {
            case .load: session.ready(id, credit: 40 * Self.rowBytes)
            case .loadRows:
                let (bytes, rows) = log.state.withLock { ($0.bytes, $0.rows) }
                // One frame's credit at a time comes back.
                if bytes > 40 * Self.rowBytes + log.state.withLock({ $0.frames }) * 20 * Self.rowBytes {
                    isOver.withLock { $0 = true }
                }
                session.credit(id, frame.payload.readableBytes, rows: rows)
            case .loadEnd: session.loaded(id, rows: log.rows)
            case .ping: session.send(.pong, id)
            default: break
            }
        } _: { _, client in
            var options = LoadOptions()
            (options.mode, options.skipBad, options.buildIndex) = (.upsert, 3, true)
            let report = try await client.load("a", columns: ["n"], rows: rows(1_000), options: options) { progress in
                told.withLock { $0.append(progress.done) }
            }
            #expect(report.rows == 1_000 && report.id == options.id && report.token.positions == ["s0": 42])
            #expect(report.shards.map(\.outcome) == [.committed] && report.index == .notAsked)
            let request = log.state.withLock { $0.request }
            #expect(request?.columns == ["n"] && request?.mode == .upsert && request?.skipBad == 3)
            #expect(request?.loadID == RequestKey(high: options.id.high, low: options.id.low))
        }
        #expect(log.rows == 1_000 && log.state.withLock { $0.end } == 1_000)
        #expect(!isOver.withLock { $0 } && told.withLock { $0.last } == 1_000)
    }

    @Test func noMoreIsAskedOfTheRowsThanThereIsCreditFor() async throws {
        let asked = Atomic<Int>(0)
        try await withScriptedGateway { session, frame in
            if frame.kind == .load { session.ready(frame.requestID, credit: 40 * Self.rowBytes) }
            if frame.kind == .cancel { session.fail(.cancelled, frame.requestID) }
        } _: { gateway, client in
            let rows = AsyncStream<LoadRow> { Self.row(Int64(asked.add(1, ordering: .relaxed).newValue)) }
            let load = Task { try await client.load("a", columns: ["n"], rows: rows) }
            var frames = 0
            for await frame in gateway.frames.stream where frame.kind == .loadRows {
                frames += 1
                // A quarter of the credit each: after the third there is too little for another.
                if frames == 3 { break }
            }
            // Other requests go on beside it, and it has nothing left to send.
            load.cancel()
            let result = await load.result
            let error = await failure { _ = try result.get() }
            #expect(error?.code == .cancelled)
            #expect(asked.load(ordering: .relaxed) <= 64)
        }
    }

    @Test func aBlockIsCutAtItsRowsToWhatTheCreditIs() async throws {
        let log = LoadLog()
        try await withScriptedGateway { session, frame in
            log.note(frame)
            switch frame.kind {
            case .load: session.ready(frame.requestID, credit: 12 * Self.rowBytes)
            case .loadRows: session.credit(frame.requestID, frame.payload.readableBytes)
            case .loadEnd: session.loaded(frame.requestID, rows: log.rows)
            default: break
            }
        } _: { _, client in
            let blocks = AsyncStream<LoadBlock> { stream in
                for part in 0..<3 {
                    var block = LoadBlock()
                    for id in 0..<50 { try? block.append(Self.row(Int64(part * 50 + id))) }
                    stream.yield(block)
                }
                stream.yield(LoadBlock())
                stream.finish()
            }
            let report = try await client.load("a", columns: ["n"], blocks: blocks)
            #expect(report.rows == 150 && log.state.withLock { $0.frames } == 51)
        }
    }

    @Test func aLoadThatTheGatewayEndsEarlyIsOverAtOnce() async throws {
        try await withScriptedGateway { session, frame in
            if frame.kind == .load { session.ready(frame.requestID, credit: 1_000_000) }
            if frame.kind == .loadRows {
                session.loaded(frame.requestID, rows: 0, error: WireError(.badRow, "row 3 is wrong"))
            }
        } _: { _, client in
            // Never ends by itself.
            let rows = AsyncStream<LoadRow> { stream in
                for id in 0..<20_000 { stream.yield(Self.row(Int64(id))) }
            }
            let error = await failure { _ = try await client.load("a", columns: ["n"], rows: rows) }
            #expect(error?.code == .badRow && error?.load?.badRows.map(\.row) == [3])
            #expect(error?.load?.shards.map(\.outcome) == [.notApplied] && error?.load?.token.isEmpty == true)
        }
    }

    @Test func whatIsThereAlreadyIsNotSent() async throws {
        try await withScriptedGateway { session, frame in
            if frame.kind == .load { session.loaded(frame.requestID, rows: 5) }
        } _: { gateway, client in
            let report = try await client.load("a", columns: ["n"], rows: rows(1_000))
            #expect(report.rows == 5 && !gateway.kinds.withLock { $0.contains(.loadRows) })
        }
    }

    @Test func aRefusalIsTheError() async throws {
        try await withScriptedGateway { session, frame in
            session.fail(.unknownCollection, frame.requestID)
        } _: { _, client in
            let error = await failure { _ = try await client.load("a", rows: rows(10)) }
            #expect(error?.code == .unknownCollection && error?.load == nil)
            let twice = await failure { _ = try await client.load("a", columns: ["n", "n"], rows: rows(10)) }
            #expect(twice?.code == .invalidArgument)
        }
    }

    private struct Trouble: Error {}

    @Test func rowsThatEndWithAnErrorCancelTheLoad() async throws {
        let log = LoadLog()
        try await withScriptedGateway { session, frame in
            log.note(frame)
            if frame.kind == .load { session.ready(frame.requestID, credit: 1_000_000) }
            if frame.kind == .cancel { session.fail(.cancelled, frame.requestID) }
        } _: { gateway, client in
            let rows = AsyncThrowingStream<LoadRow, any Error> { stream in
                for id in 0..<10 { stream.yield(Self.row(Int64(id))) }
                stream.finish(throwing: Trouble())
            }
            let error = await failure { _ = try await client.load("a", columns: ["n"], rows: rows) }
            #expect(error?.code == .rowsFailed && error?.underlying is Trouble)
            await gateway.next(.cancel)
            #expect(log.state.withLock { $0.end } == nil)
        }
    }

    /// An AsyncStream of a task that is cancelled just ends: that must not look like the end of the rows.
    @Test func aCancelledLoadIsNotCommitted() async throws {
        let log = LoadLog()
        try await withScriptedGateway { session, frame in
            log.note(frame)
            if frame.kind == .load { session.ready(frame.requestID, credit: 1_000_000) }
            if frame.kind == .cancel { session.fail(.cancelled, frame.requestID) }
        } _: { gateway, client in
            let (stream, continuation) = AsyncStream.makeStream(of: LoadRow.self)
            for id in 0..<20_000 { continuation.yield(Self.row(Int64(id))) }
            let load = Task { try await client.load("a", columns: ["n"], rows: stream) }
            await gateway.next(.loadRows)
            load.cancel()
            let error = await failure { _ = try await load.value }
            #expect(error?.code == .cancelled)
            await gateway.next(.cancel)
            #expect(log.state.withLock { $0.end } == nil)
        }
    }

    @Test(arguments: [FrameKind.load, .loadRows, .loadEnd])
    func aLostConnectionSaysWhatIsKnown(at kind: FrameKind) async throws {
        try await withScriptedGateway { session, frame in
            if frame.kind == kind { return session.close() }
            if frame.kind == .load { session.ready(frame.requestID, credit: 1_000_000) }
        } _: { _, client in
            // Only in the last case is the last row sent.
            let endless = AsyncStream<LoadRow> { stream in
                for id in 0..<20_000 { stream.yield(Self.row(Int64(id))) }
            }
            let source = kind == .loadEnd ? rows(10) : endless
            let error = await failure { _ = try await client.load("a", columns: ["n"], rows: source) }
            #expect(error?.code == (kind == .loadEnd ? .outcomeUnknown : .connectionLost))
            #expect(error?.isRetryable == true)
        }
    }

    @Test func aSessionThatIsEndedAfterTheLastRowLeavesAnUnknownOutcome() async throws {
        try await withScriptedGateway { session, frame in
            if frame.kind == .load { session.ready(frame.requestID, credit: 1_000_000) }
            if frame.kind == .loadEnd { session.fail(.unauthenticated, 0) }
        } _: { _, client in
            let error = await failure { _ = try await client.load("a", columns: ["n"], rows: rows(10)) }
            #expect(error?.code == .outcomeUnknown && error?.isRetryable == true)
        }
    }

    @Test func aGatewayThatSaysNothingIsGivenUp() async throws {
        try await withScriptedGateway { session, frame in
            // A credit too small for a row, and then nothing.
            if frame.kind == .load { session.ready(frame.requestID, credit: 1) }
        } _: { gateway, _ in
            var options = SluiceClient.Options()
            options.patience = .milliseconds(200)
            let client = try await SluiceClient.connect(gateway.address, options: options)
            let error = await failure { _ = try await client.load("a", columns: ["n"], rows: rows(10)) }
            #expect(error?.code == .noAnswer)
            await client.close()
        }
    }

    @Test func partsOfOtherAnswersBreakTheProtocol() async throws {
        try await withScriptedGateway { session, frame in
            if frame.kind == .load { session.send(.resultPart, frame.requestID) }
        } _: { _, client in
            let error = await failure { _ = try await client.load("a", rows: rows(10)) }
            #expect(error?.code == .protocolViolation)
        }
    }
}
