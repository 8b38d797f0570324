internal import SluiceCore

extension Simulation {
    // MARK: Arrival

    mutating func arrive(_ number: Int) {
        let isProbe = number >= scenario.searches
        let time: Duration = isProbe ? Self.patience : .milliseconds(.random(in: 5...800, using: &random))
        let shares = [1, 1, 0.5, 0]
        var request = SimulatedRequest(
            query: seed &* 31 &+ UInt64(number), arrived: timeline.now, deadline: timeline.now.advanced(by: time),
            minCoverage: isProbe ? 1 : shares[Int.random(in: 0..<4, using: &random)],
            priority: !isProbe && Bool.random(using: &random) ? .batch : .interactive)
        request.legs = (0..<scenario.shards).map { _ in
            let attempts = bug == .legNeverStopsTrying ? 50 : Checkers.attempts
            return .init(machine: LegMachine(policy: .init(maxAttempts: attempts), deadline: request.deadline))
        }
        requests[number] = request
        checkers.requestArrived(number, deadline: request.deadline)
        let arrival = admission.searchArrived(
            id: UInt64(number), priority: request.priority, deadline: request.deadline, now: timeline.now)
        switch arrival {
        case .admit: begin(number)
        case .shed: end(number, .busy)
        case .queue(let displaced):
            if let displaced { end(Int(displaced), .busy) }
            timeline.plan(.admissionDue(number), at: admission.latestStart(of: UInt64(number)) ?? timeline.now)
        }
    }

    mutating func admissionDue(_ number: Int) {
        if admission.waiterCancelled(UInt64(number)) { end(number, .busy) }
    }

    private mutating func begin(_ number: Int) {
        guard let request = requests[number] else { return }
        requests[number]?.admitted = timeline.now
        let minCoverage = bug == .fanOutForgetsTheCoverage ? 0 : request.minCoverage
        requests[number]?.fanOut = FanOutMachine(
            legCount: scenario.shards, totalWeight: Double(scenario.shards * Scenario.rows),
            policy: .init(minCoverage: minCoverage, laggards: AdaptiveTimeout()), started: timeline.now,
            deadline: request.deadline)
        for leg in 0..<scenario.shards {
            guard requests[number]?.end == nil,
                let action = requests[number]?.legs[leg].machine.started(now: timeline.now)
            else { continue }
            follow(action, number, leg)
        }
    }

    mutating func cancel(_ number: Int) {
        if admission.waiterCancelled(UInt64(number)) { return end(number, .cancelled) }
        guard requests[number] != nil, requests[number]?.end == nil else { return }
        end(number, .cancelled)
    }

    /// The request is over: everything of it that still runs is interrupted.
    mutating func end(_ number: Int, _ end: RequestEnd) {
        guard let request = requests[number] else { return }
        checkers.requestEnded(number, request, end, now: timeline.now)
        guard request.end == nil else { return }
        requests[number]?.end = end
        for leg in request.legs.indices {
            requests[number]?.legs[leg].isOver = true
            for attempt in request.legs[leg].running.sorted() { interrupt(attempt, .cancelled) }
        }
        guard let admitted = request.admitted else { return }
        let outcome: AdmissionMachine.Outcome =
            switch end {
            case .answer: .ok
            case .failed: .timedOut
            case .busy, .cancelled: .ignored
            }
        let departure = admission.searchEnded(
            took: admitted.duration(to: timeline.now), outcome: outcome, now: timeline.now)
        for waiter in departure.expired { self.end(Int(waiter), .busy) }
        for waiter in departure.admitted { begin(Int(waiter)) }
    }

    // MARK: Legs

    private mutating func follow(_ action: LegMachine.Action, _ number: Int, _ leg: Int) {
        switch action {
        case .attempt(let kind, let due):
            if due <= timeline.now { return startAttempt(number, leg, kind) }
            timeline.plan(.legDue(number, leg: leg, kind), at: due)
        case .wait: break
        case .succeed: legEnded(number, leg, hasRows: true)
        case .fail: legEnded(number, leg, hasRows: false)
        }
    }

