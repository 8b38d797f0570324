internal import SluiceCore

/// A connection to a shard's primary for one load or write.
struct PrimaryLease: Sendable {
    let lease: Lease
    let shard: String
    let replica: String
    let backend: Int
    let timeline: UInt32
    /// Nil where the server's own word is all there is.
    var fenced: FencedPlace?

    var connection: any BackendConnection { lease.connection }

    /// Right before something is sent that cannot be taken back.
    func checkFence(now: Instant) throws(BackendFailure) { try fenced?.check(on: timeline, now: now) }

    /// What has been answered there just now may be lost: it may not be written to any more, whatever the reason.
    func isSuperseded(now: Instant) -> Bool {
        fenced.map { $0.refusal(on: timeline, now: now) != nil } ?? false
    }
}

extension SearchLane {
    /// Finds the shard's primary, looking again if none is known, and waits for a connection to it.
    ///
    /// Where a source of topology names nobody, only so many wait. Where it has been silent for longer than its lease,
    /// nobody does, and for a moment only where it was never heard: another gateway may hear it.
    /// - Throws: `notServing` if two servers claim to be the primary: neither is written to.
    func leasePrimary(_ shard: String, until limit: Instant) async throws(BackendFailure) -> PrimaryLease {
        var pause = Duration.milliseconds(50)
        var isWaiting = false
        /// Until when a source is waited for that was never heard.
        var firstWord: Instant?
        defer { if isWaiting { shared.leaderWaits.end(shard) } }
        while true {
            do throws(BackendFailure) {
                return try await leasePrimaryOnce(shard, until: limit)
            } catch {
                let now = executor.now()
                var end = limit
                if error.fencedBy == .unheard {
                    end = min(limit, firstWord ?? now.advanced(by: .seconds(1)))
                    firstWord = end
                }
                guard error.reason == .unreachable || error.reason == .connectionLost,
                    error.fencedBy != .silent, now.advanced(by: pause) < end, !Task.isCancelled
                else { throw error }
                if error.isUnsent, !isWaiting {
                    guard shared.leaderWaits.begin(shard, most: shared.admission.limit / 2) else {
                        throw error.withoutWaiting
                    }
                    isWaiting = true
                }
                // What the source says, no server can change.
                switch error.fencedBy {
                case nil, .notPrimary, .timelineBack: await shared.lookAgain(at: shard)
                default: break
                }
                try? await Task.sleep(for: pause)
                // A source of topology says soon that there is another leader.
                pause = min(pause * 2, error.isUnsent ? .milliseconds(200) : .seconds(1))
            }
        }
    }

    private func leasePrimaryOnce(_ shard: String, until limit: Instant) async throws(BackendFailure) -> PrimaryLease {
        guard let place = topology.catalogue.shards.firstIndex(where: { $0.name == shard }) else {
            throw BackendFailure(.statement, detail: "shard \(shard) has left the configuration")
        }
        let known = topology.catalogue.shards[place]
        if let fence = shared.fences[shard] { return try await leaseLeader(known, place, fence, until: limit) }
        switch topology.shards[place].primary {
        case .found(let place, let timeline):
            let replica = known.replicas[place]
            let lease = try await lease(replica.backend, until: limit, for: nil)
            return PrimaryLease(
                lease: lease, shard: shard, replica: replica.name, backend: replica.backend, timeline: timeline)
        case .none:
            throw BackendFailure(.unreachable, detail: "no primary of shard \(shard) can be reached")
        case .conflict(let places):
            let names = places.map { known.replicas[$0].name }.joined(separator: " and ")
            throw BackendFailure(
                .notServing, detail: "\(names) of shard \(shard) both claim to be its primary: nothing is written")
        }
    }

