internal import SluiceCore

/// What a load does on its shards, on all of them at the same time.
extension LoadRun {
    // MARK: Opening

    /// Opens a transaction on each shard's primary and makes there what the rows are copied into.
    func open() async throws(SearchError) {
        if let error = await onAll({ await $0.open($1) }).first { throw error }
        if Task.isCancelled { throw SearchError(.cancelled, "the load was cancelled") }
    }

    private func open(_ place: Int) async -> SearchError? {
        let limit = executor.now().advanced(by: Self.openingTime)
        var attempts = 0
        while true {
            attempts += 1
            do throws(BackendFailure) {
                let primary = try await lane.leasePrimary(shards[place].name, until: limit)
                shards[place].primary = primary
                shards[place].report.replica = primary.replica
                if let error = try await prepare(place, primary, until: limit) { return error }
                return nil
            } catch {
                if let primary = shards[place].primary.take() { await abandon(primary) }
                var failure = error
                if attempts < Self.mostOpenings, executor.now() < limit {
                    let shard = shards[place].name
                    if error.isMissingJournal(enteredBy: Self.journalCommand) {
                        do throws(BackendFailure) {
                            try await lane.makeJournal(shard, until: limit)
                            continue
                        } catch { failure = error }
                    } else if error.isWrongServer(guardedBy: Self.guardCommand) {
                        await lane.shared.lookAgain(at: shard)
                        continue
                    }
                }
                return refusal(failure, place)
            }
        }
    }

    private static var outside: String {
        "a row is, or would be, outside of what this identity may see; nothing was loaded"
    }

    private static var openingTime: Duration { .seconds(5) }
    private static var mostOpenings: Int { 5 }
    /// Their places in what opens the transaction.
    private static var guardCommand: Int { 1 }
    private static var journalCommand: Int { 3 }

    private func prepare(
        _ place: Int, _ primary: PrimaryLease, until limit: Instant
    ) async throws(BackendFailure) -> SearchError? {
        let described = try await primary.connection.run([TableDescription.question(collection)], deadline: limit)
        guard let table = described.first.flatMap({ TableDescription($0.rows) }) else {
            return SearchError(.notSupported, "\(collection.name): shard \(shards[place].name) has no such table")
        }
        do throws(SearchError) {
            let format = try table.format(collection, order.columns)
            if self.format == nil { self.format = format }
            guard self.format == format else {
                throw SearchError(.notSupported, "\(collection.name): its shards' tables have different columns")
            }
            if order.mode == .upsert { try table.checkUpsert(into: collection) }
        } catch { return error }
        shards[place].isTableEmpty = table.isEmpty
        let head = try await primary.connection.run(
            [
                IngestStatements.begin, IngestStatements.guardPrimary(timeline: primary.timeline),
                IngestStatements.loadSettings,
                IngestStatements.enter(order.key, collection, kind: "load", orSkip: true),
                IngestStatements.transactionID,
            ], deadline: limit)
        guard head.count == 5, !head[3].rows.isEmpty else {
            try await noteAlready(place, primary, until: limit)
            return nil
        }
        shards[place].transaction = head[4].firstValue
        return try await makeTarget(place, primary, until: limit)
    }

    private func noteAlready(
        _ place: Int, _ primary: PrimaryLease, until limit: Instant
    ) async throws(BackendFailure) {
        let found = try await primary.connection.run(
            [IngestStatements.find(order.key), IngestStatements.rollback], deadline: limit)
        let position = try await primary.connection.run([IngestStatements.position], deadline: limit)
        // A journal that may be lost says nothing.
        try primary.checkFence(now: executor.now())
        shards[place].report.outcome = .already
        shards[place].report.rows = found.first?.firstValue.flatMap { Int($0) } ?? 0
        shards[place].report.position = position.first?.firstValue.flatMap { UInt64($0) }
        shards[place].primary = nil
        await lane.giveBack(primary)
    }

