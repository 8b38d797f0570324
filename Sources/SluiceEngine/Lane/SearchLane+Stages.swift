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
            let ranked = await fanOut(planning(plan) { $0.ranked(plan, survivors) }, running)
            if case .failure = ranked.verdict, !running.mayBePartial { return ranked.failed(also: end.unsettled) }
            end.rank(survivors.map(\.leg), with: ranked, coarse)
            covered = min(coverage, self.coverage(of: end.legs))
            guard covered >= max(running.terms.leastCoverage - 1e-9, .leastNormalMagnitude) else {
                return StageEnd(legs: end.legs, unsettled: end.unsettled, verdict: .success(0)).failed()
            }
        }
        let answer = Lists(plan, end.legs).answer(plan, end.legs, coverage: covered)
        return answered(answer, running, end.unsettled)
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
        guard plan.isSeparate else { return survivors(legs.indices, k: plan.needed) }
        return plan.parts.flatMap { survivors($0.legs, k: $0.needed) }
    }

    private func coverage(of legs: [LegReport]) -> Double {
        let weights = StageWeights(legs.map(\.leg), mayBePartial: true)
        if legs.allSatisfy({ $0.status == .ok }) { return 1 }
        let answered = legs.indices.reduce(0) { legs[$1].status == .ok ? $0 + weights.weight(of: $1) : $0 }
        return weights.share(answered)
    }

    /// A vector list and a full-text list, each merged over the shards, made one.
    func hybrid(
        _ plan: SearchPlan, _ text: SearchExtras.TextSearch, _ running: RunningSearch
    ) async -> SearchOutcome {
        var stage = plan.stage
        stage.append(planning(plan) { $0.words(plan, text) })
        let end = await fanOut(stage, running)
        guard case .success(let coverage) = end.verdict else { return end.failed() }
        let most = Planner.candidates(text.candidates, k: plan.needed)
        let nearest = candidates(plan, end.legs, plan.stage.legs.indices, most: most, within: plan.maxDistance)
        let worded = candidates(plan, end.legs, plan.stage.legs.count..<stage.legs.count, most: most, within: .infinity)
        let fused = fuse(nearest, worded, text, k: plan.search.k)
        var extras = AnswerExtras()
        extras.fused = fused
        var answer = SearchAnswer(
            hits: Self.hits(of: fused, nearest, worded), legs: end.legs, coverage: coverage)
        answer.mayBeIncomplete = end.legs.contains { $0.mayBeIncomplete }
        answer.extras = extras
        return answered(answer, running, end.unsettled)
    }

    private func candidates(
        _ plan: SearchPlan, _ legs: [LegReport], _ places: Range<Int>, most: Int, within maxDistance: Double
    ) -> [Candidate] {
        var merge = TopKMerge(k: most)
        // Ranks are counted over what is kept: what has no finite score must not be among it.
        plan.eachRow(legs, places, within: maxDistance) { if $0.distance.isFinite { merge.offer($0) } }
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
        var end = await fanOut(plan.stage, running)
        guard case .success(var coverage) = end.verdict else { return end.failed() }
        let most = min(Planner.mostCandidates, configuration.plans.maximumRows / max(1, plan.stage.legs.count))
        var limit = plan.parts.map { plan.asked(of: $0) }.max() ?? 0
        var found = groups(plan, group, end.legs)
        while !isSettled(found, plan, group, end.legs), limit < most, executor.now() < running.lastExtra {
            limit = min(4 * limit, most)
            let places = end.legs.indices.filter { end.legs[$0].mayHaveMore }
            let stage = planning(plan) { $0.again(plan, places, end.legs, limit: limit, isExtra: true) }
            let wider = await fanOut(stage, running)
            end.repair(places, with: wider)
            found = groups(plan, group, end.legs)
            // What there is is better than nothing.
            guard case .success = wider.verdict else { break }
            coverage = min(coverage, self.coverage(of: end.legs))
        }
        var answer = SearchAnswer(hits: found.groups.flatMap(\.candidates), legs: end.legs, coverage: coverage)
        answer.mayBeIncomplete =
            !isSettled(found, plan, group, end.legs) || end.legs.contains { $0.mayBeIncomplete }
        var extras = AnswerExtras()
        extras.groupSizes = found.groups.map(\.candidates.count)
        answer.extras = extras
        return answered(answer, running, end.unsettled)
    }

    private func groups(
        _ plan: SearchPlan, _ group: SearchExtras.Grouping, _ legs: [LegReport]
    ) -> GroupedTopK.Answer {
        var groups = GroupedTopK(groups: plan.search.k, perGroup: group.size)
        for place in legs.indices {
            guard let column = legs[place].columns.firstIndex(of: group.column) else { continue }
            plan.eachRow(legs, place..<place + 1, within: plan.maxDistance) { candidate in
                let key = RowCells(legs[place].rows.cells(of: candidate.row)).cell(column).map { Array($0) }
                groups.offer(candidate, key: key)
            }
        }
        return groups.finish()
    }

    /// Whether no row that has not come can change the answer: those are not nearer than the last row of a leg that
    /// gave all that it was asked for.
    private func isSettled(
        _ found: GroupedTopK.Answer, _ plan: SearchPlan, _ group: SearchExtras.Grouping, _ legs: [LegReport]
    ) -> Bool {
        let horizons = legs.enumerated().compactMap { place, leg -> Double? in
            guard leg.mayHaveMore else { return nil }
            // Behind what is not a number there is nothing that could be a hit.
            return leg.furthest(of: leg.rows, leg: place).flatMap { $0.distance.isNaN ? nil : $0.distance }
        }
        guard let horizon = horizons.min(), !(horizon > plan.maxDistance) else { return true }
        guard found.isExact, found.groups.count == plan.search.k else { return false }
        return found.groups.allSatisfy { found in
            found.candidates.count == group.size && found.candidates.last.map { $0.distance < horizon } ?? false
        }
    }
}

extension StageEnd {
    /// Puts the second phase's rows in the place of the candidates.
    mutating func rank(_ places: [Int], with ranked: StageEnd, _ coarse: [LegReport]) {
        unsettled += ranked.unsettled
        for (place, second) in zip(places, ranked.legs) {
            var report = second
            report.takeEffort(of: coarse[place], second)
            report.rung = coarse[place].rung
            report.mayBeIncomplete = coarse[place].mayBeIncomplete
            report.asked = coarse[place].asked
            report.isStale = report.isStale || coarse[place].isStale
            legs[place] = report
        }
    }
}
