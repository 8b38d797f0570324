import NIOCore
import SluiceGateway
import SluiceWire
import Testing

/// Peers that ask and do not read, and what waits for them.
@Suite struct BackPressureTests {
    /// Answers that nobody takes do not pile up in the gateway: it stops taking requests, and goes on when the peer
    /// reads again.
    @Test func requestsWaitUntilTheirAnswersAreRead() async throws {
        try await withDeafGateway(limits: "{max_pings: 1000000}") { gateway in
            let client = try await RawClient(gateway, isReading: false)
            try await client.send(Preface.bytes)
            try await client.send(.hello, 0) { Hello(clientName: "deaf").encode(into: &$0) }
            let count = 60_000
            var burst = ByteBuffer()
            for number in 1...count { burst.writeImmutableBuffer(RawClient.frame(.collections, UInt32(number))) }
            client.channel.writeAndFlush(burst, promise: nil)
            let other = try await RawClient(gateway)
            try await other.shakeHands()
            try await other.send(.ping, 1)
            _ = try await other.next(.pong)
            try await client.startReading()
            _ = try await client.next(.welcome)
            for number in 1...count {
                let frame = try await client.next(.collectionList)
                #expect(frame.requestID == UInt32(number))
            }
        }
    }

    @Test func aHelloAfterGoAwayIsWelcomedAndSentAway() async throws {
        var silent: RawClient?
        try await withDeafGateway { gateway in
            let client = try await RawClient(gateway)
            // Its session exists once the preface has been taken, which a ping of another session says.
            try await client.send(Preface.bytes)
            silent = client
        }
        let client = try #require(silent)
        // The gateway has been stopped meanwhile; a session without HELLO does not hold it up.
        guard case .closed = await client.next() else {
            Issue.record("the session outlived the gateway")
            return
        }
    }
}

@Suite struct SessionMachineGoAwayTests {
    @Test func goAwayWaitsForHello() {
        var machine = SessionMachine(maximumInFlight: 1)
        #expect(machine.goAwayRequested() == false && machine.isDone)
        #expect(machine.frameReceived(.hello, requestID: 0) == .welcome(goAway: true))
        #expect(machine.isDone)
        guard case .refuse(.shuttingDown, _) = machine.frameReceived(.search, requestID: 1) else {
            Issue.record("a search was let in")
            return
        }
        #expect(machine.goAwayRequested() == false, "said once")
    }
}
