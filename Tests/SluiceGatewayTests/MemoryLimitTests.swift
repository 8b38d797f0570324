import NIOCore
import SluiceGateway
import SluiceWire
import Testing

/// What all sessions hold together is bounded, and whoever holds most waits.
@Suite struct MemoryLimitTests {
    private static let limit = 4 << 20
    private static let limits =
        "{max_frame: 64KiB, max_memory: 4MiB, loads: {window_per_shard: 128KiB, max_window: 256KiB}, "
        + "max_pings: 1000000, max_errors: 1000000}"
    private static let search = SearchRequest(
        collections: ["programs"], vector: VectorBytes([1, 2, 3] as [Float]), k: 1)

    /// Sends pings until something that others do has come to pass.
    private func wait(_ client: RawClient, until condition: () -> Bool) async throws {
        while !condition() {
            try await client.send(.ping, 1)
            _ = try await client.next(.pong)
        }
    }

    private func code(_ client: RawClient) async throws -> ErrorReply {
        try await client.send(.search, 2) { Self.search.encode(into: &$0) }
        return try await client.nextError().reply
    }

    /// Sessions within a frame of 64 KiB until enough is held.
    private func hoarders(
        _ gateway: Gateway, _ good: RawClient, until isEnough: () -> Bool
    ) async throws -> [RawClient] {
        var hoarders: [RawClient] = []
        while !isEnough() {
            let hoarder = try await RawClient(gateway)
            try await hoarder.shakeHands()
            var part = ByteBuffer(integer: UInt32(65_536))
            part.writeRepeatingByte(0, count: 65_000)
            let before = gateway.memory.held
            hoarder.channel.writeAndFlush(part, promise: nil)
            try await wait(good) { gateway.memory.held >= before + 65_000 || gateway.memory.stopped > 0 }
            hoarders.append(hoarder)
        }
        return hoarders
    }

    @Test(.timeLimit(.minutes(1))) func beyondTheLimitNewWorkIsBusyAndTheGreediestIsNotRead() async throws {
        try await withDeafGateway(limits: Self.limits) { gateway in
            let good = try await RawClient(gateway)
            try await good.shakeHands()
            #expect(try await code(good).code == .unavailable)
            var hoarders = try await self.hoarders(gateway, good) { gateway.memory.stopped > 0 }
            #expect(gateway.memory.held >= Self.limit / 4 * 3 && gateway.memory.held <= Self.limit)
            #expect(try await code(good).code == .unavailable, "others are served still")
            hoarders += try await self.hoarders(gateway, good) { gateway.memory.held > Self.limit }
            let refusal = try await code(good)
            #expect(refusal.code == .busy && refusal.isRetryable && refusal.retryAfter != nil)
            #expect(refusal.message.contains("memory"))
            // Pings are answered all the same, and nothing grows any more.
            try await good.send(.ping, 1)
            _ = try await good.next(.pong)
            #expect(gateway.memory.held < Self.limit + 8 * 65_536)
            for hoarder in hoarders.prefix(hoarders.count * 2 / 3) { try await hoarder.channel.close() }
            try await wait(good) { gateway.memory.stopped == 0 }
            #expect(try await code(good).code == .unavailable, "it is begun")
        }
    }

    /// Whoever was stopped is read from again, and loses nothing.
    @Test(.timeLimit(.minutes(1))) func aStoppedSessionGoesOn() async throws {
        try await withDeafGateway(limits: Self.limits) { gateway in
            let good = try await RawClient(gateway)
            try await good.shakeHands()
            var hoarders = try await self.hoarders(gateway, good) { gateway.memory.stopped > 0 }
            let last = hoarders.removeLast()
            // The rest of its frame, which is no PING's, or a part of it may have come already.
            for hoarder in hoarders { try await hoarder.channel.close() }
            var rest = ByteBuffer(repeating: 0, count: 536)
            rest.writeImmutableBuffer(RawClient.frame(.ping, 3))
            try await last.channel.writeAndFlush(rest).get()
            try await last.expectEnd(.protocolViolation)
            try await wait(good) { gateway.memory.held < 65_536 && gateway.memory.stopped == 0 }
        }
    }

    /// Sessions that hold too much and never move do not hold the gateway for ever.
    @Test(.timeLimit(.minutes(1))) func whoHoardsIsTurnedOut() async throws {
        let limits = Self.limits.dropLast() + ", frame_timeout: 200ms}"
        try await withDeafGateway(limits: String(limits)) { gateway in
            let good = try await RawClient(gateway)
            try await good.shakeHands()
            var hoarders: [RawClient] = []
            for _ in 0..<80 {
                let hoarder = try await RawClient(gateway)
                try await hoarder.shakeHands()
                var part = ByteBuffer(integer: UInt32(65_536))
                part.writeRepeatingByte(0, count: 65_000)
                hoarder.channel.writeAndFlush(part, promise: nil)
                hoarders.append(hoarder)
            }
            for hoarder in hoarders { try await hoarder.expectEnd(.limitExceeded, words: "frame_timeout") }
            #expect(try await code(good).code == .unavailable)
        }
    }
}
