import NIOCore
import SluiceGateway
import SluiceWire
import Testing

/// What clients get wrong, by mistake or on purpose: each has a clear error, and the gateway goes on serving others.
@Suite struct BadInputTests {
    private func search(
        _ collections: [String] = ["programs"], vector: [Float] = [1, 2, 3], k: Int = 3, columns: [String] = [],
        deadline: Duration? = nil, efSearch: Int? = nil
    ) -> SearchRequest {
        SearchRequest(
            collections: collections, vector: VectorBytes(vector), k: k, columns: columns, deadline: deadline,
            efSearch: efSearch)
    }

    private static let requests: [(name: String, code: ErrorCode, words: [String], SearchRequest)] = {
        let tests = BadInputTests()
        return [
            ("unknown collection", .unknownCollection, ["nowhere"], tests.search(["nowhere"])),
            ("wrong dimensions", .dimensionMismatch, ["3", "2"], tests.search(vector: [1, 2])),
            ("NaN", .invalidArgument, ["component 1", "NaN"], tests.search(vector: [1, .nan, 3])),
            ("infinity", .invalidArgument, ["component 2"], tests.search(vector: [1, 2, -.infinity])),
            ("k of 0", .invalidArgument, ["k is 0"], tests.search(k: 0)),
            ("k above the limit", .invalidArgument, ["1001", "1000"], tests.search(k: 1_001)),
            ("unknown column", .unknownColumn, ["colour"], tests.search(columns: ["colour"])),
            ("a column twice", .invalidArgument, ["name"], tests.search(columns: ["name", "name"])),
            ("a collection twice", .invalidArgument, ["programs"], tests.search(["programs", "programs"])),
            ("two metrics", .invalidArgument, ["cosine", "l2"], tests.search(["programs", "lengths"])),
            ("expired deadline", .deadlineExceeded, ["deadline"], tests.search(deadline: .zero)),
            ("ef_search of 0", .invalidArgument, ["ef_search"], tests.search(efSearch: 0)),
            ("ef_search of 1001", .invalidArgument, ["1000"], tests.search(efSearch: 1_001)),
            ("no replica", .unavailable, ["shard s0"], tests.search()),
        ]
    }()

