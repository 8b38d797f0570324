/// How far behind the primary each of a shard's standbys may be. It is told, now and then, how far the primary has
/// written and how far a standby has replayed; whoever has replayed what the primary had written at an instant has
/// everything that was committed before it.
public struct StalenessTracker: Sendable {
    private struct Sample {
        var asked: Instant
        var position: UInt64
    }

    private struct Standing {
        var role = ReplicaRole.unknown
        var position: UInt64?
        var incarnation: UInt64?
        /// It has everything that was committed before.
        var caughtUp: Instant?
    }

    /// When there are more, every second one of the older half goes: what is long ago is known less exactly.
    public static let mostSamples = 128

    /// The primary's, in the order of time; positions rise.
    private var samples: [Sample] = []
    private var standings: [Standing]
    /// Positions on another timeline are not comparable.
    private var timeline: UInt32 = 0

    public init(replicas: Int) { standings = Array(repeating: Standing(), count: max(0, replicas)) }

    public var sampleCount: Int { samples.count }

    /// The same of other replicas.
    /// - Parameter heirs: each one's place here; nil for one that is new.
    func kept(_ heirs: [Int?]) -> StalenessTracker {
        var next = self
        next.standings = heirs.map { $0.flatMap { standings.indices.contains($0) ? standings[$0] : nil } ?? Standing() }
        return next
    }

    // MARK: Told

    /// Reports of one replica come in the order in which it was asked.
    /// - Parameter latestTimeline: the highest that a primary of the shard was ever seen on.
    public mutating func reported(_ replica: Int, _ report: ReplicaReport, latestTimeline: UInt32) {
        guard standings.indices.contains(replica) else { return }
        if latestTimeline > timeline {
            timeline = latestTimeline
            samples.removeAll(keepingCapacity: true)
            for place in standings.indices { forget(place) }
        }
        let isOther = report.incarnation.map { $0 != standings[replica].incarnation } ?? false
        if isOther || report.role != standings[replica].role { forget(replica) }
        standings[replica].role = report.role
        standings[replica].incarnation = report.incarnation ?? standings[replica].incarnation
        guard let position = report.position else { return }
        switch report.role {
        case .primary: if report.timeline == timeline { sampled(position, report.asked) }
        case .standby: replayed(position, replica)
        case .unknown: break
        }
    }

    /// A replica cannot be reached any more: when it is back it may have less than it had, after a crash.
    public mutating func forget(_ replica: Int) {
        guard standings.indices.contains(replica) else { return }
        standings[replica].position = nil
        standings[replica].caughtUp = nil
    }

    private mutating func sampled(_ position: UInt64, _ asked: Instant) {
        if let last = samples.last {
            guard asked > last.asked, position >= last.position else { return }
            // It had written no more by then either.
            if position == last.position { samples.removeLast() }
        }
        if samples.count >= Self.mostSamples {
            let half = samples.count / 2
            samples = samples.indices.filter { $0 >= half || $0.isMultiple(of: 2) }.map { samples[$0] }
        }
        samples.append(Sample(asked: asked, position: position))
        for place in standings.indices where standings[place].position.map({ $0 >= position }) == true {
            standings[place].caughtUp = asked
        }
    }

    private mutating func replayed(_ position: UInt64, _ replica: Int) {
        let position = max(position, standings[replica].position ?? 0)
        standings[replica].position = position
        guard let sample = latestSample(upTo: position) else { return }
        standings[replica].caughtUp = max(sample.asked, standings[replica].caughtUp ?? sample.asked)
    }

    private func latestSample(upTo position: UInt64) -> Sample? {
        var (low, high) = (0, samples.count)
        while low < high {
            let middle = (low + high) / 2
            if samples[middle].position <= position { low = middle + 1 } else { high = middle }
        }
        return low > 0 ? samples[low - 1] : nil
    }

    // MARK: Asked

    /// What a standby gives is at most so old; nil if that is not known, as for all that are no standbys.
    public func bound(of replica: Int, now: Instant) -> Duration? {
        guard standings.indices.contains(replica), standings[replica].role == .standby,
            let caughtUp = standings[replica].caughtUp
        else { return nil }
        return max(.zero, caughtUp.duration(to: now))
    }

    /// Whether a standby is known to have replayed the log up to there.
    public func hasReplayed(_ position: UInt64, on replica: Int) -> Bool {
        guard standings.indices.contains(replica), standings[replica].role == .standby else { return false }
        return standings[replica].position.map { $0 >= position } ?? false
    }

    /// How much of the log a standby had still to replay, by what both said last; nil if that is not known.
    public func bytesBehind(_ replica: Int) -> UInt64? {
        guard standings.indices.contains(replica), standings[replica].role == .standby,
            let position = standings[replica].position, let last = samples.last
        else { return nil }
        return last.position > position ? last.position - position : 0
    }
}
