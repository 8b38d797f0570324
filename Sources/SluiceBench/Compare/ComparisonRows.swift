/// The numbers that are compared.
extension Comparison {
    /// A percentile says something if at least one request in the mean is beyond it.
    private static let percentiles: [(String, Int, @Sendable (Measurement.Latency) -> Int)] = [
        ("p50", 2, { $0.p50 }), ("p90", 10, { $0.p90 }), ("p99", 100, { $0.p99 }), ("p99.9", 1_000, { $0.p999 }),
        ("p99.99", 10_000, { $0.p9999 }),
    ]

    static func rows(_ before: RunGroup, _ after: RunGroup, _ rule: ComparisonRule) -> [Row] {
        func row(_ measure: String, _ unit: Unit, _ value: (Measurement.Run) -> Double?) -> Row {
            Self.row(before.name, measure, unit, before.spread(value), after.spread(value), rule)
        }
        var rows = [row("throughput", .perSecond) { $0.throughput }]
        rows += latencies(before.name, before, after, rule) { $0.latency }
        rows.append(row("not answered", .failedShare) { $0.failedShare })
        let runs = before.runs + after.runs
        if runs.contains(where: { $0.late > 0 }) { rows.append(row("late", .failedShare) { $0.lateShare }) }
        if runs.contains(where: { $0.partial > 0 }) { rows.append(row("partial", .failedShare) { $0.partialShare }) }
        for kind in Set(runs.flatMap(\.kinds.keys)).sorted() {
            rows += latencies("\(before.name), \(kind)", before, after, rule) { $0.kinds[kind] }
        }
        return rows + legs(before, after, rule)
    }

    private static func latencies(
        _ part: String, _ before: RunGroup, _ after: RunGroup, _ rule: ComparisonRule,
        _ latency: (Measurement.Run) -> Measurement.Latency?
    ) -> [Row] {
        let counts = (before.runs + after.runs).compactMap(latency).map(\.count).filter { $0 > 0 }
        let fewest = counts.min() ?? 0
        return percentiles.compactMap { name, needed, value in
            // A shorter run would give its longest for it.
            guard fewest >= needed || name == "p50" else { return nil }
            let read = { (run: Measurement.Run) -> Double? in
                latency(run).flatMap { $0.count > 0 ? Double(value($0)) : nil }
            }
            return row(part, name, .microseconds, before.spread(read), after.spread(read), rule)
        }
    }

    private static func legs(_ before: RunGroup, _ after: RunGroup, _ rule: ComparisonRule) -> [Row] {
        Set((before.runs + after.runs).flatMap(\.legs).map(\.shard)).sorted().flatMap { shard in
            let parts: [(String, @Sendable (Measurement.Leg) -> Double)] = [
                ("waiting", { $0.waiting }), ("executing", { $0.executing }),
            ]
            return parts.map { name, value in
                row(
                    "\(before.name), legs of \(shard)", name, .microseconds,
                    ReportSections.leg(before, shard, value), ReportSections.leg(after, shard, value), rule)
            }
        }
    }

    /// The throughput with each ef_search is that of its runs.
    static func recallRows(_ before: Measurement, _ after: Measurement, _ rule: ComparisonRule) -> [Row] {
        Set((before.recall + after.recall).map(\.efSearch)).sorted().map { efSearch in
            let recalls = [before, after].map { measurement in
                Spread(measurement.recall.filter { $0.efSearch == efSearch }.map(\.recall))
            }
            return row("ef_search \(efSearch)", "recall", .foundShare, recalls[0], recalls[1], rule)
        }
    }

    static func kneeRows(_ before: Measurement, _ after: Measurement, _ rule: ComparisonRule) -> [Row] {
        guard before.knee != nil || after.knee != nil else { return [] }
        let knees = [before, after].map { Spread([$0.knee?.rate].compactMap { $0 }) }
        return [row("sweep", "knee", .perSecond, knees[0], knees[1], rule)]
    }

    static func row(
        _ part: String, _ measure: String, _ unit: Unit, _ before: Spread?, _ after: Spread?, _ rule: ComparisonRule
    ) -> Row {
        let finding = rule.judge(before, after, unit)
        var change: Double?
        if let before, let after, before.median != 0 {
            let share = (after.median - before.median) / abs(before.median)
            if share.isFinite { change = share }
        }
        return Row(
            part: part, measure: measure, unit: unit, before: before, after: after, change: change,
            probability: finding.probability, verdict: finding.verdict, reason: finding.reason)
    }
}
