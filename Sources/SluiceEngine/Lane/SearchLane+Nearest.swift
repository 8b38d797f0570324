internal import SluiceCore

extension SearchLane {
    /// Runs a planned search in the way that it asks for.
    func answer(_ plan: SearchPlan, _ running: RunningSearch, _ stream: AnswerStream?) async -> SearchOutcome {
        let extras = plan.search.extras?.value
        if let text = extras?.text { return await hybrid(plan, text, running) }
        if let group = extras?.group { return await grouped(plan, group, running) }
        if let stream, plan.isSeparate, plan.parts.count > 1 { return await partByPart(plan, running, stream) }
        let outcome =
            if let twoPhase = extras?.twoPhase {
                await inTwoPhases(plan, twoPhase, running)
            } else {
                await nearest(plan, running)
            }
        guard let stream, case .success(let answer) = outcome.result else { return outcome }
        return Outcome(result: .success(streamed(answer, to: stream)), unsettled: outcome.unsettled)
    }

    /// The k nearest rows of each list.
    func nearest(_ plan: SearchPlan, _ running: RunningSearch) async -> SearchOutcome {
        var end = await fanOut(plan.stage, running)
        guard case .success(let coverage) = end.verdict else { return end.failed() }
        var lists = Lists(plan, end.legs)
        let short = lists.cutShort(plan, end.legs)
        if !short.isEmpty {
            let again = await fanOut(planner.again(plan, short), running)
            if case .failure = again.verdict, !running.mayBePartial { return again.failed(also: end.unsettled) }
            end.repair(short, with: again)
            lists = Lists(plan, end.legs)
        }
        var answer = lists.answer(plan, end.legs, coverage: coverage)
        answer.isRepaired = !short.isEmpty
        answer.elapsed = running.arrived.duration(to: executor.now())
        return Outcome(result: .success(answer), unsettled: end.unsettled)
    }

    /// "More like this one": the row's vector first, then its neighbours.
    func alike(
        _ search: Search, _ row: SearchExtras.RowReference, _ running: RunningSearch, _ stream: AnswerStream?
    ) async -> SearchOutcome {
        let request = RowRequest(
            collection: row.collection, ids: [row.id], columns: [], withVector: true, deadline: search.deadline,
            allowsPartial: false)
        let first: Stage
        do { first = try planner.rows(request, ids: request.ids) } catch { return Outcome(result: .failure(error)) }
        let end = await fanOut(first, running)
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
        guard let collection = shared.catalogue.collections[row.collection],
            let leg = legs.first(where: { $0.rows.count > 0 })
        else { throw SearchError(.invalidArgument, "\(place): there is no such row") }
        guard let cell = RowCells(leg.rows.cells(of: 0)).cell(0) else {
            throw SearchError(.invalidArgument, "\(place): the row has no vector")
        }
        return QueryVector(form: collection.form, dimensions: collection.dimensions, bytes: Array(cell))
    }
}

