import SluiceCore
import Testing

/// A shard whose members something else names.
@Suite struct NamedPrimaryTests {
    private let now = Instant(nanoseconds: 0)

    @Test func theNamedPrimaryIsFoundAlthoughAnotherClaimsToBeIt() {
        var shard = ShardMachine(.init(), replicas: [.init(), .init(), .init(), .init()], now: now)
        shard.roleProbed(0, ReplicaReport(role: .primary, timeline: 1, asked: now))
        shard.roleProbed(1, ReplicaReport(role: .primary, timeline: 2, asked: now))
        shard.roleProbed(2, ReplicaReport(role: .standby, asked: now))
        #expect(shard.isInConflict)
        #expect(shard.primary(namedAs: 1) == .found(replica: 1, timeline: 2))
        #expect(shard.primary(namedAs: 0) == .none(.demoted))
        #expect(shard.primary(namedAs: 2) == .none(.onlyStandbys))
        #expect(shard.primary(namedAs: 3) == .none(.unknown))
        #expect(shard.primary(namedAs: 4) == .none(.unreachable))
    }

    @Test func aShardWithoutMembersRefuses() {
        var shard = ShardMachine(.init(), replicas: [], now: now)
        var random = SplitMix64(seed: 1)
        for kind in [AttemptKind.first, .retry, .hedge] {
            let choice = shard.attemptRequested(kind, tried: ReplicaSet(), mayRepeat: true, now: now, using: &random)
            #expect(choice == .refuse(.unreachable))
        }
        #expect(shard.primary == .none(.unknown))
        #expect(shard.primary(namedAs: 0) == .none(.unreachable))
    }
}