    private func makeTarget(
        _ place: Int, _ primary: PrimaryLease, until limit: Instant
    ) async throws(BackendFailure) -> SearchError? {
        switch order.mode {
        case .append: break
        case .upsert:
            _ = try await primary.connection.run(statements.makeStage(order.columns), deadline: limit)
        case .replace:
            let obstacles = try await primary.connection.run([replacement.obstacles], deadline: limit)
            let names = obstacles.first?.rows.compactMap { $0.first ?? nil } ?? []
            guard names.isEmpty else {
                return SearchError(
                    .notSupported,
                    "\(collection.name), shard \(shards[place].name): the table cannot be replaced, because of: "
                        + names.prefix(10).joined(separator: ", "))
            }
            _ = try await primary.connection.run(replacement.make, deadline: limit)
            try await copyParts(place, primary, replacement.constraints, until: limit)
        }
        return nil
    }

    /// Gives the new table what the old one has.
    private func copyParts(
        _ place: Int, _ primary: PrimaryLease, _ parts: WriteCommand, until limit: Instant
    ) async throws(BackendFailure) {
        let found = try await primary.connection.run([parts], deadline: limit)
        for row in found.first?.rows ?? [] {
            guard let make = row.first ?? nil else { continue }
            _ = try await primary.connection.run([WriteCommand(make)], deadline: limit)
            if let rename = row.last ?? nil { shards[place].renames.append(rename) }
        }
    }

    // MARK: Rows

    private var target: String {
        switch order.mode {
        case .append: statements.table
        case .upsert: IngestStatements.stage
        case .replace: replacement.table
        }
    }

    private var relation: String {
        switch order.mode {
        case .append: collection.table
        case .upsert: IngestStatements.stageName
        case .replace: replacement.name
        }
    }

    /// Copies one batch. A row that the server refuses is left out, if that is allowed, and the rest is sent again.
    func send(_ batch: RowBatchBuffer, to place: Int) async {
        guard let primary = shards[place].primary else { return }
        var batch = batch
        let sql = statements.copy(into: target, order.columns)
        let maySkip = order.skippable > 0
        while failure == nil {
            let limit = executor.now().advanced(by: limits.batch)
            do throws(BackendFailure) {
                if maySkip { _ = try await primary.connection.run([IngestStatements.savepoint], deadline: limit) }
                _ = try await primary.connection.copy(
                    CopyCommand(sql: sql, relation: relation), [RowFormat.copyHeader[...], batch.bytes[...]],
                    deadline: limit)
                return taken(batch, by: place)
            } catch {
                guard await isSkipped(error, &batch, place, primary, until: limit) else { return }
                if batch.isEmpty { return taken(batch, by: place) }
            }
        }
    }

    /// Notes what the server refused. True if the batch may be sent again without it.
    private func isSkipped(
        _ error: BackendFailure, _ batch: inout RowBatchBuffer, _ place: Int, _ primary: PrimaryLease,
        until limit: Instant
    ) async -> Bool {
        guard !error.isFencedTable, let line = error.place?.line, let number = batch.remove(at: line - 1) else {
            fail(refusal(error, place))
            return false
        }
        refuse(number, .refused(error.words))
        guard failure == nil else { return false }
        do throws(BackendFailure) {
            _ = try await primary.connection.run([IngestStatements.rollbackToSavepoint], deadline: limit)
            return true
        } catch {
            fail(refusal(error, place))
            return false
        }
    }

    private func refusal(_ error: BackendFailure, _ place: Int) -> SearchError {
        if error.isFencedTable { lane.shared.moved.writeRefused(to: collection.name) }
        return error.error(collection.name, shard: shards[place].name)
    }

    // MARK: The end

    /// What follows the rows before they can be committed.
    func finishAll() async {
        phase = .merging
        onEvent(.progress(.merging, done: 0, total: 0, shard: ""))
        if let error = await onAll({ await $0.finish($1) }).first { fail(error) }
        if Task.isCancelled { fail(SearchError(.cancelled, "the load was cancelled; nothing was loaded")) }
    }

