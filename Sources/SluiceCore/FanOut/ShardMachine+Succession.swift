extension ShardMachine {
    /// The replica that another one takes the place of.
    public struct Heir: Hashable, Sendable {
        public var place: Int
        /// Also if an operator has changed it.
        public var hasSameCapacity: Bool

        public init(place: Int, hasSameCapacity: Bool) {
            self.place = place
            self.hasSameCapacity = hasSameCapacity
        }
    }

    /// The machine of the same shard under another configuration, which knows what this one knows of the replicas that
    /// stay: their roles, latencies and breakers, and what an operator has said of them. Attempts that run end with
    /// this one.
    /// - Parameters:
    ///   - heirs: what each replica was here; nil for one that is new.
    ///   - latencyClasses: how many kinds of legs are told apart from now on; nil if they are the same ones.
    public func succeeded(
        by configuration: Configuration, replicas: [Replica], heirs: [Heir?], latencyClasses: Int?, now: Instant
    ) -> ShardMachine {
        var next = ShardMachine(
            configuration, replicas: replicas, latencyClasses: latencyClasses ?? latencies.count, now: now)
        // Other servers altogether: nothing that is known is of them.
        guard heirs.contains(where: { $0 != nil }) else { return next }
        for (place, heir) in zip(replicas.indices, heirs) {
            guard let heir, self.replicas.indices.contains(heir.place) else { continue }
            next.replicas[place].inherit(from: self.replicas[heir.place])
            if heir.hasSameCapacity {
                next.replicas[place].settings.capacity = self.replicas[heir.place].settings.capacity
            }
            next.replicas[place].breaker.reconfigured(configuration.breaker)
            next.replicas[place].latency.reconfigured(slowStart: configuration.slowStart)
        }
        next.staleness = staleness.kept(heirs.map { $0?.place })
        if latencyClasses == nil { next.latencies = latencies }
        if configuration.budget == self.configuration.budget { next.budget = budget }
        next.latestTimeline = latestTimeline
        next.systemIdentifier = systemIdentifier
        next.conflicts = conflicts
        next.extraAttempts = extraAttempts
        next.refusedExtraAttempts = refusedExtraAttempts
        // Whether a conflict is over, the next who says what it is will find, and tell.
        if isInConflict { next.primary = .conflict([]) } else { _ = next.findPrimary() }
        return next
    }
}

extension ShardMachine.State {
    fileprivate mutating func inherit(from earlier: Self) {
        role = earlier.role
        timeline = earlier.timeline
        incarnation = earlier.incarnation
        systemIdentifier = earlier.systemIdentifier
        asked = earlier.asked
        isSilent = earlier.isSilent
        lanesUp = earlier.lanesUp
        lanesFailed = earlier.lanesFailed
        restsUntil = earlier.restsUntil
        isDrained = earlier.isDrained
        breaker = earlier.breaker
        latency = earlier.latency
    }
}
