internal import Logging
internal import SluiceCore

extension SearchLane {
    /// Makes the entry of a leg that is about to run.
    func open(_ leg: PlannedLeg, _ input: LegInput, _ running: RunningSearch) -> RunningLeg {
        let run = RunningLeg(leg: leg, input: input, running: running, machine: machine(of: leg, input, running))
        run.place = legs.insert(run)
        return run
    }

    private func machine(of leg: PlannedLeg, _ input: LegInput, _ running: RunningSearch) -> LegMachine {
        LegMachine(policy: configuration.legs, deadline: deadline(of: leg, input, running))
    }

    /// The request's deadline, capped by the collection's own time-out.
    func deadline(of leg: PlannedLeg, _ input: LegInput, _ running: RunningSearch) -> Instant {
        let last = input.isExtra ? running.lastExtra : running.lastAnswer
        guard let timeout = leg.timeout else { return last }
        return min(last, running.started.advanced(by: timeout))
    }

    // A leg's way crosses a dozen async functions, each with a frame of its own. What is private to them is inlined,
    // and what needs no `await` is done elsewhere, as a frame holds every temporary to its end
    // (docs/decisions/0013).

    /// Runs one leg, and searches harder if it finds too few rows and the request wants them all. What came of it is in
    /// the entry.
    func runLeg(_ run: RunningLeg) async {
        let began = executor.now()
        let trace = beginTrace(of: run, began)
        await runRung(run)
        if let ladder = run.laddersOn { await climb(run, ladder) }
        ended(run, began, trace)
    }

    /// The same for a task of its own, which can be told only the entry's place.
    func runLeg(at place: SlotID) async {
        if let run = legs[place] { await runLeg(run) }
    }

    private func ended(_ run: RunningLeg, _ began: Instant, _ trace: LegTrace?) {
        legs.remove(run.place)
        run.report.took = began.duration(to: executor.now())
        trace?.end(run.report)
        run.report.leg.meters.legEnded(run.report.leg, took: run.report.took)
    }

    private func climb(_ run: RunningLeg, _ ladder: LegLadder) async {
        let first = run.report.leg
        run.report.mayBeIncomplete = ladder.isShort(run.report)
        while let rungs = ladder.rungs, case .escalate(let rung) = decide(ladder, run.report, run.running) {
            let known = run.report
            run.leg = rung == .exact ? rungs.exactLegs[first.place] : first
            run.input = run.input.again(rungs.settings(rung, run.input.settings), ladder)
            run.machine = machine(of: run.leg, run.input, run.running)
            run.hedgeEnd = nil
            run.rung += 1
            await runRung(run)
            let isAnswered = run.report.status == .ok
            run.report = known.climbed(to: rung, run.report)
            guard isAnswered else { break }
            run.report.mayBeIncomplete = ladder.isShort(run.report)
        }
    }

    private func decide(
        _ ladder: LegLadder, _ report: LegReport, _ running: RunningSearch
    ) -> EscalationLadder.Decision {
        let left = executor.now().duration(to: running.lastExtra)
        return configuration.ladder.decide(ladder.situation(report, timeLeft: left))
    }

    /// Chooses a replica, leases a connection for itself, asks, and asks another replica if the first one fails or
    /// takes longer than most.
    private func runRung(_ run: RunningLeg) async {
        run.report = LegReport(of: run.leg)
        var action = run.machine.started(now: executor.now())
        while case .attempt(let kind, let due) = action {
            if kind != .first, due > executor.now() { await pause(run.place, until: due) }
            if run.need != nil { await awaitFreshness(run) }
            if Task.isCancelled || run.isGivenUp {
                action = .fail(.cancelled)
            } else {
                action = await attempt(kind, run)
            }
        }
        if case .fail(let reason) = action { run.report.conclude(reason) }
        if run.isGivenUp, run.report.status == .cancelled { run.report.noteGivenUp() }
        run.report.attempts = run.machine.attempts
        run.report.hedges = run.machine.hedges
    }

    /// One attempt, with the hedge that it may get: returns when neither runs any more, or the leg has its rows.
    @inline(__always)
    private func attempt(_ kind: AttemptKind, _ run: RunningLeg) async -> LegMachine.Action {
        guard let pick = pick(kind, run) else { return run.machine.attemptRefused(kind, run.report.refusal) }
        armHedge(run, after: pick.hedgeAfter)
        let trace = beginTrace(ofAttempt: kind, pick, run)
        let end = await perform(request(pick, run.leg, run.input, run.running), for: run.place)
        trace?.end(end)
        let action = attemptEnded(end, run)
        guard case .wait = action, let hedge = run.hedge.take() else { return action }
        return await hedgeEnd(hedge, run)
    }

    /// What follows from the end of the leg's own attempt: `wait` if its hedge may still bring the rows.
    private func attemptEnded(_ end: AttemptEnd, _ run: RunningLeg) -> LegMachine.Action {
        run.current = .between
        disarmHedge(run)
        if let hedgeEnd = run.hedgeEnd {
            // The hedge was first, and has interrupted this attempt.
            run.note(end)
            run.note(hedgeEnd)
            return .succeed
        }
        let action = noteEnd(end, run)
        if action != .wait, let hedge = run.hedge.take() {
            hedge.cancel()
            run.unsettled.append(Task(executorPreference: executor) { await hedge.value.unsettled?.value })
        }
        return action
    }