    private mutating func legEnded(_ number: Int, _ leg: Int, hasRows: Bool) {
        guard let request = requests[number], request.end == nil, !request.legs[leg].isOver else { return }
        requests[number]?.legs[leg].isOver = true
        for attempt in request.legs[leg].running.sorted() { interrupt(attempt, .cancelled) }
        let weight = Double(Scenario.rows)
        let action =
            hasRows
            ? requests[number]?.fanOut?.legSucceeded(leg, weight: weight, now: timeline.now)
            : requests[number]?.fanOut?.legFailed(leg, weight: weight, now: timeline.now)
        switch action {
        case .wait, nil: break
        case .giveUpLaggards(let instant):
            checkers.laggardsGivenUp(number, request, at: instant, now: timeline.now)
            if bug != .laggardsAreWaitedFor { timeline.plan(.laggardsDue(number), at: instant) }
        case .finish(.answer(let coverage)): answer(number, coverage)
        case .finish(.fail): end(number, .failed)
        }
    }

    mutating func giveUpLegs(_ number: Int) {
        for leg in 0..<scenario.shards {
            guard let request = requests[number], request.end == nil, !request.legs[leg].isOver else { continue }
            legEnded(number, leg, hasRows: false)
        }
    }

    private mutating func answer(_ number: Int, _ coverage: Double) {
        guard let request = requests[number] else { return }
        var merge = TopKMerge(k: Scenario.k - (bug == .mergeLosesARow ? 1 : 0))
        for leg in request.legs { for candidate in leg.rows ?? [] { merge.offer(candidate) } }
        let said = bug == .coverageIsOverstated ? 1 : coverage
        end(number, .answer(coverage: said, ids: merge.finish().map(\.id)))
    }

    // MARK: Attempts

    mutating func startAttempt(_ number: Int, _ leg: Int, _ kind: AttemptKind) {
        guard let request = requests[number], request.end == nil, !request.legs[leg].isOver else { return }
        let running = request.legs[leg]
        let tried = bug == .hedgeGoesToTheSameReplica ? ReplicaSet() : running.machine.tried
        let mayRepeat = running.lastFailure?.advice == .anywhere
        var choice = shards[leg].attemptRequested(
            kind, tried: tried, mayRepeat: mayRepeat, now: timeline.now, using: &random)
        if bug == .openBreakerIsUsed, case .refuse(.breakerOpen) = choice {
            choice = .ask(ShardMachine.Pick(replica: 0, isProbe: false, hedgeAfter: nil))
        }
        if bug == .slownessEjectsAll, case .ask(let pick) = choice, !pick.isProbe,
            shards[leg].replicas[pick.replica].breaker.ejection == .slowness
        {
            choice = .refuse(.breakerOpen)
        }
        if kind == .first { checkers.firstChoice(choice, shards[leg]) }
        switch choice {
        case .refuse(let reason):
            guard let action = requests[number]?.legs[leg].machine.attemptRefused(kind, reason) else { return }
            follow(action, number, leg)
        case .ask(let pick):
            checkers.attemptStarted(kind, shard: leg, pick, running, attempts, now: timeline.now)
            requests[number]?.legs[leg].machine.attemptStarted(kind, replica: pick.replica)
            nextAttempt += 1
            let id = nextAttempt
            attempts[id] = SimulatedAttempt(
                request: number, leg: leg, kind: kind, pick: pick,
                place: PoolPlace(shard: leg, replica: pick.replica), began: timeline.now)
            requests[number]?.legs[leg].running.insert(id)
            if bug != .deadlineIsIgnored { timeline.plan(.attemptDue(attempt: id), at: request.deadline) }
            if let delay = pick.hedgeAfter, kind != .hedge {
                timeline.plan(
                    .hedgeDue(number, leg: leg, attempt: id), in: bug == .hedgesComeAtOnce ? .zero : delay)
            }
            lease(id)
        }
    }

