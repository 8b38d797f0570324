import NIOCore
import SluiceGateway
import SluiceWire
import Testing

/// Requests that are cancelled before anybody began with them.
@Suite struct CancelledAtOnceTests {
    /// As many places as one search needs: a place that is not given back is missed by the next one.
    private static let onePlace = "admission: {min_searches: 1, max_searches: 1, max_waiting: 0}"

    private static func pair(_ number: UInt32, _ kind: FrameKind, _ payload: (inout ByteBuffer) -> Void) -> ByteBuffer {
        var pair = RawClient.frame(kind, number, payload)
        pair.writeImmutableBuffer(RawClient.frame(.cancel, number))
        return pair
    }

    private static let search = SearchRequest(
        collections: ["programs"], vector: VectorBytes([1, 2, 3]), k: 3, deadline: .seconds(5))

    /// The one place is free, once what had begun has ended.
    private static func expectToBeLetIn(_ client: RawClient) async throws {
        var code = ErrorCode.busy
        var number: UInt32 = 1_000
        while code == .busy {
            number += 1
            try await client.send(.search, number) { search.encode(into: &$0) }
            code = try await client.nextError().reply.code
        }
        #expect(code == .unavailable)
    }

    /// Each is answered once, and nothing of it is left. Most have not begun: what comes after a turn of the session's
    /// loop, or in another packet, may find that they have.
    @Test(.timeLimit(.minutes(1))) func costsNobodyAPlace() async throws {
        try await withDeafGateway(collections: Self.onePlace) { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            var notBegun = 0
            for round in 0..<20 as Range<UInt32> {
                var burst = ByteBuffer()
                for number in 0..<5 as Range<UInt32> {
                    let id = 20 * round + 3 * number
                    burst.writeImmutableBuffer(Self.pair(id + 1, .search) { Self.search.encode(into: &$0) })
                    burst.writeImmutableBuffer(
                        Self.pair(id + 2, .get) { GetRequest(collection: "programs", ids: [1]).encode(into: &$0) })
                    burst.writeImmutableBuffer(
                        Self.pair(id + 3, .count) { CountRequest(collection: "programs").encode(into: &$0) })
                }
                try await client.channel.writeAndFlush(burst).get()
                var answered: Set<UInt32> = []
                for _ in 1...15 {
                    let (requestID, reply) = try await client.nextError()
                    #expect(answered.insert(requestID).inserted)
                    #expect([.cancelled, .unavailable, .busy].contains(reply.code), "\(reply)")
                    if reply.message.contains("before it began") { notBegun += 1 }
                }
                #expect(answered == Set(20 * round + 1...20 * round + 15))
            }
            #expect(notBegun > 0)
            try await Self.expectToBeLetIn(client)
        }
    }

    /// What is not cancelled runs, whatever is cancelled around it.
    @Test(.timeLimit(.minutes(1))) func leavesTheOthersAlone() async throws {
        try await withDeafGateway { gateway in
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            var burst = ByteBuffer()
            for number in 1...4 as ClosedRange<UInt32> {
                burst.writeImmutableBuffer(RawClient.frame(.search, number) { Self.search.encode(into: &$0) })
            }
            for number in [3, 1, 9] as [UInt32] { burst.writeImmutableBuffer(RawClient.frame(.cancel, number)) }
            try await client.channel.writeAndFlush(burst).get()
            var codes: [UInt32: ErrorCode] = [:]
            for _ in 1...4 {
                let (requestID, reply) = try await client.nextError()
                codes[requestID] = reply.code
            }
            #expect(codes[2] == .unavailable && codes[4] == .unavailable)
            #expect(codes.count == 4)
        }
    }

    /// A session that breaks the rules behind requests that have not begun gives their places back, too.
    @Test(.timeLimit(.minutes(1))) func endsWithItsSession() async throws {
        try await withDeafGateway(collections: Self.onePlace) { gateway in
            for _ in 0..<10 {
                let client = try await RawClient(gateway)
                try await client.shakeHands()
                var burst = RawClient.frame(.search, 1) { Self.search.encode(into: &$0) }
                burst.writeImmutableBuffer(RawClient.frame(.welcome, 2))
                try await client.channel.writeAndFlush(burst).get()
                var last = try await client.nextError()
                while last.requestID != 0 { last = try await client.nextError() }
                #expect(last.reply.code == .protocolViolation)
            }
            let client = try await RawClient(gateway)
            try await client.shakeHands()
            try await Self.expectToBeLetIn(client)
        }
    }
}
