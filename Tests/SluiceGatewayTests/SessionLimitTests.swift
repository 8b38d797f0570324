import NIOCore
import NIOPosix
import SluiceGateway
import SluiceWire
import Testing

/// Each limit of a session, at its edge and one beyond, against a real gateway.
@Suite struct SessionLimitTests {
    // MARK: Sessions

    @Test func sessionsOfAnAddress() async throws {
        try await withDeafGateway(limits: "{max_sessions_per_address: 2}") { gateway in
            let first = try await RawClient(gateway)
            try await first.shakeHands()
            let second = try await RawClient(gateway)
            try await second.shakeHands()
            let third = try await RawClient(gateway)
            let (requestID, reply) = try await third.nextError()
            #expect(requestID == 0 && reply.code == .busy && reply.message.contains("max_sessions_per_address"))
            let elsewhere = try await RawClient(gateway, from: "127.0.0.2")
            try await elsewhere.shakeHands()
            try await second.channel.close()
            await gateway.waitForSessions(2)
        }
    }

    /// The oldest socket without HELLO makes room, and is told so; who has been welcomed stays.
    @Test func sessionsBeforeHello() async throws {
        try await withDeafGateway(limits: "{max_unauthenticated: 2}") { gateway in
            let welcomed = try await RawClient(gateway)
            try await welcomed.shakeHands()
            let silent = [try await RawClient(gateway), try await RawClient(gateway)]
            for client in silent { try await client.send(Preface.bytes) }
            let third = try await RawClient(gateway)
            try await third.shakeHands()
            try await silent[0].expectEnd(.busy)
            try await silent[1].send(.hello, 0) { Hello().encode(into: &$0) }
            _ = try await silent[1].next(.welcome)
            try await welcomed.send(.ping, 1)
            _ = try await welcomed.next(.pong)
        }
    }

    @Test func aHelloHasAtMostSixteenKibibytes() async throws {
        try await withDeafGateway { gateway in
            for (length, isTaken) in [(16_384, true), (16_385, false)] {
                let client = try await RawClient(gateway)
                try await client.send(Preface.bytes)
                // An unknown field of the right length: 8 bytes of header are counted, 6 of field.
                try await client.send(.hello, 0) { buffer in
                    buffer.writeInteger(UInt16(999))
                    buffer.writeInteger(UInt32(length - 14))
                    buffer.writeRepeatingByte(0, count: length - 14)
                }
                if isTaken { _ = try await client.next(.welcome) } else { try await client.expectEnd(.frameTooLarge) }
            }
        }
    }

    // MARK: Rates

    /// All that is within the rate is answered; what is beyond ends the session, with the limit's name.
    private func flood(
        _ limits: String, _ name: String, answers: Int, _ frames: [ByteBuffer], answer: FrameKind?
    ) async throws {
        try await withDeafGateway(limits: limits) { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            var burst = ByteBuffer()
            for frame in frames { burst.writeImmutableBuffer(frame) }
            try await client.channel.writeAndFlush(burst).get()
            for _ in 0..<answers { if let answer { _ = try await client.next(answer) } }
            try await client.expectEnd(.limitExceeded, words: name)
        }
    }

    /// A rate of one a minute would do; a second's worth may come at once, so nothing depends on how fast it comes.
    @Test func pings() async throws {
        let frames = (1...4).map { RawClient.frame(.ping, UInt32($0)) }
        try await flood("{max_pings: 3}", "max_pings", answers: 3, frames, answer: .pong)
    }

    @Test func collectionListsCountAsPings() async throws {
        let frames = (1...4).map { RawClient.frame(.collections, UInt32($0)) }
        try await flood("{max_pings: 3}", "max_pings", answers: 3, frames, answer: .collectionList)
    }

    @Test func cancelsOfNothing() async throws {
        let frames = (1...5).map { RawClient.frame(.cancel, UInt32($0)) }
        try await flood("{max_cancels: 4, max_in_flight: 4}", "max_cancels", answers: 0, frames, answer: nil)
    }

    @Test func errors() async throws {
        let frames = (1...5).map { RawClient.frame(.search, UInt32($0)) }
        try await flood("{max_errors: 4, max_in_flight: 4}", "max_errors", answers: 5, frames, answer: .error)
    }

