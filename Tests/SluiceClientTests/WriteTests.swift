import NIOCore
import SluiceClient
import SluiceWire
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(1))) struct WriteTests {
    private static func result(_ rows: [RowOutcome], _ deletes: [RowOutcome] = []) -> WriteResult {
        WriteResult(
            rows: rows, deletes: deletes,
            shards: [
                SluiceWire.ShardReport(shard: "s0", outcome: .committed, rows: 1, lsn: 42),
                SluiceWire.ShardReport(shard: "s1", outcome: .unknown, rows: 0),
            ], elapsed: .milliseconds(1))
    }

    @Test func eachRowHasItsOutcome() async throws {
        let sent = Mutex<WriteRequest?>(nil)
        try await withScriptedGateway { session, frame in
            sent.withLock { $0 = try? WriteRequest(decoding: frame.payload) }
            session.send(.writeResult, frame.requestID) {
                Self.result([.inserted, .unknown], [.absent]).encode(into: &$0)
            }
        } _: { _, client in
            let rows = [LoadRow(id: 1, vector: [1, 2], values: ["a"]), LoadRow(id: 2, vector: nil, values: [nil])]
            let key = WriteKey.random()
            let report = try await client.write(
                "a", columns: ["name"], rows: rows, deletes: [9], key: key, deadline: .seconds(5))
            #expect(report.rows == [.inserted, .unknown] && report.deletes == [.absent] && !report.isDone)
            #expect(report.token.positions == ["s0": 42] && report.shards.map(\.outcome) == [.committed, .unknown])
            let request = sent.withLock { $0 }
            #expect(request?.columns == ["name"] && request?.deletes == [9] && request?.deadline != nil)
            #expect(request?.key == RequestKey(high: key.high, low: key.low))
            var writer = RowWriter()
            try writer.append(id: 1, vector: VectorBytes([1, 2]), values: [.text("a")])
            try writer.append(id: 2, vector: nil, values: [nil])
            #expect(request?.rows == writer.bytes)
        }
    }

    @Test func aWriteWithoutAKeyIsSentOnce() async throws {
        try await withScriptedGateway { session, frame in
            if frame.kind == .write { session.close() }
        } _: { gateway, client in
            let error = await failure { _ = try await client.delete("a", ids: [1]) }
            #expect(error?.code == .outcomeUnknown && error?.isRetryable == false)
            #expect(gateway.kinds.withLock { $0.count { $0 == .write } } == 1)
        }
    }

    @Test func aWriteWithAKeyIsSentAgainOverALostConnection() async throws {
        try await withScriptedGateway { session, frame in
            guard frame.kind == .write else { return }
            guard session.number > 1 else { return session.close() }
            session.send(.writeResult, frame.requestID) { Self.result([], [.repeated]).encode(into: &$0) }
        } _: { gateway, client in
            let report = try await client.delete("a", ids: [1], key: .random())
            #expect(report.deletes == [.repeated] && report.isDone)
            #expect(gateway.kinds.withLock { $0.count { $0 == .write } } == 2)
        }
        try await withScriptedGateway { session, frame in
            if frame.kind == .write { session.close() }
        } _: { _, client in
            let error = await failure { _ = try await client.delete("a", ids: [1], key: .random()) }
            #expect(error?.code == .outcomeUnknown && error?.isRetryable == true)
        }
    }

    /// ERROR 0 ends the session, for instance as its token has expired: a write that was sent may have been done.
    @Test(arguments: [ErrorCode.unauthenticated, .busy, .malformed])
    func aSessionThatIsEndedLeavesAnUnknownOutcome(code: ErrorCode) async throws {
        try await withScriptedGateway { session, frame in
            if frame.kind == .write { session.fail(code, 0) }
        } _: { _, client in
            let error = await failure { _ = try await client.delete("a", ids: [1]) }
            #expect(error?.code == .outcomeUnknown && error?.isRetryable == false)
        }
    }

    @Test func anAnswerThatDoesNotFitIsAnUnknownOutcome() async throws {
        try await withScriptedGateway { session, frame in
            session.send(.writeResult, frame.requestID) { Self.result([.inserted]).encode(into: &$0) }
        } _: { _, client in
            let error = await failure { _ = try await client.delete("a", ids: [1]) }
            #expect(error?.code == .outcomeUnknown)
        }
    }

    @Test func whatIsRefusedWasNotDone() async throws {
        try await withScriptedGateway { session, frame in
            session.fail(.badRow, frame.requestID)
        } _: { gateway, client in
            let refused = await failure { _ = try await client.upsert("a", rows: [LoadRow(id: 1, vector: [.nan])]) }
            #expect(refused?.code == .badRow)
            let empty = await failure { _ = try await client.write("a") }
            #expect(empty?.code == .invalidArgument)
            let many = await failure { _ = try await client.delete("a", ids: Array(0...10_000)) }
            #expect(many?.code == .invalidArgument)
            let twice = await failure { _ = try await client.delete("a", ids: [1, 1]) }
            #expect(twice?.code == .invalidArgument)
            #expect(gateway.kinds.withLock { $0.count { $0 == .write } } == 1)
        }
    }

    @Test func tokensKeepTheHigherPosition() {
        var token = ConsistencyToken(positions: ["s0": 5, "s1": 9])
        token.merge(ConsistencyToken(positions: ["s0": 7, "s1": 8, "s2": 1]))
        #expect(token.positions == ["s0": 7, "s1": 9, "s2": 1])
        #expect(token.merging(ConsistencyToken()) == token && ConsistencyToken().isEmpty)
    }

    @Test func aKeyIsAUUID() {
        let key = WriteKey.random()
        #expect(WriteKey(key.description) == key && WriteKey("1234") == nil)
        let text = Array(key.description)
        #expect(text[14] == "4" && "89ab".contains(text[19]))
    }
}
