internal import SluiceCore

/// What the legs of a stage came to.
struct StageEnd: Sendable {
    /// Every leg, in the stage's order.
    var legs: [LegReport]
    var unsettled: [Task<Void, Never>]
    /// The share of the rows that answered, or why that is no answer.
    var verdict: Result<Double, SearchError>
}

/// The legs of a stage while they run.
private final class RunningStage {
    let runs: [RunningLeg]
    private let weights: StageWeights
    private var machine: FanOutMachine
    private(set) var decided = FanOutMachine.Action.wait
    /// When those that still run get no more time.
    var laggardTimer: LaneTimer?

    init(_ runs: [RunningLeg], _ weights: StageWeights, _ machine: FanOutMachine) {
        self.runs = runs
        self.weights = weights
        self.machine = machine
    }

    /// What follows from the end of a leg; nil once the rest can change nothing.
    func ended(_ leg: Int, now: Instant) -> FanOutMachine.Action? {
        if case .finish = decided { return nil }
        let weight = weights.weight(of: leg)
        decided =
            runs[leg].report.status == .ok
            ? machine.legSucceeded(leg, weight: weight, now: now) : machine.legFailed(leg, weight: weight, now: now)
        return decided
    }

    var end: StageEnd {
        let legs = runs.map(\.report)
        let verdict: Result<Double, SearchError> =
            switch decided {
            case .finish(.answer(let coverage)): .success(coverage)
            case .finish(.fail(let leg)): .failure(SearchError(leg, of: legs))
            case .wait, .giveUpLaggards: .failure(SearchError(.unavailable, "no shard answered", legs: legs))
            }
        return StageEnd(legs: legs, unsettled: runs.flatMap(\.unsettled), verdict: verdict)
    }
}

extension SearchLane {
    /// Runs the legs side by side, and returns when all have ended: by themselves, or because enough of them have.
    func fanOut(_ legs: Stage, _ running: RunningSearch) async -> StageEnd {
        let stage = begin(legs, running)
        if stage.runs.count == 1 {
            await runLeg(stage.runs[0])
            _ = stage.ended(0, now: executor.now())
            return stage.end
        }
        await withTaskGroup(of: Int.self) { group in
            for (index, run) in stage.runs.enumerated() {
                let place = run.place
                group.addTask {
                    await self.runLeg(at: place)
                    return index
                }
            }
            while let index = await group.next() {
                switch stage.ended(index, now: executor.now()) {
                case .wait, nil: break
                case .giveUpLaggards(let instant): giveUpLaggards(of: stage, at: instant)
                // Those that still run can change nothing; they end at once, and their connections settle behind the
                // fence.
                case .finish: group.cancelAll()
                }
            }
        }
        if let timer = stage.laggardTimer { executor.cancel(timer) }
        return stage.end
    }

    private func begin(_ stage: Stage, _ running: RunningSearch) -> RunningStage {
        let weights = StageWeights(stage.legs, mayBePartial: running.mayBePartial)
        let terms = running.terms
        let policy = FanOutMachine.Policy(
            minCoverage: terms.leastCoverage, laggards: terms.minCoverage == nil ? nil : configuration.laggards)
        let machine = FanOutMachine(
            legCount: stage.legs.count, totalWeight: weights.total, policy: policy, started: executor.now(),
            deadline: terms.deadline)
        return RunningStage(zip(stage.legs, stage.inputs).map { open($0, $1, running) }, weights, machine)
    }

    private func giveUpLaggards(of stage: RunningStage, at instant: Instant) {
        let places = stage.runs.map(\.place)
        stage.laggardTimer = executor.schedule(at: instant) {
            self.assumeIsolated { lane in for place in places { lane.giveUpLeg(place) } }
        }
    }
}
