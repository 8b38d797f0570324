internal import Logging
internal import SluiceCore

/// The statement of a slow search's slowest leg, and where it was run.
private struct ExplainTarget: Sendable {
    let leg: PlannedLeg
    let input: LegInput
    /// Its place among the shard's.
    let replica: Int

    var backend: Int { leg.shard.replicas[replica].backend }
    var place: Explaining.Place {
        .init(collection: leg.collection, shard: leg.shardName, replica: leg.shard.replicas[replica].name)
    }

    /// An index is there, or belongs there, and was not used.
    func misses(_ use: PlanOutline.IndexUse) -> Bool {
        guard use == .none else { return false }
        if case .nearest = leg.shape.question { return leg.index.kind != .none }
        return true
    }
}

extension SearchLane {
    /// The server's time for the plan, and ours for all of it.
    private static var planningTime: Duration { .milliseconds(500) }
    private static var patience: Duration { .seconds(1) }
    /// A plan quotes the vector once for each partition.
    private static var mostPlanBytes: Int { 16 << 20 }

    /// Of some slow searches the server is asked how it runs the slowest leg's statement: when the search has its
    /// answer, and only with a connection that nobody else wants.
    /// - Parameter number: the search's in the journal.
    func explainIfDue(_ search: Search, _ legs: [LegReport], number: UInt64) {
        guard shared.journal.explaining.slowSearchEnded(now: executor.now(), using: &random) else { return }
        Task(executorPreference: executor) { await self.explain(search, legs, number: number) }
    }

    private func explain(_ search: Search, _ legs: [LegReport], number: UInt64) async {
        defer { shared.journal.explaining.ended() }
        guard let target = target(search, legs), let lease = spareLease(of: target) else { return }
        let limit = executor.now().advanced(by: Self.patience)
        do throws(BackendFailure) {
            let outline = try await lease.connection.explain(
                BackendSearch(
                    shape: target.leg.shape, settings: target.input.settings, timeout: Self.planningTime,
                    subject: target.input.subject, furtherSubjects: [], parameters: target.input.parameters,
                    token: 0, maximumBytes: Self.mostPlanBytes),
                deadline: limit)
            release(lease)
            note(outline, of: target, number: number)
        } catch {
            _ = settle(lease)
            logger.debug(
                "a slow search could not be explained: \(error.detail)",
                metadata: ["shard": "\(target.place.shard)", "replica": "\(target.place.replica)"])
        }
    }

    /// What the leg was asked first, made anew: it is not kept while searches run. Nil if the server had no part in its
    /// slowness, or it looks at every row because the search says so.
    private func target(_ search: Search, _ legs: [LegReport]) -> ExplainTarget? {
        guard search.extras?.value.like == nil, let slowest = legs.max(by: { $0.execute < $1.execute }),
            slowest.execute > .zero, let plan = try? planner.plan(search)
        else { return nil }
        var stage = plan.stage
        if let text = search.extras?.value.text { stage.append(planner.words(plan, text)) }
        let places = stage.legs.indices.filter {
            stage.legs[$0].collection == slowest.leg.collection
                && stage.legs[$0].shardName == slowest.leg.shardName
        }
        let same = places.first { stage.legs[$0].shape.question == slowest.leg.shape.question }
        guard let place = same ?? places.first, !stage.legs[place].shape.isHeavy,
            let replica = stage.legs[place].shard.replicas.firstIndex(where: { $0.name == slowest.replica })
        else { return nil }
        return ExplainTarget(leg: stage.legs[place], input: stage.inputs[place], replica: replica)
    }

    /// An idle connection to a replica that is well; nil if there is none, or somebody waits for one, or the next leg
    /// would have to wait for this one.
    private func spareLease(of target: ExplainTarget) -> Lease? {
        let replica = target.leg.shardState.snapshot.replicas[target.replica]
        guard case .closed = replica.breaker.position, replica.isReachable, !replica.isDrained,
            !shared.memory.isExhausted
        else { return nil }
        let slice = backends[target.backend].machine.occupancy
        let canGrow = slice.idle + slice.leased + slice.dialling + slice.closing < slice.limit
        guard slice.waiting == 0, slice.idle > 1 || canGrow else { return nil }
        return leaseAtOnce(target.backend)
    }

    private func note(_ outline: PlanOutline, of target: ExplainTarget, number: UInt64) {
        let place = target.place
        let isMissed = target.misses(outline.indexUse)
        target.leg.meters.explained(target.leg.collectionNumber, outline.indexUse)
        shared.journal.explained(
            number,
            .init(
                collection: place.collection, shard: place.shard, replica: place.replica, outline: outline,
                isIndexMissed: isMissed))
        if shared.journal.explaining.noted(missedIndex: isMissed, at: place) {
            let text = "slow searches of \(place.collection) \(isMissed ? "use no index" : "use an index again")"
            shared.journal.add(.init(.plan, shard: place.shard, replica: place.replica, text), at: executor.now())
        }
        logger.log(
            level: isMissed ? .warning : .notice,
            isMissed ? "a slow search did not use the index" : "slow search explained",
            metadata: [
                "collection": "\(place.collection)", "shard": "\(place.shard)", "replica": "\(place.replica)",
                "index_used": "\(outline.indexUse.rawValue)", "plan": "\(outline.steps)",
                "estimated_rows": "\(outline.rows)", "estimated_cost": "\(outline.cost)",
            ])
    }
}
