import SluiceCore
import SluiceEngine
import Synchronization
import Testing

/// Two lanes with a slice of each pool.
@Suite struct SiblingLaneTests {
    /// No time-out may come before what a test waits for, however slow the machine is.
    private let long = Duration.seconds(3_600)

    private func slice(_ size: Int, waiting: Int = 100) -> PoolMachine.Configuration {
        .init(minSize: size, maxSize: size, maxWaiting: waiting)
    }

    /// One client's legs use the whole pool, not the slice of its own lane only, and nobody waits beside an idle
    /// connection.
    @Test func aLanesLegsUseItsSiblingsConnections() async throws {
        let backend = ScriptedBackend(.hold)
        try await withLanes([[backend]], slices: [slice(2), slice(2)], acquireTimeout: long) { lanes, _ in
            let searches = (0..<12).map { _ in Task { await lanes[0].search(.of(in: long)) } }
            await backend.held(4)
            #expect(backend.seen.withLock(\.open) == 4)
            // Each one that ends makes room for one that waits, wherever it ran.
            for count in 5...12 {
                backend.releaseOne()
                await backend.held(count)
                #expect(backend.seen.withLock(\.open) == 4)
            }
            for _ in 0..<4 { backend.releaseOne() }
            for search in searches {
                let outcome = await search.value
                #expect((try? outcome.result.get()) != nil)
            }
            #expect(backend.seen.withLock(\.openMost) == 4)
        }
    }

    @Test func whoWaitsOnALaneIsServedByASiblingsConnection() async throws {
        let backend = ScriptedBackend(.hold)
        try await withLanes([[backend]], slices: [slice(1), slice(1)], acquireTimeout: long) { lanes, _ in
            let sibling = Task { await lanes[1].search(.of(in: long)) }
            await backend.held(1)
            let own = Task { await lanes[0].search(.of(in: long)) }
            await backend.held(2)
            let waiting = Task { await lanes[0].search(.of(in: long)) }
            while await lanes[0].pools[0].counters.waits == 0 { await Task.yield() }
            // The first that was begun is the sibling's; its connection serves the leg that waits on lane 0.
            backend.releaseOne()
            await backend.held(3)
            backend.releaseOne()
            backend.releaseOne()
            for search in [sibling, own, waiting] { #expect((try? await search.value.result.get()) != nil) }
        }
    }

    /// A lane that cannot reach the server runs its legs on one that can.
    @Test func aLaneWithoutConnectionsAsksTheOneThatHasSome() async throws {
        let backend = ScriptedBackend(.rows([(1, 0.5)]), lanesUp: [1])
        try await withLanes([[backend]], slices: [slice(1), slice(1)]) { lanes, shared in
            for _ in 0..<50 {
                let outcome = await lanes[0].search(.of(in: long))
                #expect((try? outcome.result.get())?.hits.map(\.id) == [1])
            }
            #expect(shared.topology.shards[0].snapshot.replicas[0].breaker.isClosed)
        }
    }

    @Test func cancellingALegThatWasLentEndsItThere() async throws {
        let backend = ScriptedBackend(.hang)
        try await withLanes([[backend]], slices: [slice(1), slice(1)], acquireTimeout: long) { lanes, _ in
            let first = Task { await lanes[0].search(.of(in: long)) }
            let second = Task { await lanes[0].search(.of(in: long)) }
            var begun = backend.begun.stream.makeAsyncIterator()
            _ = await begun.next()
            _ = await begun.next()
            first.cancel()
            second.cancel()
            for search in [first, second] {
                let outcome = await search.value
                for work in outcome.unsettled { await work.value }
                guard case .failure(let error) = outcome.result else {
                    Issue.record("answered")
                    continue
                }
                #expect(error.code == .cancelled)
            }
            #expect(backend.seen.withLock(\.open) == 0)
        }
    }
}
