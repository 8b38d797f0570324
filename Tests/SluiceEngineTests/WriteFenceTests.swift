import SluiceCore
import SluiceEngine
import SluiceReactor
import Synchronization
import Testing

/// A shard whose source says who may be written to.
@Suite(.timeLimit(.minutes(1))) struct WriteFenceTests {
    /// Says what it is told to, and something else from a question on.
    private final class ScriptedFence: WriteFence {
        struct State: Sendable {
            var leader: MemberPlace?
            /// Why there is none.
            var absence = WriteRefusal.noLeader
            /// What no leader's server may be below.
            var highestTimeline: UInt32 = 0
            /// How many more times the leader may be written to.
            var permits = Int.max
            var refusals: [WriteRefusal] = []
            /// Of which cluster the shard is by the source.
            var cluster: UInt64?
            /// Of the clusters that the servers said that they are of.
            var systemIdentifiers: [UInt64?] = []
        }

        let state: Mutex<State>

        init(_ state: State) { self.state = Mutex(state) }

        func verdict(now: Instant) -> ShardTopology.Verdict {
            state.withLock { state in
                guard let leader = state.leader, state.permits > 0 else { return .refused(state.absence) }
                // As where the source has an older word of the leader's timeline than of the others'.
                guard state.highestTimeline == 0 else { return .refused(.timelineBack) }
                return .writable(leader)
            }
        }

        var named: MemberPlace? { state.withLock(\.leader) }
        var systemIdentifier: UInt64? { state.withLock(\.cluster) }

        func refusal(
            of place: MemberPlace, on timeline: UInt32, systemIdentifier: UInt64?, now: Instant
        ) -> WriteRefusal? {
            state.withLock { state in
                state.systemIdentifiers.append(systemIdentifier)
                if timeline < state.highestTimeline { return .timelineBack }
                state.highestTimeline = 0
                guard state.permits > 0, place == state.leader else { return .notLeader }
                state.permits -= 1
                return nil
            }
        }

        func noteRefusal(_ refusal: WriteRefusal) { state.withLock { $0.refusals.append(refusal) } }
    }

    private static func place(_ name: String) -> MemberPlace { MemberPlace(name: name, host: "h", port: 1) }

    /// What the table's description, a write, and the question for the log's position bring.
    private static func table(
        _ name: String, timeline: UInt32, of cluster: UInt64 = 77, _ step: ScriptedBackend.Step
    ) -> ScriptedBackend {
        ScriptedBackend(
            replica: name, step,
            facts: {
                BackendFacts(role: .primary, timeline: timeline, systemIdentifier: cluster, estimatedRows: [])
            },
            runs: { commands throws(BackendFailure) in
                switch commands.count {
                // One with a key, which the journal has.
                case 4:
                    var failure = BackendFailure(.statement, sqlState: "23505", detail: "scripted")
                    failure.place = .init(command: 2)
                    throw failure
                case 3: return [WriteResult(rows: [["1"]]), WriteResult(rows: []), WriteResult(rows: [["7"]])]
                case 1 where commands[0].statement.sql(vectorSchema: "").contains("relkind"):
                    return [
                        WriteResult(rows: [
                            ["r", "f", "t", "id", "20", "bigint", "int8recv", "t", "f"],
                            ["r", "f", "t", "embedding", "99", "vector", nil, "f", "f"],
                        ])
                    ]
                default: return [WriteResult(rows: [["42"]])]
                }
            })
    }

    /// Two servers that both say that they are primaries, each a member, and a write to the shard.
    /// - Parameters:
    ///   - crowd: so many writes; what is said is of the one that ends first.
    ///   - patience: how long each may take.
    private func outcome(
        _ fence: ScriptedFence, timelines: (UInt32, UInt32) = (1, 2), clusters: (UInt64, UInt64) = (77, 77),
        key: WriteKey? = nil, _ step: ScriptedBackend.Step = .rows([]), crowd: Int = 1,
        patience: Duration = .milliseconds(500)
    ) async throws -> (report: ShardReport?, error: SearchError?, written: [Int]) {
        let backends = [
            Self.table("n1", timeline: timelines.0, of: clusters.0, step),
            Self.table("n2", timeline: timelines.1, of: clusters.1, step),
        ]
        return try await outcome(fence, backends, key: key, crowd: crowd, patience: patience)
    }

    /// - Parameter meanwhile: what happens while they are under way.
    private func outcome(
        _ fence: ScriptedFence, _ backends: [ScriptedBackend], key: WriteKey? = nil, crowd: Int = 1,
        patience: Duration, meanwhile: (SharedState, [ScriptedBackend]) async throws -> Void = { _, _ in }
    ) async throws -> (report: ShardReport?, error: SearchError?, written: [Int]) {
        let slice = PoolMachine.Configuration(minSize: 1, maxSize: 2, maxWaiting: 10)
        var answer: Result<WriteAnswer, SearchError>?
        try await withLanes([backends], slices: [slice]) { lanes, shared in
            await Self.serve(backends, shared.topology.shards, on: shared)
            shared.fences.replace(["s0": fence])
            await shared.lookAgain(at: "s0")
            let now = Instant(nanoseconds: Reactor.now())
            let deadline = now.advanced(by: patience)
            let order = WriteOrder(
                collection: "a", columns: [], rows: [], deletes: [7], deadline: deadline, key: key)
            answer = try await withThrowingTaskGroup(of: Result<WriteAnswer, SearchError>.self) { group in
                for _ in 0..<crowd {
                    let ticket = try shared.arrived(.interactive, deadline: deadline, now: now)
                    group.addTask { await lanes[0].write(order, admittedBy: ticket).result }
                }
                try await meanwhile(shared, backends)
                var ends: [Result<WriteAnswer, SearchError>] = []
                for try await end in group { ends.append(end) }
                return ends.first
            }
        }
        let written = backends.map { $0.seen.withLock { $0.runs.count { $0 == 3 || $0 == 4 } } }
        switch try #require(answer) {
        case .success(let answer): return (answer.shards.first, nil, written)
        case .failure(let error): return (nil, error, written)
        }
    }

    /// The shard with these replicas, each a member.
    private static func serve(_ backends: [ScriptedBackend], _ shards: [ShardState], on shared: SharedState) async {
        let earlier = shared.topology
        let replicas = backends.enumerated().map {
            Catalogue.Replica(name: $1.replicaName, backend: $0, member: place($1.replicaName))
        }
        let catalogue = Catalogue(
            shards: [.init(name: "s0", replicas: replicas)], collections: earlier.catalogue.numbered,
            after: earlier.catalogue)
        await shared.serve(
            Topology(after: earlier, catalogue: catalogue, backends: backends, shards: shards, cache: .init()),
            configuration: .init(
                plans: PlanLimits(maximumK: 100), acquireTimeout: .seconds(5), connectTimeout: .seconds(5),
                maximumLegBytes: 1_000_000)
        ) { _ in [.keep, .keep] }
    }

    @Test func theNamedLeaderIsWrittenToAlthoughAnotherClaimsToBePrimary() async throws {
        let end = try await outcome(ScriptedFence(.init(leader: Self.place("n2"))))
        #expect(end.report?.outcome == .committed && end.report?.replica == "n2")
        #expect(end.written == [0, 1])
    }

    @Test func theFenceIsToldWhichClusterTheServerSaysThatItIsOf() async throws {
        let fence = ScriptedFence(.init(leader: Self.place("n2")))
        _ = try await outcome(fence)
        let told = fence.state.withLock(\.systemIdentifiers)
        #expect(!told.isEmpty && told.allSatisfy { $0 == 77 })
    }

    /// As many servers are of it, and it may be the first that says what it is.
    @Test func aStrangerAmongTheMembersLocksNothingWhereTheSourceKnowsTheCluster() async throws {
        for clusters: (UInt64, UInt64) in [(9, 77), (77, 9)] {
            let (leader, timelines): (String, (UInt32, UInt32)) =
                clusters.0 == 9 ? ("n2", (900, 2)) : ("n1", (2, 900))
            let fence = ScriptedFence(.init(leader: Self.place(leader), cluster: 77))
            let end = try await outcome(fence, timelines: timelines, clusters: clusters)
            #expect(end.report?.outcome == .committed && end.report?.replica == leader)
        }
        // Named or not.
        let fence = ScriptedFence(.init(leader: Self.place("n1"), cluster: 77))
        let end = try await outcome(fence, timelines: (900, 2), clusters: (9, 77))
        #expect(end.error?.code == .unavailable && end.written == [0, 0])
        #expect(fence.state.withLock(\.refusals).contains(.otherCluster))
    }

    /// Its server is a primary and is named; a later timeline was seen elsewhere.
    @Test func aLeaderThatWasLeftBehindIsNot() async throws {
        let fence = ScriptedFence(.init(leader: Self.place("n1")))
        let end = try await outcome(fence)
        #expect(end.error?.code == .unavailable)
        #expect(end.written == [0, 0])
        #expect(fence.state.withLock(\.refusals).contains(.notPrimary))
    }

    @Test func theLeadersOwnWordOfItsTimelineCountsWhereTheSourcesIsOlder() async throws {
        let end = try await outcome(ScriptedFence(.init(leader: Self.place("n2"), highestTimeline: 2)))
        #expect(end.report?.outcome == .committed && end.written == [0, 1])
        let behind = try await outcome(ScriptedFence(.init(leader: Self.place("n2"), highestTimeline: 3)))
        #expect(behind.error?.code == .unavailable && behind.error?.message.contains("lower than one seen") == true)
        #expect(behind.written == [0, 0])
    }

    @Test func withoutALeaderNothingIsSentWhateverTheServersSay() async throws {
        let end = try await outcome(ScriptedFence(.init(leader: nil)), timelines: (2, 2))
        #expect(end.error?.message.contains("names no leader") == true)
        #expect(end.written == [0, 0])
    }

    @Test func onlySoManyWaitForALeader() async throws {
        let allowed = try await outcome(ScriptedFence(.init(leader: nil)), crowd: 32)
        #expect(allowed.error?.message.contains("too many writes wait") == false)
        let refused = try await outcome(ScriptedFence(.init(leader: nil)), crowd: 33)
        #expect(refused.error?.message.contains("too many writes wait") == true)
        #expect(refused.error?.code == .unavailable && refused.error?.retryAfter != nil)
    }

    @Test func aWriteDoesNotWaitForTheLeaderOfAShardThatItIsNotFor() async throws {
        let placement = try #require(HashPlacement(shardCount: 2))
        let id = try #require((0..<100).first { placement.shard(of: $0) == 1 })
        let shards = [
            [Self.table("n1", timeline: 1, .rows([]))], [Self.table("n2", timeline: 1, .rows([]))],
        ]
        let slice = PoolMachine.Configuration(minSize: 1, maxSize: 2, maxWaiting: 10)
        try await withLanes(shards, slices: [slice]) { lanes, shared in
            shared.fences.replace(["s0": ScriptedFence(.init(leader: nil))])
            await shared.lookAgain(at: "s1")
            let now = Instant(nanoseconds: Reactor.now())
            let deadline = now.advanced(by: .seconds(5))
            let ticket = try shared.arrived(.interactive, deadline: deadline, now: now)
            let order = WriteOrder(collection: "a", columns: [], rows: [], deletes: [id], deadline: deadline)
            let answer = try await lanes[0].write(order, admittedBy: ticket).result.get()
            #expect(answer.shards.map(\.shard) == ["s1"] && answer.shards.first?.outcome == .committed)
        }
    }

    @Test func aLeaderAtAnotherAddressIsNotTheServerOfItsName() async throws {
        let moved = MemberPlace(name: "n2", host: "elsewhere", port: 1)
        let end = try await outcome(ScriptedFence(.init(leader: moved)))
        #expect(end.error?.code == .unavailable)
        #expect(end.written == [0, 0])
    }

    /// Once for the table's description, once for the connection: then the word changes.
    @Test func whatChangesBeforeItIsSentIsNotSentAndKnownNotToBe() async throws {
        let fence = ScriptedFence(.init(leader: Self.place("n2"), permits: 2))
        let end = try await outcome(fence)
        // Not a report that nothing was applied: whoever has other gateways tries one of them.
        #expect(end.error?.code == .unavailable && end.error?.retryAfter != nil)
        #expect(end.written == [0, 0])
        #expect(fence.state.withLock(\.refusals).first == .notLeader)
    }

    /// The deadline is far away, so a write that waits for it would end the test by its time.
    @Test(arguments: [WriteRefusal.silent, .unheard])
    func aWriteDoesNotWaitForASourceThatHasBeenSilentForLongOrWasNeverHeard(_ absence: WriteRefusal) async throws {
        let fence = ScriptedFence(.init(leader: nil, absence: absence))
        let end = try await outcome(fence, patience: .seconds(600))
        #expect(end.error?.code == .unavailable && end.error?.message.contains(absence.words) == true)
        #expect(end.error?.message.contains("too many writes wait") == false)
        #expect(end.written == [0, 0])
    }

    /// As before, and once more right before it is sent. Nobody else has been named meanwhile.
    @Test func whatWasAnsweredByALeaderThatIsNoneAnyMoreIsUnknown() async throws {
        let end = try await outcome(ScriptedFence(.init(leader: Self.place("n2"), permits: 3)))
        #expect(end.report?.outcome == .unknown)
        #expect(end.written == [0, 1])
    }

    /// It waits for a row's lock.
    @Test func whatIsUnderWayIsStoppedWhenItsServerMayNotBeWrittenToAnyMore() async throws {
        let end = try await outcome(ScriptedFence(.init(leader: Self.place("n2"), permits: 3)), .hang)
        #expect(end.report?.outcome == .unknown)
        #expect(end.report?.message?.contains("it was stopped") == true)
        #expect(end.written == [0, 1])
    }

    /// While the write waits for a row's lock another configuration comes, and then another server is promoted.
    @Test func aPromotionIsSeenAfterAnotherConfigurationToo() async throws {
        let timeline = Atomic(UInt32(1))
        let promoted = ScriptedBackend(
            replica: "n1",
            facts: {
                BackendFacts(
                    role: .primary, timeline: timeline.load(ordering: .relaxed), systemIdentifier: 77,
                    estimatedRows: [])
            })
        let backends = [promoted, Self.table("n2", timeline: 2, .hang)]
        let end = try await outcome(
            ScriptedFence(.init(leader: Self.place("n2"))), backends, patience: .seconds(600)
        ) { shared, replicas in
            await backends[1].hung()
            let now = Instant(nanoseconds: Reactor.now())
            let earlier = shared.topology
            let state = ShardState(
                after: try #require(earlier.shards.first), .init(), replicas: [.init(), .init()],
                heirs: [.init(place: 0, hasSameCapacity: true), .init(place: 1, hasSameCapacity: true)],
                latencyClasses: nil, now: now)
            timeline.store(3, ordering: .relaxed)
            await Self.serve(replicas, [state], on: shared)
            await shared.lookAgain(at: "s0")
        }
        #expect(end.report?.outcome == .unknown)
        #expect(end.report?.message?.contains("it was stopped") == true)
    }

    @Test func whatWasThereAlreadyBySuchALeadersJournalIsUnknown() async throws {
        let key = WriteKey(high: 1, low: 2)
        let end = try await outcome(ScriptedFence(.init(leader: Self.place("n2"), permits: 3)), key: key)
        #expect(end.report?.outcome == .unknown)
        #expect(end.written == [0, 1])
        let trusted = try await outcome(ScriptedFence(.init(leader: Self.place("n2"))), key: key)
        #expect(trusted.report?.outcome == .already)
    }
}
