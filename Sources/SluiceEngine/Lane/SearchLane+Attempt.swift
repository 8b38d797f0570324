internal import Logging
internal import SluiceCore

extension SearchLane {
    /// Asks one replica, on this lane or on one that has an idle connection when this one has none, and tells the shard
    /// how it went.
    /// - Parameter owner: the leg's entry, if this is the attempt that the leg's own task makes.
    func perform(
        _ pick: ShardMachine.Pick, _ leg: PlannedLeg, _ running: RunningSearch, for owner: SlotID?
    ) async -> AttemptEnd {
        let replica = leg.shard.replicas[pick.replica]
        var limit = deadline(of: leg, running)
        if let timeout = replica.timeout { limit = min(limit, executor.now().advanced(by: timeout)) }
        let request = AttemptRequest(
            pick: pick, backend: replica.backend, leg: leg, running: running, limit: limit,
            token: Int64(bitPattern: random.next()))
        let end: AttemptEnd
        if let lease = leaseAtOnce(request.backend) {
            end = await run(request, on: lease, wait: .zero, for: owner)
        } else if let lent = await borrow(request, for: owner) {
            end = lent
        } else {
            end = await execute(request, for: owner)
        }
        noteHealth(end, leg, replica)
        return end
    }

    private func noteHealth(_ end: AttemptEnd, _ leg: PlannedLeg, _ replica: Catalogue.Replica) {
        let result: ShardMachine.AttemptResult
        switch end.result {
        case .success: result = .rows(took: end.execute)
        case .failure(let failure):
            result = .failed(failure.reason, took: end.execute)
            if failure.reason.questionsRole { shared.roles.look(at: replica.backend) }
            if failure.reason == .integrity {
                shared.noteIntegrityFailure()
                logger.error(
                    "an answer was not this request's; its connection is closed",
                    metadata: [
                        "shard": "\(leg.shardName)", "replica": "\(replica.name)",
                    ])
            }
        }
        let transition = shared.shards[leg.shardIndex].attemptEnded(end.pick, result, now: executor.now())
        guard let transition else { return }
        logger.notice("breaker: \(transition)", metadata: ["shard": "\(leg.shardName)", "replica": "\(replica.name)"])
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
        return await run(request, on: lease, wait: asked.duration(to: executor.now()), for: owner)
    }

    private func run(
        _ request: AttemptRequest, on lease: Lease, wait: Duration, for owner: SlotID?
    ) async -> AttemptEnd {
        let leased = executor.now()
        var end = AttemptEnd(
            pick: request.pick, result: .failure(BackendFailure(.cancelled, detail: "cancelled")), wait: wait)
        if let owner, legs[owner]?.isGivenUp != false || legs[owner]?.hedgeEnd != nil {
            release(lease)
            return end
        }
        if Task.isCancelled {
            release(lease)
            return end
        }
        if let owner { legs[owner]?.current = .executing(lease.connection) }
        do throws(BackendFailure) {
            let rows = try await lease.connection.search(
                BackendSearch(
                    shape: request.leg.shape, settings: request.running.plan.settings,
                    timeout: leased.duration(to: request.limit), vector: request.running.search.vector,
                    token: request.token, maximumBytes: configuration.maximumLegBytes),
                deadline: request.limit)
            end.result = .success(rows)
            end.execute = leased.duration(to: executor.now())
            release(lease)
        } catch {
            end.result = .failure(error)
            end.execute = leased.duration(to: executor.now())
            end.unsettled = settle(lease)
        }
        return end
    }

    /// A connection that is known to live: one that was idle for long is asked first, and replaced by another if it
    /// does not answer.
    private func checkedLease(_ request: AttemptRequest, for owner: SlotID?) async throws(BackendFailure) -> Lease {
        while true {
            let lease = try await lease(request.backend, until: request.limit, for: owner)
            guard lease.mustCheck else { return lease }
            let patience = min(request.limit, executor.now().advanced(by: Self.checkTimeout))
            do throws(BackendFailure) {
                noteRole(request.backend, try await lease.connection.inspect([], deadline: patience).role)
                return lease
            } catch {
                _ = settle(lease)
                if error.reason == .cancelled { throw error }
            }
        }
    }

    /// A server that lives answers at once.
    private static var checkTimeout: Duration { .milliseconds(500) }

    // MARK: Siblings

    /// Runs the attempt on a lane that has an idle connection, if this one has none. Nil if there is no such lane.
    private func borrow(_ request: AttemptRequest, for owner: SlotID?) async -> AttemptEnd? {
        guard backends[request.backend].machine.idleCount == 0,
            let other = shared.idle.lane(withIdle: request.backend, besides: index),
            let sibling = shared.lane(other)
        else { return nil }
        let attempt = Task(executorPreference: sibling.executor) { await sibling.lend(request) }
        if let owner { legs[owner]?.current = .lent(attempt) }
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

/// One attempt as a lane is asked to make it, its own or a sibling's.
struct AttemptRequest: Sendable {
    let pick: ShardMachine.Pick
    let backend: Int
    let leg: PlannedLeg
    let running: RunningSearch
    /// The leg's deadline, or what the replica's own time-out leaves of it.
    let limit: Instant
    /// What the rows must carry.
    let token: Int64
}
