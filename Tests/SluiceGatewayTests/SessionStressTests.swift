import NIOCore
import SluiceGateway
import SluiceWire
import Testing

/// Many sessions at once, for the thread sanitizer to look at: they share the lanes, admission and the registry.
@Suite struct SessionStressTests {
    @Test func sessionsThatComeAskCancelAndGo() async throws {
        try await withDeafGateway { gateway in
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<24 {
                    group.addTask {
                        do {
                            try await Self.session(gateway, isPolite: !number.isMultiple(of: 3))
                        } catch { Issue.record("session \(number): \(error)") }
                    }
                }
            }
        }
    }

    /// Searches that find nobody, some of them cancelled, among requests that are answered at once. A session that is
    /// not polite goes without waiting for its answers.
    private static func session(_ gateway: Gateway, isPolite: Bool) async throws {
        let client = try await RawClient(gateway)
        try await client.shakeHands(features: isPolite ? .lz4 : [])
        var burst = ByteBuffer()
        let rounds = 12
        for round in 0..<UInt32(rounds) {
            let search = SearchRequest(
                collections: ["programs", "lengths"], vector: VectorBytes([1, 2, 3]), k: 3, deadline: .seconds(5),
                allowPartial: round.isMultiple(of: 2))
            burst.writeImmutableBuffer(RawClient.frame(.search, 4 * round + 1) { search.encode(into: &$0) })
            burst.writeImmutableBuffer(RawClient.frame(.collections, 4 * round + 2))
            if round.isMultiple(of: 2) { burst.writeImmutableBuffer(RawClient.frame(.cancel, 4 * round + 1)) }
            burst.writeImmutableBuffer(RawClient.frame(.ping, 4 * round + 3) { $0.writeString("stress") })
        }
        try await client.channel.writeAndFlush(burst).get()
        // A search, a list and a pong each.
        var left = isPolite ? 3 * rounds : 1
        while left > 0, case .frame(let frame) = await client.next() {
            #expect([.error, .collectionList, .pong].contains(frame.kind))
            left -= 1
        }
        #expect(left == 0)
        try await client.channel.close()
    }
}
