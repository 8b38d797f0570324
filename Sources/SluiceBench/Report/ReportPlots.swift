/// The sections that are figures of lines.
extension ReportSections {
    private static let timeAxis = Plot.Axis(label: "latency", scale: .logarithmic, write: Figures.time)
    private static let percentileAxis = Plot.Axis(
        label: "percentile (each nine takes the same space)", scale: .tail, write: { "\(digits($0)) %" })
    private static let secondsAxis = Plot.Axis(
        label: "seconds since the run began", scale: .linear, write: Figures.plain)

    /// Of a percentile: as many digits as tell it from 100.
    private static func digits(_ percentile: Double) -> String {
        let tenThousandths = (percentile * 10_000).rounded()
        guard tenThousandths.isFinite, abs(tenThousandths) < 1e9 else { return "–" }
        let text = "\(tenThousandths / 10_000)"
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }

    private static func spreadWords(_ groups: [RunGroup]) -> String {
        groups.contains { $0.runs.count > 1 }
            ? " Lines are medians of the runs, the ground behind them their range." : ""
    }

    private static func fewWords(_ facts: ReportFacts) -> String {
        facts.drawn.count < facts.groups.count
            ? " \(facts.drawn.count) of the \(facts.groups.count) loads are drawn; the table above has all." : ""
    }

    private static func figure(
        _ plot: Plot, _ words: String, _ table: DataTable
    ) -> Markup {
        plot.lines.contains { !$0.points.isEmpty } ? section(plot.title, words, [plot.markup, table.folded]) : .nothing
    }

    // MARK: Latency

    static func percentiles(_ facts: ReportFacts) -> Markup {
        let lines = facts.drawn.map { group in
            Plot.Line(
                name: facts.name(group), look: facts.look(group, among: facts.drawn),
                points: Curves.percentiles(group.runs.map(\.latency)))
        }
        let rows = facts.drawn.map { group -> [DataTable.Cell] in
            [.init(facts.name(group))] + percentiles.map { DataTable.Cell(latency(group, $0.1), Figures.time) }
        }
        return figure(
            Plot(
                id: "percentiles", title: "Latency by percentile", description: described(rows, percentiles.map(\.0)),
                x: percentileAxis, y: timeAxis, lines: lines),
            "From when a request was due to its answer." + spreadWords(facts.drawn) + fewWords(facts),
            DataTable(caption: "Latency", head: ["load"] + percentiles.map(\.0), rows: rows))
    }

    static func kinds(_ facts: ReportFacts) -> Markup {
        guard let group = facts.main.first else { return .nothing }
        let all = Set(group.runs.flatMap { $0.kinds.filter { $0.value.count > 0 }.keys }).sorted()
        let lines = all.prefix(Plot.Look.kinds).enumerated().map { place, kind in
            Plot.Line(
                name: kind, look: .series(place), points: Curves.percentiles(group.runs.compactMap { $0.kinds[kind] }))
        }
        let rows = all.map { kind -> [DataTable.Cell] in
            [.init(kind), DataTable.Cell(group.spread { $0.kinds[kind].map { Double($0.count) } }, Figures.plain)]
                + percentiles.map { name in
                    DataTable.Cell(
                        group.spread { run in
                            run.kinds[kind].flatMap { $0.count > 0 ? Double(name.1($0)) : nil }
                        }, Figures.time)
                }
        }
        let which = facts.groups.count > 1 ? " Of \(group.name)." : ""
        return figure(
            Plot(
                id: "kinds", title: "Kinds of request",
                description: described(rows, ["requests"] + percentiles.map(\.0)), x: percentileAxis, y: timeAxis,
                lines: lines),
            "The latency of each kind by percentile." + which,
            DataTable(caption: "Latency", head: ["kind", "requests"] + percentiles.map(\.0), rows: rows))
    }

    /// The rows in words, for those who cannot see the picture.
    private static func described(_ rows: [[DataTable.Cell]], _ names: [String]) -> String {
        rows.prefix(12).map { row in
            "\(row.first?.words ?? ""): "
                + zip(names, row.dropFirst()).map { "\($0) \($1.words)" }.joined(separator: ", ")
        }.joined(separator: "; ")
    }

    // MARK: Over time

