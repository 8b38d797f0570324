import NIOCore
import SluiceClient
import SluiceWire
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(1))) struct StreamTests {
    private let query = SearchQuery(collections: ["a", "b"], vector: [1, 2])

    private func part(_ ids: [Int64], list: Int = 0) -> SearchResult {
        var result = SearchResult.scripted([(ids, list)], collections: ["a", "b"])
        result.listIndex = list
        return result
    }

    @Test func partsComeAsTheyAreSentAndTheLastSaysTheRest() async throws {
        let sent = Mutex<SearchRequest?>(nil)
        try await withScriptedGateway { session, frame in
            guard frame.kind == .search else { return }
            sent.withLock { $0 = try? SearchRequest(decoding: frame.payload) }
            session.answer(frame.requestID, part([7], list: 1), part: true)
            session.answer(frame.requestID, part([1, 2]), part: true)
            var last = SearchResult.scripted([([3], 0), ([8], 1)], collections: ["a", "b"])
            last.coverage = 0.5
            session.answer(frame.requestID, last)
        } _: { _, client in
            var lists: [Int: [Int64]] = [:]
            var summary: SearchReply?
            for try await part in client.stream(query, separately: true) {
                lists[part.list, default: []] += part.hits.map(\.id)
                summary = part.summary
            }
            #expect(lists == [0: [1, 2, 3], 1: [7, 8]])
            #expect(summary?.coverage == 0.5 && summary?.legs.count == 2 && summary?.hits.isEmpty == true)
        }
        let request = sent.withLock { $0 }
        #expect(request?.stream == true && request?.separate == true)
    }

    @Test func anAnswerInOnePieceIsAStreamOfOne() async throws {
        try await withScriptedGateway { session, frame in
            session.answer(frame.requestID, .scripted([([], 0)]))
        } _: { _, client in
            var parts: [SearchPart] = []
            for try await part in client.stream(query) { parts.append(part) }
            #expect(parts.count == 1 && parts[0].hits.isEmpty && parts[0].summary != nil)
        }
    }

    @Test func anErrorAfterPartsEndsTheStream() async throws {
        try await withScriptedGateway { session, frame in
            session.answer(frame.requestID, part([1]), part: true)
            session.fail(.deadlineExceeded, frame.requestID)
        } _: { _, client in
            var parts = client.stream(query).makeAsyncIterator()
            let first = try await parts.next()
            #expect(first?.hits.map(\.id) == [1])
            #expect(await failureCode { _ = try await parts.next() } == .deadlineExceeded)
            let end = try await parts.next()
            #expect(end == nil)
        }
    }

    @Test func whatIsWrongIsSaidWithoutAConnection() async throws {
        try await withScriptedGateway { _, _ in
        } _: { gateway, client in
            var wrong = query
            wrong.k = 0
            var parts = client.stream(wrong).makeAsyncIterator()
            #expect(await failureCode { _ = try await parts.next() } == .invalidArgument)
            #expect(gateway.kinds.withLock { $0 } == [.hello])
        }
    }

    @Test func leavingTheLoopEndsTheConnectionOfTheStream() async throws {
        try await withScriptedGateway { session, frame in
            session.answer(frame.requestID, part([1]), part: true)
        } _: { gateway, client in
            for try await _ in client.stream(query) { break }
            await gateway.end(of: 2)
        }
    }

    @Test func cancellingTheTaskEndsTheStream() async throws {
        try await withScriptedGateway { _, _ in
        } _: { gateway, client in
            let reader = Task {
                var parts = client.stream(query).makeAsyncIterator()
                _ = try await parts.next()
            }
            await gateway.next(.search)
            reader.cancel()
            #expect(await failureCode { try await reader.value } == .cancelled)
            await gateway.end(of: 2)
        }
    }

    @Test func closingTheClientEndsItsStreams() async throws {
        try await withScriptedGateway { _, _ in
        } _: { gateway, client in
            let reader = Task {
                var parts = client.stream(query).makeAsyncIterator()
                _ = try await parts.next()
            }
            await gateway.next(.search)
            await client.close()
            #expect(await failureCode { try await reader.value } == .closed)
        }
    }

    @Test func partsThatNobodyAskedForBreakTheProtocol() async throws {
        try await withScriptedGateway { session, frame in
            session.answer(frame.requestID, part([1]), part: true)
        } _: { _, client in
            #expect(await failureCode { _ = try await client.search(query) } == .protocolViolation)
        }
    }

    /// 64 MiB wait in the gateway; this client takes in little more than its bound, and others are served meanwhile.
    @Test func aStreamThatIsNotReadTakesLittleMemory() async throws {
        let ids = Array(repeating: Int64(1), count: 3_600)
        let count = 1_000
        try await withScriptedGateway { session, frame in
            if frame.kind == .ping { return session.send(.pong, frame.requestID) }
            for _ in 0..<count { session.answer(frame.requestID, part(ids), part: true) }
            session.answer(frame.requestID, .scripted([([], 0)]))
        } _: { _, client in
            var parts = client.stream(query).makeAsyncIterator()
            var hits = 0
            while let part = try await parts.next() {
                hits += part.hits.count
                // Time for the connection to bring more.
                if hits < 20 * ids.count { for _ in 0..<50 { try await client.ping() } }
                guard parts.bytesHeld <= 4 * 1_048_576 else {
                    Issue.record("\(parts.bytesHeld) bytes wait")
                    return
                }
            }
            #expect(hits == count * ids.count, "and nothing is lost")
        }
    }
}
