internal import Logging
internal import SluiceCore

extension SearchLane {
    /// Asks one replica, on this lane or on one that has an idle connection when this one has none, and tells the shard
    /// how it went.
    /// - Parameter owner: the leg's entry, if this is the attempt that the leg's own task makes.
    func perform(_ request: AttemptRequest, for owner: SlotID?) async -> AttemptEnd {
        if let refused = refused(request) { return refused }
        var end: AttemptEnd
        if let lease = leaseAtOnce(request.backend) {
            end = await run(request, on: lease, wait: .zero, for: owner)
        } else if let lent = await borrow(request, for: owner) {
            end = lent
        } else {
            end = await execute(request, for: owner)
        }
        conclude(&end, request, owner)
        return end
    }

    func request(
        _ pick: ShardMachine.Pick, _ leg: PlannedLeg, _ input: LegInput, _ running: RunningSearch
    ) -> AttemptRequest {
        let replica = leg.shard.replicas[pick.replica]
        var limit = deadline(of: leg, input, running)
        if let timeout = replica.timeout { limit = min(limit, executor.now().advanced(by: timeout)) }
        return AttemptRequest(
            pick: pick, backend: replica.backend, leg: leg, input: input, running: running, limit: limit,
            token: Int64(bitPattern: random.next()))
    }

    /// Why nobody is asked: what the search holds already may go on to an answer, and be gone; more would only be added
    /// to it. A tenant has a share of each pool.
    private func refused(_ request: AttemptRequest) -> AttemptEnd? {
        let failure: BackendFailure
        if shared.memory.isExhausted {
            failure = BackendFailure(.saturated, retryAfter: .milliseconds(100), detail: "the memory is used up")
        } else if request.share?.take(request.backend) == false {
            failure = .shareUsedUp
        } else {
            return nil
        }
        var end = AttemptEnd(pick: request.pick, result: .failure(failure))
        end.staleness = noteHealth(end, request, hasLostRace: false)
        return end
    }

    /// Gives back what the attempt has taken, and tells what is to be known of it.
    private func conclude(_ end: inout AttemptEnd, _ request: AttemptRequest, _ owner: SlotID?) {
        if let share = request.share { end.giveBack(share, request.backend, on: executor) }
        let shard = request.leg.shardState
        if let need = request.running.need(of: request.leg), !request.pick.isStale, case .success = end.result,
            !shard.hasReplayed(need, request.pick.replica, now: executor.now())
        {
            end.result = .failure(BackendFailure(.behind, detail: "the replica was started anew, or changed its role"))
        }
        if case .success(let rows) = end.result { request.running.hold(rows, in: shared.memory) }
        end.staleness = noteHealth(
            end, request, hasLostRace: owner.map { legs[$0]?.hedgeEnd != nil } ?? false)
        if let settling = end.unsettled {
            end.unsettled = Task(executorPreference: executor) {
                await settling.value
                shard.attemptSettled(request.pick.replica)
            }
        }
    }

    /// - Returns: how old the replica's rows may be, if that is known.
    private func noteHealth(_ end: AttemptEnd, _ request: AttemptRequest, hasLostRace: Bool) -> Duration? {
        let leg = request.leg
        let replica = leg.shard.replicas[end.pick.replica]
        let result: ShardMachine.AttemptResult
        var retryAfter: Duration?
        switch end.result {
        case .success: result = .rows(took: end.execute)
        case .failure(let failure) where failure.reason == .cancelled && hasLostRace && end.execute > .zero:
            result = .lostRace(after: end.execute)
        case .failure(let failure):
            result = .failed(failure.reason, took: end.execute)
            retryAfter = failure.retryAfter
            if failure.reason.questionsRole { shared.questionRole(of: replica.backend) }
            if failure.reason == .integrity {
                shared.noteIntegrityFailure()
                var metadata = request.running.terms.origin.logged
                metadata["shard"] = "\(leg.shardName)"
                metadata["replica"] = "\(replica.name)"
                metadata["detail"] = "\(failure.detail)"
                logger.error("an answer was not this request's; its connection is closed", metadata: metadata)
            }
        }
        leg.meters.attemptEnded(
            end.pick, shard: leg.shardIndex, failure: end.result.failure?.reason, wait: end.wait, took: end.execute)
        let (transition, staleness) = leg.shardState.attemptEnded(
            end.pick, result, waited: end.wait, retryAfter: retryAfter, isSettling: end.unsettled != nil,
            now: executor.now())
        if let transition {
            if case .opened(let cause, _) = transition {
                leg.meters.breakerOpened(shard: leg.shardIndex, replica: end.pick.replica, cause: cause)
            }
            shared.journal.add(
                .init(.breaker, shard: leg.shardName, replica: replica.name, "\(transition)"), at: executor.now())
            logger.notice(
                "breaker: \(transition)", metadata: ["shard": "\(leg.shardName)", "replica": "\(replica.name)"])
        }
        return staleness
    }

