import SluiceCore
import Testing

/// A replica whose server is of another cluster than the shard's others.
@Suite struct StrangerTests {
    private static func shard(_ replicas: Int) -> ShardMachine {
        ShardMachine(.init(), replicas: Array(repeating: .init(), count: replicas), now: Instant(nanoseconds: 0))
    }

    private static func report(
        _ role: ReplicaRole, _ timeline: UInt32? = nil, of cluster: UInt64?, at time: Int64
    ) -> ReplicaReport {
        ReplicaReport(
            role: role, timeline: timeline, position: 100, systemIdentifier: cluster,
            asked: Instant(nanoseconds: time))
    }

    @Test func aStrangersTimelineDoesNotLockTheShard() {
        var shard = Self.shard(3)
        shard.roleProbed(0, Self.report(.primary, 3, of: 7, at: 1))
        shard.roleProbed(1, Self.report(.standby, of: 7, at: 1))
        shard.roleProbed(2, Self.report(.primary, 900, of: 9, at: 1))
        #expect(shard.isOfAnotherCluster(2) && !shard.isOfAnotherCluster(0) && shard.latestTimeline == 3)
        // As long as it says that it is the primary nobody is.
        #expect(shard.primary == .conflict([0, 2]))
        #expect(shard.primary(namedAs: 0) == .found(replica: 0, timeline: 3))
        #expect(shard.primary(namedAs: 2) == .none(.otherCluster))
        shard.reachabilityChanged(2, onLane: 0, to: false, now: Instant(nanoseconds: 2))
        #expect(shard.primary == .found(replica: 0, timeline: 3))
    }

    @Test func aStrangerIsNotThePrimaryHoweverAloneItIs() {
        var shard = Self.shard(3)
        shard.roleProbed(0, Self.report(.standby, of: 7, at: 1))
        shard.roleProbed(1, Self.report(.standby, of: 7, at: 1))
        shard.roleProbed(2, Self.report(.primary, 4, of: 9, at: 1))
        #expect(shard.primary == .none(.otherCluster))
    }

    /// The first that is heard may be the stranger.
    @Test func mostSayWhichClusterItIs() {
        var shard = Self.shard(3)
        shard.roleProbed(2, Self.report(.primary, 900, of: 9, at: 1))
        #expect(shard.latestTimeline == 900)
        shard.roleProbed(0, Self.report(.primary, 3, of: 7, at: 2))
        shard.roleProbed(1, Self.report(.standby, of: 7, at: 2))
        #expect(shard.isOfAnotherCluster(2) && shard.latestTimeline == 3)
        shard.roleProbed(2, Self.report(.standby, of: 9, at: 3))
        #expect(shard.primary == .found(replica: 0, timeline: 3))
    }

    /// A standby of something else is heard first, and is as many as the other.
    @Test func withoutMostItIsTheFirstPrimarys() {
        var shard = Self.shard(2)
        shard.roleProbed(1, Self.report(.standby, of: 9, at: 1))
        #expect(!shard.isOfAnotherCluster(1))
        shard.roleProbed(0, Self.report(.primary, 3, of: 7, at: 2))
        #expect(shard.primary == .found(replica: 0, timeline: 3) && shard.isOfAnotherCluster(1))
    }

    @Test func aShardThatWasMadeAnewBeginsAnew() {
        var shard = Self.shard(1)
        shard.roleProbed(0, Self.report(.primary, 8, of: 7, at: 1))
        shard.roleProbed(0, Self.report(.primary, 1, of: 9, at: 2))
        #expect(shard.primary == .found(replica: 0, timeline: 1))
    }

    /// The stranger was heard first, or is of what most are of.
    @Test func whereSomethingElseNamesTheClusterTheOthersDoNotDecide() {
        var shard = Self.shard(3)
        shard.roleProbed(2, Self.report(.primary, 900, of: 9, at: 1))
        shard.roleProbed(0, Self.report(.primary, 3, of: 7, at: 2))
        #expect(shard.primary(namedAs: 0) == .none(.otherCluster))
        #expect(shard.primary(namedAs: 0, of: 7) == .found(replica: 0, timeline: 3))
        #expect(shard.primary(namedAs: 2, of: 7) == .none(.otherCluster))
        #expect(shard.latestTimeline(of: 7) == 3 && shard.latestTimeline(of: 9) == 900)
        // Of its own cluster another was promoted.
        shard.roleProbed(1, Self.report(.primary, 4, of: 7, at: 3))
        #expect(shard.primary(namedAs: 0, of: 7) == .none(.demoted))
    }

    /// Nobody says it: as it was before.
    @Test func withoutIdentifiersTheHighestTimelineCounts() {
        var shard = Self.shard(2)
        shard.roleProbed(0, Self.report(.primary, 8, of: nil, at: 1))
        shard.reachabilityChanged(0, onLane: 0, to: false, now: Instant(nanoseconds: 1))
        shard.roleProbed(1, Self.report(.primary, 7, of: nil, at: 2))
        #expect(shard.primary == .none(.demoted))
        #expect(!shard.isOfAnotherCluster(0) && shard.systemIdentifier(of: 0) == nil)
    }

    @Test func whatIsKnownOfClustersOutlivesAConfiguration() {
        var shard = Self.shard(2)
        shard.roleProbed(0, Self.report(.primary, 3, of: 7, at: 1))
        shard.roleProbed(1, Self.report(.standby, of: 9, at: 1))
        let next = shard.succeeded(
            by: .init(), replicas: [.init(), .init()],
            heirs: [.init(place: 0, hasSameCapacity: true), .init(place: 1, hasSameCapacity: true)],
            latencyClasses: nil, now: Instant(nanoseconds: 2))
        #expect(next.isOfAnotherCluster(1) && next.systemIdentifier(of: 0) == 7)
    }
}
