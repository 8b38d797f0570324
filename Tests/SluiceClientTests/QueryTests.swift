import NIOCore
import SluiceClient
import SluiceWire
import Synchronization
import Testing

/// What calls say to the gateway, and what they make of its answers.
@Suite(.timeLimit(.minutes(1))) struct QueryTests {
    /// Runs a call against a gateway that gives one answer to each request.
    /// - Returns: the requests.
    @discardableResult
    private func withGateway(
        _ answer: @escaping @Sendable (ScriptedGateway.Session, Frame) -> Void,
        _ body: (SluiceClient) async throws -> Void
    ) async throws -> [Frame] {
        let frames = Mutex<[Frame]>([])
        try await withScriptedGateway { session, frame in
            frames.withLock { $0.append(frame) }
            answer(session, frame)
        } _: { _, client in
            try await body(client)
        }
        return frames.withLock { $0 }
    }

    private func request(_ query: SearchQuery) async throws -> SearchRequest {
        let frames = try await withGateway {
            $0.answer($1.requestID, .scripted([([], 0)]))
        } _: {
            _ = try await $0.search(query)
        }
        return try SearchRequest(decoding: try #require(frames.first).payload)
    }

    private func refusal(_ query: SearchQuery) async throws -> String? {
        let message = Mutex<String?>(nil)
        let frames = try await withGateway { _, _ in
        } _: { client in
            do throws(SluiceError) { _ = try await client.search(query) } catch {
                #expect(error.code == .invalidArgument)
                message.withLock { $0 = error.message }
            }
        }
        #expect(frames.isEmpty, "nothing is sent")
        return message.withLock { $0 }
    }

    private let base = SearchQuery(collections: ["a", "b"], vector: [1, 2])

    @Test func everythingThatAQuerySaysIsSent() async throws {
        var query = base
        let filter: Filter = .column("section") == "net"
        query.filter = filter
        query.overrides = ["b": .init(vector: .bits([true]), k: 3, columns: [], filter: filter)]
        query.settings = .init(
            probes: 4, iterativeScan: .strict, maxScanTuples: 5, scanMemoryMultiplier: 6, workMemKiB: 64)
        query.maxDistance = 0.5
        query.complete = true
        query.probability = 0.9
        query.twoPhase = .init(.half, candidates: 99)
        query.model = "m"
        query.bypassCache = true
        var expected = SearchRequest(collections: ["a", "b"], vector: VectorBytes([1, 2]), k: 10)
        expected.filter = filter.expression
        expected.overrides = [
            CollectionOverride(
                collection: "b", vector: VectorBytes(bits: [true]), k: 3, columns: [], filter: filter.expression)
        ]
        expected.settings = ScanSettings(
            probes: 4, iterativeScan: .strict, maxScanTuples: 5, scanMemoryMultiplier: 6, workMemKiB: 64)
        expected.maxDistance = 0.5
        expected.complete = true
        expected.probability = 0.9
        expected.twoPhase = TwoPhase(.half, candidates: 99)
        expected.model = "m"
        expected.bypassCache = true
        #expect(try await request(query) == expected)
        query.twoPhase = nil
        query.group = .init(by: "section", size: 2)
        expected.twoPhase = nil
        expected.group = Grouping(column: "section", size: 2)
        #expect(try await request(query) == expected)
    }

    @Test(arguments: [
        (SearchQuery.Vector.float([1, -2]), VectorBytes([1, -2])), (.half([1, 0.1]), VectorBytes(half: [1, 0.1])),
        (.sparse(dimensions: 9, [7: 2, 3: 1, 5: 0]), VectorBytes(sparse: 9, indices: [3, 7], values: [1, 2])),
        (.bits([true, false]), VectorBytes(bits: [true, false])),
    ])
    func vectorsOfEveryForm(vector: SearchQuery.Vector, bytes: VectorBytes) async throws {
        let sent = try await request(SearchQuery(collections: ["a"], target: .vector(vector)))
        #expect(sent.vectors == [bytes])
    }

    @Test func fusionsOfWordsAndVector() async throws {
        var query = base
        query.text = .init("x", fusion: .reciprocalRank(constant: 7), textWeight: 2, vectorWeight: 3, candidates: 50)
        #expect(
            try await request(query).text
                == TextSearch("x", textWeight: 2, vectorWeight: 3, rankConstant: 7, candidates: 50))
        query.text = .init("y", fusion: .scoreSum)
        #expect(try await request(query).text == TextSearch("y", fusion: .normalisedScoreSum))
    }

    @Test func aSearchLikeARow() async throws {
        let frames = try await withGateway {
            $0.answer($1.requestID, .scripted([([5], 0)]))
        } _: { client in
            let filter: Filter = .column("n") > 3
            let reply = try await client.similar(to: -7, in: "a", k: 2, columns: ["c"], filter: filter)
            #expect(reply.hits.map(\.id) == [5])
        }
        let sent = try SearchRequest(decoding: try #require(frames.first).payload)
        #expect(sent.byID == RowReference(collection: "a", id: -7) && sent.vectors.isEmpty && sent.k == 2)
        #expect(sent.columns == ["c"] && sent.filter != nil && sent.collections == ["a"])
    }

    @Test func whatNoGatewayWouldTakeIsNotSent() async throws {
        func message(_ change: (inout SearchQuery) -> Void) async throws -> String {
            var query = base
            change(&query)
            return try await refusal(query) ?? "it was sent"
        }
        #expect(try await message { $0.k = 0 }.hasPrefix("k is 0"))
        #expect(try await message { $0.target = .vector(.half([1e6])) }.contains("component 0"))
        #expect(try await message { $0.target = .vector(.bits([])) }.contains("0 dimensions"))
        #expect(
            try await message { $0.target = .vector(.sparse(dimensions: 9, indices: [1], values: [])) }
                .contains("1 indices and 0 values"))
        #expect(try await message { $0.target = .overrides }.contains("a vector for each collection"))
        #expect(try await message { $0.overrides["c"] = .init() }.contains("for c, which is not searched"))
        #expect(try await message { $0.maxDistance = .nan }.hasPrefix("max_distance is nan"))
        #expect(try await message { $0.probability = 0 }.hasPrefix("probability is 0"))
        #expect(try await message { $0.settings.probes = 0 } == "probes is 0; it must be from 1 to 32768")
        #expect(try await message { $0.text = .init("") }.contains("1 to 4096 bytes"))
        #expect(try await message { $0.group = .init(by: "c", size: 0) }.contains("size of a group"))
        #expect(try await message { $0.filter = .and([]) }.contains("operand"))
    }

    // MARK: Answers

    @Test func aReplySaysHowTheAnswerCameAbout() async throws {
        try await withGateway { session, frame in
            var result = SearchResult.scripted([([5, 6, 7], 0)])
            result.mayBeIncomplete = true
            result.rung = .iterativeScan
            result.repaired = true
            result.source = .shared
            result.groupSizes = [2, 1]
            result.legs[0].asked = 40
            result.legs[0].rung = .exact
            session.answer(frame.requestID, result)
        } _: { client in
            let reply = try await client.search(base)
            #expect(!reply.isComplete && reply.rung == .iterativeScan && reply.repaired && reply.source == .shared)
            #expect(reply.groups == [0..<2, 2..<3] && reply.ranks.isEmpty)
            #expect(reply.legs.map(\.asked) == [40] && reply.legs.map(\.rung) == [.exact])
        }
    }

    @Test func aHybridReplyHasTheRanksOfEachHit() async throws {
        try await withGateway { session, frame in
            var result = SearchResult.scripted([([5, 6], 0)])
            result.fused = [
                FusedHit(score: 0.5, vectorRank: 1, textRank: 0), FusedHit(score: 0.25, vectorRank: 0, textRank: 3),
            ]
            session.answer(frame.requestID, result)
        } _: { client in
            let reply = try await client.search(base)
            #expect(reply.ranks.map(\.score) == [0.5, 0.25])
            #expect(reply.ranks.map(\.vector) == [1, nil] && reply.ranks.map(\.text) == [nil, 3])
        }
    }

    @Test func aBatchHasAReplyForEachVector() async throws {
        let frames = try await withGateway { session, frame in
            session.answer(frame.requestID, .scripted([([1], 0), ([], 0), ([3, 4], 0)]))
        } _: { client in
            let replies = try await client.searchBatch([.float([1]), .float([2]), .float([3])], base)
            #expect(replies.map { $0.hits.map(\.id) } == [[1], [], [3, 4]])
            await #expect(throws: SluiceError.self) { try await client.searchBatch([], base) }
            await #expect(throws: SluiceError.self) {
                try await client.searchBatch(Array(repeating: .float([1]), count: 65), base)
            }
            // One list fewer than vectors.
            await #expect(throws: SluiceError.self) {
                try await client.searchBatch(Array(repeating: .float([1]), count: 4), base)
            }
        }
        let sent = try frames.map { try SearchRequest(decoding: $0.payload) }
        #expect(sent.map(\.vectors.count) == [3, 4] && sent[0].vectors[2] == VectorBytes([3]))
    }

    @Test func separateListsComeByCollection() async throws {
        let frames = try await withGateway { session, frame in
            session.answer(frame.requestID, .scripted([([1], 0), ([2, 3], 1)], collections: ["a", "b"]))
        } _: { client in
            let replies = try await client.searchEach(base)
            #expect(replies["a"]?.hits.map(\.id) == [1] && replies["b"]?.hits.map(\.id) == [2, 3])
            #expect(replies["b"]?.legs.map(\.collection) == ["b"] && replies.count == 2)
        }
        #expect(try SearchRequest(decoding: try #require(frames.first).payload).separate)
    }

    @Test func rowsComeInTheirOrderWithTheirVectors() async throws {
        let frames = try await withGateway { session, frame in
            let half = VectorBytes(half: [0.5, 2])
            var hits = HitWriter(capacity: 2)
            var cells = ByteBuffer(integer: Int32(2))
            cells.writeString("hi")
            cells.writeInteger(Int32(half.bytes.readableBytes))
            cells.writeImmutableBuffer(half.bytes)
            hits.append(leg: 0, id: 9, distance: 0, cells: cells.readableBytesView)
            hits.append(leg: 0, id: 4, distance: 0, cells: Array(repeating: 0xFF, count: 8))
            var result = SearchResult.scripted([])
            result.legs[0].columns = [
                ColumnType(name: "name", typeOID: 25), ColumnType(name: "embedding", typeOID: 16_500),
            ]
            result.hits = hits.finish()
            result.missing = [-1]
            result.vectorForm = .halfvec
            session.answer(frame.requestID, result)
        } _: { client in
            let reply = try await client.get(
                "a", ids: [9, -1, 4], columns: ["name"], withVectors: true, deadline: .seconds(5), allowPartial: true)
            #expect(reply.rows.map(\.id) == [9, 4] && reply.missing == [-1])
            #expect(reply.rows[0].columns == ["name": .string("hi")] && reply.rows[0].vector == .half([0.5, 2]))
            #expect(reply.rows[1].columns == ["name": .null] && reply.rows[1].vector == nil)
            await #expect(throws: SluiceError.self) { try await client.get("a", ids: []) }
        }
        let sent = try GetRequest(decoding: try #require(frames.first).payload)
        #expect(frames.count == 1 && sent.deadline != nil && sent.allowPartial && sent.withVector)
        #expect(sent.collection == "a" && sent.ids == [9, -1, 4] && sent.columns == ["name"])
    }

    @Test func rowsAreCounted() async throws {
        let frames = try await withGateway { session, frame in
            session.send(.countResult, frame.requestID) {
                CountResult(rows: 42.5, isExact: false, legs: []).encode(into: &$0)
            }
        } _: { client in
            let reply = try await client.count("a", filter: .column("n") > 3, exact: true)
            #expect(reply.rows == 42.5 && !reply.isExact)
        }
        let sent = try CountRequest(decoding: try #require(frames.first).payload)
        #expect(sent.collection == "a" && sent.exact && sent.filter != nil && frames[0].kind == .count)
    }

    @Test func aListOfCollectionsSaysWhatTheyCanDo() async throws {
        try await withGateway { session, frame in
            let described = SluiceWire.CollectionDescription(
                name: "a", metric: "hamming", dimensions: 8, columns: [], shards: ["s0"], vectorForm: .bit,
                filterable: [FilterableColumn(name: "tags", type: "text[]")], model: "m", hasText: true)
            session.send(.collectionList, frame.requestID) {
                CollectionList(collections: [described]).encode(into: &$0)
            }
        } _: { client in
            let listed = try #require(try await client.collections().first)
            #expect(listed.vectorType == .bit && listed.filterable.map(\.name) == ["tags"])
            #expect(listed.filterable.map(\.type) == ["text[]"])
            #expect(listed.model == "m" && listed.hasText)
        }
    }

    @Test func aListOfCollectionsSaysWhatTheServersRun() async throws {
        let servers = [
            ServerDescription(shard: "s0", replica: "a", postgres: "16.10", vector: "0.8.5"),
            ServerDescription(shard: "s0", replica: "b", postgres: "16.9", vector: nil),
        ]
        try await withGateway { session, frame in
            session.send(.collectionList, frame.requestID) {
                CollectionList(collections: [], servers: servers).encode(into: &$0)
            }
        } _: { client in
            let described = try await client.servers()
            #expect(described == servers)
            let listed = try await client.collections()
            #expect(listed.isEmpty)
        }
    }

    // MARK: Pages

    private func page(_ ids: [Int64], more: Bool) -> SearchResult {
        var result = SearchResult.scripted([(ids, 0)])
        result.cursor = WireCursor(high: 1, low: 2)
        result.hasMore = more
        return result
    }

    @Test func pagesFollowEachOtherToTheEnd() async throws {
        let pages = [page([1, 2], more: true), page([3, 4], more: true), page([5], more: false)]
        let turn = Mutex(0)
        let frames = try await withGateway { session, frame in
            let page = turn.withLock { turn in
                turn += 1
                return pages[turn - 1]
            }
            session.answer(frame.requestID, page)
        } _: { client in
            var ids: [[Int64]] = []
            for try await page in client.pages(base, size: 2) { ids.append(page.hits.map(\.id)) }
            #expect(ids == [[1, 2], [3, 4], [5]])
        }
        #expect(frames.map(\.kind) == [.search, .next, .next], "what ends by itself is not closed")
        #expect(try SearchRequest(decoding: frames[0].payload).pageSize == 2)
        #expect(
            try CursorRequest(decoding: frames[1].payload)
                == CursorRequest(cursor: WireCursor(high: 1, low: 2), pageSize: 2))
    }

    @Test func pagesThatAreLeftAreClosed() async throws {
        let page = page([1, 2], more: true)
        let gateway = try await ScriptedGateway.start(
            ScriptedGateway.welcoming { session, frame in session.answer(frame.requestID, page) })
        let client = try await SluiceClient.connect(gateway.address)
        for try await _ in client.pages(base, size: 2) { break }
        for await frame in gateway.frames.stream where frame.kind == .next {
            #expect(try CursorRequest(decoding: frame.payload).pageSize == 0)
            break
        }
        await client.close()
        try await gateway.stop()
    }

    @Test func pagesThatAreGoneAreSaidSo() async throws {
        let page = page([1, 2], more: true)
        let frames = try await withGateway { session, frame in
            if frame.kind == .search {
                session.answer(frame.requestID, page)
            } else {
                session.fail(.unknownCursor, frame.requestID)
            }
        } _: { client in
            var pages = client.pages(base, size: 2).makeAsyncIterator()
            let first = try await pages.next()
            #expect(first?.hits.count == 2)
            do throws(SluiceError) {
                _ = try await pages.next()
                Issue.record("it must fail")
            } catch {
                #expect(error.code == .unknownCursor)
            }
            let end = try await pages.next()
            #expect(end == nil)
        }
        #expect(frames.map(\.kind) == [.search, .next], "there is nothing to close")
    }
}
