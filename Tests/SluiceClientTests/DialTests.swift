import NIOCore
import NIOPosix
import SluiceClient
import SluiceWire
import Testing

/// How connections come and go, and what becomes of the calls meanwhile.
@Suite(.timeLimit(.minutes(1))) struct DialTests {
    private static let loops = Array(MultiThreadedEventLoopGroup.singleton.makeIterator()).count
    private let query = SearchQuery(collections: ["a"], vector: [1, 2, 3])

    /// A gateway that ends its first session at the first search, and leaves later sessions without WELCOME; and a
    /// client that has lost that first session.
    private func stalled() async throws -> (ScriptedGateway, SluiceClient) {
        let gateway = try await ScriptedGateway.start { session, frame in
            switch (frame.kind, session.number) {
            case (.hello, 1): session.welcome()
            case (.hello, _): break
            case (_, 1): session.close()
            default: session.answer(frame.requestID, id: Int64(session.number))
            }
        }
        let client = try await SluiceClient.connect(gateway.address)
        await gateway.next(.hello)
        #expect(await failureCode { _ = try await client.search(query) } == .connectionLost)
        return (gateway, client)
    }

    @Test func aDialIsNotWaitedForBeyondTheDeadline() async throws {
        let (gateway, client) = try await stalled()
        var brief = query
        brief.deadline = .milliseconds(30)
        #expect(await failureCode { _ = try await client.search(brief) } == .deadlineExceeded)
        // This one joins the dial that the first has begun.
        #expect(await failureCode { _ = try await client.search(brief) } == .deadlineExceeded)
        #expect(await failureCode { try await client.ping(timeout: .milliseconds(30)) } == .deadlineExceeded)
        await client.close()
        try await gateway.stop()
    }

    @Test func aCancelledCallLeavesTheDialToOthers() async throws {
        let (gateway, client) = try await stalled()
        let first = Task { try await client.search(query) }
        await gateway.next(.hello)
        let second = Task { try await client.search(query) }
        first.cancel()
        #expect(await failureCode { _ = try await first.value } == .cancelled)
        try gateway.inSession(2) { $0.welcome() }
        #expect(try await second.value.hits[0].id == 2)
        await client.close()
        try await gateway.stop()
    }

    @Test func closingEndsCallsThatWaitForADial() async throws {
        let (gateway, client) = try await stalled()
        let call = Task { try await client.search(query) }
        await gateway.next(.hello)
        await client.close()
        #expect(await failureCode { _ = try await call.value } == .closed)
        await gateway.end(of: 2)
        try await gateway.stop()
    }

    @Test func closingEndsConnectionsAfterGoAway() async throws {
        let gateway = try await ScriptedGateway.start(
            ScriptedGateway.welcoming { session, frame in
                guard frame.kind == .search else { return session.send(.pong, frame.requestID) }
                session.send(.goAway, 0) { GoAway(code: .shuttingDown, message: "moving").encode(into: &$0) }
            })
        let client = try await SluiceClient.connect(gateway.address)
        let call = Task { try await client.search(query) }
        await gateway.next(.search)
        // GOAWAY is before this answer, or this goes to another connection already.
        try await client.ping()
        await client.close()
        #expect(await failureCode { _ = try await call.value } == .closed)
        await gateway.end(of: 1)
        try await gateway.stop()
    }

    private func useAndDrop(_ address: String) async throws {
        let client = try await SluiceClient.connect(address)
        #expect(try await client.search(query).hits[0].id == 1)
    }

    @Test func aClientThatIsDroppedClosesItsConnections() async throws {
        let gateway = try await ScriptedGateway.start(
            ScriptedGateway.welcoming { session, frame in session.answer(frame.requestID, id: 1) })
        try await useAndDrop(gateway.address)
        await gateway.end(of: 1)
        try await gateway.stop()
    }

    @Test func dialsThatAreRefusedWaitLongerEachTime() async throws {
        let gateway = try await ScriptedGateway.start { session, _ in
            session.fail(.busy, 0)
            session.close()
        }
        let pool = LinkPool(address: try Address(gateway.address), options: SluiceClient.Options())
        for attempt in 1...4 {
            #expect(await failureCode { _ = try await pool.link(until: nil) } == .busy)
            #expect(pool.failures(at: 0) == attempt)
        }
        // Who cannot wait so long is told what has gone wrong.
        #expect(
            await failureCode { _ = try await pool.link(until: TimeLimit(.zero, isCallers: true)) } == .busy)
        try await gateway.stop()
    }

    @Test func whyTheGatewayRefusedIsNotLost() async throws {
        let gateway = try await ScriptedGateway.start(onAccept: { $0.fail(.busy, 0) }, { _, _ in })
        for _ in 0..<100 {
            #expect(await failureCode { _ = try await SluiceClient.connect(gateway.address) } == .busy)
        }
        try await gateway.stop()
    }

    @Test func aRefusalBecauseOfShuttingDownIsTriedElsewhereOnce() async throws {
        let gateway = try await ScriptedGateway.start(
            ScriptedGateway.welcoming { session, frame in
                if session.number == 2, frame.kind == .search {
                    session.answer(frame.requestID, id: 2)
                } else {
                    session.fail(.shuttingDown, frame.requestID)
                }
            })
        let client = try await SluiceClient.connect(gateway.address)
        #expect(try await client.search(query).hits[0].id == 2)
        await gateway.end(of: 1)
        // The second session refuses this one, and so does the third.
        #expect(await failureCode { _ = try await client.collections() } == .shuttingDown)
        await gateway.end(of: 3)
        await client.close()
        try await gateway.stop()
    }

    /// One that goes away has let the connection in as its last: whoever takes over gets the next dial.
    @Test(arguments: [ErrorCode?.some(.shuttingDown), nil])
    func aGatewayThatGoesAwayDuringTheDialIsLeft(refusal: ErrorCode?) async throws {
        let gateway = try await ScriptedGateway.start { session, frame in
            guard session.number == 1 else {
                return frame.kind == .hello ? session.welcome() : session.answer(frame.requestID, id: 2)
            }
            // What was sent before GOAWAY had come.
            guard frame.kind == .hello else { return session.fail(.shuttingDown, frame.requestID) }
            if let refusal {
                session.fail(refusal, 0)
                session.close()
            } else {
                session.welcome()
                session.send(.goAway, 0) { GoAway(code: .shuttingDown, message: "moving").encode(into: &$0) }
            }
        }
        let client = try await SluiceClient.connect(gateway.address)
        #expect(try await client.search(query).hits[0].id == 2)
        await client.close()
        try await gateway.stop()
    }

    @Test func whatWasNotSentIsTriedElsewhere() async throws {
        let gateway = try await ScriptedGateway.start(
            ScriptedGateway.welcoming(inFlight: 1) { session, frame in
                switch (frame.kind, session.number) {
                case (.ping, _): session.close()
                case (.search, 1): break
                default: session.answer(frame.requestID, id: Int64(session.number))
                }
            })
        let client = try await SluiceClient.connect(gateway.address)
        let first = Task { try await client.search(query) }
        await gateway.next(.search)
        let waiting = (0..<5).map { _ in Task { try await client.search(query) } }
        for _ in 0..<100 { await Task.yield() }
        #expect(await failureCode { try await client.ping() } == .connectionLost)
        #expect(await failureCode { _ = try await first.value } == .connectionLost)
        for call in waiting { #expect(try await call.value.hits[0].id == 2) }
        await client.close()
        try await gateway.stop()
    }

    @Test func aFrozenGatewayDoesNotHoldAClientForEver() async throws {
        let gateway = try await ScriptedGateway.start(
            ScriptedGateway.welcoming(inFlight: 1) { session, frame in
                if session.number > 1 { session.answer(frame.requestID, id: Int64(session.number)) }
            })
        let client = try await SluiceClient.connect(gateway.address)
        let given = Task { try await client.search(query) }
        await gateway.next(.search)
        given.cancel()
        #expect(await failureCode { _ = try await given.value } == .cancelled)
        #expect(try await client.search(query).hits[0].id == 2)
        await client.close()
        try await gateway.stop()
    }

    @Test func aPeerThatIsGoneWithoutAWordIsNoticed() async throws {
        let gateway = try await ScriptedGateway.start(ScriptedGateway.welcoming { _, _ in })
        let pool = LinkPool(address: try Address(gateway.address), options: SluiceClient.Options())
        let link = try await pool.link(until: nil)
        #expect(try await link.channel.getOption(.socketOption(.so_keepalive)).get() != 0)
        #expect(try await link.channel.getOption(.tcpOption(.tcp_nodelay)).get() != 0)
        try await link.channel.close().get()
        try await gateway.stop()
    }

    @Test func callsSpreadOverAsManyConnectionsAsAsked() async throws {
        let gateway = try await ScriptedGateway.start(
            ScriptedGateway.welcoming { session, frame in session.answer(frame.requestID, id: Int64(session.number)) })
        var options = SluiceClient.Options()
        options.connections = 100
        let client = try await SluiceClient.connect(gateway.address, options: options)
        var ids: Set<Int64> = []
        for _ in 0..<100 { ids.insert(try await client.search(query).hits[0].id) }
        #expect(ids.count == 100)
        await client.close()
        try await gateway.stop()
    }

    @Test func connectionsAreSpreadOverTheEventLoopsAndWhoIsOnOneTakesThoseThere() async throws {
        let gateway = try await ScriptedGateway.start(ScriptedGateway.welcoming { _, _ in })
        var options = SluiceClient.Options()
        options.connections = 2 * Self.loops
        let client = try await SluiceClient.connect(gateway.address, options: options)
        var perLoop: [ObjectIdentifier: Int] = [:]
        for _ in 0..<options.connections {
            let lease = try await client.fleet.lease(until: nil)
            perLoop[ObjectIdentifier(lease.link.channel.eventLoop), default: 0] += 1
            client.fleet.end(lease, .ended)
        }
        #expect(perLoop.count == Self.loops && Set(perLoop.values) == [2])
        #expect(client.executors.count == options.connections)
        for executor in client.executors {
            let isHere = try await Task(executorPreference: executor) {
                var isHere: [Bool] = []
                for _ in 0..<8 {
                    let lease = try await client.fleet.lease(until: nil)
                    isHere.append(lease.link.channel.eventLoop.inEventLoop)
                    client.fleet.end(lease, .ended)
                }
                return isHere
            }.value
            #expect(isHere == Array(repeating: true, count: 8))
        }
        await client.close()
        try await gateway.stop()
    }

    /// Also from an event loop all connections can be filled.
    @Test func whoIsOnAnEventLoopUsesOthersWhenThoseThereAreFull() async throws {
        let gateway = try await ScriptedGateway.start(ScriptedGateway.welcoming(inFlight: 1) { _, _ in })
        var options = SluiceClient.Options()
        options.connections = 2 * Self.loops
        let client = try await SluiceClient.connect(gateway.address, options: options)
        for _ in 0..<options.connections { client.fleet.end(try await client.fleet.lease(until: nil), .ended) }
        let executor = try #require(client.executors.first)
        let calls = (0..<4 * options.connections).map { _ in
            Task(executorPreference: executor) { _ = try? await client.search(query) }
        }
        for _ in 0..<options.connections { await gateway.next(.search) }
        for call in calls { call.cancel() }
        for call in calls { await call.value }
        await client.close()
        try await gateway.stop()
    }
}

@Suite struct PlaceTurnsTests {
    @Test func placesComeInTurnHereAndThere() {
        for places in 1...9 {
            for loops in 1...5 {
                var turns = PlaceTurns(places: places, loops: loops, first: Int.random(in: 0..<100))
                #expect(Set((0..<places).map { _ in turns.next() }) == Set(0..<places))
                for loop in 0..<loops {
                    let there = Set((0..<places).filter { turns.loop(of: $0) == loop })
                    let taken = there.map { _ in turns.next(on: loop) }
                    #expect(Set(taken) == Set(there.map(Optional.some)), "\(places) places, \(loops) loops")
                    if there.isEmpty { #expect(turns.next(on: loop) == nil) }
                }
            }
        }
    }
}
