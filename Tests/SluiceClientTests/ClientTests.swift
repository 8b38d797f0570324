import NIOCore
import SluiceClient
import SluiceWire
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(1))) struct ClientTests {
    private let query = SearchQuery(collections: ["a"], vector: [1, 2, 3], columns: ["name"])

    @Test func answersFindTheirCallsInAnyOrder() async throws {
        let held = Mutex<[UInt32]>([])
        let gateway = try await ScriptedGateway.start(
            ScriptedGateway.welcoming { session, frame in
                let all = held.withLock { held in
                    held.append(frame.requestID)
                    return held
                }
                // All ten first, then the answers backwards; each carries k as its id.
                guard all.count == 10 else { return }
                for requestID in all.reversed() { session.answer(requestID, id: Int64(requestID)) }
            })
        let client = try await SluiceClient.connect(gateway.address)
        let ids = try await withThrowingTaskGroup(of: Int64.self) { group in
            for _ in 0..<10 { group.addTask { try await client.search(query).hits[0].id } }
            return try await group.reduce(into: Set<Int64>()) { $0.insert($1) }
        }
        #expect(ids == Set(1...10))
        await client.close()
        try await gateway.stop()
    }

    @Test func aHitCarriesItsColumnsAndItsPlace() async throws {
        let gateway = try await ScriptedGateway.start(
            ScriptedGateway.welcoming { session, frame in session.answer(frame.requestID, id: 7) })
        let client = try await SluiceClient.connect(gateway.address)
        let hit = try #require(try await client.search(query).hits.first)
        #expect(hit.id == 7 && hit.columns == ["name": .string("hi")] && hit.collection == "a")
        #expect(hit.shard == "s0" && hit.replica == "s0-a" && hit.distance == 0.5)
        await client.close()
        try await gateway.stop()
    }

    @Test func cancellingTheTaskSendsCancelAndEndsTheCallAtOnce() async throws {
        let gateway = try await ScriptedGateway.start(
            ScriptedGateway.welcoming { session, frame in
                if frame.kind == .cancel { session.fail(.cancelled, frame.requestID) }
            })
        let client = try await SluiceClient.connect(gateway.address)
        var frames = gateway.frames.stream.makeAsyncIterator()
        let call = Task { try await client.search(query) }
        var search = await frames.next()
        while search?.kind != .search { search = await frames.next() }
        call.cancel()
        #expect(await failureCode { _ = try await call.value } == .cancelled)
        let cancel = await frames.next()
        #expect(cancel?.kind == .cancel && cancel?.requestID == search?.requestID)
        await client.close()
        try await gateway.stop()
    }

    @Test func aCallCancelledBeforeItBeginsEndsToo() async throws {
        let gateway = try await ScriptedGateway.start(
            ScriptedGateway.welcoming { session, frame in
                if frame.kind == .cancel { session.fail(.cancelled, frame.requestID) }
            })
        let client = try await SluiceClient.connect(gateway.address)
        for _ in 0..<200 {
            let call = Task { try await client.search(query) }
            call.cancel()
            #expect(await failureCode { _ = try await call.value } == .cancelled)
        }
        await client.close()
        try await gateway.stop()
    }

    @Test func aLostConnectionFailsWhatIsInFlightAndTheNextCallConnectsAgain() async throws {
        let searches = Mutex(0)
        let gateway = try await ScriptedGateway.start(
            ScriptedGateway.welcoming { session, frame in
                let number = searches.withLock { count in
                    count += 1
                    return count
                }
                if number == 1 { session.close() } else { session.answer(frame.requestID, id: 2) }
            })
        let client = try await SluiceClient.connect(gateway.address)
        #expect(await failureCode { _ = try await client.search(query) } == .connectionLost)
        #expect(try await client.search(query).hits[0].id == 2)
        await client.close()
        try await gateway.stop()
    }

    @Test func noGatewayIsSaidSoAndItsReturnIsNoticed() async throws {
        let first = try await ScriptedGateway.start(
            ScriptedGateway.welcoming { session, frame in session.answer(frame.requestID, id: 1) })
        let port = first.port
        let client = try await SluiceClient.connect(first.address)
        try await first.stop()
        #expect(await failureCode { _ = try await SluiceClient.connect("sluice://127.0.0.1:\(port)") } == .notConnected)
        let second = try await ScriptedGateway.start(
            port: port, ScriptedGateway.welcoming { session, frame in session.answer(frame.requestID, id: 2) })
        let fresh = try await SluiceClient.connect(second.address)
        #expect(try await fresh.search(query).hits[0].id == 2)
        await fresh.close()
        await client.close()
        try await second.stop()
    }

    @Test func afterGoAwayNewCallsGoToANewConnection() async throws {
        let sessions = Mutex(0)
        let gateway = try await ScriptedGateway.start { session, frame in
            if frame.kind == .hello { sessions.withLock { $0 += 1 } }
            ScriptedGateway.welcoming { session, frame in
                // Before the answer: the next call comes when that has come.
                session.send(.goAway, 0) { GoAway(code: .shuttingDown, message: "moving").encode(into: &$0) }
                session.answer(frame.requestID, id: Int64(sessions.withLock { $0 }))
            }(session, frame)
        }
        let client = try await SluiceClient.connect(gateway.address)
        #expect(try await client.search(query).hits[0].id == 1)
        #expect(try await client.search(query).hits[0].id == 2)
        await client.close()
        try await gateway.stop()
    }

    @Test func noMoreAreSentThanTheGatewayTakes() async throws {
        let waiting = Mutex<(now: Int, most: Int)>((0, 0))
        let gateway = try await ScriptedGateway.start(
            ScriptedGateway.welcoming(inFlight: 3) { session, frame in
                waiting.withLock { waiting in
                    waiting.now += 1
                    waiting.most = max(waiting.most, waiting.now)
                }
                // Answered a turn later, so that what was sent together is there together.
                let eventLoop = session.context.eventLoop
                let bound = NIOLoopBound(session.context, eventLoop: eventLoop)
                let number = session.number
                eventLoop.execute {
                    waiting.withLock { $0.now -= 1 }
                    ScriptedGateway.Session(context: bound.value, number: number)
                        .answer(frame.requestID, id: 1)
                }
            })
        let client = try await SluiceClient.connect(gateway.address)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<50 { group.addTask { #expect((try? await client.search(query)) != nil) } }
        }
        #expect(waiting.withLock { $0.most } <= 3)
        await client.close()
        try await gateway.stop()
    }

    @Test func aGatewayThatNeverAnswersIsGivenUp() async throws {
        let gateway = try await ScriptedGateway.start(ScriptedGateway.welcoming { _, _ in })
        var options = SluiceClient.Options()
        #expect(options.patience == .seconds(60))
        options.patience = .milliseconds(10)
        let client = try await SluiceClient.connect(gateway.address, options: options)
        var late = query
        #expect(await failureCode { _ = try await client.search(late) } == .noAnswer)
        late.deadline = .zero
        #expect(await failureCode { _ = try await client.search(late) } == .deadlineExceeded)
        #expect(await failureCode { try await client.ping() } == .noAnswer)
        await client.close()
        try await gateway.stop()
    }

    @Test func pingAndCollectionsWaitAsLongAsTheyAreTold() async throws {
        let gateway = try await ScriptedGateway.start(ScriptedGateway.welcoming { _, _ in })
        let client = try await SluiceClient.connect(gateway.address)
        #expect(await failureCode { try await client.ping(timeout: .milliseconds(10)) } == .deadlineExceeded)
        #expect(await failureCode { _ = try await client.collections(timeout: .milliseconds(10)) } == .deadlineExceeded)
        await client.close()
        try await gateway.stop()
    }

    @Test func garbageFromAGatewayIsAnErrorAndNotATrap() async throws {
        let bytes: [[UInt8]] = [
            [0, 0, 0, 3], [0xFF, 0xFF, 0xFF, 0xFF], [0, 0, 0, 8, 0x10, 0, 0, 0, 0, 0, 0, 1],
            [0, 0, 0, 9, 0x11, 0, 0, 0, 0, 0, 0, 1, 9], [0, 0, 0, 8, 0x77, 0, 0, 0, 0, 0, 0, 1],
        ]
        for garbage in bytes {
            let gateway = try await ScriptedGateway.start(
                ScriptedGateway.welcoming { session, _ in session.sendBytes(garbage) })
            let client = try await SluiceClient.connect(gateway.address)
            #expect(await failureCode { _ = try await client.search(query) } == .protocolViolation)
            await client.close()
            try await gateway.stop()
        }
    }

    @Test func theGatewaysErrorsComeWithTheirDetails() async throws {
        let gateway = try await ScriptedGateway.start(
            ScriptedGateway.welcoming { session, frame in
                session.send(.error, frame.requestID) {
                    ErrorReply(code: .busy, message: "busy", retryAfter: .milliseconds(40)).encode(into: &$0)
                }
            })
        let client = try await SluiceClient.connect(gateway.address)
        do {
            _ = try await client.search(query)
            Issue.record("it must fail")
        } catch {
            #expect(error.code == .busy && error.isRetryable && error.retryAfter == .milliseconds(40))
        }
        await client.close()
        #expect(await failureCode { try await client.ping() } == .closed)
        try await gateway.stop()
    }

    @Test(arguments: [
        "", "127.0.0.1:7411", "http://x", "sluice://", "sluice://x:0", "sluice://x:99999", "sluice://u@x",
        "sluice://x/y", "sluice+unix://relative", "sluice://::1", "sluice://fe80::1:7411", "sluice://[::1",
        "sluice://::1]:7411",
    ])
    func whatIsNoAddressIsRefused(text: String) async {
        #expect(await failureCode { _ = try await SluiceClient.connect(text) } == .invalidArgument)
    }

    @Test(arguments: [
        ("sluice://[::1]", Address.tcp(host: "::1", port: 7_411)), ("sluice://[::1]:9/", .tcp(host: "::1", port: 9)),
        ("sluice://x:9", .tcp(host: "x", port: 9)), ("sluice+unix:///a/b", .unix(path: "/a/b")),
    ])
    func whatIsAnAddressIsRead(text: String, address: Address) throws { #expect(try Address(text) == address) }

    @Test(arguments: [-1, 0, 4_097])
    func tooManyConnectionsAreRefused(count: Int) async {
        var options = SluiceClient.Options()
        options.connections = count
        #expect(
            await failureCode { _ = try await SluiceClient.connect("sluice://x", options: options) } == .invalidArgument
        )
    }
}