    /// Those that the lane finds, after the request was let in. There may be as many at once as requests in flight.
    @Test func errorsThatComeLate() async throws {
        let request = SearchRequest(collections: ["nowhere"], vector: VectorBytes([1, 2, 3] as [Float]), k: 1)
        try await withDeafGateway(limits: "{max_errors: 4, max_in_flight: 40}") { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            // All at once, so that nothing depends on how long an answer takes.
            var burst = ByteBuffer()
            for number in 1...60 {
                burst.writeImmutableBuffer(RawClient.frame(.search, UInt32(number)) { request.encode(into: &$0) })
            }
            try await client.channel.writeAndFlush(burst).get()
            var codes: [ErrorCode] = []
            while case .frame(let frame) = await client.next() {
                let reply = try ErrorReply(decoding: frame.payload)
                codes.append(reply.code)
                if frame.requestID == 0 { #expect(reply.message.contains("max_errors")) }
            }
            #expect(codes.last == .limitExceeded && codes.count > 40)
            #expect(Set(codes.dropLast()) == [.unknownCollection])
        }
    }

    /// What is not the client's fault is not counted.
    @Test func errorsOfTheDatabases() async throws {
        let request = SearchRequest(collections: ["programs"], vector: VectorBytes([1, 2, 3] as [Float]), k: 1)
        try await withDeafGateway(limits: "{max_errors: 1, max_in_flight: 1}") { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            for number in 1...20 {
                try await client.send(.search, UInt32(number)) { request.encode(into: &$0) }
                #expect(try await client.nextError().reply.code == .unavailable)
            }
        }
    }

    // MARK: Sizes

    /// At the edge the request gets as far as the databases, which this gateway does not reach.
    private func expect(
        _ limits: String, _ kind: FrameKind, refused: String?, _ payload: (inout ByteBuffer) -> Void
    ) async throws {
        try await withDeafGateway(limits: limits) { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            try await client.send(kind, 1, payload)
            let (requestID, reply) = try await client.nextError()
            #expect(requestID == 1 && reply.code == (refused == nil ? .unavailable : .invalidArgument))
            if let refused { #expect(reply.message.contains(refused), "\(reply.message)") }
        }
    }

    @Test(arguments: [(3, nil), (4, "max_batch")])
    func vectorsOfASearch(count: Int, refused: String?) async throws {
        let vectors = (0..<count).map { _ in VectorBytes([1, 2, 3] as [Float]) }
        let request = SearchRequest(collections: ["programs"], vectors: vectors, k: 1)
        try await expect("{max_batch: 3}", .search, refused: refused) { request.encode(into: &$0) }
    }

    @Test(arguments: [(3, nil), (4, "max_ids")])
    func idsOfAGet(count: Int, refused: String?) async throws {
        let request = GetRequest(collection: "programs", ids: (0..<count).map { Int64($0) })
        try await expect("{max_ids: 3}", .get, refused: refused) { request.encode(into: &$0) }
    }

    @Test(arguments: [(3, nil), (4, "max_write_rows")])
    func deletesOfAWrite(count: Int, refused: String?) async throws {
        let request = WriteRequest(collection: "programs", deletes: (0..<count).map { Int64($0) })
        try await expect("{max_write_rows: 3}", .write, refused: refused) { request.encode(into: &$0) }
    }

    /// A filter that is `depth` levels deep: 3 bytes, and one more for each `not` around it.
    private static func filter(depth: Int) -> FilterExpression {
        (1..<depth).reduce(.isNull(column: "c")) { filter, _ in .not(filter) }
    }

    private static let narrow: [(limits: String, depth: Int, refused: String?)] = [
        ("{max_filter_depth: 4}", 4, nil), ("{max_filter_depth: 4}", 5, "more than 4 levels deep"),
        ("{max_filter_nodes: 4}", 4, nil), ("{max_filter_nodes: 4}", 5, "more than 4 nodes"),
        ("{max_filter_bytes: 16}", 14, nil), ("{max_filter_bytes: 16}", 15, "more than 16 bytes"),
    ]

    @Test(arguments: narrow.indices)
    func filters(index: Int) async throws {
        let (limits, depth, refused) = Self.narrow[index]
        let filter = Self.filter(depth: depth)
        let collections = "  - {name: filtered, table: t, metric: l2, dimensions: 3, filterable: {c: int}}"
        var search = SearchRequest(collections: ["filtered"], vector: VectorBytes([1, 2, 3] as [Float]), k: 1)
        search.filter = filter
        var override = SearchRequest(collections: ["filtered"], vector: VectorBytes([1, 2, 3] as [Float]), k: 1)
        override.overrides = [CollectionOverride(collection: "filtered", filter: filter)]
        let count = CountRequest(collection: "filtered", filter: filter)
        try await withDeafGateway(limits: limits, collections: collections) { [search, override] gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            try await client.send(.search, 1) { search.encode(into: &$0) }
            try await client.send(.search, 2) { override.encode(into: &$0) }
            try await client.send(.count, 3) { count.encode(into: &$0) }
            for _ in 1...3 {
                let reply = try await client.nextError().reply
                #expect(reply.code == (refused == nil ? .unavailable : .invalidArgument), "\(reply.message)")
                if let refused { #expect(reply.message.contains(refused), "\(reply.message)") }
            }
        }
    }

    /// Those of all collections together, so that many small ones are no way around it.
    @Test(arguments: [(11, nil), (12, "more than 16 bytes together")])
    func filtersOfAllCollections(depth: Int, refused: String?) async throws {
        let collections = "  - {name: filtered, table: t, metric: l2, dimensions: 3, filterable: {c: int}}"
        var request = SearchRequest(collections: ["filtered"], vector: VectorBytes([1, 2, 3] as [Float]), k: 1)
        // 13 or 14 bytes, and 3 more.
        request.filter = Self.filter(depth: depth)
        request.overrides = [CollectionOverride(collection: "filtered", filter: Self.filter(depth: 1))]
        try await withDeafGateway(limits: "{max_filter_bytes: 16}", collections: collections) { [request] gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            try await client.send(.search, 1) { request.encode(into: &$0) }
            let reply = try await client.nextError().reply
            #expect(reply.code == (refused == nil ? .unavailable : .invalidArgument), "\(reply.message)")
            if let refused { #expect(reply.message.contains(refused), "\(reply.message)") }
        }
    }

    // MARK: Compression

    /// A load stays in flight while it waits for a primary to come.
    @Test(arguments: [(0, ErrorCode.unavailable), (1, .tooManyInFlight)])
    func bytesInFlight(beyond: Int, code: ErrorCode) async throws {
        let load = LoadRequest(collection: "programs", loadID: RequestKey(high: 1, low: 5))
        let search = SearchRequest(
            collections: ["programs"], vector: VectorBytes([1, 2, 3] as [Float]), k: 1)
        var payloads = ByteBuffer()
        load.encode(into: &payloads)
        search.encode(into: &payloads)
        // An unknown field, of 6 bytes and so many, fills the limit.
        let filling = 4_096 + beyond - payloads.readableBytes - 6
        try await withDeafGateway(limits: "{max_frame: 4KiB, max_in_flight_bytes: 4KiB}") { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            try await client.send(.load, 1) { load.encode(into: &$0) }
            try await client.send(.search, 2) { buffer in
                search.encode(into: &buffer)
                buffer.writeInteger(UInt16(999))
                buffer.writeInteger(UInt32(filling))
                buffer.writeRepeatingByte(0, count: filling)
            }
            let (requestID, reply) = try await client.nextError()
            #expect(requestID == 2 && reply.code == code)
            #expect(reply.message.contains("max_in_flight_bytes") == (beyond > 0))
            try await client.channel.close()
        }
    }

    /// 4,096 equal bytes become 4 of length, and a block of which the ratio is known.
    @Test(arguments: [0, 1])
    func theRatioOfACompressedFrame(beyond: Int) async throws {
        let plain = ByteBuffer(repeating: 7, count: 4_096)
        let frame = RawClient.frame(.ping, 1, lz4: true) { $0.writeImmutableBuffer(plain) }
        let block = frame.readableBytes - 16
        let ratio = (4_096 + block - 1) / block - beyond
        try await withDeafGateway(limits: "{max_lz4_ratio: \(ratio)}") { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands(features: .lz4)
            try await client.channel.writeAndFlush(frame).get()
            // A ping has at most 64 bytes, which is seen once it is decompressed.
            try await client.expectEnd(beyond == 0 ? .malformed : .frameTooLarge)
        }
    }

    @Test(arguments: [(4_096, ErrorCode.malformed), (4_097, .frameTooLarge)])
    func theBytesOfADecompressedFrame(count: Int, code: ErrorCode) async throws {
        let frame = RawClient.frame(.ping, 1, lz4: true) { $0.writeRepeatingByte(7, count: count) }
        try await withDeafGateway(limits: "{max_frame: 4KiB}") { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands(features: .lz4)
            try await client.channel.writeAndFlush(frame).get()
            try await client.expectEnd(code)
        }
    }

    // MARK: Times

    @Test func aFrameThatIsNotSentToItsEnd() async throws {
        try await withDeafGateway(limits: "{frame_timeout: 200ms}") { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            // Frames that are whole have no time to keep.
            try await client.send(.ping, 1)
            _ = try await client.next(.pong)
            try await client.send(Array(RawClient.frame(.ping, 2).readableBytesView.dropLast()))
            try await client.expectEnd(.limitExceeded, words: "frame_timeout")
        }
    }

    /// Not reading is no reason to be kept for ever.
    @Test func aPeerThatTakesNothing() async throws {
        try await withDeafGateway(limits: "{stream_idle: 100ms, max_pings: 1000000}") { gateway in
            let client = try await RawClient(gateway, isReading: false)
            try await client.send(Preface.bytes)
            try await client.send(.hello, 0) { Hello().encode(into: &$0) }
            var burst = ByteBuffer()
            for number in 1...200_000 { burst.writeImmutableBuffer(RawClient.frame(.collections, UInt32(number))) }
            client.channel.writeAndFlush(burst, promise: nil)
            await gateway.waitForSessions(0)
        }
    }
}
