import NIOCore
import SluiceClient
import SluiceWire
import Synchronization
import Testing

/// Several scripted gateways, and a client of all of them.
struct ScriptedFleet {
    var gateways: [ScriptedGateway]
    var client: SluiceClient

    /// Each script is told which gateway it is of. Returns when all are connected.
    static func start(
        _ count: Int, options: SluiceClient.Options = .init(),
        _ script: @escaping @Sendable (Int, ScriptedGateway.Session, Frame) -> Void
    ) async throws -> ScriptedFleet {
        var gateways: [ScriptedGateway] = []
        for number in 0..<count {
            gateways.append(
                try await ScriptedGateway.start(
                    ScriptedGateway.welcoming { session, frame in script(number, session, frame) }))
        }
        let client = try await SluiceClient.connect(gateways.map(\.address), options: options)
        let fleet = ScriptedFleet(gateways: gateways, client: client)
        await fleet.until { $0.allSatisfy { $0.condition == .ready } }
        return fleet
    }

    func until(_ condition: ([GatewayChoice.Member]) -> Bool) async {
        while !condition(client.fleet.members) { await Task.yield() }
    }

    func isReady(_ number: Int) -> Bool { client.fleet.members[number].condition == .ready }

    func end() async throws {
        await client.close()
        for gateway in gateways { try? await gateway.stop() }
    }
}

