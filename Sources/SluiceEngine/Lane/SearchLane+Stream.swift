public import SluiceCore

/// Some hits of one list, before the answer itself.
public struct AnswerPart: Sendable {
    public var list: Int
    /// Which of a batch's vectors the list is of.
    public var subject: Int
    /// The list's next hits; they refer to these legs.
    public private(set) var hits: [Candidate] = []
    public fileprivate(set) var legs: [LegReport] = []
    /// What the hits take.
    public private(set) var bytes = 0

    fileprivate init(list: Int, subject: Int) {
        self.list = list
        self.subject = subject
    }

    fileprivate mutating func append(_ hit: Candidate) {
        hits.append(hit)
        bytes += SearchAnswer.bytesPerHit + cells(of: hit).count
    }

    public func cells(of hit: Candidate) -> ArraySlice<UInt8> {
        legs[hit.leg].rows.of(subject: subject).cells(of: hit.row)
    }
}

/// Takes the hits that are ready before the answer itself. It does not wait: what it takes is a part of an answer that
/// is in memory already.
public typealias AnswerStream = @Sendable (AnswerPart) -> Void

extension SearchLane {
    /// What one part may have.
    private static var partHits: Int { 1_000 }
    private static var partBytes: Int { 262_144 }

    /// Sends all hits of an answer ahead, if there is a stream; everything but them is left for the answer itself.
    func streamed(
        _ outcome: SearchOutcome, to stream: AnswerStream?, list place: (Int) -> Int = { $0 }
    ) -> SearchOutcome {
        guard let stream, case .success(let answer) = outcome.result else { return outcome }
        var rest = answer
        let lists = [answer.hits] + (answer.extras?.furtherLists ?? [])
        let perVector = max(1, answer.extras?.listsPerVector ?? 1)
        for (number, hits) in lists.enumerated() {
            var left = hits[...]
            while !left.isEmpty {
                var part = AnswerPart(list: place(number), subject: number / perVector)
                var places: [Int: Int] = [:]
                while part.hits.count < Self.partHits, part.bytes < Self.partBytes, var hit = left.popFirst() {
                    if places[hit.leg] == nil {
                        places[hit.leg] = part.legs.count
                        part.legs.append(answer.legs[hit.leg])
                    }
                    hit.leg = places[hit.leg] ?? 0
                    part.append(hit)
                }
                stream(part)
            }
        }
        rest.hits = []
        if rest.extras != nil { rest.extras?.furtherLists = lists.dropFirst().map { _ in [] } }
        return Outcome(result: .success(rest), unsettled: outcome.unsettled)
    }

    /// Each collection's lists as soon as it has answered: a slow one does not hold up the others.
    func partByPart(
        _ plan: SearchPlan, _ running: RunningSearch, _ stream: @escaping AnswerStream
    ) async -> SearchOutcome {
        let count = plan.parts.count
        var outcomes: [SearchOutcome?] = Array(repeating: nil, count: count)
        await withTaskGroup(of: (Int, SearchOutcome).self) { group in
            for place in 0..<count {
                let part = plan.only(place)
                group.addTask { (place, await self.part(part, running, stream) { $0 * count + place }) }
            }
            while let (place, outcome) = await group.next() {
                outcomes[place] = outcome
                if case .failure = outcome.result, !running.mayBePartial { group.cancelAll() }
            }
        }
        return joined(plan, outcomes.compactMap(\.self), running)
    }

    private func part(
        _ plan: SearchPlan, _ running: RunningSearch, _ stream: @escaping AnswerStream,
        list place: @Sendable (Int) -> Int
    ) async -> SearchOutcome {
        streamed(await lists(plan, running), to: stream, list: place)
    }

    /// What all collections came to, without the hits, which have been sent.
    private func joined(
        _ plan: SearchPlan, _ outcomes: [SearchOutcome], _ running: RunningSearch
    ) -> SearchOutcome {
        let unsettled = outcomes.flatMap(\.unsettled)
        let weights = StageWeights(plan.stage.legs, mayBePartial: running.mayBePartial)
        var joined = SearchAnswer(hits: [], legs: [], coverage: 0)
        var failure: SearchError?
        for (part, outcome) in zip(plan.parts, outcomes) {
            switch outcome.result {
            case .success(let answer):
                joined.legs += answer.legs
                joined.mayBeIncomplete = joined.mayBeIncomplete || answer.mayBeIncomplete
                joined.isRepaired = joined.isRepaired || answer.isRepaired
                joined.coverage += answer.coverage * part.legs.reduce(0) { $0 + weights.weight(of: $1) }
            case .failure(let error):
                // A cancelled one ended because another had failed.
                if failure == nil || failure?.code == .cancelled { failure = error }
                joined.legs += error.legs
            }
        }
        joined.coverage =
            failure == nil && joined.legs.allSatisfy { $0.status == .ok }
            ? 1 : weights.share(joined.coverage)
        let least = max(running.terms.leastCoverage, .leastNormalMagnitude)
        if let failure, !running.mayBePartial || joined.coverage < least {
            return Outcome(result: .failure(failure), unsettled: unsettled)
        }
        var extras = AnswerExtras()
        extras.listsPerVector = plan.parts.count
        extras.furtherLists = Array(repeating: [], count: plan.vectorCount * plan.parts.count - 1)
        joined.extras = extras
        return answered(joined, running, unsettled)
    }
}
