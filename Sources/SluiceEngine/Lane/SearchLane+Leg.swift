internal import Logging
internal import SluiceCore

extension SearchLane {
    /// Makes the entry of a leg that is about to run.
    func open(_ leg: PlannedLeg, _ input: LegInput, _ running: RunningSearch) -> SlotID {
        legs.insert(RunningLeg(leg: leg, input: input, running: running, machine: machine(of: leg, input, running)))
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

    /// Runs one leg, and searches harder if it finds too few rows and the request wants them all.
    func runLeg(_ place: SlotID) async -> LegResult {
        let began = executor.now()
        let trace = beginTrace(ofLeg: place, began)
        var result = await climb(place)
        result.report.took = began.duration(to: executor.now())
        trace?.end(result.report)
        result.report.leg.meters.legEnded(result.report.leg, took: result.report.took)
        return result
    }

    private func climb(_ place: SlotID) async -> LegResult {
        defer { legs.remove(place) }
        var result = await runRung(place)
        guard result.report.status == .ok, let leg = legs[place] else { return result }
        guard let ladder = leg.input.ladder else {
            result.report.mayBeIncomplete = result.report.isShortOfItsTable
            return result
        }
        result.report.mayBeIncomplete = ladder.isShort(result.report)
        while let rungs = ladder.rungs, case .escalate(let rung) = decide(ladder, result.report, leg.running) {
            leg.leg = rung == .exact ? rungs.exactLegs[result.report.leg.place] : result.report.leg
            leg.input = leg.input.again(rungs.settings(rung, leg.input.settings), ladder)
            leg.machine = machine(of: leg.leg, leg.input, leg.running)
            leg.hedgeEnd = nil
            leg.rung += 1
            let harder = await runRung(place)
            result.climb(to: rung, harder)
            guard harder.report.status == .ok else { break }
            result.report.mayBeIncomplete = ladder.isShort(result.report)
        }
        return result
    }

    private func decide(
        _ ladder: LegLadder, _ report: LegReport, _ running: RunningSearch
    ) -> EscalationLadder.Decision {
        let left = executor.now().duration(to: running.lastExtra)
        return configuration.ladder.decide(ladder.situation(report, timeLeft: left))
    }

    /// Chooses a replica, leases a connection for itself, asks, and asks another replica if the first one fails or
    /// takes longer than most.
    private func runRung(_ place: SlotID) async -> LegResult {
        guard let leg = legs[place]?.leg else { preconditionFailure("a leg runs once, in the entry made for it") }
        var result = LegResult(report: LegReport(of: leg))
        let now = executor.now()
        var action = legs[place]?.machine.started(now: now) ?? .fail(.cancelled)
        while case .attempt(let kind, let due) = action {
            if kind != .first, due > executor.now() { await pause(place, until: due) }
            if legs[place]?.need != nil { await awaitFreshness(place) }
            if Task.isCancelled || legs[place]?.isGivenUp == true {
                action = .fail(.cancelled)
            } else {
                action = await attempt(kind, place, &result)
            }
        }
        if case .fail(let reason) = action { result.report.conclude(reason) }
        if legs[place]?.isGivenUp == true, result.report.status == .cancelled { result.report.noteGivenUp() }
        result.report.attempts = legs[place]?.machine.attempts ?? 0
        result.report.hedges = legs[place]?.machine.hedges ?? 0
        return result
    }

    /// One attempt, with the hedge that it may get: returns when neither runs any more, or the leg has its rows.
    private func attempt(_ kind: AttemptKind, _ place: SlotID, _ result: inout LegResult) async -> LegMachine.Action {
        guard let running = legs[place]?.running, let input = legs[place]?.input else { return .fail(.cancelled) }
        guard let pick = pick(kind, place, &result) else {
            return legs[place]?.machine.attemptRefused(kind, result.report.refusal) ?? .fail(.cancelled)
        }
        armHedge(place, after: pick.hedgeAfter)
        let trace = beginTrace(ofAttempt: kind, pick, place)
        var end = await perform(pick, result.report.leg, input, running, for: place)
        trace?.end(end)
        legs[place]?.current = .between
        disarmHedge(place)
        if let hedgeEnd = legs[place]?.hedgeEnd?.value {
            // The hedge was first, and has interrupted this attempt.
            result.note(end)
            result.note(hedgeEnd)
            return .succeed
        }
        var action = noteEnd(end, place, &result)
        guard let hedge = legs[place]?.hedge else { return action }
        legs[place]?.hedge = nil
        if action != .wait {
            hedge.cancel()
            result.unsettled.append(Task(executorPreference: executor) { await hedge.value.unsettled?.value })
            return action
        }
        legs[place]?.current = .hedging(hedge)
        end = await withTaskCancellationHandler {
            await hedge.value
        } onCancel: {
            hedge.cancel()
        }
        legs[place]?.current = .between
        action = noteEnd(end, place, &result)
        if action == .succeed { result.report.leg.meters.hedgeWon(shard: result.report.leg.shardIndex) }
        return action
    }

    private func noteEnd(_ end: AttemptEnd, _ place: SlotID, _ result: inout LegResult) -> LegMachine.Action {
        result.note(end)
        switch end.result {
        case .success:
            return legs[place]?.machine.attemptSucceeded() ?? .succeed
        case .failure(let failure):
            return legs[place]?.machine.attemptFailed(failure.reason, now: executor.now(), using: &random)
                ?? .fail(failure.reason)
        }
    }

    /// A replica for an attempt; nil if there is none, or no budget. The reason is noted then.
    private func pick(_ kind: AttemptKind, _ place: SlotID, _ result: inout LegResult) -> ShardMachine.Pick? {
        let leg = result.report.leg
        let choice = leg.shardState.attemptRequested(
            kind, leg, isMeasured: legs[place]?.isMeasured ?? true, tried: legs[place]?.machine.tried ?? ReplicaSet(),
            mayRepeat: result.report.lastFailure?.advice == .anywhere,
            need: legs[place]?.need, acceptsStale: legs[place]?.running.acceptsStale ?? false, now: executor.now())
        switch choice {
        case .refuse(let reason):
            result.report.refusal = reason
            return nil
        case .ask(let pick):
            legs[place]?.machine.attemptStarted(kind, replica: pick.replica)
            leg.meters.attemptStarted(kind, shard: leg.shardIndex)
            result.report.replica = leg.shard.replicas[pick.replica].name
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
    private func armHedge(_ place: SlotID, after delay: Duration?) {
        guard let delay, configuration.hedges, legs[place]?.running.terms.allowsHedges == true else { return }
        legs[place]?.hedgeAfter = delay
        legs[place]?.hedgeTimer = executor.schedule(at: executor.now().advanced(by: delay)) {
            self.assumeIsolated { $0.hedgeDue(place) }
        }
    }

    private func disarmHedge(_ place: SlotID) {
        if let timer = legs[place]?.hedgeTimer.take() { executor.cancel(timer) }
    }

    private func hedgeDue(_ place: SlotID) {
        legs[place]?.hedgeTimer = nil
        guard legs[place]?.isOver == false,
            case .attempt(let kind, _) = legs[place]?.machine.hedgeDue(now: executor.now()), let run = legs[place]
        else { return }
        let choice = run.leg.shardState.attemptRequested(
            kind, run.leg, isMeasured: run.isMeasured, tried: run.machine.tried, mayRepeat: false,
            need: run.need, acceptsStale: false, now: executor.now())
        // Nobody has room, or there is no budget, just now; while the leg waits, that may change.
        guard case .ask(let pick) = choice else { return armHedge(place, after: run.hedgeAfter) }
        legs[place]?.machine.attemptStarted(kind, replica: pick.replica)
        run.leg.meters.attemptStarted(kind, shard: run.leg.shardIndex)
        let (leg, input, running, rung) = (run.leg, run.input, run.running, run.rung)
        let trace = beginTrace(ofAttempt: kind, pick, place)
        legs[place]?.hedge = Task(executorPreference: executor) {
            let end = await self.perform(pick, leg, input, running, for: nil)
            trace?.end(end)
            await self.hedgeEnded(place, rung, end)
            return end
        }
    }

    /// The hedge came first: the attempt that still runs is of no use any more.
    private func hedgeEnded(_ place: SlotID, _ rung: Int, _ end: AttemptEnd) {
        // Once the leg waits for the hedge itself, or is over, it takes the end from the task.
        guard legs[place]?.hedge != nil, legs[place]?.rung == rung else { return }
        guard case .success = end.result else { return }
        _ = legs[place]?.machine.attemptSucceeded()
        if let leg = legs[place]?.leg { leg.meters.hedgeWon(shard: leg.shardIndex) }
        legs[place]?.hedgeEnd = Boxed(end)
        legs[place]?.hedge = nil
        interrupt(place)
    }

    // MARK: Interrupting

    /// The search has its answer without this leg.
    func giveUpLeg(_ place: SlotID) {
        guard legs[place] != nil else { return }
        legs[place]?.isGivenUp = true
        legs[place]?.hedge?.cancel()
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
