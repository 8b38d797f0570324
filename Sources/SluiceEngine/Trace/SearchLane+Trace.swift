public import Logging
internal import SluiceCore

extension SearchLane {
    /// The span of a leg that begins; nil if its request is not traced.
    func beginTrace(of leg: RunningLeg, _ now: Instant) -> LegTrace? {
        guard let request = leg.running.terms.origin.trace else { return nil }
        leg.trace = request.leg(collection: leg.leg.collection, shard: leg.leg.shardName, now: now)
        return leg.trace
    }

    /// The span of an attempt that begins; nil if its leg is not traced.
    func beginTrace(ofAttempt kind: AttemptKind, _ pick: ShardMachine.Pick, _ leg: RunningLeg) -> AttemptTrace? {
        guard let trace = leg.trace else { return nil }
        return trace.attempt(kind, replica: leg.leg.shard.replicas[pick.replica].name, now: executor.now())
    }
}

extension RequestOrigin {
    /// For a line of the log.
    public var logged: Logger.Metadata { metadata.mapValues { .string($0) } }
}