    static func answeredOverTime(_ facts: ReportFacts) -> Markup {
        let answered = timeline(facts, "answered", Curves.mean) { Double($0.answered) }
        let failed = facts.main.flatMap(\.runs).contains { $0.timeline.contains { $0.failed > 0 } }
        let lines =
            answered
            + (failed
                ? [
                    Plot.Line(
                        name: "not answered", look: .bad,
                        points: Curves.timeline(facts.main.flatMap(\.runs), Curves.mean) { Double($0.failed) })
                ] : [])
        return overTime(
            facts, "throughput", "Requests over time", "requests a second",
            Plot.Axis(label: "requests a second", scale: .linear, write: Figures.plain), lines)
    }

    static func latencyOverTime(_ facts: ReportFacts) -> Markup {
        var lines: [Plot.Line] = []
        for (name, value) in [("p50", \Measurement.Tick.p50), ("p99", \.p99)] {
            for line in timeline(
                facts, name, Curves.greatest, { $0.answered > 0 ? Double(max(1, $0[keyPath: value])) : nil })
            {
                lines.append(Plot.Line(name: line.name, look: .series(lines.count), points: line.points))
            }
        }
        return overTime(facts, "latency-time", "Latency over time", "latency", timeAxis, lines)
    }

    private static func timeline(
        _ facts: ReportFacts, _ what: String, _ merge: ([Double]) -> Double, _ value: (Measurement.Tick) -> Double?
    ) -> [Plot.Line] {
        facts.main.enumerated().map { place, group in
            Plot.Line(
                name: facts.main.count > 1 ? "\(what), \(facts.name(group))" : what, look: .series(place),
                points: Curves.timeline(group.runs, merge, value))
        }
    }

    private static func overTime(
        _ facts: ReportFacts, _ id: String, _ title: String, _ what: String, _ axis: Plot.Axis, _ lines: [Plot.Line]
    ) -> Markup {
        let seconds = Set(lines.flatMap { $0.points.map(\.x) }).sorted()
        let columns = lines.map { line in Dictionary(line.points.map { ($0.x, $0.y) }) { one, _ in one } }
        let rows = seconds.map { second in
            ([Figures.plain(second)] + columns.map { $0[second].map(axis.write) ?? "–" }).map { DataTable.Cell($0) }
        }
        let faults = spans(facts)
        let happened = faults.isEmpty ? "" : " Faults: " + faults.map(\.label).joined(separator: "; ") + "."
        let which =
            facts.groups.count > facts.main.count
            ? " Of " + facts.main.map(\.name).joined(separator: " and ") + "." : ""
        let ends = lines.compactMap { line in
            line.points.map(\.y).min().flatMap { least in
                line.points.map(\.y).max().map { "\(line.name) from \(axis.write(least)) to \(axis.write($0))" }
            }
        }
        return figure(
            Plot(
                id: id, title: title, description: "\(what): " + ends.joined(separator: "; ") + "." + happened,
                x: secondsAxis, y: axis, lines: lines, spans: faults, hasPoints: seconds.count > 1),
            "Each second." + which + spreadWords(facts.main),
            DataTable(caption: what, head: ["second"] + lines.map(\.name), rows: rows))
    }

    /// Each fault once, however many repeats had it.
    private static func spans(_ facts: ReportFacts) -> [Plot.Span] {
        var seen: Set<String> = []
        return facts.main.flatMap(\.runs).flatMap(\.faults).compactMap { fault in
            let key = "\(fault.kind) \(fault.replica) \(fault.from.rounded())"
            guard seen.insert(key).inserted, seen.count <= 16, fault.from.isFinite else { return nil }
            return Plot.Span(
                from: fault.from, until: fault.until.isFinite ? fault.until : fault.from,
                label: "\(fault.kind) \(Bars.short(fault.replica))")
        }
    }

    // MARK: The sweep

    static func sweepAnswered(_ facts: ReportFacts) -> Markup {
        guard !facts.swept.isEmpty else { return .nothing }
        let rates = facts.swept.compactMap(\.rate)
        var lines = sweep(facts, "answered") { $0.throughput }
        lines.append(
            Plot.Line(
                name: "as asked for", look: .reference,
                points: [rates.min(), rates.max()].compactMap { $0 }.map { Plot.Point(x: $0, y: $0) }))
        return swept(
            facts, "sweep", "Rate asked for, and answered",
            Plot.Axis(label: "answered a second", scale: .linear, write: Figures.plain), lines)
    }

