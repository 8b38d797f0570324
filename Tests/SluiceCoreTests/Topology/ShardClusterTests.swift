import SluiceCore
import Testing

/// A shard is of one cluster, and what is said of another one is not believed.
@Suite struct ShardClusterTests {
    private var topology = ShardTopology(.init(leaderLease: .seconds(3)))

    private static func report(_ cluster: UInt64?, leader: String = "n1", timeline: UInt32 = 3) -> ClusterReport {
        var report = ShardTopologyTests.report(leader: leader, ["n1": timeline, "n2": timeline])
        report.systemIdentifier = cluster
        return report
    }

    private static func place(_ name: String) -> MemberPlace { ShardTopologyTests.place(name) }

    @discardableResult
    private mutating func hear(_ reports: ClusterReport..., at time: Int64) -> ShardTopology.Change {
        topology.observed(
            reports.enumerated().map { .init("w\($0)", $1) }, asked: ShardTopologyTests.at(time))
    }

    private func verdict(_ time: Int64) -> ShardTopology.Verdict {
        topology.verdict(now: ShardTopologyTests.at(time))
    }

    private func complaints(_ time: Int64) -> [String] { topology.complaints(now: ShardTopologyTests.at(time)) }

    /// Two of three witnesses are another cluster's, and on a timeline that would lock the shard.
    @Test mutating func strangersAreNamedAndRaiseNothing() {
        let change = hear(Self.report(7), at: 0)
        #expect(change.hasLearnedCluster && topology.systemIdentifier == 7)
        let stranger = Self.report(9, leader: "n2", timeline: 4_000_000_000)
        hear(stranger, Self.report(7), stranger, at: 1)
        #expect(verdict(1) == .writable(Self.place("n1")))
        #expect(topology.highestTimeline == 3 && topology.systemIdentifier == 7)
        for witness in ["w0", "w2"] {
            #expect(complaints(1).contains { $0.hasPrefix("\(witness): is of another cluster") })
        }
        #expect(complaints(1).contains { $0.contains("system identifier is 9, the shard's is 7") })
        #expect(complaints(1).contains { $0.contains("delete the shard's state_file") })
    }

    @Test mutating func whereAllAreStrangersNothingIsWrittenUntilTheShardsOwnIsBack() {
        hear(Self.report(7), at: 0)
        hear(Self.report(9, leader: "n2", timeline: 8), at: 1)
        #expect(verdict(1) == .refused(.otherCluster))
        #expect(topology.places.map(\.name) == ["n1", "n2"] && topology.highestTimeline == 3)
        hear(Self.report(7), at: 2)
        #expect(verdict(2) == .writable(Self.place("n1")))
        #expect(complaints(2) == [])
    }

    @Test mutating func theFirstTimeItIsTheClusterThatMostAreOf() {
        hear(Self.report(9, leader: "n2", timeline: 8), Self.report(7), Self.report(7), at: 0)
        #expect(topology.systemIdentifier == 7 && topology.highestTimeline == 3)
        #expect(verdict(0) == .writable(Self.place("n1")))
    }

    @Test mutating func oneAgainstOneTheFirstTimeIsDisputedAndTeachesNothing() {
        hear(Self.report(9, timeline: 8), Self.report(7), at: 0)
        #expect(verdict(0) == .refused(.disputed))
        #expect(topology.systemIdentifier == nil && topology.highestTimeline == 0)
        #expect(complaints(0).contains { $0.hasPrefix("w0: is of the cluster with the system identifier 9") })
    }

    /// It may be anybody's: it is followed, and raises nothing that could not be lowered again.
    @Test mutating func whoDoesNotSayWhichClusterItIsRaisesNothing() {
        hear(Self.report(7), at: 0)
        hear(Self.report(nil, leader: "n2", timeline: 900), at: 1)
        #expect(verdict(1) == .writable(Self.place("n2")))
        #expect(topology.highestTimeline == 3)
        hear(Self.report(nil, timeline: 4), Self.report(7, timeline: 4), at: 2)
        #expect(topology.highestTimeline == 4)
    }

    @Test mutating func theLeadersOwnServerMayBeAStranger() {
        hear(Self.report(7), at: 0)
        let (place, now) = (Self.place("n1"), ShardTopologyTests.at(0))
        let hasNews = topology.serverSaid(place, timeline: 900, systemIdentifier: 9)
        #expect(!hasNews && topology.highestTimeline == 3)
        #expect(topology.refusal(of: place, on: 900, systemIdentifier: 9, now: now) == .otherCluster)
        #expect(complaints(0).contains { $0.hasPrefix("the server of n1 is of another cluster") })
        let hasRisen = topology.serverSaid(place, timeline: 4, systemIdentifier: 7)
        #expect(hasRisen && topology.highestTimeline == 4 && complaints(0) == [])
        #expect(topology.refusal(of: place, on: 4, systemIdentifier: 7, now: now) == nil)
        // A role that may not ask.
        #expect(topology.refusal(of: place, on: 4, now: now) == nil)
    }

    @Test mutating func theLeadersOwnServerSaysItWhereTheSourceDoesNot() {
        hear(Self.report(nil), at: 0)
        #expect(topology.systemIdentifier == nil && topology.highestTimeline == 3)
        let hasNews = topology.serverSaid(Self.place("n1"), timeline: 3, systemIdentifier: 7)
        #expect(hasNews && topology.systemIdentifier == 7)
    }

    @Test mutating func whatIsKnownFromBeforeIsTheShardsCluster() {
        topology = ShardTopology(.init(leaderLease: .seconds(3)), highestTimeline: 2, systemIdentifier: 7)
        hear(Self.report(9, timeline: 8), at: 0)
        #expect(verdict(0) == .refused(.otherCluster) && topology.highestTimeline == 2)
        // A source that was followed beside the one before, and found something else.
        topology = ShardTopology(.init(leaderLease: .seconds(3)))
        hear(Self.report(9, timeline: 8), at: 0)
        topology.remembered(timeline: 2, systemIdentifier: 7)
        #expect(topology.systemIdentifier == 7 && topology.highestTimeline == 2)
        #expect(verdict(0) == .refused(.otherCluster))
    }

    @Test mutating func strangersDoNotEndARound() {
        hear(Self.report(7), at: 0)
        let statements = ["a", "b"].map { ShardTopology.Statement($0, Self.report(9)) }
        #expect(!topology.isSettled(statements, of: 3))
        #expect(topology.isSettled(["a", "b"].map { .init($0, Self.report(7)) }, of: 3))
    }

    /// Whoever says what in whatever order: a stranger's timeline is never the shard's.
    @Test(arguments: 0..<100)
    func noStrangerEverRaisesTheTimeline(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        var topology = ShardTopology(.init(leaderLease: .seconds(3)), highestTimeline: 1, systemIdentifier: 7)
        for round in 0..<100 {
            let statements = (0..<Int.random(in: 1...4, using: &random)).map { witness in
                let isOwn = Bool.random(using: &random)
                return ShardTopology.Statement(
                    "w\(witness)",
                    Self.report(
                        isOwn ? 7 : .random(in: 8...9, using: &random),
                        leader: Bool.random(using: &random) ? "n1" : "n2",
                        timeline: .random(in: isOwn ? 1...6 : 100...900, using: &random)))
            }
            topology.observed(statements, asked: ShardTopologyTests.at(Int64(round)))
            _ = topology.serverSaid(Self.place("n1"), timeline: 1_000, systemIdentifier: 8)
            #expect(topology.highestTimeline <= 6 && topology.systemIdentifier == 7)
        }
    }
}