    /// Of the server that the shard's source names leader, if that says of itself that it is a primary.
    private func leaseLeader(
        _ known: Catalogue.Shard, _ place: Int, _ fence: any WriteFence, until limit: Instant
    ) async throws(BackendFailure) -> PrimaryLease {
        func refused(_ refusal: WriteRefusal) -> BackendFailure {
            fence.noteRefusal(refusal)
            return .fenced(refusal)
        }
        let leader: MemberPlace
        let verdict = fence.verdict(now: executor.now())
        switch verdict {
        case .writable(let named): leader = named
        // What it has told its cluster may be older than what the standbys tell that follow it: its own word counts.
        case .refused(.timelineBack):
            guard let named = fence.named else { throw refused(.timelineBack) }
            leader = named
        case .refused(let refusal): throw refused(refusal)
        }
        guard let number = known.replicas.firstIndex(where: { $0.member == leader }) else { throw refused(.notPrimary) }
        let replica = known.replicas[number]
        hasten(replica.backend)
        // Taken now: while a connection is waited for, another configuration may give its place to another shard.
        let servers = topology.shards[place]
        let (choice, systemIdentifier) = servers.primary(namedAs: number, of: fence.systemIdentifier)
        guard case .found(_, let timeline) = choice else {
            if choice == .none(.otherCluster) { throw refused(.otherCluster) }
            throw refused(verdict == .refused(.timelineBack) ? .timelineBack : .notPrimary)
        }
        if verdict == .refused(.timelineBack),
            let refusal = fence.refusal(
                of: leader, on: timeline, systemIdentifier: systemIdentifier, now: executor.now())
        {
            throw refused(refusal)
        }
        let lease = try await lease(replica.backend, until: limit, for: nil)
        let primary = PrimaryLease(
            lease: lease, shard: known.name, replica: replica.name, backend: replica.backend, timeline: timeline,
            fenced: FencedPlace(
                fence: fence, place: leader, systemIdentifier: systemIdentifier, servers: servers, shared: shared))
        do throws(BackendFailure) { try primary.checkFence(now: executor.now()) } catch {
            giveBack(primary)
            throw error
        }
        return primary
    }

    /// Gives a connection back whose transaction has ended.
    func giveBack(_ primary: PrimaryLease) { release(primary.lease) }

    /// Ends a transaction that is not to happen. One that does not say so at once is closed, which does the same.
    /// - Returns: the closing, if it goes on.
    func abandon(_ primary: PrimaryLease) async -> Task<Void, Never>? {
        let limit = executor.now().advanced(by: .seconds(1))
        if await rollback(primary, until: limit) {
            giveBack(primary)
            return nil
        }
        return Task(executorPreference: executor) {
            await primary.connection.close()
            await self.settle(primary.lease).value
        }
    }

    /// In a task of its own, as the load's may be cancelled.
    private func rollback(_ primary: PrimaryLease, until limit: Instant) async -> Bool {
        let task = Task(executorPreference: executor) { () -> Bool in
            (try? await primary.connection.run([IngestStatements.rollback], deadline: limit)) != nil
        }
        return await task.value
    }
}

extension BackendFailure {
    fileprivate var withoutWaiting: BackendFailure {
        var failure = self
        failure.detail += "; too many writes wait for that already"
        return failure
    }

    /// The server said no, or was not asked, and so has done nothing of the transaction.
    var isRefusal: Bool { sqlState != nil || isUnsent }

    /// The server is not, or no longer, the one that may be written to; nothing has been written.
    func isWrongServer(guardedBy command: Int) -> Bool {
        isUnsent
            || isRefusal && (sqlState == "25006" || sqlState?.hasPrefix("57P") == true || place?.command == command)
    }

    /// The journal is made when it is first needed.
    func isMissingJournal(enteredBy command: Int) -> Bool {
        place?.command == command && (sqlState == "42P01" || sqlState == "3F000")
    }

    /// What a client is told; names and numbers only.
    var words: String {
        let state = sqlState.map { " (SQLSTATE \($0))" } ?? ""
        switch sqlState {
        case "23505": return "a unique constraint\(named) is violated: an id is there twice, or there already\(state)"
        case "23502": return "a column\(place?.column.map { " \"\($0)\"" } ?? "") must not be null\(state)"
        case "23514": return "a check\(named) is violated\(state)"
        case "23503": return "a foreign key\(named) is violated\(state)"
        case "42501" where !detail.contains(JournalTable.schema): return "the database role may not do this\(state)"
        case LayoutTable.fencedState: return "the collection is being moved, and takes no writes for a moment\(state)"
        case "55P03": return "a lock was not free in time\(state)"
        default: return detail + (detail.contains("SQLSTATE") ? "" : state)
        }
    }

    private var named: String { place?.constraint.map { " \"\($0)\"" } ?? "" }

    func error(_ collection: String, shard: String) -> SearchError {
        let place = "collection \"\(collection)\", shard \(shard)"
        if isFencedTable { return SearchError(beingMoved: place) }
        switch reason {
        case .saturated: return SearchError(busyBecause: place, retryAfter: retryAfter, depth: queueDepth)
        case .timedOut where !isRefusal: return SearchError(.deadlineExceeded, "\(place): no answer in time")
        case .cancelled: return SearchError(.cancelled, "the request was cancelled")
        case .unreachable, .connectionLost, .notServing:
            return SearchError(.unavailable, "\(place): \(words)", retryAfter: .milliseconds(500))
        default:
            if sqlState == "55P03" { return SearchError(.busy, "\(place): \(words)", retryAfter: .seconds(1)) }
            return SearchError(.backendError, "\(place): \(words)")
        }
    }
}
