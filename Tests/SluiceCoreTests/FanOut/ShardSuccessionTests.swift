import SluiceCore
import Testing

/// A shard's machine under another configuration, with other replicas.
@Suite struct ShardSuccessionTests {
    private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    private func machine(_ replicas: Int = 3) -> ShardMachine {
        ShardMachine(
            .init(), replicas: (0..<replicas).map { .init(capacity: 4, server: $0) }, latencyClasses: 2, now: at(0))
    }

    private func heir(_ place: Int, sameCapacity: Bool = true) -> ShardMachine.Heir {
        .init(place: place, hasSameCapacity: sameCapacity)
    }

    @Test func whatIsKnownOfAReplicaGoesWithItToItsNewPlace() {
        var old = machine()
        old.roleProbed(0, ReplicaReport(role: .primary, timeline: 3, position: 1_000, asked: at(1)))
        old.roleProbed(2, ReplicaReport(role: .standby, position: 900, asked: at(2)))
        old.reachabilityChanged(1, onLane: 0, to: false, now: at(3))
        old.drainRequested(2, true)
        old.breakerOpened(0, for: nil, now: at(4))
        old.resized(0, capacity: 2)
        // 1 leaves, a new one comes, 2 and 0 change places.
        let replicas = [2, 7, 0].map { ShardMachine.Replica(capacity: 4, server: $0) }
        let new = old.succeeded(
            by: .init(), replicas: replicas, heirs: [heir(2), nil, heir(0)], latencyClasses: nil, now: at(10))
        #expect(new.replicas.map(\.role) == [.standby, .unknown, .primary])
        #expect(new.replicas.map(\.isDrained) == [true, false, false])
        #expect(new.replicas.map(\.isReachable) == [true, true, true])
        #expect(new.replicas.map { $0.breaker.isClosed } == [true, true, false])
        #expect(new.primary == .found(replica: 2, timeline: 3))
        #expect(new.latestTimeline == 3)
        #expect(new.staleness.bytesBehind(0) == 100 && new.staleness.bytesBehind(1) == nil)
    }

    @Test func aServerThatWasLeftBehindStaysSo() {
        var old = machine(2)
        old.roleProbed(0, ReplicaReport(role: .primary, timeline: 5, asked: at(1)))
        let new = old.succeeded(
            by: .init(), replicas: [.init(server: 1)], heirs: [heir(1)], latencyClasses: nil, now: at(2))
        var later = new
        later.roleProbed(0, ReplicaReport(role: .primary, timeline: 4, asked: at(3)))
        #expect(later.primary == .none(.demoted))
    }

    @Test func otherServersAltogetherHaveAHistoryOfTheirOwn() {
        var old = machine(1)
        old.roleProbed(0, ReplicaReport(role: .primary, timeline: 5, position: 9_000, asked: at(1)))
        var new = old.succeeded(
            by: .init(), replicas: [.init(server: 9)], heirs: [nil], latencyClasses: nil, now: at(2))
        new.roleProbed(0, ReplicaReport(role: .primary, timeline: 1, position: 10, asked: at(3)))
        #expect(new.primary == .found(replica: 0, timeline: 1))
    }

    @Test func theEndOfAConflictIsToldByWhoeverSaysWhatItIs() {
        var old = machine(2)
        old.roleProbed(0, ReplicaReport(role: .primary, timeline: 1, asked: at(1)))
        #expect(old.roleProbed(1, ReplicaReport(role: .primary, timeline: 1, asked: at(2))) == .began([0, 1]))
        var new = old.succeeded(
            by: .init(), replicas: [.init(server: 1)], heirs: [heir(1)], latencyClasses: nil, now: at(3))
        #expect(new.isInConflict)
        #expect(new.roleProbed(0, ReplicaReport(role: .primary, timeline: 1, asked: at(4))) == .ended)
        #expect(new.primary == .found(replica: 0, timeline: 1))
    }

    /// Attempts end with the machine that they began with, so the new one must not count them.
    @Test func nothingIsInFlightAtFirst() {
        var old = machine(1)
        var random = SplitMix64(seed: 1)
        guard
            case .ask(let pick) = old.attemptRequested(
                .first, tried: ReplicaSet(), mayRepeat: false, now: at(1), using: &random)
        else {
            Issue.record("nobody to ask")
            return
        }
        let new = old.succeeded(
            by: .init(), replicas: [.init(server: 0)], heirs: [heir(0)], latencyClasses: nil, now: at(2))
        #expect(old.replicas[0].inFlight == 1 && new.replicas[0].inFlight == 0)
        _ = old.attemptEnded(pick, .rows(took: .milliseconds(1)), now: at(3), using: &random)
        #expect(old.replicas[0].inFlight == 0)
    }

    @Test func anotherBreakerCountsAnewAndStaysAsOpenAsItWas() {
        var breaker = BreakerMachine()
        _ = breaker.forceOpen(for: nil, now: at(1))
        var configuration = BreakerMachine.Configuration()
        configuration.consecutiveFailures = 1
        breaker.reconfigured(configuration)
        #expect(breaker.isOpen(now: at(2)))
        _ = breaker.forceClosed(now: at(3))
        var random = SplitMix64(seed: 1)
        breaker.attemptStarted(asProbe: false, now: at(4))
        #expect(breaker.attemptEnded(.failure, wasProbe: false, now: at(5), using: &random) != nil)
        #expect(!breaker.isClosed)
    }

    @Test func aPoolFollowsAnotherConfiguration() {
        var pool = PoolMachine(.init(minSize: 0, maxSize: 4, maxWaiting: 0))
        #expect(pool.started().dials.isEmpty)
        let dials = pool.reconfigured(.init(minSize: 2, maxSize: 2, maxWaiting: 5, checkAfterIdle: .seconds(1))).dials
        #expect(dials.count == 2)
        var random = SplitMix64(seed: 1)
        for dial in dials { _ = pool.connectionEstablished(dial, now: at(0), using: &random) }
        #expect(pool.freshLeaseRequested(now: at(500)) != nil)
        // The other has been idle for longer than may be now.
        #expect(pool.freshLeaseRequested(now: at(1_500)) == nil)
        #expect(pool.reconfigured(.init(minSize: 0, maxSize: 1, maxWaiting: 5)).closes.count == 1)
        #expect(pool.occupancy.limit == 1)
    }

    @Test func limitsOfMemoryAndAdmissionChangeUnderWay() {
        var pressure = MemoryPressure(limit: 1_000)
        #expect(pressure.grew(to: 800, [.init(id: 1, held: 800)]) == [1])
        pressure.limitChanged(to: 4_000)
        #expect(pressure.grew(to: 900, [.init(id: 2, held: 900)]) == [])
        #expect(pressure.shrank(to: 1_900) == [1])

        let limit = GradientLimit.Configuration(minimum: 1, maximum: 1, initial: 1)
        var admission = AdmissionMachine(.init(limit: limit, maxWaiting: 0))
        let late = at(60_000)
        #expect(admission.searchArrived(id: 1, priority: .interactive, deadline: late, now: at(0)) == .admit)
        guard case .shed = admission.searchArrived(id: 2, priority: .interactive, deadline: late, now: at(0)) else {
            Issue.record("there is one place, and no waiting")
            return
        }
        admission.reconfigured(.init(limit: .init(minimum: 2, maximum: 2, initial: 2), maxWaiting: 0))
        #expect(admission.searchArrived(id: 3, priority: .interactive, deadline: late, now: at(1)) == .admit)
        #expect(admission.inFlight == 2)
    }
}
