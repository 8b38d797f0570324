import SluiceCore
import Testing

/// Who of a cluster may be written to, by what witnesses say.
@Suite struct ShardTopologyTests {
    static func place(_ name: String) -> MemberPlace { MemberPlace(name: name, host: "\(name).example", port: 5_432) }

    static func report(
        leader: String?, _ timelines: [String: UInt32?], sync: String? = nil, isSynchronous: Bool? = nil
    ) -> ClusterReport {
        ClusterReport(
            members: timelines.keys.sorted().map { name in
                ClusterMember(
                    place(name), role: name == leader ? .leader : name == sync ? .synchronousStandby : .standby,
                    timeline: timelines[name] ?? nil)
            },
            leaders: leader.map { [$0] } ?? [], isSynchronous: isSynchronous)
    }

    static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    private var topology = ShardTopology(.init(leaderLease: .seconds(3)))

    @discardableResult
    private mutating func hear(_ reports: ClusterReport..., at time: Int64) -> ShardTopology.Change {
        topology.observed(
            reports.enumerated().map { .init("w\($0)", $1) }, asked: Self.at(time))
    }

    private func verdict(_ time: Int64) -> ShardTopology.Verdict { topology.verdict(now: Self.at(time)) }

    @Test mutating func nobodyIsWrittenToBeforeTheSourceIsHeard() {
        #expect(verdict(0) == .refused(.unheard))
        topology.observed([], silences: [.init("w0", "no answer")], asked: Self.at(1))
        #expect(verdict(1) == .refused(.unheard))
        #expect(topology.complaints(now: Self.at(1)).contains("w0: no answer"))
    }

    @Test mutating func theNamedLeaderIsWrittenToForTheLease() {
        let change = hear(Self.report(leader: "n1", ["n1": 1, "n2": 1]), at: 0)
        #expect(change.hasOtherPlaces && change.hasRisenTimeline)
        #expect(verdict(3_000) == .writable(Self.place("n1")))
        #expect(verdict(3_001) == .refused(.silent))
        // An outage keeps the members, and does not lengthen the lease.
        topology.observed([], silences: [.init("w0", "gone")], asked: Self.at(2_900))
        #expect(verdict(3_001) == .refused(.silent))
        #expect(topology.places == [Self.place("n1"), Self.place("n2")])
        #expect(topology.age(now: Self.at(5_000)) == .seconds(5))
        hear(Self.report(leader: "n1", ["n1": 1, "n2": 1]), at: 6_000)
        #expect(verdict(6_000) == .writable(Self.place("n1")))
    }

    /// It may have another by now, and whoever hears it knows.
    @Test mutating func thatThereIsNoLeaderHoldsForTheLeaseToo() {
        hear(Self.report(leader: nil, ["n1": 1, "n2": 1]), at: 0)
        #expect(verdict(3_000) == .refused(.noLeader))
        #expect(verdict(3_001) == .refused(.silent))
    }

    @Test mutating func aFailoverMovesTheWritesAndTheOldLeaderIsFenced() {
        hear(Self.report(leader: "n1", ["n1": 1, "n2": 1]), at: 0)
        hear(Self.report(leader: nil, ["n1": 1, "n2": 1]), at: 1_000)
        #expect(verdict(1_000) == .refused(.noLeader))
        // The lock is n2's before it has written down its new timeline; its own server says it first.
        hear(Self.report(leader: "n2", ["n1": 1, "n2": 1]), at: 2_000)
        #expect(topology.refusal(of: Self.place("n1"), on: 1, now: Self.at(2_000)) == .notLeader)
        let hasRisen = topology.serverSaid(Self.place("n2"), timeline: 2)
        #expect(hasRisen)
        #expect(topology.refusal(of: Self.place("n2"), on: 2, now: Self.at(2_000)) == nil)
        #expect(topology.refusal(of: Self.place("n1"), on: 1, now: Self.at(2_000)) == .notLeader)
        // A source that still has the old timeline of the same leader does not hold it up.
        hear(Self.report(leader: "n2", ["n1": 1, "n2": 1]), at: 2_500)
        #expect(verdict(2_500) == .writable(Self.place("n2")))
        // Whoever takes the lock back on the old timeline is not believed.
        hear(Self.report(leader: "n1", ["n1": 1, "n2": 2]), at: 3_000)
        #expect(verdict(3_000) == .refused(.timelineBack))
        #expect(topology.highestTimeline == 2)
    }

    /// As Patroni's agents write down their timelines, each in its own time.
    @Test mutating func aLeaderWhoseStandbysHaveToldTheNewTimelineFirstIsNamedUntilItsOwnServerIsHeard() {
        hear(Self.report(leader: "n2", ["n1": 2, "n2": 1]), at: 0)
        #expect(verdict(0) == .refused(.timelineBack) && topology.named == Self.place("n2"))
        // One that is really behind stays so.
        #expect(topology.refusal(of: Self.place("n2"), on: 1, now: Self.at(0)) == .timelineBack)
        _ = topology.serverSaid(Self.place("n2"), timeline: 2)
        #expect(verdict(0) == .writable(Self.place("n2")))
        hear(Self.report(leader: nil, ["n1": 2, "n2": 1]), at: 1_000)
        #expect(topology.named == nil)
    }

