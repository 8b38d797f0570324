public import SluiceCore
internal import Synchronization

/// A shard's `ShardMachine`, which all lanes share: a backend has one breaker and a shard one budget, whatever the
/// number of reactors. It is locked for a moment when an attempt begins and when it ends.
public final class ShardState: Sendable {
    private struct State {
        var machine: ShardMachine
        var random = SplitMix64(seed: .random(in: .min ... .max))
    }

    public let name: String
    private let state: Mutex<State>

    public init(
        name: String, _ configuration: ShardMachine.Configuration, replicas: [ShardMachine.Replica],
        latencyClasses: Int, now: Instant
    ) {
        self.name = name
        let machine = ShardMachine(configuration, replicas: replicas, latencyClasses: latencyClasses, now: now)
        state = Mutex(State(machine: machine))
    }

    func attemptRequested(
        _ kind: AttemptKind, _ leg: PlannedLeg, isMeasured: Bool, tried: ReplicaSet, mayRepeat: Bool, now: Instant
    ) -> ShardMachine.Choice {
        state.withLock {
            $0.machine.attemptRequested(
                kind, latencyClass: leg.latencyClass, isMeasured: isMeasured, tried: tried, mayRepeat: mayRepeat,
                now: now, using: &$0.random)
        }
    }

    func attemptEnded(
        _ pick: ShardMachine.Pick, _ result: ShardMachine.AttemptResult, waited: Duration, retryAfter: Duration?,
        isSettling: Bool, now: Instant
    ) -> BreakerMachine.Transition? {
        state.withLock {
            $0.machine.attemptEnded(
                pick, result, waited: waited, retryAfter: retryAfter, isSettling: isSettling, now: now,
                using: &$0.random)
        }
    }

    func attemptSettled(_ replica: Int) { state.withLock { $0.machine.attemptSettled(replica) } }

    func reachabilityChanged(_ replica: Int, onLane lane: Int, to isReachable: Bool, now: Instant) {
        state.withLock { $0.machine.reachabilityChanged(replica, onLane: lane, to: isReachable, now: now) }
    }

    func roleProbed(_ replica: Int, _ role: ReplicaRole) {
        state.withLock { $0.machine.roleProbed(replica, role) }
    }

    /// A copy of what is known, for reports.
    public var snapshot: ShardMachine { state.withLock { $0.machine } }
}
