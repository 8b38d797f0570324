internal import SluiceCore

extension SearchLane {
    /// Stores and deletes rows, each shard's in one transaction of one round trip.
    ///
    /// A shard's rows are all stored or none. What may have been sent is not sent again unless the request has a key;
    /// what was certainly not done goes on, on the new primary if there is one.
    public func write(_ order: WriteOrder, admittedBy ticket: Admission.Ticket) async -> Outcome<WriteAnswer> {
        let terms = RequestTerms(kind: .write, deadline: order.deadline, origin: order.origin)
        // What became of a write is said however late it is known.
        return await admitted(ticket, terms, executor.now(), isMeasured: false, mayBeLate: true) { lane, running in
            do throws(SearchError) {
                return Outcome(result: .success(try await lane.answer(order, running)))
            } catch {
                return Outcome(result: .failure(error))
            }
        }
    }

    private func answer(_ order: WriteOrder, _ running: RunningSearch) async throws(SearchError) -> WriteAnswer {
        // Its numbers may stand for something else when the table has been described.
        let catalogue = topology.catalogue
        let collection = try catalogue.writable(order.collection)
        var order = order
        order.key = order.key?.inLayout(collection.epoch)
        let table = try await description(of: collection, for: order)
        if !order.rows.isEmpty { try table.checkUpsert(into: collection) }
        let format = try table.format(collection, order.columns)
        let (writes, rowCount) = try split(order, collection.shards.map { catalogue.shards[$0].name }, format)
        let statements = IngestStatements(collection: collection)
        let filter = try order.filter.map { filter throws(SearchError) in try FilterPlan(filter, collection) }
        let upsert = upserts.statement(collection, order.columns, filter?.shape) {
            statements.upsert(order.columns, tellsNew: !table.isPartitioned, filter?.shape)
        }
        let batch = WriteBatch(
            order: order, collection: collection, statements: statements, upsert: upsert,
            types: table.types(collection, order.columns) + (filter?.shape.commandTypes ?? []), filter: filter)
        var answer = WriteAnswer(
            rows: Array(repeating: .notApplied, count: rowCount),
            deletes: Array(repeating: .notApplied, count: order.deletes.count), shards: [], elapsed: .zero,
            isRepeated: false)
        let ends = await withTaskGroup(of: ShardWriteEnd.self, returning: [ShardWriteEnd].self) { group in
            for write in writes { group.addTask { await self.perform(write, batch) } }
            var ends: [ShardWriteEnd] = []
            for await end in group { ends.append(end) }
            return ends
        }
        // Another gateway may know whom to write to: as an error that says that nothing was done, it is tried there.
        if ends.allSatisfy({ $0.fenced != nil }), let end = ends.min(by: { $0.report.shard < $1.report.shard }),
            let failure = end.fenced
        {
            throw failure.error(collection.name, shard: end.report.shard)
        }
        for end in ends { answer.take(end) }
        if let shard = answer.shards.first?.shard, answer.shards.allSatisfy(\.isFenced) {
            throw SearchError(beingMoved: "collection \"\(collection.name)\", shard \(shard)")
        }
        answer.shards.sort { $0.shard < $1.shard }
        answer.isRepeated = !answer.shards.isEmpty && answer.shards.allSatisfy { $0.outcome == .already }
        answer.elapsed = running.started.duration(to: executor.now())
        return answer
    }

    /// Each row in the binary form of its columns, with its shard. One bad row refuses the request: nothing is sent.
    private func split(
        _ order: WriteOrder, _ shards: [String], _ format: RowFormat
    ) throws(SearchError) -> ([ShardWrite], Int) {
        let placement = HashPlacement(shardCount: shards.count)
        var writes = shards.map { ShardWrite(shard: $0) }
        var seen: Set<Int64> = []
        func shard(of id: Int64, _ what: String) throws(SearchError) -> Int {
            guard seen.insert(id).inserted else {
                throw SearchError(.invalidArgument, "\(what): its id is in the request twice")
            }
            guard seen.count <= order.most else {
                throw SearchError(
                    .invalidArgument, "a write has at most \(order.most) rows and ids; load more of them")
            }
            return placement?.shard(of: id) ?? 0
        }
        let rows = try Self.rows(order, format)
        for (number, row) in rows.enumerated() {
            writes[try shard(of: row.id, "row \(number)")].rows.append((row.cells, number))
        }
        for (place, id) in order.deletes.enumerated() {
            writes[try shard(of: id, "delete \(place)")].deletes.append((id, place))
        }
        guard !seen.isEmpty else { throw SearchError(.invalidArgument, "a write without rows and ids") }
        return (writes.filter { !$0.rows.isEmpty || !$0.deletes.isEmpty }, rows.count)
    }