@Suite(.timeLimit(.minutes(1))) struct FleetTests {
    private static let query = SearchQuery(
        collections: ["a"], vector: [1, 2, 3], deadline: .seconds(20))
    private var query: SearchQuery { Self.query }

    /// Searches on a few tasks until so many have ended.
    /// - Returns: what went wrong, and how many ended after their deadline.
    private func load(
        _ client: SluiceClient, _ count: Int, tasks: Int = 8,
        at turn: @escaping @Sendable (Int) async -> Void = { _ in }
    ) async -> (failures: [String], late: Int) {
        let next = Atomic(0)
        let ends = Mutex<(failures: [String], late: Int)>(([], 0))
        let worker: @Sendable () async -> Void = {
            while true {
                let number = next.add(1, ordering: .relaxed).newValue
                if number > count { return }
                await turn(number)
                let began = ContinuousClock.now
                var failure: String?
                do { _ = try await client.search(Self.query) } catch { failure = "\(error)" }
                let isLate = began.duration(to: .now) > .seconds(20)
                ends.withLock { ends in
                    if let failure { ends.failures.append(failure) }
                    if isLate { ends.late += 1 }
                }
            }
        }
        await withTaskGroup(of: Void.self) { group in for _ in 0..<tasks { group.addTask { await worker() } } }
        return ends.withLock { $0 }
    }

    /// How fast the two are is not this machine's to say, so none answers before all have been sent.
    @Test func requestsSpreadEvenly() async throws {
        let held = Mutex<[(session: ScriptedGateway.Held, request: UInt32)]>([])
        let fleet = try await ScriptedFleet.start(2) { _, session, frame in
            held.withLock { $0.append((session.held, frame.requestID)) }
        }
        let calls = (0..<180).map { _ in Task { try await fleet.client.search(query) } }
        await fleet.until { $0.reduce(0) { $0 + $1.inFlight } == 180 }
        #expect(fleet.client.fleet.members.allSatisfy { Double($0.inFlight) <= 1.3 * 90 })
        while held.withLock({ $0.count }) < 180 { await Task.yield() }
        for (session, request) in held.withLock({ $0 }) { session.run { $0.answer(request, id: 1) } }
        for call in calls { #expect(try await call.value.hits[0].id == 1) }
        #expect(fleet.client.fleet.members.allSatisfy { $0.inFlight == 0 })
        try await fleet.end()
    }

    @Test func aGatewayThatIsKilledUnderLoadCostsNoSearch() async throws {
        let counts = Mutex([0, 0])
        let fleet = try await ScriptedFleet.start(2) { number, session, frame in
            counts.withLock { $0[number] += 1 }
            session.answer(frame.requestID, id: Int64(number))
        }
        let victim = fleet.gateways[0]
        let (failures, late) = await load(fleet.client, 3_000) { if $0 == 1_000 { try? await victim.kill() } }
        #expect(failures == [] && late == 0)
        #expect(counts.withLock { $0[1] } > 2_000)
        try await fleet.end()
    }

    @Test func aRequestWhoseGatewayDiesIsDoneAtAnother() async throws {
        let first = Mutex<Int?>(nil)
        let fleet = try await ScriptedFleet.start(3) { number, session, frame in
            let isFirst = first.withLock { first in
                if first == nil { first = number }
                return first == number
            }
            if isFirst { session.close() } else { session.answer(frame.requestID, id: Int64(number)) }
        }
        let id = try await fleet.client.search(query).hits[0].id
        #expect(id != Int64(first.withLock { $0 } ?? -1))
        try await fleet.end()
    }

    @Test func afterGoAwayNewRequestsGoElsewhereAndTheOldAreFinished() async throws {
        let held = Mutex<[(number: Int, session: Int, request: UInt32)]>([])
        let fleet = try await ScriptedFleet.start(2) { number, session, frame in
            let isHeld = held.withLock { held in
                if held.isEmpty { held.append((number, session.number, frame.requestID)) }
                return held[0].request == frame.requestID && held[0].number == number && held.count == 1
            }
            guard isHeld, frame.kind == .search else { return session.answer(frame.requestID, id: Int64(number)) }
            held.withLock { $0.append($0[0]) }
            session.send(.goAway, 0) { GoAway(code: .shuttingDown, message: "moving").encode(into: &$0) }
        }
        let old = Task { try await fleet.client.search(query) }
        await fleet.until { !$0.allSatisfy { $0.condition == .ready } }
        let (number, session, request) = try #require(held.withLock { $0.first })
        // It is dialled again, and is another session then.
        #expect(try await fleet.client.search(query).hits[0].id == Int64(1 - number))
        try fleet.gateways[number].inSession(session) { $0.answer(request, id: 77) }
        #expect(try await old.value.hits[0].id == 77)
        try await fleet.end()
    }

    /// A call without a limit is ended by the dials, and by nothing else.
    @Test func whenAllAreGoneThatIsSaidWithoutWaitingForADeadline() async throws {
        let fleet = try await ScriptedFleet.start(2) { _, session, frame in session.answer(frame.requestID, id: 1) }
        for gateway in fleet.gateways { try await gateway.kill() }
        await fleet.until { $0.allSatisfy { $0.condition != .ready } }
        for _ in 0..<3 {
            let problem = await failure { _ = try await fleet.client.fleet.lease(until: nil) }
            #expect(problem?.code == .notConnected && problem?.isRetryable == true)
            for gateway in fleet.gateways { #expect(problem?.message.contains("\(gateway.port)") == true) }
        }
        // Nobody listens at these.
        let none = await failure { _ = try await SluiceClient.connect("sluice://127.0.0.1:1,127.0.0.1:2") }
        #expect(none?.code == .notConnected && none?.message.contains("none of the 2 gateways") == true)
        try await fleet.end()
    }

    /// A fleet whose gateways have gone, and whose dials may take an hour.
    private func goneFleet() async throws -> (fleet: ScriptedFleet, ports: [Int]) {
        var options = SluiceClient.Options()
        options.connectTimeout = .seconds(3_600)
        let fleet = try await ScriptedFleet.start(2, options: options) { _, session, frame in
            session.answer(frame.requestID, id: 1)
        }
        let ports = fleet.gateways.map(\.port)
        for gateway in fleet.gateways { try await gateway.kill() }
        await fleet.until { $0.allSatisfy { $0.condition != .ready } }
        return (fleet, ports)
    }

    /// Both take connections and say nothing: only the call's own deadline can end it.
    @Test func whatHangsIsLeftAtTheDeadline() async throws {
        let (fleet, ports) = try await goneFleet()
        var silent: [ScriptedGateway] = []
        for port in ports { silent.append(try await ScriptedGateway.start(port: port) { _, _ in }) }
        for deadline in [Duration.milliseconds(1), .milliseconds(300)] {
            var query = query
            query.deadline = deadline
            let problem = await failure { _ = try await fleet.client.search(query) }
            #expect(problem?.code == .deadlineExceeded || problem?.code == .notConnected, "\(problem as Any)")
            #expect(problem?.isRetryable == true)
        }
        try await fleet.end()
        for gateway in silent { try await gateway.stop() }
    }

    /// One takes the connection and says nothing; the other is there only at a later dial than the one that failed.
    @Test func aDialThatHangsIsNotWaitedForWhereAnotherGatewayIsDue() async throws {
        let (fleet, ports) = try await goneFleet()
        let silent = try await ScriptedGateway.start(port: ports[0]) { _, _ in }
        var query = query
        query.deadline = .seconds(3_600)
        let call = Task { [query] in try await fleet.client.search(query) }
        await fleet.until { $0[0].condition == .dialling && $0[1].failures > 1 }
        let back = try await ScriptedGateway.start(
            port: ports[1], ScriptedGateway.welcoming { session, frame in session.answer(frame.requestID, id: 2) })
        #expect(try await call.value.hits[0].id == 2)
        #expect(fleet.client.fleet.members[0].condition == .dialling)
        try await fleet.end()
        try await silent.stop()
        try await back.stop()
    }

    @Test func oneThatComesBackIsUsedAgain() async throws {
        let fleet = try await ScriptedFleet.start(2) { number, session, frame in
            session.answer(frame.requestID, id: Int64(number))
        }
        let port = fleet.gateways[0].port
        try await fleet.gateways[0].kill()
        await fleet.until { $0[0].condition != .ready }
        for _ in 0..<10 { #expect(try await fleet.client.search(query).hits[0].id == 1) }
        let back = try await ScriptedGateway.start(
            port: port, ScriptedGateway.welcoming { session, frame in session.answer(frame.requestID, id: 2) })
        while try await fleet.client.search(query).hits[0].id != 2 {}
        try await fleet.end()
        try await back.stop()
    }

    @Test(arguments: [ErrorCode.busy, .unavailable, .shuttingDown])
    func whatOneRefusesAnotherDoes(code: ErrorCode) async throws {
        let fleet = try await ScriptedFleet.start(2) { number, session, frame in
            if number == 0 { session.fail(code, frame.requestID) } else { session.answer(frame.requestID, id: 1) }
        }
        for _ in 0..<50 { #expect(try await fleet.client.search(query).hits[0].id == 1) }
        try await fleet.end()
    }

    @Test func whatAllRefuseIsRefusedAndNotRepeatedForEver() async throws {
        let asked = Atomic(0)
        let fleet = try await ScriptedFleet.start(2) { _, session, frame in
            asked.add(1, ordering: .relaxed)
            session.fail(.busy, frame.requestID)
        }
        for _ in 0..<500 { #expect(await failureCode { _ = try await fleet.client.search(query) } == .busy) }
        // A hundred that were saved up, a fifth of 500, and ten for each of the few seconds this may take.
        #expect(asked.load(ordering: .relaxed) <= 500 + 100 + 100 + 300)
        #expect(asked.load(ordering: .relaxed) > 500)
        try await fleet.end()
    }

    @Test(arguments: [true, false]) func aWriteIsRepeatedOnlyWithAKey(hasKey: Bool) async throws {
        let writes = Atomic(0)
        let fleet = try await ScriptedFleet.start(2) { _, session, frame in
            guard frame.kind == .write else { return session.close() }
            guard writes.add(1, ordering: .relaxed).newValue > 1 else { return session.close() }
            session.send(.writeResult, frame.requestID) {
                WriteResult(rows: [], deletes: [.deleted], shards: [], elapsed: .zero).encode(into: &$0)
            }
        }
        let problem = await failure {
            _ = try await fleet.client.delete("a", ids: [1], key: hasKey ? .random() : nil)
        }
        #expect(problem?.code == (hasKey ? nil : .outcomeUnknown))
        #expect(writes.load(ordering: .relaxed) == (hasKey ? 2 : 1))
        try await fleet.end()
    }

    @Test func pagesStayWhereTheyAreAndEndWithTheirGateway() async throws {
        let asked = Mutex<[(Int, FrameKind)]>([])
        let fleet = try await ScriptedFleet.start(3) { number, session, frame in
            asked.withLock { $0.append((number, frame.kind)) }
            guard frame.kind == .search || frame.kind == .next else { return }
            var result = SearchResult.scripted([([Int64(number)], 0)])
            result.cursor = WireCursor(high: 1, low: 2)
            result.hasMore = true
            session.answer(frame.requestID, result)
        }
        var pages = fleet.client.pages(query, size: 1).makeAsyncIterator()
        let home = try #require(try await pages.next()?.hits.first?.id)
        for _ in 0..<20 { #expect(try await pages.next()?.hits.first?.id == home) }
        try await fleet.gateways[Int(home)].kill()
        await fleet.until { $0[Int(home)].condition != .ready }
        #expect([.notConnected, .connectionLost].contains(await failureCode { _ = try await pages.next() }))
        #expect(try await pages.next() == nil)
        #expect(asked.withLock { $0.allSatisfy { $0.0 == Int(home) } })
        try await fleet.end()
    }

    @Test func aStreamGoesToAGatewayThatIsThere() async throws {
        let fleet = try await ScriptedFleet.start(2) { number, session, frame in
            session.answer(frame.requestID, .scripted([([Int64(number)], 0)]))
        }
        try await fleet.gateways[0].kill()
        for _ in 0..<20 {
            var ids: [Int64] = []
            for try await part in fleet.client.stream(query) { ids += part.hits.map(\.id) }
            #expect(ids == [1])
        }
        #expect(fleet.client.fleet.members.allSatisfy { $0.inFlight == 0 })
        try await fleet.end()
    }

    @Test func closingAndCancellingEndEveryCallOnce() async throws {
        let fleet = try await ScriptedFleet.start(3) { _, session, frame in
            if frame.kind == .cancel { session.fail(.cancelled, frame.requestID) }
        }
        let calls = (0..<100).map { _ in Task { try await fleet.client.search(query) } }
        await fleet.until { $0.reduce(0) { $0 + $1.inFlight } == 100 }
        for call in calls.prefix(50) { call.cancel() }
        for call in calls.prefix(50) { #expect(await failureCode { _ = try await call.value } == .cancelled) }
        await fleet.client.close()
        for call in calls.dropFirst(50) { #expect(await failureCode { _ = try await call.value } == .closed) }
        #expect(await failureCode { _ = try await fleet.client.search(query) } == .closed)
        #expect(fleet.client.fleet.members.allSatisfy { $0.inFlight == 0 })
        try await fleet.end()
    }
}