    @Test mutating func onlyTheLeadersOwnServerIsHeard() {
        hear(Self.report(leader: "n1", ["n1": 1, "n2": 1]), at: 0)
        let hasRisen = topology.serverSaid(Self.place("n2"), timeline: 9)
        #expect(!hasRisen && topology.highestTimeline == 1)
        #expect(topology.refusal(of: Self.place("n1"), on: 1, now: Self.at(0)) == nil)
    }

    @Test mutating func anOlderConnectionsWordDoesNotHoldUpTheLeader() {
        hear(Self.report(leader: "n1", ["n1": 1, "n2": 1]), at: 0)
        _ = topology.serverSaid(Self.place("n1"), timeline: 3)
        _ = topology.serverSaid(Self.place("n1"), timeline: 2)
        #expect(verdict(0) == .writable(Self.place("n1")))
        #expect(topology.refusal(of: Self.place("n1"), on: 2, now: Self.at(0)) == .timelineBack)
    }

    @Test mutating func anOlderRoundChangesNothing() {
        hear(Self.report(leader: "n2", ["n1": 2, "n2": 2]), at: 1_000)
        let change = hear(Self.report(leader: "n1", ["n1": 1]), at: 999)
        #expect(!change.hasOtherPlaces && !change.hasRisenTimeline)
        #expect(verdict(1_000) == .writable(Self.place("n2")))
    }

    @Test mutating func aLyingMemberIsOutvotedAndNamed() {
        let truth = Self.report(leader: "n1", ["n1": 3, "n2": 3, "n3": 3])
        let lie = Self.report(leader: "n3", ["n3": 4_000_000_000])
        hear(truth, lie, truth, at: 0)
        #expect(verdict(0) == .writable(Self.place("n1")))
        #expect(topology.highestTimeline == 3)
        #expect(topology.places.map(\.name) == ["n1", "n2", "n3"])
        #expect(topology.complaints(now: Self.at(0)).contains { $0.hasPrefix("w1: contradicts") })
    }

    @Test mutating func oneAgainstOneStopsTheWritesAndKeepsTheMembers() {
        let truth = Self.report(leader: "n1", ["n1": 3, "n2": 3])
        hear(truth, truth, at: 0)
        hear(truth, Self.report(leader: "n2", ["n2": 4]), at: 1_000)
        #expect(verdict(1_000) == .refused(.disputed))
        #expect(topology.highestTimeline == 3)
        #expect(topology.places.map(\.name) == ["n1", "n2"])
        hear(truth, truth, at: 2_000)
        #expect(verdict(2_000) == .writable(Self.place("n1")))
    }

    @Test mutating func aTimelineThatOneOfTwoMakesUpDoesNotLockTheShard() {
        hear(
            Self.report(leader: "n1", ["n1": 3, "n2": 3]), Self.report(leader: "n1", ["n1": 4_000_000_000, "n2": 3]),
            at: 0)
        #expect(verdict(0) == .writable(Self.place("n1")))
        #expect(topology.highestTimeline == 3)
    }

    @Test mutating func anEmptyClusterKeepsTheMembersAndWritesNothing() {
        hear(Self.report(leader: "n1", ["n1": 1, "n2": 1]), at: 0)
        hear(ClusterReport(members: [], leaders: []), at: 1_000)
        #expect(verdict(1_000) == .refused(.noLeader))
        #expect(topology.places.count == 2)
        #expect(topology.complaints(now: Self.at(1_000)).contains { $0.contains("empty") })
    }

    @Test(arguments: [
        (ClusterReport(members: [], leaders: ["n1", "n2"]), WriteRefusal.twoLeaders),
        (ClusterReport(members: [], leaders: ["n9"]), .unlistedLeader),
        (
            ClusterReport(
                members: [ClusterMember(place("n1"), role: .leader)], leaders: ["n1"], isStandbyCluster: true),
            .standbyCluster
        ),
        (
            ClusterReport(
                members: [
                    ClusterMember(place("n1"), role: .leader),
                    ClusterMember(MemberPlace(name: "n1", host: "elsewhere", port: 1), role: .leader),
                ], leaders: ["n1"]), .twoLeaders
        ),
    ])
    func whatCannotBeNamesNobody(_ report: ClusterReport, _ refusal: WriteRefusal) {
        var topology = topology
        topology.observed([.init("w0", report)], asked: Self.at(0))
        #expect(topology.verdict(now: Self.at(0)) == .refused(refusal))
    }

