/// A measurement in lines for a terminal.
package enum TextSummary {
    package static func lines(of measurement: Measurement) -> [String] {
        let facts = ReportFacts(measurement)
        var lines: [String] = []
        if facts.groups.count > 1 { lines += loads(facts) + [""] }
        if let group = facts.main.first { lines += about(group) } else { lines.append("Nothing was measured.") }
        if let knee = measurement.knee { lines.append("knee: \(Figures.rate(knee.rate)) (\(knee.reason))") }
        lines += recall(measurement.recall)
        let versions = measurement.versions.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        if !versions.isEmpty { lines.append("versions: " + versions.joined(separator: ", ")) }
        return lines
    }

    /// Every load in one line: medians of its runs.
    private static func loads(_ facts: ReportFacts) -> [String] {
        let chosen = ReportSections.percentiles.filter { $0.0 != "p90" && $0.0 != "p99.99" }
        let rows = facts.groups.map { group in
            [group.name, "\(group.runs.count)", text(group.spread(\.throughput), Figures.rate)]
                + chosen.map { text(ReportSections.latency(group, $0.1), Figures.time) }
                + [text(group.spread(\.failedShare), Figures.percent)]
        }
        return table([["", "runs", "answered"] + chosen.map(\.0) + ["not answered"]] + rows)
    }

    private static func text(_ spread: Spread?, _ write: (Double) -> String) -> String {
        spread.map { write($0.median) } ?? "–"
    }

    // MARK: One load

    /// Of its runs, the one of median throughput.
    private static func about(_ group: RunGroup) -> [String] {
        let sorted = group.runs.sorted { $0.throughput < $1.throughput }
        guard !sorted.isEmpty else { return [] }
        let run = sorted[(sorted.count - 1) / 2]
        var lines = [
            "\(group.name): \(Figures.count(run.answered)) answered in \(Figures.plain(run.seconds)) s, "
                + Figures.rate(run.throughput)
        ]
        if sorted.count > 1, let spread = group.spread(\.throughput) {
            lines.append(
                "  the run of median throughput; the \(sorted.count) runs had \(Figures.rate(spread.least)) to "
                    + Figures.rate(spread.greatest))
        }
        return lines + latencies(run) + legs(run) + conditions(run)
    }

    private static func latencies(_ run: Measurement.Run) -> [String] {
        let kinds = run.kinds.filter { $0.value.count > 0 }.sorted { $0.key < $1.key }
        var parts: [(String, Measurement.Latency)] = [("latency", run.latency)]
        if kinds.count > 1 { parts = [("all", run.latency)] + kinds.map { ($0.key, $0.value) } }
        let rows = parts.map { name, latency in
            [name, Figures.count(latency.count)]
                + ReportSections.percentiles.map { latency.count > 0 ? Figures.time(Double($0.1(latency))) : "–" }
        }
        return table([["", "answers"] + ReportSections.percentiles.map(\.0)] + rows)
    }

    private static func legs(_ run: Measurement.Run) -> [String] {
        guard !run.legs.isEmpty else { return [] }
        let rows = run.legs.map { leg in
            [
                "shard \(leg.shard)", Figures.count(leg.count), Figures.count(leg.attempts), Figures.count(leg.hedges),
                Figures.time(leg.waiting), Figures.time(leg.executing),
            ]
        }
        return table([["", "legs", "attempts", "hedges", "waiting", "executing"]] + rows)
    }

    /// What was not as it should be.
    private static func conditions(_ run: Measurement.Run) -> [String] {
        var lines: [String] = []
        let failed = run.errors.values.reduce(0, +)
        let codes = run.errors.filter { $0.value > 0 }.sorted { $0.key < $1.key }
            .map { "\($0.key) \(Figures.count($0.value))" }
        lines.append(
            failed == 0
                ? "errors: none"
                : "errors: \(Figures.count(failed)), \(Figures.percent(run.failedShare ?? 0)) of the requests ("
                    + codes.joined(separator: ", ") + ")")
        if let busy = run.busy { lines.append("told busy after: \(words(busy))") }
        if run.isInterrupted == true {
            lines.append("ended before its time; given up in flight: \(Figures.count(run.givenUp ?? 0))")
        }
        if run.late > 0 { lines.append("\(Figures.count(run.late)) answers came after their deadline") }
        if run.partial > 0 { lines.append("\(Figures.count(run.partial)) answers lacked a shard") }
        // What the system's timers do is nothing to speak of.
        if let behind = run.behind, behind.p99 > 1_000 {
            lines.append("the generator was behind its schedule: \(words(behind))")
        }
        for fault in run.faults {
            lines.append(
                "\(fault.kind) \(fault.replica) from \(Figures.plain(fault.from)) s to \(Figures.plain(fault.until)) s")
        }
        return lines
    }

    private static func words(_ latency: Measurement.Latency) -> String {
        "p99 \(Figures.time(Double(latency.p99))), longest \(Figures.time(Double(latency.max)))"
    }

    // MARK: Recall

    private static func recall(_ points: [Measurement.RecallPoint]) -> [String] {
        guard !points.isEmpty else { return [] }
        let rows = points.map { point in
            [
                "ef_search \(point.efSearch)", ReportSections.fine(point.recall),
                ReportSections.fine(point.leastRecall),
                Figures.rate(point.throughput), Figures.time(Double(point.p50)), Figures.time(Double(point.p99)),
            ]
        }
        return [""] + table([["", "recall", "least", "answered", "p50", "p99"]] + rows)
    }

    // MARK: Tables

    /// The first column to the left, the others to the right. A table has a line.
    private static func table(_ rows: [[String]]) -> [String] {
        let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let cells = zip(row, widths).enumerated().map { column, cell in
                let space = String(repeating: " ", count: max(0, cell.1 - cell.0.count))
                return column == 0 ? cell.0 + space : space + cell.0
            }
            return "  " + cells.joined(separator: "  ")
        }
    }
}

extension BenchSession.Status {
    /// What goes on, in one line.
    package var line: String {
        if case .comparing(let done, let all) = phase {
            return "exact answers for the recall: \(Figures.count(done)) of \(Figures.count(all))"
        }
        var parts = title.isEmpty ? [] : [title]
        guard elapsed >= .zero else { return (parts + ["warming up"]).joined(separator: ", ") }
        parts.append("\(min(elapsed, planned).components.seconds) of \(Figures.plain(planned.inSeconds)) s")
        parts.append("\(Figures.count(answered)) answered")
        if failed > 0 { parts.append("\(Figures.count(failed)) failed") }
        if let recent {
            parts.append(Figures.rate(Double(recent.answered)))
            parts.append("p99 \(Figures.time(Double(recent.p99)))")
        }
        return parts.joined(separator: ", ")
    }
}