    /// Waits for a connection and runs the statement.
    private func execute(_ request: AttemptRequest, for owner: SlotID?) async -> AttemptEnd {
        let asked = executor.now()
        let lease: Lease
        do throws(BackendFailure) {
            lease = try await checkedLease(request, for: owner)
        } catch {
            return AttemptEnd(
                pick: request.pick, result: .failure(error), wait: asked.duration(to: executor.now()))
        }
        let wait = asked.duration(to: executor.now())
        guard lease.lane != index, let sibling = shared.lane(lease.lane) else {
            return await run(request, on: lease, wait: wait, for: owner)
        }
        return await lent(to: owner, by: sibling) { await sibling.run(request, on: lease, wait: wait, for: nil) }
    }

    private func run(
        _ request: AttemptRequest, on lease: Lease, wait: Duration, for owner: SlotID?
    ) async -> AttemptEnd {
        let leased = executor.now()
        if isOver(owner) {
            release(lease)
            return AttemptEnd(
                pick: request.pick, result: .failure(BackendFailure(.cancelled, detail: "cancelled")), wait: wait)
        }
        if let owner { legs[owner]?.current = .executing(lease.connection) }
        do throws(BackendFailure) {
            let rows = try await lease.connection.search(question(request, leased), deadline: request.limit)
            return ran(request, lease, .success(rows), wait: wait, from: leased)
        } catch {
            return ran(request, lease, .failure(error), wait: wait, from: leased)
        }
    }

    private func question(_ request: AttemptRequest, _ leased: Instant) -> BackendSearch {
        BackendSearch(
            shape: request.leg.shape, settings: request.input.settings,
            timeout: leased.duration(to: request.limit), subject: request.input.subject,
            furtherSubjects: request.input.furtherSubjects, parameters: request.input.parameters,
            token: request.token, maximumBytes: mostBytes(request.running.terms))
    }

    /// The connection goes back at once after an answer; else when it is clean again.
    private func ran(
        _ request: AttemptRequest, _ lease: Lease, _ result: Result<LegRows, BackendFailure>, wait: Duration,
        from leased: Instant
    ) -> AttemptEnd {
        var end = AttemptEnd(pick: request.pick, result: result, wait: wait)
        end.execute = leased.duration(to: executor.now())
        if case .success = result { release(lease) } else { end.unsettled = settle(lease) }
        return end
    }

    private func mostBytes(_ terms: RequestTerms) -> Int {
        terms.isStreamed ? configuration.maximumStreamedLegBytes : configuration.maximumLegBytes
    }

    private func isOver(_ owner: SlotID?) -> Bool {
        Task.isCancelled || owner.map { legs[$0]?.isOver != false } ?? false
    }