    @Test(arguments: requests.indices)
    func aBadRequestIsAnsweredAndTheSessionGoesOn(index: Int) async throws {
        let (name, code, words, request) = Self.requests[index]
        try await withDeafGateway { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            try await client.send(.search, 7) { request.encode(into: &$0) }
            let (requestID, reply) = try await client.nextError()
            #expect(requestID == 7 && reply.code == code, "\(name): \(reply.message)")
            for word in words { #expect(reply.message.contains(word), "\(name): \(reply.message)") }
            try await client.send(.collections, 8)
            let list = try CollectionList(decoding: try await client.next(.collectionList).payload)
            #expect(list.collections.map(\.name) == ["lengths", "programs"])
        }
    }

    @Test func aPayloadThatIsNotFieldsIsMalformed() async throws {
        try await withDeafGateway { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            try await client.send(.search, 7) { $0.writeBytes([0, 1, 0xFF, 0xFF, 0xFF, 0xFF, 1]) }
            let (requestID, reply) = try await client.nextError()
            #expect(requestID == 7 && reply.code == .malformed)
            try await client.send(.ping, 8)
            _ = try await client.next(.pong)
        }
    }

    @Test(arguments: ["GET / HTTP/1.1\r\n\r\n", "SLUICX", "\u{16}\u{3}\u{1}"])
    func garbageInsteadOfThePreface(text: String) async throws {
        try await withDeafGateway { gateway in
            let client = try await RawClient(gateway)
            try await client.send(Array(text.utf8))
            try await client.expectEnd(.protocolViolation)
        }
    }

    @Test func anotherMajorVersion() async throws {
        try await withDeafGateway { gateway in
            let client = try await RawClient(gateway)
            try await client.send(Array("SLUICE".utf8) + [2, 0])
            try await client.expectEnd(.unsupportedVersion)
        }
    }

    @Test(arguments: [
        (UInt32(0), ErrorCode.malformed), (3, .malformed), (7, .malformed), (1 << 31, .frameTooLarge),
        (.max, .frameTooLarge), (1_048_577, .frameTooLarge),
    ])
    func aLengthOutOfBounds(length: UInt32, code: ErrorCode) async throws {
        try await withDeafGateway { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            try await client.channel.writeAndFlush(ByteBuffer(integer: length)).get()
            try await client.expectEnd(code)
        }
    }

    /// A session that ends within a frame, at every byte, disturbs nobody.
    @Test func aFrameCutAtEveryByte() async throws {
        let request = search()
        let whole = RawClient.frame(.search, 1) { request.encode(into: &$0) }
        try await withDeafGateway { gateway in
            for length in 0..<whole.readableBytes {
                let client = try await RawClient(gateway)
                try await client.shakeHands()
                try await client.send(Array(whole.readableBytesView.prefix(length)))
                try await client.channel.close()
            }
        }
    }

    /// A frame that arrives one byte at a time is a frame.
    @Test func aSessionByteByByte() async throws {
        var bytes = Preface.bytes
        bytes += RawClient.frame(.hello, 0) { Hello(clientName: "slow").encode(into: &$0) }.readableBytesView
        bytes += RawClient.frame(.ping, 5) { $0.writeString("x") }.readableBytesView
        try await withDeafGateway { [bytes] gateway in
            let client = try await RawClient(gateway)
            for byte in bytes { try await client.send([byte]) }
            _ = try await client.next(.welcome)
            #expect(try await client.next(.pong).payload == ByteBuffer(string: "x"))
        }
    }

    @Test func aSecondHello() async throws {
        try await withDeafGateway { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            try await client.send(.hello, 0) { Hello().encode(into: &$0) }
            try await client.expectEnd(.protocolViolation)
        }
    }

    @Test(arguments: [FrameKind.ping, .search, .cancel, .collections, .welcome])
    func anythingBeforeHello(kind: FrameKind) async throws {
        try await withDeafGateway { gateway in
            let client = try await RawClient(gateway)
            try await client.send(Preface.bytes)
            try await client.send(kind, 1)
            try await client.expectEnd(.protocolViolation)
        }
    }

    @Test(arguments: [FrameKind.welcome, .pong, .goAway, .error, .result, .collectionList])
    func whatOnlyAGatewaySends(kind: FrameKind) async throws {
        try await withDeafGateway { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            try await client.send(kind, 1)
            try await client.expectEnd(.protocolViolation)
        }
    }

    @Test(arguments: [
        [UInt8](arrayLiteral: 0, 0, 0, 8, 0x77, 0, 0, 0, 0, 0, 0, 1), [0, 0, 0, 8, 3, 0x80, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 8, 3, 0, 0, 1, 0, 0, 0, 1], [0, 0, 0, 8, 3, 1, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 8, 0x10, 0, 0, 0, 0, 0, 0, 0],
    ])
    func aHeaderThatTheProtocolDoesNotHave(bytes: [UInt8]) async throws {
        try await withDeafGateway { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            try await client.send(bytes)
            try await client.expectEnd(.protocolViolation)
        }
    }

    @Test func aDuplicateRequestID() async throws {
        // A load, because it waits for a primary to come: the first is not answered when the second is read.
        let request = LoadRequest(collection: "programs", loadID: RequestKey(high: 1, low: 5))
        try await withDeafGateway { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            var both = RawClient.frame(.load, 5) { request.encode(into: &$0) }
            both.writeImmutableBuffer(RawClient.frame(.load, 5) { request.encode(into: &$0) })
            try await client.channel.writeAndFlush(both).get()
            let (requestID, reply) = try await client.nextError()
            #expect(requestID == 0 && reply.code == .protocolViolation)
            #expect(reply.message.contains("duplicate request id 5"))
        }
    }

    @Test func moreInFlightThanAllowed() async throws {
        try await withDeafGateway(limits: "{max_in_flight: 2}") { gateway in
            let client = try await RawClient(gateway)
            #expect(try await client.shakeHands().maximumInFlight == 2)
            var three = ByteBuffer()
            for requestID in 1...3 {
                // Loads, because they wait for a primary to come.
                let load = LoadRequest(
                    collection: "programs", loadID: RequestKey(high: 1, low: UInt64(requestID)))
                three.writeImmutableBuffer(RawClient.frame(.load, UInt32(requestID)) { load.encode(into: &$0) })
            }
            try await client.channel.writeAndFlush(three).get()
            var replies: [UInt32: ErrorReply] = [:]
            for _ in 1...3 {
                let (requestID, reply) = try await client.nextError()
                replies[requestID] = reply
            }
            #expect(replies[3]?.code == .tooManyInFlight && replies[3]?.isRetryable == true)
            #expect(replies[1]?.code == .unavailable && replies[2]?.code == .unavailable)
        }
    }

    @Test func aSilentClientIsTurnedOut() async throws {
        try await withDeafGateway(limits: "{handshake_timeout: 1s}") { gateway in
            let client = try await RawClient(gateway)
            try await client.send(Preface.bytes)
            try await client.expectEnd(.handshakeTimeout)
        }
    }

    @Test func tooManySessions() async throws {
        try await withDeafGateway(limits: "{max_sessions: 2}") { gateway in
            let first = try await RawClient(gateway)
            try await first.shakeHands()
            let second = try await RawClient(gateway)
            try await second.shakeHands()
            let third = try await RawClient(gateway)
            try await third.expectEnd(.busy)
            // Room for the one that looks whether others are served: its close must have been seen.
            try await second.channel.close()
            await gateway.waitForSessions(1)
        }
    }

    @Test func compressedFramesOnlyIfAgreed() async throws {
        try await withDeafGateway { gateway in
            let client = try await RawClient(gateway)
            let welcome = try await client.shakeHands(features: .lz4)
            #expect(welcome.features == .lz4)
            let request = search(["programs"], vector: Array(repeating: 1, count: 4_000))
            try await client.send(.search, 3, lz4: true) { request.encode(into: &$0) }
            let (requestID, reply) = try await client.nextError()
            #expect(requestID == 3 && reply.code == .dimensionMismatch)
        }
    }

    @Test func goAwayIsSaidAtShutdown() async throws {
        var client: RawClient?
        try await withDeafGateway { gateway in
            client = try await RawClient(gateway)
            try await client?.shakeHands()
        }
        // The gateway is stopped by now, and has said so before it closed.
        let stopped = try #require(client)
        let notice = try GoAway(decoding: try await stopped.next(.goAway).payload)
        #expect(notice.code == .shuttingDown)
        guard case .closed = await stopped.next() else {
            Issue.record("the session outlived the gateway")
            return
        }
    }
}
