internal import SluiceCore

/// What a leg came to, and what of it the backends may still be ending.
struct LegResult: Sendable {
    var report: LegReport
    var unsettled: [Task<Void, Never>] = []
}

extension LegResult {
    /// Adds an attempt's end to what is reported of the leg.
    mutating func note(_ end: AttemptEnd) {
        report.wait += end.wait
        report.execute = end.execute
        if let work = end.unsettled { unsettled.append(work) }
        switch end.result {
        case .success(let rows):
            report.replica = report.leg.shard.replicas[end.pick.replica].name
            report.rows = rows
            report.status = .ok
            report.message = nil
            report.sqlState = nil
        case .failure(let failure):
            report.note(failure)
        }
    }

    /// Adds what a harder search of the same leg came to. If that brought less, what there is stays.
    mutating func climb(to rung: EscalationLadder.Rung, _ harder: LegResult) {
        unsettled += harder.unsettled
        let isBetter = harder.report.status == .ok && harder.report.fewestRows >= report.fewestRows
        var next = isBetter ? harder.report : report
        next.takeEffort(of: report, harder.report)
        if harder.report.status == .ok { next.rung = rung } else { next.isCurtailed = true }
        report = next
    }
}

extension LegReport {
    /// Counts what both have cost.
    mutating func takeEffort(of first: LegReport, _ second: LegReport) {
        attempts = first.attempts + second.attempts
        hedges = first.hedges + second.hedges
        wait = first.wait + second.wait
        execute = first.execute + second.execute
    }

    /// What is known after the same was asked for again, for more rows: if that failed or brought less, the first rows
    /// stay, and may be too few.
    mutating func repair(with second: LegReport) {
        let isBetter = second.status == .ok && second.fewestRows >= fewestRows
        var next = isBetter ? second : self
        next.takeEffort(of: self, second)
        next.rung = max(rung, second.rung)
        if !isBetter {
            next.mayBeIncomplete = true
            next.isCurtailed = second.status != .ok
        }
        self = next
    }

    /// Of a batch, of the list that is the shortest.
    var fewestRows: Int { rows.further.reduce(rows.count) { min($0, $1.count) } }
}

extension LegLadder {
    func situation(_ report: LegReport, timeLeft: Duration) -> EscalationLadder.Situation {
        let vectors = 1 + report.rows.further.count
        let index = report.leg.index.kind
        var situation = EscalationLadder.Situation(
            rung: report.rung, asked: min(report.asked, enough), returned: fewestRows(report),
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

    /// Of a batch, of the list that is the shortest. One that goes beyond the distance asked for is complete.
    private func fewestRows(_ report: LegReport) -> Int {
        func rows(_ list: LegRows) -> Int {
            maxDistance.isFinite && list.distances.contains { $0 > maxDistance } ? report.asked : list.count
        }
        return report.rows.further.reduce(rows(report.rows)) { min($0, rows($1)) }
    }
}

extension LegReport {
    /// Fewer rows came than were asked for, although the table has more by far: dead rows in the index, or lists that
    /// were not probed. Statistics are a little old as a rule, so a few rows do not count.
    var isShortOfItsTable: Bool {
        let found = Double(fewestRows)
        guard fewestRows < asked, !leg.shape.isHeavy, leg.index.kind != .none else { return false }
        return (leg.estimate.rows ?? 0) > found * 1.1 + 1
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