    private static func rows(
        _ order: WriteOrder, _ format: RowFormat
    ) throws(SearchError) -> [(id: Int64, cells: [UInt8])] {
        let rows = order.rows.withUnsafeBytes { bytes in
            Result { () throws(SearchError) in try Self.rows(bytes, format, most: order.most) }
        }
        return try rows.get()
    }

    private static func rows(
        _ bytes: UnsafeRawBufferPointer, _ format: RowFormat, most: Int
    ) throws(SearchError) -> [(id: Int64, cells: [UInt8])] {
        var packed = PackedRows(bytes)
        var rows: [(id: Int64, cells: [UInt8])] = []
        while let row = try Self.next(&packed) {
            guard rows.count < most else {
                throw SearchError(.invalidArgument, "a write has at most \(most) rows; load them")
            }
            var cells: [UInt8] = []
            do throws(RowProblem) { try format.append(row, of: bytes, to: &cells) } catch {
                throw SearchError(.badRow, "row \(rows.count): \(error.description); nothing was written")
            }
            cells.removeFirst(RowFormat.rowPrefix)
            rows.append((row.id, cells))
        }
        return rows
    }

    private static func next(_ rows: inout PackedRows) throws(SearchError) -> PackedRow? {
        do throws(MalformedRows) { return try rows.next() } catch {
            throw SearchError(.malformed, "WRITE: not whole packed rows")
        }
    }

    /// One that the write is for, if there is one that takes writes just now: another's leader is not waited for.
    private func shardToAsk(_ collection: Collection, _ order: WriteOrder) -> String? {
        let names = collection.shards.map { topology.catalogue.shards[$0].name }
        guard let placement = HashPlacement(shardCount: names.count), names.count > 1 else { return names.first }
        var own = Set(order.deletes.prefix(order.most).map(placement.shard))
        order.rows.withUnsafeBytes { bytes in
            var packed = PackedRows(bytes)
            var count = 0
            // What is wrong with them is said later.
            while own.count < names.count, count < order.most, let row = try? packed.next() {
                own.insert(placement.shard(of: row.id))
                count += 1
            }
        }
        let now = executor.now()
        let ready = own.sorted().first { place in
            guard case .refused = shared.fences[names[place]]?.verdict(now: now) else { return true }
            return false
        }
        return (ready ?? own.min()).map { names[$0] } ?? names.first
    }

    /// What the catalogue says of the collection's table, asked once in a while.
    private func description(
        of collection: Collection, for order: WriteOrder
    ) async throws(SearchError) -> TableDescription {
        if let known = upserts.table(collection, now: executor.now()) { return known }
        guard let shard = shardToAsk(collection, order) else {
            throw SearchError(.unavailable, "\(collection.name) has no shard")
        }
        let deadline = order.deadline
        do throws(BackendFailure) {
            let primary = try await leasePrimary(shard, until: deadline)
            let found: [WriteResult]
            do throws(BackendFailure) {
                found = try await primary.connection.run([TableDescription.question(collection)], deadline: deadline)
                giveBack(primary)
            } catch {
                _ = settle(primary.lease)
                throw error
            }
            guard let table = found.first.flatMap({ TableDescription($0.rows) }) else {
                throw BackendFailure(.statement, detail: "the table does not exist")
            }
            upserts.note(table, collection, now: executor.now())
            return table
        } catch {
            throw error.error(collection.name, shard: shard)
        }
    }

    // MARK: One shard

    private func perform(_ write: ShardWrite, _ batch: WriteBatch) async -> ShardWriteEnd {
        let trace = batch.order.origin.trace?.leg(
            collection: batch.collection.name, shard: write.shard, now: executor.now())
        let end = await perform(write, batch, ShardReport(shard: write.shard), trace)
        trace?.end(end.report)
        return end
    }