extension StageEnd {
    func failed<Answer: Sendable>(also more: [Task<Void, Never>] = []) -> Outcome<Answer> {
        guard case .failure(let error) = verdict else {
            return Outcome(result: .failure(SearchError(.unavailable, "no shard answered", legs: legs)))
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
    /// What is known after the same was asked for again: if that failed, the first rows stay, and may be too few.
    mutating func repair(with second: LegReport) {
        var report = second.status == .ok ? second : self
        report.attempts = attempts + second.attempts
        report.hedges = hedges + second.hedges
        report.wait = wait + second.wait
        report.execute = execute + second.execute
        if second.status != .ok { report.mayBeIncomplete = true }
        self = report
    }

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

/// The lists of a search, merged from its legs: one for each vector, or for each vector and collection.
struct Lists {
    private(set) var lists: [[Candidate]] = []

    init(_ plan: SearchPlan, _ legs: [LegReport]) {
        let vectors = plan.vectorCount
        lists.reserveCapacity(plan.isSeparate ? vectors * plan.parts.count : vectors)
        for vector in 0..<vectors {
            guard plan.isSeparate else {
                lists.append(Self.merge(legs, vector: vector, plan))
                continue
            }
            for part in plan.parts { lists.append(Self.merge(legs, part.legs, vector: vector, k: part.k, plan)) }
        }
    }

    /// One list of all collections, to which each brings at most its own k.
    private static func merge(_ legs: [LegReport], vector: Int, _ plan: SearchPlan) -> [Candidate] {
        let k = plan.search.k
        guard plan.parts.contains(where: { $0.k < k }) else {
            return merge(legs, legs.indices, vector: vector, k: k, plan)
        }
        var merged = TopKMerge(k: k)
        for part in plan.parts {
            for hit in merge(legs, part.legs, vector: vector, k: part.k, plan) { merged.offer(hit) }
        }
        return merged.finish()
    }

    private static func merge(
        _ legs: [LegReport], _ places: Range<Int>, vector: Int, k: Int, _ plan: SearchPlan
    ) -> [Candidate] {
        var merge = TopKMerge(k: k)
        for place in places {
            let leg = legs[place]
            let rows = vector == 0 ? leg.rows : leg.rows.of(subject: vector)
            let left = plan.like.flatMap { $0.collection == leg.collection ? $0.id : nil }
            for row in 0..<rows.count where !(rows.distances[row] > plan.maxDistance) && rows.ids[row] != left {
                merge.offer(leg.candidate(row, of: rows, leg: place))
            }
        }
        return merge.finish()
    }

    /// The legs that may hold a row of the answer which they were not asked for, by their places.
    func cutShort(_ plan: SearchPlan, _ legs: [LegReport]) -> [Int] {
        guard plan.parts.contains(where: { plan.asked(of: $0) < $0.needed }) else { return [] }
        var short: Set<Int> = []
        for (number, list) in lists.enumerated() {
            let vector = plan.isSeparate ? number / plan.parts.count : number
            for part in plan.isSeparate ? [plan.parts[number % plan.parts.count]] : plan.parts {
                let k = plan.isSeparate ? part.k : plan.search.k
                let facts = part.legs.map { place in
                    Self.quotaLeg(legs[place], place, vector: vector, needed: part.needed, k: k)
                }
                let found = ShardQuota.mayBeCutShort(
                    facts, k: k, bound: Self.bound(list, k: k, plan), ordersTies: plan.search.exact)
                for place in found { short.insert(part.legs.lowerBound + place) }
            }
        }
        return short.sorted()
    }

    private static func quotaLeg(
        _ leg: LegReport, _ place: Int, vector: Int, needed: Int, k: Int
    ) -> ShardQuota.Leg {
        // What failed has nothing more to give.
        guard leg.status == .ok, leg.asked < needed else { return .init(asked: k, returned: 0, furthest: nil) }
        let rows = leg.rows.of(subject: vector)
        guard rows.count >= leg.asked else { return .init(asked: k, returned: rows.count, furthest: nil) }
        return .init(
            asked: min(leg.asked, k - 1), returned: rows.count, furthest: leg.furthest(of: rows, leg: place))
    }

    /// Where the answer ends: at its last row, or at the distance asked for.
    private static func bound(_ list: [Candidate], k: Int, _ plan: SearchPlan) -> Candidate? {
        if list.count >= k { return list.last }
        guard plan.maxDistance.isFinite else { return nil }
        return Candidate(distance: plan.maxDistance, collection: .max, id: .max, leg: 0, row: 0)
    }

    func answer(_ plan: SearchPlan, _ legs: [LegReport], coverage: Double) -> SearchAnswer {
        var answer = SearchAnswer(hits: lists.first ?? [], legs: legs, coverage: coverage)
        answer.mayBeIncomplete = legs.contains { $0.isShort(within: plan.maxDistance) }
        guard lists.count > 1 else { return answer }
        var extras = AnswerExtras()
        extras.furtherLists = Array(lists.dropFirst())
        extras.listsPerVector = plan.isSeparate ? plan.parts.count : 1
        answer.extras = extras
        return answer
    }
}

extension LegReport {
    /// Whether rows may be missing that are near enough.
    func isShort(within maxDistance: Double) -> Bool {
        guard mayBeIncomplete else { return false }
        return !rows.distances.contains { $0 > maxDistance }
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
