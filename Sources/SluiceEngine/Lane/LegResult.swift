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

    /// Adds what a harder search of the same leg came to. If that failed, what there is stays.
    mutating func climb(to rung: EscalationLadder.Rung, _ harder: LegResult) {
        unsettled += harder.unsettled
        var report = harder.report.status == .ok ? harder.report : self.report
        report.attempts = self.report.attempts + harder.report.attempts
        report.hedges = self.report.hedges + harder.report.hedges
        report.wait = self.report.wait + harder.report.wait
        report.execute = self.report.execute + harder.report.execute
        report.rung = harder.report.status == .ok ? rung : self.report.rung
        self.report = report
    }
}

extension LegLadder {
    func situation(_ report: LegReport, timeLeft: Duration) -> EscalationLadder.Situation {
        var situation = EscalationLadder.Situation(
            rung: report.rung, asked: min(report.asked, enough), returned: fewestRows(report),
            mayUnderReturn: mayUnderReturn, wantsComplete: rungs != nil, efSearch: efSearch, timeLeft: timeLeft,
            lastTook: report.execute)
        situation.exactRows = report.leg.estimate.rows.flatMap { Int(exactly: $0.rounded(.up)) }
        return situation
    }

    /// Whether more rows may match than came.
    func isShort(_ report: LegReport) -> Bool {
        report.status == .ok && EscalationLadder.isUnderReturned(situation(report, timeLeft: .zero))
    }

    /// Of a batch, the list that is the shortest.
    private func fewestRows(_ report: LegReport) -> Int {
        report.rows.further.reduce(report.rows.count) { min($0, $1.count) }
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
