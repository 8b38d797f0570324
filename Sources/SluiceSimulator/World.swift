internal import SluiceCore

/// The servers, as far as a gateway can tell: what a dial, a statement or a cancel meets.
struct World {
    enum Answer: Hashable {
        case after(Duration)
        case failure(AttemptFailure, after: Duration)
        case never
    }

    private let faults: [Fault]
    private let replicas: Int
    private let origin: Instant

    init(_ scenario: Scenario, origin: Instant) {
        faults = scenario.faults
        replicas = scenario.replicas
        self.origin = origin
    }

    func faults(_ shard: Int, _ replica: Int, now: Instant) -> [Fault.Kind] {
        let time = origin.duration(to: now)
        return faults.filter { $0.shard == shard && $0.replica == replica && $0.begin <= time && time < $0.end }
            .map(\.kind)
    }

    /// Replica 0 is the primary until the first failover has ended, then the next one, and so on.
    func role(_ shard: Int, _ replica: Int, now: Instant) -> ReplicaRole {
        let time = origin.duration(to: now)
        let failovers = faults.count { $0.kind == .failover && $0.shard == shard && $0.end <= time }
        return failovers % replicas == replica ? .primary : .standby
    }

    /// True while the shard's primary is on its way out.
    private func isFailingOver(_ shard: Int, _ replica: Int, now: Instant) -> Bool {
        let time = origin.duration(to: now)
        let isUnderWay = faults.contains {
            $0.kind == .failover && $0.shard == shard && $0.begin <= time && time < $0.end
        }
        return isUnderWay && role(shard, replica, now: now) == .primary
    }

    /// True while connections cannot live.
    func isDown(_ shard: Int, _ replica: Int, now: Instant) -> Bool {
        faults(shard, replica, now: now).contains { kind in
            kind == .down || (kind == .flapping && origin.duration(to: now).nanoseconds / 200_000_000 % 2 == 0)
        }
    }

    func dial(_ shard: Int, _ replica: Int, now: Instant, using random: inout SplitMix64) -> Answer {
        if isDown(shard, replica, now: now) { return .failure(.unreachable, after: .milliseconds(1)) }
        let kinds = faults(shard, replica, now: now)
        if kinds.contains(.hanging) { return .failure(.unreachable, after: .seconds(3)) }
        if kinds.contains(.full) { return .failure(.unreachable, after: .milliseconds(2)) }
        return .after(.milliseconds(.random(in: 5...50, using: &random)))
    }

    func execute(_ shard: Int, _ replica: Int, now: Instant, using random: inout SplitMix64) -> Answer {
        let kinds = faults(shard, replica, now: now)
        let usual = Duration.microseconds(.random(in: 300...3_000, using: &random))
        if isDown(shard, replica, now: now) { return .failure(.connectionLost, after: .zero) }
        if kinds.contains(.hanging) { return .never }
        if isFailingOver(shard, replica, now: now) { return .failure(.notServing, after: .microseconds(200)) }
        if kinds.contains(.refusing) { return .failure(.statement, after: usual) }
        if kinds.contains(.lagging), Int.random(in: 0..<4, using: &random) == 0 {
            return .failure(.recoveryConflict, after: usual)
        }
        if kinds.contains(.dropping), Int.random(in: 0..<3, using: &random) == 0 {
            return .failure(.connectionLost, after: usual)
        }
        // One in fifty takes long on any server.
        let isSlow = kinds.contains(.slow) || Int.random(in: 0..<50, using: &random) == 0
        return .after(isSlow ? usual * 100 : usual)
    }

    // MARK: Rows

    /// How far a shard's row is from a query: the same for every replica.
    static func distance(query: UInt64, shard: Int, row: Int) -> Double {
        var random = SplitMix64(seed: query &* 1_000_003 &+ UInt64(shard * 4_096 + row))
        return Double(random.next() >> 11) / Double(1 << 53)
    }

    /// A shard's k nearest, nearest first.
    static func nearest(query: UInt64, shard: Int, k: Int) -> [Candidate] {
        let all = (0..<Scenario.rows).map { row in
            Candidate(
                distance: distance(query: query, shard: shard, row: row), collection: 0,
                id: Int64(shard * 4_096 + row), leg: shard, row: row)
        }
        return Array(all.sorted(by: Candidate.precedes).prefix(k))
    }
}
