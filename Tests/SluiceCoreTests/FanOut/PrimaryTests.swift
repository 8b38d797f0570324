import SluiceCore
import Testing

@Suite struct PrimaryTests {
    private let now = Instant(nanoseconds: 0)

    private func shard(_ replicas: [ShardMachine.Replica] = [.init(), .init()]) -> ShardMachine {
        ShardMachine(.init(), replicas: replicas, now: now)
    }

    private func primary(_ timeline: UInt32?, at time: Int64, incarnation: UInt64? = nil) -> ReplicaReport {
        ReplicaReport(
            role: .primary, timeline: timeline, position: 100, incarnation: incarnation,
            asked: Instant(nanoseconds: time))
    }

    private func standby(_ position: UInt64? = nil, at time: Int64) -> ReplicaReport {
        ReplicaReport(role: .standby, position: position, asked: Instant(nanoseconds: time))
    }

    @Test func thePrimaryIsFoundByItsRoleOnceItsTimelineIsKnown() {
        var shard = shard()
        #expect(shard.primary == .none(.unknown))
        shard.roleProbed(0, primary(nil, at: 1))
        #expect(shard.primary == .none(.unknown))
        shard.roleProbed(0, primary(3, at: 2))
        shard.roleProbed(1, standby(at: 2))
        #expect(shard.primary == .found(replica: 0, timeline: 3))
        // What a new connection says has no timeline; it is the same server.
        shard.roleProbed(0, primary(nil, at: 3))
        #expect(shard.primary == .found(replica: 0, timeline: 3))
    }

    @Test func whoWasLeftBehindIsNeverItAgain() {
        var shard = shard()
        shard.roleProbed(0, primary(1, at: 1))
        shard.reachabilityChanged(0, onLane: 0, to: false, now: now)
        #expect(shard.primary == .none(.unknown))
        shard.roleProbed(1, primary(2, at: 2))
        #expect(shard.primary == .found(replica: 1, timeline: 2))
        shard.reachabilityChanged(1, onLane: 0, to: false, now: now)
        #expect(shard.primary == .none(.unreachable))
        shard.reachabilityChanged(0, onLane: 0, to: true, now: now)
        shard.roleProbed(0, primary(1, at: 3))
        #expect(shard.primary == .none(.demoted))
        shard.roleProbed(0, standby(at: 4))
        #expect(shard.primary == .none(.onlyStandbys))
    }

    @Test func twoThatClaimItAreAConflictUntilOneDoesNotAnyMore() {
        var shard = shard()
        #expect(shard.roleProbed(0, primary(1, at: 1, incarnation: 7)) == nil)
        #expect(shard.roleProbed(1, primary(2, at: 2, incarnation: 8)) == .began([0, 1]))
        #expect(shard.roleProbed(1, primary(2, at: 3, incarnation: 8)) == nil)
        #expect(shard.primary == .conflict([0, 1]) && shard.isInConflict && shard.conflicts == 1)
        #expect(shard.roleProbed(0, standby(at: 4)) == .ended)
        #expect(shard.primary == .found(replica: 1, timeline: 2))
        #expect(shard.roleProbed(0, primary(2, at: 5, incarnation: 7)) == .began([0, 1]))
        #expect(shard.reachabilityChanged(0, onLane: 0, to: false, now: now) == .ended)
        #expect(shard.conflicts == 2)
    }

    @Test func whoDoesNotAnswerContradictsNobody() {
        var shard = shard()
        shard.roleProbed(0, primary(1, at: 1))
        shard.lookFailed(0, asked: Instant(nanoseconds: 2))
        #expect(shard.primary == .found(replica: 0, timeline: 1))
        shard.roleProbed(1, primary(2, at: 3))
        #expect(shard.primary == .found(replica: 1, timeline: 2))
        #expect(shard.roleProbed(0, primary(1, at: 4)) == .began([0, 1]))
    }

    @Test func oneServerUnderTwoNamesIsNoConflict() {
        var named = shard([.init(server: 4), .init(server: 4)])
        named.roleProbed(0, primary(1, at: 1))
        named.roleProbed(1, primary(1, at: 1))
        #expect(named.primary == .found(replica: 0, timeline: 1))
        // Reached by two addresses, it was still started at one time.
        var addressed = shard()
        addressed.roleProbed(0, primary(1, at: 1, incarnation: 7))
        addressed.roleProbed(1, primary(1, at: 1, incarnation: 7))
        #expect(addressed.primary == .found(replica: 0, timeline: 1))
        #expect(addressed.stalenessBound(of: 1, now: now) == .zero)
    }

