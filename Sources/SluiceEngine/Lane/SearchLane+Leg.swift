internal import SluiceCore

/// What a leg came to, and what of it the backends may still be ending.
struct LegResult: Sendable {
    var report: LegReport
    var unsettled: [Task<Void, Never>] = []
}

extension SearchLane {
    /// Runs one leg: chooses a replica, leases a connection for itself, asks, and asks another replica if the failure
    /// was the first one's own.
    func runLeg(_ leg: PlannedLeg, _ settings: SearchSettings, _ search: Search) async -> LegResult {
        var result = LegResult(report: LegReport(of: leg))
        var machine = LegMachine(order: replicaOrder(of: leg.shard), deadline: search.deadline)
        var action = machine.started(now: executor.now())
        while case .attempt(let index) = action {
            let replica = leg.shard.replicas[index]
            result.report.replica = replica.name
            result.report.attempts = machine.attempts
            do throws(BackendFailure) {
                result.report.rows = try await attempt(replica.backend, leg, settings, search, &result)
                result.report.status = .ok
                result.report.message = nil
                result.report.sqlState = nil
                return result
            } catch {
                result.report.note(error)
                action = machine.attemptFailed(error.reason, now: executor.now())
            }
        }
        if case .fail(let reason) = action { result.report.status = LegStatus(reason) }
        return result
    }

    private func attempt(
        _ backend: Int, _ leg: PlannedLeg, _ settings: SearchSettings, _ search: Search, _ result: inout LegResult
    ) async throws(BackendFailure) -> LegRows {
        let asked = executor.now()
        let lease: Lease
        do throws(BackendFailure) {
            lease = try await self.lease(backend, deadline: search.deadline)
        } catch {
            result.report.wait += asked.duration(to: executor.now())
            throw error
        }
        let leased = executor.now()
        result.report.wait += asked.duration(to: leased)
        do throws(BackendFailure) {
            if Task.isCancelled { throw BackendFailure(.cancelled, detail: "cancelled") }
            let request = BackendSearch(
                shape: leg.shape, settings: settings, timeout: leased.duration(to: search.deadline),
                vector: search.vector, maximumBytes: configuration.maximumLegBytes)
            let rows = try await lease.connection.search(request, deadline: search.deadline)
            result.report.execute = leased.duration(to: executor.now())
            release(lease)
            return rows
        } catch {
            result.report.execute = leased.duration(to: executor.now())
            result.unsettled.append(settle(lease))
            throw error
        }
    }

    private func replicaOrder(of shard: Catalogue.Shard) -> [Int] {
        let loads = shard.replicas.map { replica in
            let machine = backends[replica.backend].machine
            return ReplicaLoad(isReachable: machine.isReachable, load: machine.load)
        }
        return ReplicaChoice.order(loads, using: &random)
    }
}

extension LegReport {
    /// Keeps what a client may know of a failed attempt: never the server's or libpq's own words.
    fileprivate mutating func note(_ failure: BackendFailure) {
        status = LegStatus(failure.reason)
        sqlState = failure.sqlState
        message =
            switch failure.reason {
            case .unreachable: "the replica cannot be reached"
            case .saturated: "no connection became free in time"
            case .connectionLost: "the connection was lost"
            case .notServing: "the server is starting, stopping or changing its role"
            case .recoveryConflict: "the standby had to replay changes that this search stood in the way of"
            case .statement: SQLState.meaning(of: failure.sqlState)
            case .timedOut: "no answer before the deadline"
            case .cancelled: "cancelled"
            }
    }
}

extension LegStatus {
    fileprivate init(_ reason: AttemptFailure) {
        self =
            switch reason {
            case .unreachable, .connectionLost, .notServing: .unavailable
            case .saturated: .saturated
            case .recoveryConflict, .statement: .backendError
            case .timedOut: .timeout
            case .cancelled: .cancelled
            }
    }
}

/// What the SQLSTATEs that a search can meet mean, in words that carry no data.
/// Source: PostgreSQL, Appendix A, "PostgreSQL Error Codes".
enum SQLState {
    static func meaning(of code: String?) -> String {
        switch code {
        case "42P01": "the table does not exist on this server"
        case "42703": "a configured column does not exist on this server"
        case "42501": "the gateway's role may not read the table"
        case "42883", "42704": "the vector type or operator is missing on this server"
        case "22000", "22P02", "22P03": "the server does not accept the vector (are the dimensions right?)"
        case "53100": "the server's disk is full"
        case "53200": "the server is out of memory"
        case "53300": "the server has too many connections"
        case nil: "the server broke the protocol; the connection was closed"
        default: "the server refused the statement"
        }
    }
}
