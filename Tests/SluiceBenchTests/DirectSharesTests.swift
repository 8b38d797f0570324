import SluiceBench
import Testing

/// How requests without a gateway are spread over lanes, and over the replicas of a shard.
@Suite struct DirectSharesTests {
    @Test(arguments: [(1, 1), (3, 2), (8, 2), (7, 3), (2, 2)] as [(Int, Int)])
    func everyConnectionIsOneLanes(connections: Int, lanes: Int) {
        let split = LaneShares.split(connections, over: lanes)
        #expect(split.flatMap { Array($0) } == Array(0..<connections))
        #expect((split.map(\.count).max() ?? 0) - (split.map(\.count).min() ?? 0) <= 1)
    }

    /// As many requests as connections, which end and begin in any order: each has a connection.
    @Test func noRequestWaitsWhileAConnectionIsIdle() {
        let connections = [2, 1, 1]
        var shares = LaneShares(connections: connections)
        var random = SystemRandomNumberGenerator()
        var running = (0..<4).map { _ in shares.begin() }
        for _ in 0..<1_000 {
            for lane in connections.indices {
                #expect(running.count { $0 == lane } == connections[lane])
            }
            shares.end(running.remove(at: Int.random(in: running.indices, using: &random)))
            running.append(shares.begin())
        }
    }

    /// Turns alone would send both to one lane as soon as one answer overtakes another.
    @Test func aSlowRequestKeepsNoOtherFromTheIdleLane() {
        var shares = LaneShares(connections: [4, 4])
        let slow = shares.begin()
        for _ in 0..<100 {
            let lane = shares.begin()
            #expect(lane != slow)
            shares.end(lane)
        }
    }

    @Test func aLoneRequestTakesTheLanesInTurn() {
        var shares = LaneShares(connections: [1, 1])
        let lanes = (0..<10).map { _ in
            let lane = shares.begin()
            shares.end(lane)
            return lane
        }
        #expect(lanes.count { $0 == 0 } == 5)
    }

    @Test func replicasHaveAsManyConnectionsAsEachOther() {
        // Two lanes with four connections each, to three replicas: 3, 3 and 2.
        var counts: [Int: Int] = [:]
        for numbers in LaneShares.split(8, over: 2) {
            var places = DirectPlaces([7, 8, 9], numbers)
            #expect(places.count == 4)
            while let slot = places.take() { counts[slot.backend, default: 0] += 1 }
        }
        #expect(counts == [7: 3, 8: 3, 9: 2])
    }

    @Test func theReplicaWithTheFewestInUseIsNext() throws {
        var places = DirectPlaces([7, 8], 0..<8)
        func take() throws -> DirectPlaces.Slot {
            let slot = places.take()
            return try #require(slot)
        }
        let first = try take()
        let second = try take()
        #expect(Set([first.backend, second.backend]) == [7, 8])
        // Whatever is given back, one of each stays in use.
        places.giveBack(first)
        let third = try take()
        #expect(third.backend == first.backend)
        // A lone request takes them in turn.
        places.giveBack(second)
        places.giveBack(third)
        var seen: [Int] = []
        for _ in 0..<10 {
            let slot = try take()
            seen.append(slot.backend)
            places.giveBack(slot)
        }
        #expect(seen.count { $0 == 7 } == 5)
    }

    @Test func withoutAServerThereIsNoConnection() {
        var places = DirectPlaces([], 0..<8)
        let slot = places.take()
        #expect(places.count == 0 && slot?.backend == nil)
    }

    private actor Lane {
        private var places = DirectPlaces([7], 0..<1)
        private(set) var served: [Int] = []

        func take() -> DirectPlaces.Slot? { places.take() }

        func giveBack(_ slot: DirectPlaces.Slot) { places.giveBack(slot) }

        func wait(_ number: Int, _ hasBegun: AsyncStream<Void>.Continuation) async {
            let slot: DirectPlaces.Slot = await withCheckedContinuation { waiter in
                places.wait(waiter)
                hasBegun.yield()
            }
            served.append(number)
            places.giveBack(slot)
        }
    }

    @Test(.timeLimit(.minutes(1))) func whoWaitsIsServedInTurn() async throws {
        let lane = Lane()
        let held = try #require(await lane.take())
        #expect(await lane.take()?.backend == nil)
        let (begun, hasBegun) = AsyncStream.makeStream(of: Void.self)
        await withTaskGroup(of: Void.self) { group in
            var beginnings = begun.makeAsyncIterator()
            for number in 0..<3 {
                group.addTask { await lane.wait(number, hasBegun) }
                _ = await beginnings.next()
            }
            await lane.giveBack(held)
        }
        #expect(await lane.served == [0, 1, 2])
        #expect(await lane.take()?.backend == 7)
    }
}
