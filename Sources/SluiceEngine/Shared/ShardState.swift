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

    /// The shard as it is configured now, with what is known of the replicas that stay. What runs ends with the earlier
    /// one.
    /// - Parameters:
    ///   - heirs: what each replica was in the earlier one; nil for one that is new.
    ///   - latencyClasses: nil if they are the same ones.
    public init(
        after earlier: ShardState, _ configuration: ShardMachine.Configuration, replicas: [ShardMachine.Replica],
        heirs: [ShardMachine.Heir?], latencyClasses: Int?, now: Instant
    ) {
        name = earlier.name
        let machine = earlier.snapshot.succeeded(
            by: configuration, replicas: replicas, heirs: heirs, latencyClasses: latencyClasses, now: now)
        state = Mutex(State(machine: machine))
    }

    public func isDrained(_ replica: Int) -> Bool {
        state.withLock { $0.machine.replicas.indices.contains(replica) && $0.machine.replicas[replica].isDrained }
    }

    /// - Parameters:
    ///   - need: what the replica must have; nil for whatever it has.
    ///   - acceptsStale: if no replica has it, another is asked, and the choice says so.
    func attemptRequested(
        _ kind: AttemptKind, _ leg: PlannedLeg, isMeasured: Bool, tried: ReplicaSet, mayRepeat: Bool,
        need: FreshnessNeed?, acceptsStale: Bool, now: Instant
    ) -> ShardMachine.Choice {
        state.withLock { state in
            func request(_ barred: ReplicaSet) -> ShardMachine.Choice {
                state.machine.attemptRequested(
                    kind, latencyClass: leg.latencyClass, isMeasured: isMeasured, tried: tried, barred: barred,
                    mayRepeat: mayRepeat, now: now, using: &state.random)
            }
            guard let need else { return request(ReplicaSet()) }
            let choice = request(state.machine.stale(for: need, now: now))
            guard acceptsStale, case .refuse = choice, case .ask(var pick) = request(ReplicaSet()) else {
                return choice
            }
            pick.isStale = true
            return .ask(pick)
        }
    }

    func outlook(for need: FreshnessNeed, tried: ReplicaSet, now: Instant) -> ShardMachine.FreshnessOutlook {
        state.withLock { $0.machine.outlook(for: need, tried: tried, now: now) }
    }

    /// Whether a replica still has what made it the choice: it may have been started anew meanwhile.
    func hasReplayed(_ need: FreshnessNeed, _ replica: Int, now: Instant) -> Bool {
        let position = FreshnessNeed(position: need.position)
        return state.withLock { $0.machine.isFresh(replica, for: position, now: now) }
    }

    func attemptEnded(
        _ pick: ShardMachine.Pick, _ result: ShardMachine.AttemptResult, waited: Duration, retryAfter: Duration?,
        isSettling: Bool, now: Instant
    ) -> (transition: BreakerMachine.Transition?, staleness: Duration?) {
        state.withLock {
            let transition = $0.machine.attemptEnded(
                pick, result, waited: waited, retryAfter: retryAfter, isSettling: isSettling, now: now,
                using: &$0.random)
            return (transition, $0.machine.stalenessBound(of: pick.replica, now: now))
        }
    }

    func attemptSettled(_ replica: Int) { state.withLock { $0.machine.attemptSettled(replica) } }

    func reachabilityChanged(
        _ replica: Int, onLane lane: Int, to isReachable: Bool, now: Instant
    ) -> PrimaryConflictChange? {
        state.withLock { $0.machine.reachabilityChanged(replica, onLane: lane, to: isReachable, now: now) }
    }

    /// - Returns: what changed: of claims to be primary, of this replica's role, if it had one before, and of whether
    ///   it is of another cluster than most.
    func roleProbed(
        _ replica: Int, _ report: ReplicaReport
    ) -> (conflict: PrimaryConflictChange?, role: ReplicaRole?, isStranger: Bool?) {
        state.withLock { state in
            let before = state.machine.replicas[replica].role
            let wasStranger = state.machine.isOfAnotherCluster(replica)
            let conflict = state.machine.roleProbed(replica, report)
            let role = state.machine.replicas[replica].role
            let isStranger = state.machine.isOfAnotherCluster(replica)
            return (
                conflict, before == .unknown || before == role ? nil : role,
                isStranger == wasStranger ? nil : isStranger
            )
        }
    }

    func lookFailed(_ replica: Int, asked: Instant) -> PrimaryConflictChange? {
        state.withLock { $0.machine.lookFailed(replica, asked: asked) }
    }

    // MARK: An operator's word

    public func drainRequested(_ replica: Int, _ isDrained: Bool) {
        state.withLock { $0.machine.drainRequested(replica, isDrained) }
    }

    /// - Parameter time: until it may be probed; nil: until it is closed by hand.
    public func breakerOpened(_ replica: Int, for time: Duration?, now: Instant) {
        state.withLock { $0.machine.breakerOpened(replica, for: time, now: now) }
    }

    public func breakerClosed(_ replica: Int, now: Instant) {
        state.withLock { $0.machine.breakerClosed(replica, now: now) }
    }

    public func resized(_ replica: Int, capacity: Int) {
        state.withLock { $0.machine.resized(replica, capacity: capacity) }
    }

    // MARK: Reports

    /// Where the shard can be written to.
    public var primary: PrimaryChoice { state.withLock { $0.machine.primary } }

    /// The same where something else says which replica is the leader, and the cluster that this one says it is of.
    /// - Parameter known: which cluster the shard's is by the same word, if it says that.
    func primary(
        namedAs replica: Int, of known: UInt64?
    ) -> (choice: PrimaryChoice, systemIdentifier: UInt64?) {
        state.withLock {
            ($0.machine.primary(namedAs: replica, of: known), $0.machine.systemIdentifier(of: replica))
        }
    }

    /// The highest that a server of this cluster was on which said that it is a primary.
    func latestTimeline(of cluster: UInt64?) -> UInt32 { state.withLock { $0.machine.latestTimeline(of: cluster) } }

    /// A copy of what is known, for reports.
    public var snapshot: ShardMachine { state.withLock { $0.machine } }
}
