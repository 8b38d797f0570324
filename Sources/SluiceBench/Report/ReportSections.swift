/// The sections of the report; one without anything to show is nothing.
enum ReportSections {
    static func section(_ title: String, _ words: String, _ parts: [Markup], isWide: Bool = false) -> Markup {
        let words: [Markup] = words.isEmpty ? [] : [.element("p", words)]
        let children: [Markup] = [.element("h2", title)] + words + parts
        return isWide ? .element("section", ["class": "all"], children) : .element("section", children)
    }

    private static func facts(_ facts: [(String, String)]) -> Markup {
        .element("dl", ["class": "facts"], facts.flatMap { [Markup.element("dt", $0.0), .element("dd", $0.1)] })
    }

    // MARK: In short

    static func summary(_ facts: ReportFacts) -> Markup {
        guard let group = facts.main.first else {
            return section("In short", "Nothing was measured: there is no run.", [], isWide: true)
        }
        var numbers: [(String, Spread?, (Double) -> String)] = [
            ("answered", group.spread(\.throughput), Figures.rate)
        ]
        for (name, value) in percentiles { numbers.append((name, latency(group, value), Figures.time)) }
        numbers.append(("not answered", group.spread(\.failedShare), Figures.percent))
        if group.runs.contains(where: { $0.late > 0 }) {
            numbers.append(("later than their deadline", group.spread(\.lateShare), Figures.percent))
        }
        if group.runs.contains(where: { $0.partial > 0 }) {
            numbers.append(("lacked a shard", group.spread(\.partialShare), Figures.percent))
        }
        let behind = group.spread { $0.behind.map { Double($0.p99) } }
        // What the system's timers do is nothing to speak of.
        if let behind, behind.greatest > 1_000 { numbers.append(("begun late by (p99)", behind, Figures.time)) }
        var items = numbers.map { item($0.0, .init($0.1, $0.2)) }
        if let knee = facts.measurement.knee {
            items.append(item("the knee", .init(Figures.rate(knee.rate), range: "then: \(knee.reason)")))
        }
        let runs = Figures.some(group.runs.count, "run")
        let which = facts.groups.count > 1 ? "Of \(group.name): " : ""
        return section(
            "In short",
            which + (group.runs.count > 1 ? "the median of \(runs), and from the least to the greatest." : "\(runs)."),
            [.element("dl", items)], isWide: true)
    }

    private static func item(_ name: String, _ cell: DataTable.Cell) -> Markup {
        .element("div", [.element("dt", name), .element("dd", cell.markup)])
    }

    static let percentiles: [(String, @Sendable (Measurement.Latency) -> Int)] = [
        ("p50", { $0.p50 }), ("p90", { $0.p90 }), ("p99", { $0.p99 }), ("p99.9", { $0.p999 }),
        ("p99.99", { $0.p9999 }), ("longest", { $0.max }),
    ]

    static func latency(_ group: RunGroup, _ value: (Measurement.Latency) -> Int) -> Spread? {
        group.spread { $0.latency.count > 0 ? Double(value($0.latency)) : nil }
    }

    /// Every load in one line.
    static func loads(_ facts: ReportFacts) -> Markup {
        guard facts.groups.count > 1 || facts.groups.contains(where: { $0.runs.count > 1 }) else { return .nothing }
        let chosen = percentiles.filter { $0.0 != "p90" && $0.0 != "p99.99" }
        let rows = facts.groups.map { group -> [DataTable.Cell] in
            [
                .init(group.name), .init(Figures.count(group.runs.count)),
                DataTable.Cell(group.spread(\.throughput), Figures.rate),
            ]
                + chosen.map { DataTable.Cell(latency(group, $0.1), Figures.time) }
                + [DataTable.Cell(group.spread(\.failedShare), Figures.percent), .init(errors(group))]
        }
        let table = DataTable(
            caption: "Medians of the runs, and from the least to the greatest.",
            head: ["load", "runs", "answered"] + chosen.map(\.0) + ["not answered", "errors"], rows: rows)
        return section("Loads", "", [table.markup], isWide: true)
    }

