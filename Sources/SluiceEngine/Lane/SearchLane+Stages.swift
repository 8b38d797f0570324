internal import SluiceCore

// Searches of more than one stage, or with more than one list behind the answer's.

extension SearchLane {
    /// Coarse candidates of all shards, the best of them chosen here, and exact distances only where those live.
    func inTwoPhases(
        _ plan: SearchPlan, _ twoPhase: SearchExtras.TwoPhase, _ running: RunningSearch
    ) async -> SearchOutcome {
        var end = await fanOut(plan.stage, running)
        guard case .success(let coverage) = end.verdict else { return end.failed() }
        let survivors = funnel(plan, twoPhase, end.legs)
        let coarse = end.legs
        for place in end.legs.indices { end.legs[place].rows = .none }
        var covered = coverage
        if !survivors.isEmpty {
            let ranked = await fanOut(planner.ranked(plan, survivors), running)
            if case .failure = ranked.verdict, !running.mayBePartial { return ranked.failed(also: end.unsettled) }
            end.rank(survivors.map(\.leg), with: ranked, coarse)
            covered = min(coverage, self.coverage(of: end.legs))
            guard covered >= running.leastCoverage else { return ranked.failed(also: end.unsettled) }
        }
        let lists = Lists(plan, end.legs)
        var answer = lists.answer(plan, end.legs, coverage: covered)
        answer.elapsed = running.arrived.duration(to: executor.now())
        return Outcome(result: .success(answer), unsettled: end.unsettled)
    }

    /// Who goes on: the best of each list, over all its shards.
    private func funnel(
        _ plan: SearchPlan, _ twoPhase: SearchExtras.TwoPhase, _ legs: [LegReport]
    ) -> [CandidateFunnel.Survivors] {
        func survivors(_ places: Range<Int>, k: Int) -> [CandidateFunnel.Survivors] {
            var funnel = CandidateFunnel(most: Planner.candidates(twoPhase.candidates, k: k))
            for place in places {
                let rows = legs[place].rows
                for row in 0..<rows.count { funnel.offer(legs[place].candidate(row, of: rows, leg: place)) }
            }
            return funnel.finish()
        }
        guard plan.isSeparate else { return survivors(legs.indices, k: plan.search.k) }
        return plan.parts.flatMap { survivors($0.legs, k: $0.k) }
    }

    private func coverage(of legs: [LegReport]) -> Double {
        let weights = StageWeights(legs.map(\.leg), mayBePartial: true)
        if legs.allSatisfy({ $0.status == .ok }) { return 1 }
        let answered = legs.indices.reduce(0) { legs[$1].status == .ok ? $0 + weights.weight(of: $1) : $0 }
        return min(answered / max(weights.total, .leastNormalMagnitude), 1.0.nextDown)
    }

    /// A vector list and a full-text list, each merged over the shards, made one.
    func hybrid(
        _ plan: SearchPlan, _ text: SearchExtras.TextSearch, _ running: RunningSearch
    ) async -> SearchOutcome {
        var stage = plan.stage
        stage.append(planner.words(plan, text))
        let end = await fanOut(stage, running)
        guard case .success(let coverage) = end.verdict else { return end.failed() }
        let most = Planner.candidates(text.candidates, k: plan.search.k)
        let nearest = candidates(plan, end.legs, plan.stage.legs.indices, most: most, within: plan.maxDistance)
        let worded = candidates(
            plan, end.legs, plan.stage.legs.count..<stage.legs.count, most: most, within: .infinity)
        let fused = fuse(nearest, worded, text, k: plan.search.k)
        var extras = AnswerExtras()
        extras.fused = fused
        var answer = SearchAnswer(
            hits: Self.hits(of: fused, nearest, worded), legs: end.legs, coverage: coverage)
        answer.mayBeIncomplete = end.legs.contains { $0.mayBeIncomplete }
        answer.extras = extras
        answer.elapsed = running.arrived.duration(to: executor.now())
        return Outcome(result: .success(answer), unsettled: end.unsettled)
    }

    private func candidates(
        _ plan: SearchPlan, _ legs: [LegReport], _ places: Range<Int>, most: Int, within maxDistance: Double
    ) -> [Candidate] {
        var merge = TopKMerge(k: most)
        for place in places {
            let rows = legs[place].rows
            let left = plan.like.flatMap { $0.collection == legs[place].collection ? $0.id : nil }
            // Ranks are counted over what is kept: what has no finite score must not be among it.
            for row in 0..<rows.count
            where rows.distances[row].isFinite && rows.distances[row] <= maxDistance && rows.ids[row] != left {
                merge.offer(legs[place].candidate(row, of: rows, leg: place))
            }
        }
        return merge.finish()
    }