    mutating func hedgeDue(_ number: Int, _ leg: Int, _ attempt: Int) {
        guard let request = requests[number], request.end == nil, !request.legs[leg].isOver, attempts[attempt] != nil,
            case .attempt(let kind, _) = requests[number]?.legs[leg].machine.hedgeDue(now: timeline.now)
        else { return }
        startAttempt(number, leg, kind)
        // Refused for now: there may be room later.
        let isRefused = requests[number]?.legs[leg].machine.hedges == 0 && requests[number]?.legs[leg].isOver == false
        guard isRefused else { return }
        timeline.plan(.hedgeDue(number, leg: leg, attempt: attempt), in: HedgePolicy().minimumDelay * 5)
    }

    mutating func execute(_ attempt: Int, on id: ConnectionID) {
        guard let place = attempts[attempt]?.place else { return }
        attempts[attempt]?.state = .executing(id)
        attempts[attempt]?.leased = timeline.now
        pools[place]?.connections[id] = .some(attempt)
        switch world.execute(place.shard, place.replica, now: timeline.now, using: &random) {
        case .after(let time): timeline.plan(.answered(attempt: attempt, nil), in: time)
        case .failure(let failure, let time): timeline.plan(.answered(attempt: attempt, failure), in: time)
        case .never: break
        }
    }

    mutating func answered(_ attempt: Int, _ failure: AttemptFailure?) {
        guard let now = attempts[attempt], case .executing(let id) = now.state else { return }
        attempts[attempt]?.state = .over
        if failure == .connectionLost { lost(now.place, id) } else { release(now.place, id) }
        attemptEnded(attempt, failure)
    }

    /// Ends an attempt from outside: at its deadline, or because nobody needs it any more.
    mutating func interrupt(_ attempt: Int, _ failure: AttemptFailure) {
        guard let now = attempts[attempt] else { return }
        switch now.state {
        case .over: return
        case .waiting(let waiter):
            guard pools[now.place]?.machine.waiterCancelled(waiter) == true else { return }
            pools[now.place]?.waiters[waiter] = nil
        case .executing(let id):
            // Behind the fence: a server that answers is stopped, one that hangs loses the connection.
            let hangs = world.faults(now.place.shard, now.place.replica, now: timeline.now).contains(.hanging)
            timeline.plan(
                .settled(now.place, id, isClean: !hangs), in: hangs ? .seconds(2) : .milliseconds(3))
            pools[now.place]?.connections[id] = .some(nil)
            return attemptEnded(attempt, failure, isSettling: true)
        }
        attemptEnded(attempt, failure)
    }

    /// Tells the shard and the leg, once for each attempt.
    mutating func attemptEnded(_ attempt: Int, _ failure: AttemptFailure?, isSettling: Bool = false) {
        guard let ended = attempts.removeValue(forKey: attempt) else { return }
        let leased = ended.leased ?? timeline.now
        let took = leased.duration(to: timeline.now)
        _ = shards[ended.leg].attemptEnded(
            ended.pick, failure.map { .failed($0, took: took) } ?? .rows(took: took),
            waited: ended.began.duration(to: leased), isSettling: isSettling,
            now: timeline.now, using: &random)
        checkers.attemptEnded(ended, failure)
        if failure?.questionsRole == true {
            for replica in 0..<scenario.replicas {
                timeline.plan(
                    .roleDue(PoolPlace(shard: ended.leg, replica: replica), isPeriodic: false), in: .milliseconds(1))
            }
        }
        requests[ended.request]?.legs[ended.leg].running.remove(attempt)
        requests[ended.request]?.legs[ended.leg].lastFailure = failure
        guard let request = requests[ended.request], request.end == nil, !request.legs[ended.leg].isOver else { return }
        guard let failure else {
            requests[ended.request]?.legs[ended.leg].rows = World.nearest(
                query: request.query, shard: ended.leg, k: Scenario.k)
            let action = requests[ended.request]?.legs[ended.leg].machine.attemptSucceeded()
            return follow(action ?? .wait, ended.request, ended.leg)
        }
        let met: AttemptFailure =
            bug == .statementsAtFaultAreRepeated && failure == .statement ? .connectionLost : failure
        let action = requests[ended.request]?.legs[ended.leg].machine.attemptFailed(
            met, now: timeline.now, using: &random)
        follow(action ?? .wait, ended.request, ended.leg)
    }
}
