internal import SluiceCore

/// What the legs of a stage came to.
struct StageEnd: Sendable {
    /// Every leg, in the stage's order.
    var legs: [LegReport]
    var unsettled: [Task<Void, Never>]
    /// The share of the rows that answered, or why that is no answer.
    var verdict: Result<Double, SearchError>
}

extension SearchLane {
    /// Runs the legs side by side, and returns when all have ended: by themselves, or because enough of them have.
    func fanOut(_ stage: Stage, _ running: RunningSearch) async -> StageEnd {
        let weights = StageWeights(stage.legs, mayBePartial: running.mayBePartial)
        var machine = FanOutMachine(
            legCount: stage.legs.count, totalWeight: weights.total, policy: fanOutPolicy(running.terms),
            started: executor.now(), deadline: running.terms.deadline)
        if stage.legs.count == 1 {
            let result = await runLeg(open(stage.legs[0], stage.inputs[0], running))
            return end([result], decide(&machine, 0, result, weights))
        }
        let places = zip(stage.legs, stage.inputs).map { open($0, $1, running) }
        var results: [LegResult?] = Array(repeating: nil, count: places.count)
        var decided = FanOutMachine.Action.wait
        var laggardTimer: LaneTimer?
        await withTaskGroup(of: (Int, LegResult).self) { group in
            for (index, place) in places.enumerated() {
                group.addTask { (index, await self.runLeg(place)) }
            }
            while let (index, result) = await group.next() {
                results[index] = result
                if case .finish = decided { continue }
                decided = decide(&machine, index, result, weights)
                switch decided {
                case .wait: break
                case .giveUpLaggards(let instant):
                    laggardTimer = executor.schedule(at: instant) {
                        self.assumeIsolated { lane in for place in places { lane.giveUpLeg(place) } }
                    }
                // Those that still run can change nothing; they end at once, and their connections settle behind the
                // fence.
                case .finish: group.cancelAll()
                }
            }
        }
        if let laggardTimer { executor.cancel(laggardTimer) }
        return end(results.compactMap(\.self), decided)
    }

    private func fanOutPolicy(_ terms: RequestTerms) -> FanOutMachine.Policy {
        .init(
            minCoverage: terms.leastCoverage, laggards: terms.minCoverage == nil ? nil : configuration.laggards)
    }

    private func decide(
        _ machine: inout FanOutMachine, _ leg: Int, _ result: LegResult, _ weights: StageWeights
    ) -> FanOutMachine.Action {
        let weight = weights.weight(of: leg)
        let now = executor.now()
        return result.report.status == .ok
            ? machine.legSucceeded(leg, weight: weight, now: now) : machine.legFailed(leg, weight: weight, now: now)
    }

    private func end(_ results: [LegResult], _ decided: FanOutMachine.Action) -> StageEnd {
        let legs = results.map(\.report)
        let verdict: Result<Double, SearchError> =
            switch decided {
            case .finish(.answer(let coverage)): .success(coverage)
            case .finish(.fail(let leg)): .failure(SearchError(leg, of: legs))
            case .wait, .giveUpLaggards: .failure(SearchError(.unavailable, "no shard answered", legs: legs))
            }
        return StageEnd(legs: legs, unsettled: results.flatMap(\.unsettled), verdict: verdict)
    }
}
