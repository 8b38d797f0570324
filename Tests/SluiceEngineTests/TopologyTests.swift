import SluiceCore
import SluiceEngine
import SluiceReactor
import Synchronization
import Testing

/// What is served changes while searches run.
@Suite struct TopologyTests {
    private let slice = PoolMachine.Configuration(minSize: 1, maxSize: 1, maxWaiting: 100)

    private func configuration(farewell: Duration = .seconds(3_600)) -> SearchLane.Configuration {
        var configuration = SearchLane.Configuration(
            plans: PlanLimits(maximumK: 100), acquireTimeout: .seconds(5), connectTimeout: .seconds(5),
            maximumLegBytes: 1_000_000)
        configuration.farewell = farewell
        return configuration
    }

    /// One shard with these backends' numbers as its replicas, and the collection `a` or others.
    private func topology(
        after earlier: Topology, _ backends: [ScriptedBackend], replicas: [Int], collections: [String] = ["a"]
    ) -> Topology {
        let shard = Catalogue.Shard(
            name: "s0", replicas: replicas.map { .init(name: backends[$0].replicaName, backend: $0) })
        let catalogue = Catalogue(
            shards: [shard],
            collections: collections.map {
                Collection(
                    name: $0, schema: "public", table: "a", idColumn: "id", vectorColumn: "embedding", metric: .cosine,
                    dimensions: 3, columns: ["name"], shards: [0])
            }, after: earlier.catalogue)
        let known = earlier.catalogue.shards[0].replicas
        let state = ShardState(
            after: earlier.shards[0], .init(), replicas: replicas.map { .init(server: $0) },
            heirs: replicas.map { number in
                known.firstIndex { $0.backend == number }.map { .init(place: $0, hasSameCapacity: true) }
            }, latencyClasses: catalogue.latencyClasses, now: Instant(nanoseconds: Reactor.now()))
        return Topology(
            after: earlier, catalogue: catalogue, backends: backends, shards: [state], cache: .init())
    }

    @Test func aSearchEndsAsItBeganAndTheNextOneGoesWhereItIsServedNow() async throws {
        let (old, new) = (ScriptedBackend(replica: "old", .hold), ScriptedBackend(replica: "new", .rows([(7, 0.5)])))
        try await withLanes([[old]], slices: [slice, slice]) { lanes, shared in
            let running = Task { await lanes[0].search(.of()) }
            await old.held(1)
            let next = topology(after: shared.topology, [old, new], replicas: [1])
            await shared.serve(next, configuration: configuration(farewell: .milliseconds(10))) { _ in
                [.retire, .configure(slice)]
            }
            for lane in lanes {
                let answer = try await lane.search(.of()).result.get()
                #expect(answer.hits.map(\.id) == [7])
                #expect(answer.legs.map(\.replica) == ["new"])
            }
            old.releaseOne()
            #expect(try await running.value.result.get().legs.map(\.replica) == ["old"])
            // Its connections are closed a while after nothing is served by it any more.
            while old.seen.withLock(\.open) > 0 { await Task.yield() }
        }
    }

    @Test func aServerThatComesBackInTimeKeepsItsConnections() async throws {
        let backend = ScriptedBackend(replica: "r", .rows([(1, 0.5)]))
        let other = ScriptedBackend(replica: "other", .rows([(2, 0.5)]))
        try await withLanes([[backend]], slices: [slice]) { lanes, shared in
            let dials = await lanes[0].pools[0].counters.dials
            for turn in 0..<40 {
                let isThere = turn.isMultiple(of: 2)
                let next = topology(after: shared.topology, [backend, other], replicas: [isThere ? 1 : 0])
                let order = PoolOrder.configure(slice)
                await shared.serve(next, configuration: configuration()) { _ in
                    isThere ? [.retire, order] : [order, .retire]
                }
                let answer = try await lanes[0].search(.of()).result.get()
                #expect(answer.hits.map(\.id) == [isThere ? 2 : 1])
            }
            #expect(await lanes[0].pools[0].counters.dials == dials)
        }
    }

    @Test func whatIsKnownOfATableIsKeptAndAnotherTableKnowsNothing() async throws {
        let backend = ScriptedBackend(.rows([(1, 0.5)]))
        try await withLanes([[backend]], slices: [slice]) { _, shared in
            shared.catalogue.index(of: "a", shard: 0).update(.hnsw)
            let next = topology(after: shared.topology, [backend], replicas: [0], collections: ["a", "z"])
            #expect(next.catalogue.index(of: "a", shard: 0).kind == .hnsw)
            #expect(next.catalogue.index(of: "z", shard: 0).kind == .unknown)
        }
    }

    /// A sibling may be asked for a server's connections before it serves anything by it.
    @Test(.timeLimit(.minutes(1))) func searchesGoOnWhileEverythingChangesUnderThem() async throws {
        let backends = (0..<4).map { ScriptedBackend(replica: "r\($0)", .rows([(Int64($0), 0.5)])) }
        try await withLanes([[backends[0]]], slices: [slice, slice, slice]) { lanes, shared in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<6 {
                    group.addTask {
                        for _ in 0..<300 { _ = try await lanes[number % lanes.count].search(.of()).result.get() }
                    }
                }
                var count = 1
                for turn in 0..<100 {
                    count = max(count, turn % 4 + 1)
                    let served = [turn % 4, (turn + 1) % 4].filter { $0 < count }
                    let known = Array(backends.prefix(count))
                    let next = topology(after: shared.topology, known, replicas: served)
                    await shared.serve(next, configuration: configuration()) { _ in
                        known.indices.map { served.contains($0) ? .configure(slice) : .retire }
                    }
                }
                try await group.waitForAll()
            }
        }
    }
}
