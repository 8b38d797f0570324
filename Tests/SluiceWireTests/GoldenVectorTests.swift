import Foundation
import NIOCore
import SluiceWire
import Testing

@Suite struct GoldenVectorTests {
    @Test func theVectorsAreThere() {
        #expect(GoldenVector.good.count >= 72 && GoldenVector.bad.count >= 139)
    }

    @Test(arguments: GoldenVector.good)
    func goodFramesMeanWhatTheirJSONSays(vector: GoldenVector) throws {
        var bytes = vector.bytes
        let isCompressed = vector.meaning.lz4 ?? false
        var decoder = FrameDecoder(maximumFrameLength: 1_048_576, lz4: isCompressed)
        let frame = try #require(try decoder.next(&bytes))
        #expect(bytes.readableBytes == 0 && frame.requestID == vector.meaning.requestId)
        let encoded = try expectMeaning(frame, vector.meaning)
        var written = ByteBuffer()
        FrameEncoder(lz4: false).write(frame.kind, requestID: frame.requestID, into: &written, payload: encoded)
        // What is skipped is not written again, and there is more than one way to compress.
        if !vector.name.hasSuffix("unknown-field"), !isCompressed { #expect(written == vector.bytes) }
    }

    /// Checks the payload, and returns how this side would write it.
    private func expectMeaning(_ frame: Frame, _ meaning: Meaning) throws -> (inout ByteBuffer) -> Void {
        let (message, kind) = (try #require(meaning.message), meaning.kind)
        switch frame.kind {
        case .hello:
            let hello = Hello(clientName: message.clientName, features: Features(rawValue: message.features ?? 0))
            let decoded = try Hello(decoding: frame.payload)
            #expect(kind == "hello" && decoded == hello)
            return { hello.encode(into: &$0) }
        case .welcome:
            let welcome = try Welcome(decoding: frame.payload)
            #expect(kind == "welcome" && welcome.server == message.server && welcome.sessionID == message.sessionId)
            #expect(welcome.maximumFrameLength == message.maxFrame && welcome.maximumK == message.maxK)
            #expect(welcome.maximumInFlight == message.maxInFlight && welcome.features.rawValue == message.features)
            return { welcome.encode(into: &$0) }
        case .ping, .pong:
            #expect(kind == (frame.kind == .ping ? "ping" : "pong"))
            #expect(frame.payload.readableBytesView.map { String(format: "%02x", $0) }.joined() == message.payload)
            return { $0.writeImmutableBuffer(frame.payload) }
        case .cancel, .collections:
            #expect(frame.payload.readableBytes == 0 && kind == (frame.kind == .cancel ? "cancel" : "collections"))
            return { _ in }
        case .goAway:
            let notice = try GoAway(decoding: frame.payload)
            #expect(kind == "go_away" && notice.code.rawValue == message.code && notice.message == message.message)
            return { notice.encode(into: &$0) }
        case .error: return try expectError(frame, meaning)
        case .search: return try expectSearch(frame, meaning)
        case .result, .resultPart:
            #expect(kind == (frame.kind == .result ? "result" : "result_part"))
            return try expectResult(frame, meaning)
        case .collectionList: return try expectList(frame, meaning)
        case .get, .count, .countResult, .next: return try expectRows(frame, meaning)
        case .load, .loadReady, .loadRows, .loadCredit, .loadEnd, .loadProgress, .loadResult, .write, .writeResult:
            return try WritingExpectation(meaning).check(frame)
        }
    }

    private func expectError(_ frame: Frame, _ meaning: Meaning) throws -> (inout ByteBuffer) -> Void {
        let message = try #require(meaning.message)
        var expected = ErrorReply(
            code: ErrorCode(rawValue: try #require(message.code)), isRetryable: message.retryable,
            message: message.message ?? "", retryAfter: message.retryAfterMs.map { .milliseconds($0) },
            legs: (message.legs ?? []).map(\.report))
        expected.traceID = meaning.details?.trace?.id
        let reply = try ErrorReply(decoding: frame.payload)
        #expect(reply == expected)
        return { reply.encode(into: &$0) }
    }

    private func expectSearch(_ frame: Frame, _ meaning: Meaning) throws -> (inout ByteBuffer) -> Void {
        let request = try SearchRequest(decoding: frame.payload)
        #expect(request == (try meaning.searchRequest()))
        try request.validate()
        let message = try #require(meaning.message)
        if let floats = message.vector { #expect(request.vector.floats() == floats) }
        if let sparse = meaning.query?.sparse {
            let nonZero = request.vector.nonZero()
            #expect(nonZero?.indices == sparse.indices && nonZero?.values == sparse.values)
            #expect(request.vector.dimensions == sparse.dimensions)
        }
        if let bits = meaning.query?.bits { #expect(request.vector.bits() == bits.map { $0 == "1" }) }
        return { request.encode(into: &$0) }
    }

    private func expectResult(_ frame: Frame, _ meaning: Meaning) throws -> (inout ByteBuffer) -> Void {
        let (message, details) = (try #require(meaning.message), try #require(meaning.details))
        let result = try SearchResult(decoding: frame.payload)
        #expect(result.legs == (message.legs ?? []).map(\.report))
        #expect(result.coverage == message.coverage && result.elapsed == .microseconds(message.elapsedUs ?? -1))
        let lists = [message.hits ?? []] + (details.furtherHits ?? [])
        #expect(result.lists.count == lists.count)
        for (list, expected) in zip(result.lists, lists) { try expect(list.hits(of: result.legs), expected) }
        #expect(result.mayBeIncomplete == (details.mayBeIncomplete ?? false))
        #expect(result.rung.rawValue == (details.rung ?? 0) && result.source.rawValue == (details.source ?? 0))
        #expect(result.cursor == details.cursor.flatMap(Meaning.cursor))
        #expect(result.hasMore == (details.hasMore ?? false) && result.repaired == (details.repaired ?? false))
        let fused = (details.fused ?? []).map {
            FusedHit(score: $0.score, vectorRank: $0.vectorRank, textRank: $0.textRank)
        }
        #expect(result.fused == fused && result.groupSizes == (details.groupSizes ?? []))
        #expect(result.missing == (details.missing ?? []) && result.listIndex == details.listIndex)
        #expect(result.vectorForm?.rawValue == details.vectorType)
        return { result.encode(into: &$0) }
    }

    private func expect(_ hits: [WireHit], _ expected: [Meaning.Hit]) {
        #expect(hits.map(\.leg) == expected.map(\.leg) && hits.map(\.id) == expected.map(\.id))
        #expect(hits.map(\.distance) == expected.map(\.distance))
        let cells = hits.map { hit in
            hit.cells.map { $0.map { $0.readableBytesView.map { String(format: "%02x", $0) }.joined() } }
        }
        #expect(cells == expected.map(\.cells))
    }

    /// GET, COUNT and its answer, NEXT.
    private func expectRows(_ frame: Frame, _ meaning: Meaning) throws -> (inout ByteBuffer) -> Void {
        let (message, details) = (try #require(meaning.message), try #require(meaning.details))
        let deadline = message.deadlineUs.map { Duration.microseconds($0) }
        switch frame.kind {
        case .get:
            var expected = GetRequest(
                collection: try #require(details.collection), ids: try #require(details.ids),
                columns: message.columns ?? [], withVector: details.withVector ?? false, deadline: deadline,
                allowPartial: message.allowPartial ?? false)
            expected.trace = details.trace?.context
            let request = try GetRequest(decoding: frame.payload)
            #expect(meaning.kind == "get" && request == expected)
            return { request.encode(into: &$0) }
        case .count:
            var expected = CountRequest(
                collection: try #require(details.collection), filter: Meaning.filter(meaning.query?.filter),
                exact: message.exact ?? false, deadline: deadline)
            expected.trace = details.trace?.context
            let request = try CountRequest(decoding: frame.payload)
            #expect(meaning.kind == "count" && request == expected)
            return { request.encode(into: &$0) }
        case .countResult:
            let expected = CountResult(
                rows: try #require(details.rows), isExact: details.isExact ?? false,
                legs: (message.legs ?? []).map(\.report))
            let result = try CountResult(decoding: frame.payload)
            #expect(meaning.kind == "count_result" && result == expected)
            return { result.encode(into: &$0) }
        default:
            let request = try CursorRequest(decoding: frame.payload)
            #expect(meaning.kind == "next" && request.pageSize == meaning.query?.pageSize)
            #expect(request.cursor == details.cursor.flatMap(Meaning.cursor))
            #expect(request.trace == details.trace?.context)
            return { request.encode(into: &$0) }
        }
    }

    private func expectList(_ frame: Frame, _ meaning: Meaning) throws -> (inout ByteBuffer) -> Void {
        guard case .listed(let listed) = meaning.message?.collections else {
            Issue.record("no collections in the JSON")
            return { _ in }
        }
        let list = try CollectionList(decoding: frame.payload)
        #expect(list.collections == listed.map(\.description))
        #expect(list.servers == (meaning.details?.servers ?? []).map(\.description))
        return { list.encode(into: &$0) }
    }

    @Test(arguments: GoldenVector.bad)
    func badFramesAreRefusedAsTheirJSONSays(vector: GoldenVector) throws {
        var bytes = vector.bytes
        var decoder = FrameDecoder(maximumFrameLength: 1_048_576, lz4: false)
        do throws(WireError) {
            let frame = try decoder.next(&bytes)
            #expect(vector.meaning.scope == "request")
            guard let frame else {
                Issue.record("the decoder waits for more")
                return
            }
            try Self.decode(frame)
            Issue.record("it was accepted")
        } catch {
            #expect(error.code.rawValue == vector.meaning.error, "\(error)")
        }
    }

    /// As a receiver does before it looks at collections.
    private static func decode(_ frame: Frame) throws(WireError) {
        switch frame.kind {
        case .search: try SearchRequest(decoding: frame.payload).validate()
        case .get: try GetRequest(decoding: frame.payload).validate()
        case .count: try CountRequest(decoding: frame.payload).validate()
        case .next: _ = try CursorRequest(decoding: frame.payload)
        case .countResult: _ = try CountResult(decoding: frame.payload)
        case .collectionList: _ = try CollectionList(decoding: frame.payload)
        case .error: _ = try ErrorReply(decoding: frame.payload)
        case .load: try LoadRequest(decoding: frame.payload).validate()
        case .loadEnd: _ = try LoadEnd(decoding: frame.payload)
        case .loadResult: _ = try LoadResult(decoding: frame.payload)
        case .write: try WriteRequest(decoding: frame.payload).validate()
        case .writeResult: _ = try WriteResult(decoding: frame.payload)
        case .result, .resultPart:
            let result = try SearchResult(decoding: frame.payload)
            for list in result.lists { _ = try list.hits(of: result.legs) }
        default: Issue.record("nothing of this kind is bad by its payload")
        }
    }

    /// The specification's own session is one: every byte of it is read, and written the same.
    @Test func theSpecificationsSessionIsReal() throws {
        let text = try String(
            contentsOf: GoldenVector.folder.deletingLastPathComponent().appending(path: "PROTOCOL.md"), encoding: .utf8)
        let section = try #require(text.range(of: "## 10."))
        var session = ByteBuffer()
        let dump = /^ *((?:[0-9a-f]{2} )*[0-9a-f]{2})(?: |$)/
        for line in text[section.upperBound...].split(separator: "\n") {
            guard let bytes = line.prefixMatch(of: dump)?.1 else { continue }
            session.writeBytes(bytes.split(separator: " ").compactMap { UInt8($0, radix: 16) })
        }
        let isWhole = try Preface.check(&session)
        #expect(isWhole)
        var decoder = FrameDecoder(maximumFrameLength: 1_048_576, lz4: false)
        var kinds: [FrameKind] = []
        while let frame = try decoder.next(&session) {
            kinds.append(frame.kind)
            switch frame.kind {
            case .hello: #expect(try Hello(decoding: frame.payload).clientName == "example")
            case .welcome: #expect(try Welcome(decoding: frame.payload).sessionID == 42)
            case .search: #expect(try SearchRequest(decoding: frame.payload).vector.floats() == [1, -2.5, 0.25])
            default:
                let result = try SearchResult(decoding: frame.payload)
                let hits = try result.hits.hits(of: result.legs)
                #expect(hits.map(\.id) == [17] && hits[0].cells == [ByteBuffer(string: "gzip")])
            }
        }
        #expect(kinds == [.hello, .welcome, .search, .result] && session.readableBytes == 0)
    }
}
