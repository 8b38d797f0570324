internal import SluiceCore

extension SearchLane {
    /// Waits, not for long, until a replica of the preferred role has what a leg needs, asking them meanwhile how far
    /// they have got. Who is asked after that is the shard's choice, among all that have it.
    func awaitFreshness(_ leg: RunningLeg) async {
        guard let need = leg.need else { return }
        let shard = leg.leg.shardState
        var step = Self.firstFreshnessStep
        while case .wait(let behind) = shard.outlook(for: need, tried: leg.machine.tried, now: executor.now()) {
            let now = executor.now()
            let limit = leg.freshnessLimit ?? freshnessLimit(leg, now: now)
            leg.freshnessLimit = limit
            guard now < limit, !leg.isGivenUp, !Task.isCancelled else { return }
            for replica in behind.places { askHowFar(leg.leg.shard.replicas[replica].backend) }
            await pause(leg.place, until: min(limit, now.advanced(by: step)))
            step = min(step * 3 / 2, Self.longestFreshnessStep)
        }
    }

    /// All attempts of a leg wait for so long together. The search itself needs time, too.
    private func freshnessLimit(_ leg: RunningLeg, now: Instant) -> Instant {
        now.advanced(by: min(configuration.freshnessWait, now.duration(to: leg.machine.deadline) / 2))
    }

    private static var firstFreshnessStep: Duration { .milliseconds(3) }
    private static var longestFreshnessStep: Duration { .milliseconds(20) }

    /// One question at a time, however many legs wait for its answer.
    private func askHowFar(_ backend: Int) {
        guard beingAsked.insert(backend).inserted else { return }
        Task(executorPreference: executor) {
            if await !self.inspect(backend, withTables: false) { await self.shared.inspect(backend) }
            await self.wasAsked(backend)
        }
    }

    private func wasAsked(_ backend: Int) { beingAsked.remove(backend) }
}
