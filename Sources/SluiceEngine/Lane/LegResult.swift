internal import SluiceCore

extension RunningLeg {
    /// How it goes on if too few rows came; nil if it has ended, which is noted then.
    var laddersOn: LegLadder? {
        guard report.status == .ok else { return nil }
        if let ladder = input.ladder { return ladder }
        report.mayBeIncomplete = report.isShortOfItsTable
        return nil
    }

    /// Adds an attempt's end to what is reported.
    func note(_ end: AttemptEnd) {
        report.wait += end.wait
        report.execute = end.execute
        if let work = end.unsettled { unsettled.append(work) }
        switch end.result {
        case .success(let rows):
            report.replica = report.leg.shard.replicas[end.pick.replica].name
            report.rows = rows
            report.status = .ok
            report.staleness = end.staleness
            report.isStale = end.pick.isStale
            report.message = nil
            report.sqlState = nil
        case .failure(let failure):
            report.note(failure)
        }
    }
}

extension LegReport {
    /// Counts what both have cost.
    mutating func takeEffort(of first: LegReport, _ second: LegReport) {
        attempts = first.attempts + second.attempts
        hedges = first.hedges + second.hedges
        took = first.took + second.took
        wait = first.wait + second.wait
        execute = first.execute + second.execute
    }

    /// With what a harder search of the same leg came to.
    func climbed(to rung: EscalationLadder.Rung, _ harder: LegReport) -> LegReport {
        var report = self
        report.take(harder)
        if harder.status == .ok { report.rung = rung }
        return report
    }

    /// What is known after the leg was asked again. If that failed or brought less, what there is stays.
    /// - Returns: whether the second rows are those that are known now.
    @discardableResult
    mutating func take(_ second: LegReport) -> Bool {
        let isBetter = second.status == .ok && second.fewestRows() >= fewestRows()
        var next = isBetter ? second : self
        next.takeEffort(of: self, second)
        if second.status != .ok { next.isCurtailed = true }
        self = next
        return isBetter
    }

    /// The same after it was asked for more rows: what there was without them may be too few.
    mutating func repair(with second: LegReport) {
        let rung = max(rung, second.rung)
        if !take(second) { mayBeIncomplete = true }
        self.rung = rung
    }

    /// Of a batch, of the list that is the shortest. One that goes beyond a distance has all that matter.
    func fewestRows(within maxDistance: Double = .infinity) -> Int {
        func rows(_ list: LegRows) -> Int {
            maxDistance.isFinite && list.distances.contains { $0 > maxDistance } ? asked : list.count
        }
        return self.rows.further.reduce(rows(self.rows)) { min($0, rows($1)) }
    }
}

extension LegLadder {
    func situation(_ report: LegReport, timeLeft: Duration) -> EscalationLadder.Situation {
        let vectors = 1 + report.rows.further.count
        let index = report.leg.index.kind
        var situation = EscalationLadder.Situation(
            rung: report.rung, asked: min(report.asked, enough), returned: report.fewestRows(within: maxDistance),
            mayUnderReturn: index != .none && (mayUnderReturn || report.isShortOfItsTable),
            wantsComplete: rungs != nil, efSearch: iterates || [.none, .ivfflat].contains(index) ? nil : efSearch,
            timeLeft: timeLeft, lastTook: report.execute)
        situation.canIterate = !iterates
        situation.exactRows = report.leg.estimate.rows.flatMap { Int(exactly: ($0 * Double(vectors)).rounded(.up)) }
        return situation
    }

    /// Whether more rows may match than came.
    func isShort(_ report: LegReport) -> Bool {
        report.status == .ok && EscalationLadder.isUnderReturned(situation(report, timeLeft: .zero))
    }
}

extension LegReport {
    /// Fewer rows came than were asked for, although the table has more by far: dead rows in the index, or lists that
    /// were not probed. Statistics are a little old as a rule, so a few rows do not count.
    var isShortOfItsTable: Bool {
        let found = fewestRows()
        guard found < asked, !leg.shape.isHeavy, leg.index.kind != .none else { return false }
        return (leg.estimate.rows ?? 0) > Double(found) * 1.1 + 1
    }
}

extension LegLadder.Rungs {
    func settings(_ rung: EscalationLadder.Rung, _ asAsked: SearchSettings) -> SearchSettings {
        switch rung {
        case .asAsked: asAsked
        case .widerSearch: wider
        case .iterativeScan: iterative
        case .exact: exact
        }
    }
}