    /// A connection that is known to live: one that was idle for long is asked first. If it has been closed meanwhile,
    /// another is taken; if it does not answer, neither would others.
    private func checkedLease(_ request: AttemptRequest, for owner: SlotID?) async throws(BackendFailure) -> Lease {
        while true {
            if isOver(owner) { throw BackendFailure(.cancelled, detail: "cancelled") }
            let lease = try await lease(request.backend, until: request.limit, for: owner)
            guard lease.mustCheck else { return lease }
            if let owner { legs[owner]?.current = .executing(lease.connection) }
            defer { if let owner { legs[owner]?.current = .between } }
            let patience = min(request.limit, executor.now().advanced(by: Self.checkTimeout))
            do throws(BackendFailure) {
                let asked = executor.now()
                let facts = try await lease.connection.inspect([], deadline: patience)
                noteRole(request.backend, facts.report(asked: asked))
                return lease
            } catch {
                _ = settle(lease)
                switch error.reason {
                case .cancelled: throw error
                case .timedOut where request.limit > executor.now():
                    throw BackendFailure(.connectionLost, detail: "an idle connection did not answer")
                case .timedOut: throw error
                default: break
                }
            }
        }
    }

    /// A server that lives answers at once.
    private static var checkTimeout: Duration { .milliseconds(500) }

    // MARK: Siblings

    /// Runs the attempt on another lane: one that has an idle connection when this one has none, or one that can reach
    /// the server when this one cannot. Nil if there is no such lane. Nobody overtakes those who wait here.
    private func borrow(_ request: AttemptRequest, for owner: SlotID?) async -> AttemptEnd? {
        let occupancy = backends[request.backend].machine.occupancy
        guard occupancy.idle == 0, occupancy.waiting == 0 else { return nil }
        if let other = topology.board.lane(withIdle: request.backend, besides: index),
            let sibling = shared.lane(other),
            let end = await lent(to: owner, by: sibling, { await sibling.lend(request) })
        {
            return end
        }
        guard !backends[request.backend].machine.isReachable, !isOver(owner),
            let other = topology.board.lane(reaching: request.backend, besides: index), let sibling = shared.lane(other)
        else { return nil }
        return await lent(to: owner, by: sibling) { await sibling.execute(request, for: nil) }
    }

    /// Waits for what another lane does for a leg of this one.
    private func lent<End: Sendable>(
        to owner: SlotID?, by sibling: SearchLane, _ work: @escaping @Sendable () async -> End
    ) async -> End {
        let attempt = Task(executorPreference: sibling.executor) { await work() }
        if let owner { legs[owner]?.current = .lent { attempt.cancel() } }
        return await withTaskCancellationHandler {
            await attempt.value
        } onCancel: {
            attempt.cancel()
        }
    }

    /// Runs a sibling's attempt on an idle connection. Nil if there is none any more.
    private func lend(_ request: AttemptRequest) async -> AttemptEnd? {
        guard backends[request.backend].machine.idleCount > 0 else { return nil }
        return await execute(request, for: nil)
    }
}

extension BackendFailure {
    /// A tenant holds as many connections to the replica as it may.
    static var shareUsedUp: BackendFailure {
        BackendFailure(
            .saturated, retryAfter: .milliseconds(50),
            detail: "this identity's requests hold their share of the replica's connections")
    }
}

extension AttemptEnd {
    /// The tenant's part of the pool is free when the server's work has ended.
    fileprivate mutating func giveBack(_ share: PoolShare, _ backend: Int, on executor: any LaneExecutor) {
        guard let settling = unsettled else { return share.release(backend) }
        unsettled = Task(executorPreference: executor) {
            await settling.value
            share.release(backend)
        }
    }
}

/// One attempt as a lane is asked to make it, its own or a sibling's. A class, since it passes many hands.
final class AttemptRequest: Sendable {
    let pick: ShardMachine.Pick
    let backend: Int
    let leg: PlannedLeg
    let input: LegInput
    let running: RunningSearch
    /// The leg's deadline, or what the replica's own time-out leaves of it.
    let limit: Instant
    /// What the rows must carry.
    let token: Int64

    init(
        pick: ShardMachine.Pick, backend: Int, leg: PlannedLeg, input: LegInput, running: RunningSearch,
        limit: Instant, token: Int64
    ) {
        self.pick = pick
        self.backend = backend
        self.leg = leg
        self.input = input
        self.running = running
        self.limit = limit
        self.token = token
    }

    /// The tenant's part of the pools; nil if it has none of its own.
    var share: PoolShare? { running.terms.tenant?.share }
}