    /// A dial brings its role and when it was started.
    @Test func aServerThatWasStartedAnewHasToSayAgainWhatItIs() {
        var shard = shard([.init()])
        var report = primary(3, at: 1, incarnation: 7)
        report.systemIdentifier = 77
        shard.roleProbed(0, report)
        shard.roleProbed(0, primary(nil, at: 2, incarnation: 7))
        #expect(shard.primary == .found(replica: 0, timeline: 3) && shard.systemIdentifier(of: 0) == 77)
        shard.roleProbed(0, primary(nil, at: 3, incarnation: 8))
        #expect(shard.primary == .none(.unknown) && shard.primary(namedAs: 0) == .none(.unknown))
        #expect(shard.systemIdentifier(of: 0) == nil)
        shard.roleProbed(0, primary(3, at: 4, incarnation: 8))
        #expect(shard.primary == .found(replica: 0, timeline: 3))
    }

    /// Dialled by both addresses, and asked by one of them.
    @Test func oneServerUnderTwoNamesIsNoConflictWhileOneHasNotSaidItsTimeline() {
        var shard = shard()
        for replica in [0, 1] { shard.roleProbed(replica, primary(nil, at: 1, incarnation: 7)) }
        #expect(shard.roleProbed(0, primary(1, at: 2, incarnation: 7)) == nil)
        #expect(shard.primary == .found(replica: 0, timeline: 1))
    }

    @Test func whatWasSaidBeforeIsNotBelievedAfterwards() {
        var shard = shard()
        shard.roleProbed(0, standby(at: 10))
        shard.roleProbed(0, primary(1, at: 9))
        #expect(shard.primary == .none(.unknown) && shard.replicas[0].role == .standby)
    }

    // MARK: Freshness

    private func ask(_ shard: inout ShardMachine, barred: ReplicaSet) -> ShardMachine.Choice {
        var random = SplitMix64(seed: 1)
        return shard.attemptRequested(
            .first, tried: ReplicaSet(), barred: barred, mayRepeat: false, now: now, using: &random)
    }

    @Test func whoIsBehindIsBarredAndThePrimaryNeverIs() {
        var shard = shard()
        shard.roleProbed(0, primary(1, at: 1))
        shard.roleProbed(1, standby(50, at: 2))
        let later = Instant(nanoseconds: 5)
        #expect(shard.stale(for: .init(position: 50), now: later).isEmpty)
        #expect(shard.stale(for: .init(position: 51), now: later).places == [1])
        #expect(shard.stale(for: .init(maxStaleness: .seconds(1)), now: later).places == [1])
        shard.roleProbed(1, standby(100, at: 3))
        #expect(shard.stale(for: .init(maxStaleness: .nanoseconds(4)), now: later).isEmpty)
        #expect(shard.stale(for: .init(maxStaleness: .nanoseconds(3)), now: later).places == [1])
        var barred = ReplicaSet()
        barred.insert(1)
        for _ in 0..<20 {
            let choice = ask(&shard, barred: barred)
            guard case .ask(let pick) = choice, pick.replica == 0, pick.hedgeAfter == nil else {
                Issue.record("\(choice)")
                continue
            }
        }
        shard.reachabilityChanged(0, onLane: 0, to: false, now: now)
        #expect(ask(&shard, barred: barred) == .refuse(.behind))
    }

    @Test func itIsWorthWaitingForThePreferredRoleOnly() {
        func outlook(_ preference: RolePreference, _ position: UInt64) -> ShardMachine.FreshnessOutlook {
            var configuration = ShardMachine.Configuration()
            configuration.preference = preference
            var shard = ShardMachine(configuration, replicas: [.init(), .init()], now: now)
            shard.roleProbed(0, primary(1, at: 1))
            shard.roleProbed(1, standby(50, at: 2))
            return shard.outlook(for: .init(position: position), tried: ReplicaSet(), now: now)
        }
        var behind = ReplicaSet()
        behind.insert(1)
        #expect(outlook(.any, 60) == .ready && outlook(.primary, 60) == .ready)
        #expect(outlook(.standby, 60) == .wait(behind) && outlook(.standby, 50) == .ready)
    }
}
