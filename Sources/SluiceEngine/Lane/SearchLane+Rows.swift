internal import SluiceCore

extension StageEnd {
    /// What its legs were planned by.
    fileprivate var catalogue: Catalogue? { legs.first?.leg.topology.catalogue }
}

extension SearchLane {
    /// The rows of some ids, in the order of the ids.
    func rows(
        _ request: RowRequest, _ ids: [Int64], _ stage: Stage, _ running: RunningSearch
    ) async -> SearchOutcome {
        let end = await fanOut(stage, running)
        guard case .success(let coverage) = end.verdict else { return end.failed() }
        var found: [Int64: Candidate] = [:]
        for (place, leg) in end.legs.enumerated() {
            for row in 0..<leg.rows.count where found[leg.rows.ids[row]] == nil {
                found[leg.rows.ids[row]] = leg.candidate(row, of: leg.rows, leg: place)
            }
        }
        var answer = SearchAnswer(hits: ids.compactMap { found[$0] }, legs: end.legs, coverage: coverage)
        var extras = AnswerExtras()
        extras.missing = missing(ids.filter { found[$0] == nil }, request.collection, end)
        if request.withVector { extras.vectorForm = end.catalogue?.boxed[request.collection]?.value.form }
        answer.extras = extras
        return answered(answer, running, end.unsettled)
    }

    /// Those that no row has: of a shard that did not answer nothing is known.
    private func missing(_ ids: [Int64], _ name: String, _ end: StageEnd) -> [Int64] {
        let failed = Set(end.legs.filter { $0.status != .ok }.map(\.leg.place))
        guard !failed.isEmpty else { return ids }
        guard let collection = end.catalogue?.boxed[name]?.value, collection.placement == .hash,
            let placement = HashPlacement(shardCount: collection.shards.count)
        else { return [] }
        return ids.filter { !failed.contains(placement.shard(of: $0)) }
    }

    /// How many rows a filter finds: each shard's number is the id of its only row.
    func count(_ question: CountQuestion, _ stage: Stage, _ running: RunningSearch) async -> Outcome<CountAnswer> {
        let end = await fanOut(stage, running)
        guard case .success = end.verdict else { return end.failed() }
        let rows = end.legs.reduce(0.0) { $0 + Double(max(0, $1.rows.ids.first ?? 0)) }
        let answer = CountAnswer(rows: rows, isExact: question.isExact, legs: end.legs)
        return Outcome(result: .success(answer), unsettled: end.unsettled)
    }
}