    static func sweepLatency(_ facts: ReportFacts) -> Markup {
        guard !facts.swept.isEmpty else { return .nothing }
        let lines = percentiles.filter { ["p50", "p99"].contains($0.0) }.flatMap { name, value in
            sweep(facts, name) { $0.latency.count > 0 ? Double(max(1, value($0.latency))) : nil }
        }
        let apart = lines.enumerated().map { place, line in
            Plot.Line(name: line.name, look: .series(place), points: line.points)
        }
        return swept(facts, "sweep-latency", "Latency by rate", timeAxis, apart)
    }

    private static func sweep(
        _ facts: ReportFacts, _ what: String, _ value: (Measurement.Run) -> Double?
    ) -> [Plot.Line] {
        var targets: [String] = []
        for group in facts.swept where !targets.contains(group.target) {
            targets.append(group.target)
        }
        return targets.prefix(Plot.Look.kinds).enumerated().map { place, target in
            let points = facts.swept.filter { $0.target == target }.compactMap { group in
                group.rate.flatMap { rate in group.spread(value).map { Curves.point(rate, $0) } }
            }
            return Plot.Line(
                name: targets.count > 1 ? "\(what), \(target)" : what, look: .series(place), points: points)
        }
    }

    private static func swept(
        _ facts: ReportFacts, _ id: String, _ title: String, _ axis: Plot.Axis, _ lines: [Plot.Line]
    ) -> Markup {
        let knee = facts.measurement.knee
        let rates = Set(lines.flatMap { $0.points.map(\.x) }).sorted()
        let rows = rates.map { rate -> [DataTable.Cell] in
            [.init(Figures.rate(rate))]
                + lines.filter { $0.look != .reference }.map { line in
                    DataTable.Cell(line.points.first { $0.x == rate }.map { axis.write($0.y) } ?? "–")
                }
        }
        let words = knee.map { "The knee is at \(Figures.rate($0.rate)); then: \($0.reason)." } ?? "No knee was found."
        let names = lines.filter { $0.look != .reference }.map(\.name)
        return figure(
            Plot(
                id: id, title: title, description: words + " " + described(rows, names),
                x: Plot.Axis(label: "asked for a second", scale: .linear, write: Figures.plain), y: axis, lines: lines,
                marks: knee.map { [Plot.Mark(x: $0.rate, label: "knee, \(Figures.rate($0.rate))")] } ?? []),
            words + spreadWords(facts.groups), DataTable(caption: title, head: ["asked for"] + names, rows: rows))
    }

    // MARK: Recall

    static func recall(_ facts: ReportFacts) -> Markup {
        let points = facts.measurement.recall.filter { $0.recall.isFinite && $0.throughput.isFinite }
            .sorted { $0.efSearch < $1.efSearch }
        let line = Plot.Line(
            name: "ef_search", look: .series(0),
            points: points.map { Plot.Point(x: $0.recall, y: $0.throughput, label: "\($0.efSearch)") })
        let rows = points.map { point in
            [
                Figures.count(point.efSearch), fine(point.recall), fine(point.leastRecall),
                Figures.rate(point.throughput), Figures.time(Double(point.p50)), Figures.time(Double(point.p99)),
            ].map { DataTable.Cell($0) }
        }
        let head = ["ef_search", "recall", "least of a query", "answered", "p50", "p99"]
        return figure(
            Plot(
                id: "recall", title: "Recall against throughput", description: described(rows, Array(head.dropFirst())),
                x: Plot.Axis(
                    label: "recall (share of the exact k nearest)", scale: .linear, write: fine, fromZero: false),
                y: Plot.Axis(label: "answered a second", scale: .linear, write: Figures.plain), lines: [line]),
            "Each point is a value of ef_search: further right finds more of the k nearest, further up answers more.",
            DataTable(caption: "By ef_search", head: head, rows: rows))
    }

    /// A recall: 0.99 and 0.999 are not the same.
    static func fine(_ share: Double) -> String {
        let tenThousandths = (share * 10_000).rounded()
        return tenThousandths.isFinite ? "\(tenThousandths / 10_000)" : "–"
    }
}