    private func finish(_ place: Int) async -> SearchError? {
        guard let primary = shards[place].primary else { return nil }
        let limit = executor.now().advanced(by: limits.merge)
        do throws(BackendFailure) {
            switch order.mode {
            case .append: break
            case .upsert:
                let merge = statements.mergeStage(order.columns, filter)
                _ = try await primary.connection.run([merge], deadline: limit)
            case .replace:
                try await copyParts(place, primary, replacement.others, until: limit)
                for command in replacement.swap(shards[place].renames) {
                    _ = try await primary.connection.run([command], deadline: limit)
                }
            }
            _ = try await primary.connection.run(
                [IngestStatements.note(order.key, rows: shards[place].report.rows)], deadline: limit)
            return nil
        } catch {
            if filter != nil, error.sqlState == IngestStatements.outsideState {
                return SearchError(.permissionDenied, "\(collection.name): \(Self.outside)")
            }
            return refusal(error, place)
        }
    }

    func commitAll() async {
        phase = .committing
        onEvent(.progress(.committing, done: 0, total: 0, shard: ""))
        _ = await onAll { await $0.commit($1) }
    }

    private func commit(_ place: Int) async -> SearchError? {
        guard let primary = shards[place].primary.take() else { return nil }
        let limit = executor.now().advanced(by: Self.commitTime)
        do throws(BackendFailure) {
            try primary.checkFence(now: executor.now())
            try await commit(primary, until: limit)
            if primary.isSuperseded(now: executor.now()) {
                shards[place].report.outcome = .unknown
                shards[place].report.message = Self.superseded
                await abandon(primary)
                return nil
            }
            shards[place].report.outcome = .committed
            shards[place].report.position = await lane.position(primary, until: limit)
            _ = try? await primary.connection.run(
                [IngestStatements.purge(olderThan: limits.retention)], deadline: limit)
            await lane.giveBack(primary)
        } catch {
            note(error, place)
            if error.isRefusal { await abandon(primary) } else { await resolve(place, primary) }
        }
        return nil
    }

    /// In a task of its own: cancelled, nobody would know what has been committed.
    private func commit(_ primary: PrimaryLease, until limit: Instant) async throws(BackendFailure) {
        let task = Task(executorPreference: executor) { [lane] () -> BackendFailure? in
            do throws(BackendFailure) {
                _ = try await lane.run([IngestStatements.commit], onFenced: primary, until: limit)
                return nil
            } catch {
                return error
            }
        }
        if let failure = await task.value { throw failure }
    }

    static var superseded: String {
        "the server took it, and may not be written to any more; it is not known whether its successor has it"
    }

    private static var commitTime: Duration { .seconds(60) }

    private func note(_ error: BackendFailure, _ place: Int) {
        shards[place].report.outcome = error.isRefusal ? .notApplied : .unknown
        shards[place].report.sqlState = error.sqlState
        shards[place].report.message = error.words
    }

    /// Asks whoever is the primary now what became of a commit whose answer was lost.
    private func resolve(_ place: Int, _ lost: PrimaryLease) async {
        await lost.connection.close()
        _ = await lane.settle(lost.lease)
        let fate = await lane.fate(
            of: order.key, transaction: shards[place].transaction, shard: lost.shard, timeline: lost.timeline)
        shards[place].report.outcome = fate.outcome
        shards[place].report.position = fate.position
        if fate.outcome == .committed {
            shards[place].report.message = nil
            shards[place].report.sqlState = nil
        }
    }

    func abandonAll() async {
        _ = await onAll { run, place in
            if let primary = await run.takePrimary(place) { await run.abandon(primary) }
            return nil
        }
        for place in shards.indices where shards[place].report.outcome != .already {
            shards[place].report.outcome = .notApplied
            shards[place].report.rows = 0
        }
    }

    private func abandon(_ primary: PrimaryLease) async {
        if let closing = await lane.abandon(primary) { unsettled.append(closing) }
    }

    private func takePrimary(_ place: Int) -> PrimaryLease? { shards[place].primary.take() }

    /// - Returns: the shards' errors, in the shards' order.
    private func onAll(_ work: @escaping @Sendable (LoadRun, Int) async -> SearchError?) async -> [SearchError] {
        await withTaskGroup(of: (Int, SearchError?).self) { group in
            for place in shards.indices { group.addTask { (place, await work(self, place)) } }
            var found: [SearchError?] = Array(repeating: nil, count: shards.count)
            for await (place, error) in group { found[place] = error }
            return found.compactMap(\.self)
        }
    }
}
