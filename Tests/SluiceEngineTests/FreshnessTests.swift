import SluiceCore
import SluiceEngine
import Synchronization
import Testing

@Suite struct FreshnessTests {
    /// What a server says of itself; it can be changed.
    private final class Server: Sendable {
        private let state: Mutex<(facts: BackendFacts, asked: Int, catchesUpAt: Int, to: UInt64)>

        init(_ role: ReplicaRole, timeline: UInt32? = nil, position: UInt64, catchesUpAt: Int = .max, to: UInt64 = 0) {
            let facts = BackendFacts(
                role: role, timeline: timeline, position: position, incarnation: .random(in: .min ... .max),
                estimatedRows: [])
            state = Mutex((facts, 0, catchesUpAt, to))
        }

        func facts() -> BackendFacts {
            state.withLock { state in
                state.asked += 1
                if state.asked == state.catchesUpAt { state.facts.position = state.to }
                return state.facts
            }
        }

        func change(_ change: @Sendable (inout BackendFacts) -> Void) { state.withLock { change(&$0.facts) } }

        func backend(_ name: String) -> ScriptedBackend {
            ScriptedBackend(replica: name, .rows([(1, 0.1)]), facts: { self.facts() })
        }
    }

    private func withShard(
        _ servers: [Server], prefer: RolePreference = .standby, wait: Duration = .milliseconds(100),
        _ body: (SearchLane, SharedState) async throws -> Void
    ) async throws {
        var configuration = ShardMachine.Configuration()
        configuration.preference = prefer
        let backends = servers.enumerated().map { $1.backend("s0-\($0)") }
        let pool = PoolMachine.Configuration(minSize: 1, maxSize: 1, maxWaiting: 100)
        try await withLanes(
            [backends], slices: [pool], shardConfiguration: configuration, freshnessWait: wait
        ) { lanes, shared in try await body(lanes[0], shared) }
    }

    private func search(
        after position: UInt64? = nil, maxStaleness: Duration? = nil, allowStale: Bool = false
    ) -> Search {
        var search = Search.of()
        var extras = SearchExtras()
        extras.freshness = Boxed(
            Freshness(
                positions: position.map { ["s0": $0, "other": .max] } ?? [:], maxStaleness: maxStaleness,
                allowsStale: allowStale))
        search.extras = Boxed(extras)
        return search
    }

    @Test func aStandbyThatIsBehindIsWaitedFor() async throws {
        let servers = [
            Server(.primary, timeline: 1, position: 100), Server(.standby, position: 50, catchesUpAt: 5, to: 100),
        ]
        try await withShard(servers, wait: .seconds(15)) { lane, _ in
            for _ in 0..<5 {
                let answer = try await lane.search(self.search(after: 90)).result.get()
                #expect(answer.legs[0].replica == "s0-1" && !answer.legs[0].isStale)
            }
        }
    }

    @Test func thePrimaryAnswersIfNoStandbyCatchesUp() async throws {
        let servers = [Server(.primary, timeline: 1, position: 100), Server(.standby, position: 50)]
        try await withShard(servers) { lane, shared in
            for _ in 0..<3 {
                let leg = try await lane.search(self.search(after: 90)).result.get().legs[0]
                #expect(leg.replica == "s0-0" && leg.staleness == .zero)
            }
            #expect(try await lane.search(self.search(after: 50)).result.get().legs[0].replica == "s0-1")
            #expect(try await lane.search(.of()).result.get().legs[0].replica == "s0-1")
            let rows = RowRequest(
                collection: "a", ids: [1], columns: [], withVector: false, deadline: Search.of().deadline,
                allowsPartial: false)
            var fresh = rows
            fresh.freshness = self.search(after: 90).extras?.value.freshness
            for (request, replica) in [(rows, "s0-1"), (fresh, "s0-0")] {
                let ticket = try shared.admission.arrived(
                    .interactive, deadline: request.deadline, now: lane.executor.now())
                let answer = try await lane.rows(request, admittedBy: ticket).result.get()
                #expect(answer.legs[0].replica == replica)
            }
        }
    }

    @Test func withoutAFreshOneThereIsAnErrorOrAStaleAnswer() async throws {
        try await withShard([Server(.standby, position: 50), Server(.standby, position: 60)]) { lane, _ in
            let error = try #require(await lane.search(self.search(after: 90)).error)
            #expect(error.code == .unavailable && error.message.contains("replayed") && error.retryAfter != nil)
            let leg = try await lane.search(self.search(after: 90, allowStale: true)).result.get().legs[0]
            #expect(leg.isStale)
            let other = try await lane.search(self.search(after: 55, allowStale: true)).result.get().legs[0]
            #expect(other.replica == "s0-1" && !other.isStale)
        }
    }

    @Test func whoMayBeOlderThanIsAllowedIsNotAsked() async throws {
        let servers = [Server(.primary, timeline: 1, position: 100), Server(.standby, position: 100)]
        try await withShard(servers) { lane, _ in
            let fresh = try await lane.search(self.search(maxStaleness: .seconds(20))).result.get().legs[0]
            let bound = try #require(fresh.staleness)
            #expect(fresh.replica == "s0-1" && bound <= .seconds(20))
            servers[0].change { $0.position = 200 }
            let old = try await lane.search(self.search(maxStaleness: .nanoseconds(1))).result.get().legs[0]
            #expect(old.replica == "s0-0")
        }
        try await withShard([Server(.standby, position: 100)]) { lane, _ in
            let error = try #require(await lane.search(self.search(maxStaleness: .seconds(20))).error)
            #expect(error.code == .unavailable)
        }
    }

    @Test func twoPrimariesAreAConflictAndReadingGoesOn() async throws {
        let servers = [
            Server(.primary, timeline: 1, position: 100), Server(.primary, timeline: 1, position: 100),
            Server(.standby, position: 100),
        ]
        try await withShard(servers, prefer: .any) { lane, shared in
            await shared.lookAgain(at: "s0")
            #expect(shared.topology.shards[0].primary == .conflict([0, 1]))
            #expect(shared.topology.shards[0].snapshot.conflicts == 1)
            _ = try await lane.search(.of()).result.get()
            servers[0].change {
                $0.role = .standby
                $0.timeline = nil
            }
            await shared.lookAgain(at: "s0")
            #expect(shared.topology.shards[0].primary == .found(replica: 1, timeline: 1))
            servers[2].change {
                $0.role = .primary
                $0.timeline = 2
            }
            servers[1].change { $0.role = .standby }
            await shared.lookAgain(at: "s0")
            #expect(shared.topology.shards[0].primary == .found(replica: 2, timeline: 2))
            await shared.lookAgain(at: "s7")
        }
    }
}

extension SearchOutcome {
    fileprivate var error: SearchError? { if case .failure(let error) = result { error } else { nil } }
}