    private static func errors(_ group: RunGroup) -> String {
        var sums: [String: Double] = [:]
        for run in group.runs { for (code, count) in run.errors { sums[code, default: 0] += Double(count) } }
        let words = sums.filter { $0.value > 0 }.sorted { $0.key < $1.key }.map {
            "\($0.key) \(Figures.plain($0.value))"
        }
        return words.isEmpty ? "none" : words.joined(separator: ", ")
    }

    // MARK: Where the time goes

    static func legs(_ facts: ReportFacts) -> Markup {
        let several = facts.main.count > 1
        let bars = facts.main.flatMap { group in
            shards(group).map { shard in
                let waiting = leg(group, shard) { $0.waiting }?.median ?? 0
                let executing = leg(group, shard) { $0.executing }?.median ?? 0
                return Bars.Bar(
                    name: several ? "\(shard), \(facts.name(group))" : shard, values: [waiting, executing],
                    words: Figures.time(waiting + executing))
            }
        }
        guard !bars.isEmpty else { return .nothing }
        let drawn = Bars(
            id: "legs", title: "Legs by shard",
            description: bars.map { "\($0.name): \($0.words)" }.joined(separator: "; "),
            parts: ["waiting for a connection", "executing, from the statement to its last row"],
            bars: Array(bars.prefix(48)), write: Figures.time)
        let rows = facts.main.flatMap { group in
            shards(group).map { shard -> [DataTable.Cell] in
                [several ? "\(shard), \(facts.name(group))" : .init(shard)]
                    + [\Measurement.Leg.waiting, \.executing].map { path in
                        DataTable.Cell(leg(group, shard) { $0[keyPath: path] }, Figures.time)
                    }
                    + [\Measurement.Leg.count, \.attempts, \.hedges].map { path in
                        DataTable.Cell(leg(group, shard) { Double($0[keyPath: path]) }, Figures.plain)
                    }
            }
        }
        let table = DataTable(
            caption: "Means over a run; the median of the runs.",
            head: ["shard", "waiting", "executing", "legs", "attempts", "hedges"], rows: rows)
        return section(
            "Legs by shard", "Where a search's time goes on each shard, in the mean.",
            [drawn.markup, table.folded])
    }

    static func shards(_ group: RunGroup) -> [String] { Set(group.runs.flatMap(\.legs).map(\.shard)).sorted() }

    static func leg(_ group: RunGroup, _ shard: String, _ value: (Measurement.Leg) -> Double) -> Spread? {
        group.spread { run in run.legs.first { $0.shard == shard && $0.count > 0 }.map(value) }
    }

    // MARK: What was done, and with what

    static func faults(_ facts: ReportFacts) -> Markup {
        let rows = facts.groups.flatMap { group in
            group.runs.enumerated().flatMap { place, run in
                run.faults.map { fault -> [DataTable.Cell] in
                    [
                        "\(group.name), run \(place + 1)", .init(fault.kind), .init(fault.replica),
                        "\(Figures.plain(fault.from)) s", "\(Figures.plain(fault.until)) s",
                    ]
                }
            }
        }
        guard !rows.isEmpty else { return .nothing }
        let table = DataTable(
            caption: "Seconds since the run began.", head: ["run", "fault", "replica", "from", "until"], rows: rows)
        return section("Faults", "What was done to replicas while they were asked.", [table.markup])
    }

    static func setup(_ facts: ReportFacts) -> Markup {
        let (measurement, machine) = (facts.measurement, facts.measurement.machine)
        let computer = [
            ("processor", machine.processor), ("cores", Figures.count(machine.cores)),
            ("memory", Figures.bytes(machine.memoryBytes)), ("system", machine.system),
            ("load before it began", Figures.plain(machine.loadAverage)),
        ]
        func list(_ title: String, _ names: [String: String]) -> [Markup] {
            names.isEmpty
                ? [] : [.element("h2", title), Self.facts(names.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })]
        }
        return section(
            "Machine", "", [Self.facts(computer)] + list("Versions", measurement.versions)
        )
        .followed(
            by: section(
                "Asked for", "",
                [Self.facts(measurement.settings.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })]
                    + [
                        .element("h2", "Command"),
                        .element("p", [.element("code", measurement.command.joined(separator: " "))]),
                    ]))
    }
}