    private func hedgeEnd(_ hedge: Task<AttemptEnd, Never>, _ run: RunningLeg) async -> LegMachine.Action {
        run.current = .hedging(hedge)
        let end = await withTaskCancellationHandler {
            await hedge.value
        } onCancel: {
            hedge.cancel()
        }
        run.current = .between
        let action = noteEnd(end, run)
        if action == .succeed { run.report.leg.meters.hedgeWon(shard: run.report.leg.shardIndex) }
        return action
    }

    private func noteEnd(_ end: AttemptEnd, _ run: RunningLeg) -> LegMachine.Action {
        run.note(end)
        switch end.result {
        case .success: return run.machine.attemptSucceeded()
        case .failure(let failure):
            return run.machine.attemptFailed(failure.reason, now: executor.now(), using: &random)
        }
    }

    /// A replica for an attempt; nil if there is none, or no budget. The reason is noted then.
    private func pick(_ kind: AttemptKind, _ run: RunningLeg) -> ShardMachine.Pick? {
        let leg = run.leg
        let choice = leg.shardState.attemptRequested(
            kind, leg, isMeasured: run.isMeasured, tried: run.machine.tried,
            mayRepeat: run.report.lastFailure?.advice == .anywhere, need: run.need,
            acceptsStale: run.running.acceptsStale, now: executor.now())
        switch choice {
        case .refuse(let reason):
            run.report.refusal = reason
            return nil
        case .ask(let pick):
            run.machine.attemptStarted(kind, replica: pick.replica)
            leg.meters.attemptStarted(kind, shard: leg.shardIndex)
            run.report.replica = leg.shard.replicas[pick.replica].name
            return pick
        }
    }

    /// Waits before a retry; ends early if the leg is given up.
    func pause(_ place: SlotID, until due: Instant) async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                guard !Task.isCancelled else { return continuation.resume() }
                let timer = executor.schedule(at: due) { self.assumeIsolated { $0.resume(place) } }
                legs[place]?.current = .pausing(continuation, timer)
            }
        } onCancel: {
            executor.execute { self.assumeIsolated { $0.resume(place) } }
        }
    }

    private func resume(_ place: SlotID) {
        guard case .pausing(let continuation, let timer) = legs[place]?.current else { return }
        legs[place]?.current = .between
        executor.cancel(timer)
        continuation.resume()
    }

    // MARK: Hedges

    /// From now on the attempt may be slow. That includes the wait for a connection: a frozen replica shows in that its
    /// connections do not come back. When all wait because we are full, no replica has room for a hedge.
    private func armHedge(_ run: RunningLeg, after delay: Duration?) {
        guard let delay, configuration.hedges, run.running.terms.allowsHedges else { return }
        run.hedgeAfter = delay
        run.hedgeTimer = executor.schedule(at: executor.now().advanced(by: delay)) { [place = run.place] in
            self.assumeIsolated { $0.hedgeDue(place) }
        }
    }

    private func disarmHedge(_ run: RunningLeg) {
        if let timer = run.hedgeTimer.take() { executor.cancel(timer) }
    }

    private func hedgeDue(_ place: SlotID) {
        guard let run = legs[place] else { return }
        run.hedgeTimer = nil
        guard !run.isOver, case .attempt(let kind, _) = run.machine.hedgeDue(now: executor.now()) else { return }
        let choice = run.leg.shardState.attemptRequested(
            kind, run.leg, isMeasured: run.isMeasured, tried: run.machine.tried, mayRepeat: false,
            need: run.need, acceptsStale: false, now: executor.now())
        // Nobody has room, or there is no budget, just now; while the leg waits, that may change.
        guard case .ask(let pick) = choice else { return armHedge(run, after: run.hedgeAfter) }
        run.machine.attemptStarted(kind, replica: pick.replica)
        run.leg.meters.attemptStarted(kind, shard: run.leg.shardIndex)
        let request = request(pick, run.leg, run.input, run.running)
        let trace = beginTrace(ofAttempt: kind, pick, run)
        run.hedge = Task(executorPreference: executor) { [rung = run.rung] in
            let end = await self.perform(request, for: nil)
            trace?.end(end)
            await self.hedgeEnded(place, rung, end)
            return end
        }
    }

    /// The hedge came first: the attempt that still runs is of no use any more.
    private func hedgeEnded(_ place: SlotID, _ rung: Int, _ end: AttemptEnd) {
        // Once the leg waits for the hedge itself, or is over, it takes the end from the task.
        guard let run = legs[place], run.hedge != nil, run.rung == rung else { return }
        guard case .success = end.result else { return }
        _ = run.machine.attemptSucceeded()
        run.leg.meters.hedgeWon(shard: run.leg.shardIndex)
        run.hedgeEnd = end
        run.hedge = nil
        interrupt(place)
    }

    // MARK: Interrupting

    /// The search has its answer without this leg.
    func giveUpLeg(_ place: SlotID) {
        guard let run = legs[place] else { return }
        run.isGivenUp = true
        run.hedge?.cancel()
        interrupt(place)
    }

    private func interrupt(_ place: SlotID) {
        switch legs[place]?.current {
        case .waiting(let waiter): cancelWait(waiter)
        case .executing(let connection): connection.interrupt()
        case .pausing: resume(place)
        case .hedging(let task): task.cancel()
        case .lent(let cancel): cancel()
        case .between, nil: break
        }
    }
}