    /// Tries until it is done, refused, or not known.
    private func perform(
        _ write: ShardWrite, _ batch: WriteBatch, _ begun: ShardReport, _ trace: LegTrace?
    ) async -> ShardWriteEnd {
        var report = begun
        var kind = AttemptKind.first
        var mayHaveHappened = false
        while true {
            let primary: PrimaryLease
            do throws(BackendFailure) {
                primary = try await leasePrimary(write.shard, until: batch.order.deadline)
            } catch {
                return ShardWriteEnd(write, report, after: error, mayHaveHappened: mayHaveHappened)
            }
            report.replica = primary.replica
            let attemptTrace = trace?.attempt(kind, replica: primary.replica, now: executor.now())
            kind = .retry
            do throws(BackendFailure) {
                let end = try await attempt(write, batch, primary, report)
                attemptTrace?.end(nil)
                return end
            } catch {
                attemptTrace?.end(error)
                let isRepeated = batch.isRepeated(error)
                // A journal that may be lost says only what may have happened.
                let isDoubtful = isRepeated && primary.isSuperseded(now: executor.now())
                await afterFailure(error, primary)
                if isRepeated, !isDoubtful {
                    report.outcome = .already
                    report.position = await positionAnew(write.shard, until: batch.order.deadline)
                    return ShardWriteEnd(write, report, all: .repeated)
                }
                // The table may have another shape by now.
                upserts.forget(batch.collection)
                if error.isFencedTable { shared.moved.writeRefused(to: batch.collection.name) }
                mayHaveHappened = mayHaveHappened || !error.isRefusal || isDoubtful
                let mayGoOn =
                    error.isWrongServer(guardedBy: 0) || isDoubtful || (batch.order.key != nil && !error.isRefusal)
                if batch.isMissingJournal(error),
                    (try? await makeJournal(write.shard, until: batch.order.deadline)) != nil
                {
                    continue
                }
                guard mayGoOn, !Task.isCancelled, executor.now() < batch.order.deadline else {
                    return batch.blame(
                        error, ShardWriteEnd(write, report, after: error, mayHaveHappened: mayHaveHappened))
                }
                await shared.lookAgain(at: write.shard)
            }
        }
    }

    private func attempt(
        _ write: ShardWrite, _ batch: WriteBatch, _ primary: PrimaryLease, _ report: ShardReport
    ) async throws(BackendFailure) -> ShardWriteEnd {
        let deadline = batch.order.deadline
        let share = batch.order.tenant?.share
        guard share?.take(primary.backend) ?? true else { throw .shareUsedUp }
        defer { share?.release(primary.backend) }
        let commands = batch.commands(
            write, timeline: primary.timeline, timeout: executor.now().duration(to: deadline))
        try primary.checkFence(now: executor.now())
        let results = try await run(commands, onFenced: primary, until: deadline)
        var end = ShardWriteEnd(write, report, all: .unknown)
        if primary.isSuperseded(now: executor.now()) {
            // Its server took it, and is not the shard's any more.
            end.report.outcome = .unknown
            end.report.message = LoadRun.superseded
            _ = settle(primary.lease)
            return end
        }
        end.report.outcome = .committed
        let first = batch.firstRow
        for place in write.rows.indices where first + place < results.count {
            end.rows[place] = results[first + place].firstValue == "t" ? .inserted : .updated
        }
        if !write.deletes.isEmpty, let last = results.last {
            let gone = Set(last.rows.compactMap { $0.first.flatMap { $0 }.flatMap { Int64($0) } })
            end.deletes = write.deletes.map { gone.contains($0.id) ? .deleted : .absent }
        }
        end.report.rows = write.rows.count + end.deletes.count { $0 == .deleted }
        // It is committed: the position is worth a little more time than the request had.
        let patience = max(deadline, executor.now().advanced(by: .milliseconds(100)))
        end.report.position = await position(primary, until: patience)
        if end.report.position == nil { _ = settle(primary.lease) } else { giveBack(primary) }
        return end
    }

    private func afterFailure(_ error: BackendFailure, _ primary: PrimaryLease) async {
        _ = settle(primary.lease)
        if error.isWrongServer(guardedBy: 0) || error.reason == .connectionLost {
            shared.questionRole(of: primary.backend)
        }
    }

    private func positionAnew(_ shard: String, until deadline: Instant) async -> UInt64? {
        guard let primary = try? await leasePrimary(shard, until: deadline) else { return nil }
        let found = await position(primary, until: deadline)
        if found == nil { _ = settle(primary.lease) } else { giveBack(primary) }
        return found
    }
}

extension ShardReport {
    /// Nothing was done, as the collection is being moved.
    fileprivate var isFenced: Bool { outcome == .notApplied && sqlState == LayoutTable.fencedState }

    /// - Parameter isKnown: nothing that was sent can have been committed.
    fileprivate mutating func note(_ error: BackendFailure, isKnown: Bool) {
        outcome = isKnown ? .notApplied : .unknown
        sqlState = error.sqlState
        message = isKnown ? error.words : "\(error.words); it is not known whether it was committed"
    }
}

extension ShardWriteEnd {
    fileprivate init(_ write: ShardWrite, _ begun: ShardReport, after error: BackendFailure, mayHaveHappened: Bool) {
        var report = begun
        report.note(error, isKnown: !mayHaveHappened)
        self.init(write, report, all: mayHaveHappened ? .unknown : .notApplied)
        if !mayHaveHappened, error.isUnsent { fenced = error }
    }
}

extension WriteAnswer {
    fileprivate mutating func take(_ end: ShardWriteEnd) {
        shards.append(end.report)
        for (row, outcome) in zip(end.write.rows, end.rows) { rows[row.place] = outcome }
        for (delete, outcome) in zip(end.write.deletes, end.deletes) { deletes[delete.place] = outcome }
    }
}