    private func fuse(
        _ nearest: [Candidate], _ worded: [Candidate], _ text: SearchExtras.TextSearch, k: Int
    ) -> [Fusion.FusedRow] {
        func list(_ candidates: [Candidate], weight: Double) -> Fusion.List {
            Fusion.List(
                rows: candidates.map { .init(collection: $0.collection, id: $0.id, score: $0.distance) },
                weight: weight)
        }
        let lists = [list(nearest, weight: text.vectorWeight), list(worded, weight: text.textWeight)]
        switch text.fusion {
        case .reciprocalRank(let constant): return Fusion.reciprocalRank(lists, constant: constant, limit: k).rows
        case .normalisedScoreSum: return Fusion.normalisedScoreSum(lists, limit: k).rows
        }
    }

    /// The fused rows where they were found; a row that only its words found has no distance.
    private static func hits(
        of fused: [Fusion.FusedRow], _ nearest: [Candidate], _ worded: [Candidate]
    ) -> [Candidate] {
        fused.compactMap { row in
            if let rank = row.ranks[0] { return nearest[rank - 1] }
            guard let rank = row.ranks[1] else { return nil }
            var hit = worded[rank - 1]
            hit.distance = .nan
            return hit
        }
    }

    /// The best of each group. The shards know nothing of groups, so they are asked for more and more rows until no row
    /// that has not come can change the answer.
    func grouped(
        _ plan: SearchPlan, _ group: SearchExtras.Grouping, _ running: RunningSearch
    ) async -> SearchOutcome {
        var stage = plan.stage
        var end = await fanOut(stage, running)
        while true {
            guard case .success(let coverage) = end.verdict else { return end.failed() }
            let found = groups(plan, group, end.legs)
            let limit = stage.legs.first?.shape.rowLimit ?? 0
            let isSettled = isSettled(found, plan, group, end.legs)
            if !isSettled, limit < Planner.mostCandidates, executor.now() < running.lastAnswer {
                stage = planner.wider(plan, limit: min(4 * limit, Planner.mostCandidates))
                let wider = await fanOut(stage, running)
                // What there is is better than nothing.
                if case .success = wider.verdict {
                    end.repair(Array(end.legs.indices), with: wider)
                    end.verdict = wider.verdict
                    continue
                }
                end.unsettled += wider.unsettled
            }
            var answer = SearchAnswer(
                hits: found.groups.flatMap(\.candidates), legs: end.legs, coverage: coverage)
            answer.mayBeIncomplete = !isSettled || end.legs.contains { $0.isShort(within: plan.maxDistance) }
            var extras = AnswerExtras()
            extras.groupSizes = found.groups.map(\.candidates.count)
            answer.extras = extras
            answer.elapsed = running.arrived.duration(to: executor.now())
            return Outcome(result: .success(answer), unsettled: end.unsettled)
        }
    }

    private func groups(
        _ plan: SearchPlan, _ group: SearchExtras.Grouping, _ legs: [LegReport]
    ) -> GroupedTopK.Answer {
        var groups = GroupedTopK(groups: plan.search.k, perGroup: group.size)
        for (place, leg) in legs.enumerated() {
            guard let column = leg.columns.firstIndex(of: group.column) else { continue }
            let left = plan.like.flatMap { $0.collection == leg.collection ? $0.id : nil }
            for row in 0..<leg.rows.count
            where !(leg.rows.distances[row] > plan.maxDistance) && leg.rows.ids[row] != left {
                let key = RowCells(leg.rows.cells(of: row)).cell(column).map { Array($0) }
                groups.offer(leg.candidate(row, of: leg.rows, leg: place), key: key)
            }
        }
        return groups.finish()
    }

    /// Whether no row that has not come can change the answer: those are not nearer than the last row of a leg that
    /// gave all that it was asked for.
    private func isSettled(
        _ found: GroupedTopK.Answer, _ plan: SearchPlan, _ group: SearchExtras.Grouping, _ legs: [LegReport]
    ) -> Bool {
        let horizon = legs.enumerated().compactMap { place, leg in
            leg.status == .ok && leg.rows.count >= leg.asked ? leg.furthest(of: leg.rows, leg: place)?.distance : nil
        }.min()
        guard let horizon, !(horizon > plan.maxDistance), !horizon.isNaN else { return true }
        guard found.isExact, found.groups.count == plan.search.k else { return false }
        return found.groups.allSatisfy { found in
            found.candidates.count == group.size && found.candidates.last.map { $0.distance < horizon } ?? false
        }
    }
}

extension RunningSearch {
    var leastCoverage: Double { terms.minCoverage ?? (terms.allowsPartial ? 0 : 1) }
}

extension StageEnd {
    /// Puts the second phase's rows in the place of the candidates.
    mutating func rank(_ places: [Int], with ranked: StageEnd, _ coarse: [LegReport]) {
        unsettled += ranked.unsettled
        for (place, second) in zip(places, ranked.legs) {
            var report = second
            report.attempts += coarse[place].attempts
            report.hedges += coarse[place].hedges
            report.wait += coarse[place].wait
            report.execute += coarse[place].execute
            report.asked = coarse[place].asked
            report.rung = coarse[place].rung
            report.mayBeIncomplete = coarse[place].mayBeIncomplete
            legs[place] = report
        }
    }
}
