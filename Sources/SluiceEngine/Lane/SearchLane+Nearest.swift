internal import SluiceCore

extension SearchLane {
    /// Runs a planned search in the way that it asks for.
    func answer(_ plan: SearchPlan, _ running: RunningSearch, _ stream: AnswerStream?) async -> SearchOutcome {
        let extras = plan.search.extras?.value
        if let text = extras?.text { return await hybrid(plan, text, running) }
        if let group = extras?.group { return await grouped(plan, group, running) }
        if let stream, plan.isSeparate, plan.parts.count > 1 { return await partByPart(plan, running, stream) }
        return streamed(await lists(plan, running), to: stream)
    }

    /// The nearest rows of each list.
    @inline(__always)
    func lists(_ plan: SearchPlan, _ running: RunningSearch) async -> SearchOutcome {
        guard let twoPhase = plan.search.extras?.value.twoPhase else { return await nearest(plan, running) }
        return await inTwoPhases(plan, twoPhase, running)
    }

    /// An answer with the time that it took.
    func answered(
        _ answer: SearchAnswer, _ running: RunningSearch, _ unsettled: [Task<Void, Never>]
    ) -> SearchOutcome {
        var answer = answer
        answer.elapsed = running.arrived.duration(to: executor.now())
        return Outcome(result: .success(answer), unsettled: unsettled)
    }

    @inline(__always)
    private func nearest(_ plan: SearchPlan, _ running: RunningSearch) async -> SearchOutcome {
        let end = await fanOut(plan.stage, running)
        guard case .success = end.verdict else { return end.failed() }
        let began = executor.now()
        let lists = Lists(plan, end.legs)
        let short = lists.cutShort(plan, end.legs)
        guard short.isEmpty else { return await repaired(plan, running, end, short) }
        return merged(lists, plan, running, end, from: began)
    }

    /// Asks the legs again whose share of the list has cut it short.
    private func repaired(
        _ plan: SearchPlan, _ running: RunningSearch, _ first: StageEnd, _ short: [Int]
    ) async -> SearchOutcome {
        var end = first
        let stage = planning(plan) { $0.again(plan, short, end.legs, isExtra: running.mayBePartial) }
        let again = await fanOut(stage, running)
        if case .failure = again.verdict, !running.mayBePartial { return again.failed(also: end.unsettled) }
        end.repair(short, with: again)
        let isRepaired = again.legs.contains { $0.status == .ok }
        let began = executor.now()
        return merged(Lists(plan, end.legs), plan, running, end, from: began, isRepaired: isRepaired)
    }

    private func merged(
        _ lists: Lists, _ plan: SearchPlan, _ running: RunningSearch, _ end: StageEnd, from began: Instant,
        isRepaired: Bool = false
    ) -> SearchOutcome {
        var answer = lists.answer(plan, end.legs, coverage: end.verdict.success ?? 0)
        answer.isRepaired = isRepaired
        topology.meters.merged(in: began.duration(to: executor.now()))
        return answered(answer, running, end.unsettled)
    }

    /// "More like this one": the row's vector first, then its neighbours.
    func alike(
        _ search: Search, _ row: SearchExtras.RowReference, _ running: RunningSearch, _ stream: AnswerStream?
    ) async -> SearchOutcome {
        var request = RowRequest(
            collection: row.collection, ids: [row.id], columns: [], withVector: true, deadline: search.deadline,
            allowsPartial: false)
        request.filter = row.filter
        let first: Stage
        do { first = try planner.rows(request, ids: request.ids) } catch { return Outcome(result: .failure(error)) }
        // A part of the shards is not enough to find one row, or to say that there is none.
        let terms = RequestTerms(
            deadline: search.deadline, freshness: running.terms.freshness, tenant: running.terms.tenant)
        let whole = RunningSearch(terms, started: running.started, arrived: running.arrived)
        let end = await fanOut(first, whole)
        guard case .success = end.verdict else { return end.failed() }
        do throws(SearchError) {
            var search = search
            search.vector = try vector(of: row, in: end.legs)
            var outcome = await answer(try planner.plan(search), running, stream)
            outcome.unsettled += end.unsettled
            return outcome
        } catch {
            return Outcome(result: .failure(error), unsettled: end.unsettled)
        }
    }

    private func vector(
        of row: SearchExtras.RowReference, in legs: [LegReport]
    ) throws(SearchError) -> QueryVector {
        let place = "collection \"\(row.collection)\", id \(row.id)"
        guard let leg = legs.first(where: { $0.rows.count > 0 }),
            let collection = leg.leg.topology.catalogue.boxed[row.collection]?.value
        else { throw SearchError(.invalidArgument, "\(place): there is no such row") }
        guard let cell = RowCells(leg.rows.cells(of: 0)).cell(0) else {
            throw SearchError(.invalidArgument, "\(place): the row has no vector")
        }
        return QueryVector(form: collection.form, dimensions: collection.dimensions, bytes: Array(cell))
    }
}

extension StageEnd {
    /// - Parameter more: what other stages may still be ending.
    func failed<Answer: Sendable>(also more: [Task<Void, Never>] = []) -> Outcome<Answer> {
        let error =
            if case .failure(let error) = verdict { error } else {
                legs.firstIndex { $0.status != .ok }.map { SearchError($0, of: legs) }
                    ?? SearchError(.unavailable, "no shard answered", legs: legs)
            }
        return Outcome(result: .failure(error), unsettled: unsettled + more)
    }

    /// Puts what legs brought the second time in the place of what they had brought.
    mutating func repair(_ places: [Int], with again: StageEnd) {
        unsettled += again.unsettled
        for (place, second) in zip(places, again.legs) { legs[place].repair(with: second) }
    }
}

extension LegReport {
    /// It gave all that it was asked for.
    var mayHaveMore: Bool { status == .ok && fewestRows() >= asked }

    func candidate(_ row: Int, of rows: LegRows, leg place: Int) -> Candidate {
        Candidate(
            distance: rows.distances[row], collection: leg.collectionRank, id: rows.ids[row], leg: place, row: row)
    }

    /// The last row in the order of distances; nil without rows. What is not a number is behind all others.
    func furthest(of rows: LegRows, leg place: Int) -> Candidate? {
        guard rows.count > 0 else { return nil }
        if let row = rows.distances.firstIndex(where: \.isNaN) { return candidate(row, of: rows, leg: place) }
        return (0..<rows.count).lazy.map { candidate($0, of: rows, leg: place) }.max(by: Candidate.precedes)
    }
}

/// The cells of one row: for each column a big-endian Int32 length (-1 for null) and that many bytes.
struct RowCells {
    private let bytes: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { self.bytes = bytes }

    /// One column's bytes; nil for null, or if there is no such column.
    func cell(_ column: Int) -> ArraySlice<UInt8>? {
        var rest = bytes
        var place = 0
        while rest.count >= 4 {
            let length = Int(Int32(bitPattern: rest.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }))
            rest = rest.dropFirst(4)
            if place == column { return length < 0 ? nil : rest.prefix(length) }
            rest = rest.dropFirst(max(0, length))
            place += 1
        }
        return nil
    }
}