    @Test mutating func requireSyncRefusesALeaderWithoutASynchronousStandby() {
        topology = ShardTopology(.init(leaderLease: .seconds(3), requiresSynchronousStandby: true))
        hear(Self.report(leader: "n1", ["n1": 1, "n2": 1], isSynchronous: true), at: 0)
        #expect(verdict(0) == .refused(.noSynchronousStandby))
        hear(Self.report(leader: "n1", ["n1": 1, "n2": 1], sync: "n2", isSynchronous: true), at: 1)
        #expect(verdict(1) == .writable(Self.place("n1")))
        // What is not known counts as on; what is off asks for nothing, and is complained about.
        hear(Self.report(leader: "n1", ["n1": 1, "n2": 1]), at: 2)
        #expect(verdict(2) == .refused(.noSynchronousStandby))
        hear(Self.report(leader: "n1", ["n1": 1, "n2": 1], isSynchronous: false), at: 3)
        #expect(verdict(3) == .writable(Self.place("n1")))
        #expect(topology.complaints(now: Self.at(3)).contains { $0.contains("synchronous mode is off") })
    }

    @Test mutating func aTimelineOfBeforeARestartCounts() {
        topology = ShardTopology(
            .init(leaderLease: .seconds(3)), highestTimeline: 7, members: [Self.place("n2"), Self.place("n1")])
        #expect(topology.places.map(\.name) == ["n1", "n2"])
        hear(Self.report(leader: "n1", ["n1": 6, "n2": 6]), at: 0)
        #expect(verdict(0) == .refused(.timelineBack))
        hear(Self.report(leader: "n2", ["n1": 6, "n2": 8]), at: 1)
        #expect(verdict(1) == .writable(Self.place("n2")))
    }

    @Test func moreThanHalfOfAllSettleARound() {
        let (one, other) = (Self.report(leader: "n1", ["n1": 1]), Self.report(leader: "n2", ["n2": 1]))
        #expect(!topology.isSettled([.init("a", one), .init("b", other)], of: 3))
        #expect(topology.isSettled([.init("a", one), .init("b", one)], of: 3))
        #expect(!topology.isSettled([], of: 0))
    }

    /// Whatever is said, in whatever order: the timeline never goes back, whoever may be written to is a member that
    /// the last round named, and no newer timeline is known; and not after the lease.
    @Test(arguments: 0..<200)
    func whateverIsSaidTheRulesHold(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var topology = ShardTopology(
            .init(leaderLease: .milliseconds(Int.random(in: 1...5_000, using: &random))),
            highestTimeline: .random(in: 0...3, using: &random))
        var now = Self.at(0)
        for _ in 0..<200 {
            let before = topology.highestTimeline
            let places = topology.places
            now = now.advanced(by: .milliseconds(Int.random(in: 0...2_000, using: &random)))
            let asked = now.advanced(by: .milliseconds(-Int.random(in: 0...3_000, using: &random)))
            let statements = (0..<Int.random(in: 0...3, using: &random)).map { witness in
                ShardTopology.Statement("w\(witness)", Self.randomReport(&random))
            }
            topology.observed(statements, silences: [.init("w9", "silent")], asked: asked)
            if let place = topology.places.randomElement(using: &random) {
                _ = topology.serverSaid(place, timeline: .random(in: 0...6, using: &random))
            }
            #expect(topology.highestTimeline >= before)
            #expect(places.isEmpty || !topology.places.isEmpty)
            #expect(topology.complaints(now: now).count <= 16)
            guard case .writable(let leader) = topology.verdict(now: now) else { continue }
            #expect(topology.heard.map { $0.duration(to: now) <= topology.configuration.leaderLease } == true)
            #expect(topology.places.contains(leader))
            #expect(topology.refusal(of: leader, on: topology.highestTimeline, now: now) == nil)
            for other in topology.places where other != leader {
                #expect(topology.refusal(of: other, on: .max, now: now) == .notLeader)
            }
            if topology.highestTimeline > 0 {
                #expect(
                    topology.refusal(of: leader, on: topology.highestTimeline - 1, now: now) == .timelineBack)
            }
        }
    }

    private static func randomReport(_ random: inout SplitMix64) -> ClusterReport {
        let names = ["n1", "n2", "n3"].filter { _ in Bool.random(using: &random) }
        let leaders = ["n1", "n2", "n3"].filter { _ in Int.random(in: 0..<3, using: &random) == 0 }
        return ClusterReport(
            members: names.map { name in
                ClusterMember(
                    MemberPlace(name: name, host: Bool.random(using: &random) ? "a" : "b", port: 1),
                    role: leaders.contains(name) ? .leader : .standby, isRunning: .random(using: &random),
                    timeline: Bool.random(using: &random) ? .random(in: 0...6, using: &random) : nil)
            },
            leaders: leaders, isStandbyCluster: Int.random(in: 0..<8, using: &random) == 0,
            isSynchronous: Bool.random(using: &random) ? true : nil)
    }
}
