/// A measurement as one HTML page that needs nothing else: no script, no other file, no network.
package enum HTMLReport {
    package static func page(of measurement: Measurement) -> String {
        let facts = ReportFacts(measurement)
        let sections = [
            ReportSections.summary(facts), ReportSections.loads(facts), ReportSections.percentiles(facts),
            ReportSections.answeredOverTime(facts), ReportSections.latencyOverTime(facts),
            ReportSections.sweepAnswered(facts), ReportSections.sweepLatency(facts), ReportSections.recall(facts),
            ReportSections.legs(facts), ReportSections.kinds(facts), ReportSections.faults(facts),
            ReportSections.setup(facts),
        ]
        return Markup.document(
            .element(
                "html", ["lang": "en", "xmlns": "http://www.w3.org/1999/xhtml"],
                [head(measurement), .element("body", [header(measurement), .element("main", sections)])]))
    }

    private static func head(_ measurement: Measurement) -> Markup {
        .element(
            "head",
            [
                .empty("meta", ["charset": "utf-8"]),
                // Whatever is in the page, it cannot ask for anything nor run.
                .empty(
                    "meta",
                    [
                        "http-equiv": "Content-Security-Policy",
                        "content": "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
                    ]),
                .empty("meta", ["name": "viewport", "content": "width=device-width, initial-scale=1"]),
                .empty("meta", ["name": "color-scheme", "content": "light dark"]),
                .element("title", "sluice bench, \(measurement.started)"),
                .empty("link", ["rel": "icon", "href": "data:,"]),
                .style(ReportStyle.sheet),
            ])
    }

    private static func header(_ measurement: Measurement) -> Markup {
        .element(
            "header",
            [
                .element("h1", "sluice bench"), .element("p", "Begun \(measurement.started)"),
                .element("p", [.element("code", measurement.command.joined(separator: " "))]),
            ])
    }
}

/// What the sections are drawn from.
struct ReportFacts {
    let measurement: Measurement
    let groups: [RunGroup]
    /// Those that are drawn where all would be too many: of a sweep, the knee among them.
    let drawn: [RunGroup]
    /// Those that are looked into: of a sweep, each target's knee; else as `drawn`.
    let main: [RunGroup]
    /// Those of targets that were asked at several rates.
    let swept: [RunGroup]
    private let hasOneTarget: Bool

    static let mostDrawn = 6

    private struct Series: Hashable {
        var target: String
        var efSearch: Int?

        init(_ target: String, _ efSearch: Int?) {
            self.target = target
            self.efSearch = efSearch
        }
    }

    init(_ measurement: Measurement) {
        self.measurement = measurement
        let groups = RunGroup.groups(of: measurement.runs)
        self.groups = groups
        let series = Dictionary(grouping: groups.filter { $0.rate != nil }) { Series($0.target, $0.efSearch) }
            .filter { $0.value.count > 1 }
        swept = groups.filter { $0.rate != nil && series[Series($0.target, $0.efSearch)] != nil }
        hasOneTarget = Set(groups.map(\.target)).count <= 1
        let knees = series.values.compactMap { Self.knee(of: $0, measurement.knee) }
        drawn = Self.few(groups, keeping: knees)
        main = swept.isEmpty ? drawn : groups.filter { knees.contains($0) || $0.rate == nil }
    }

    /// The rate that was kept up with; without a knee the least one.
    private static func knee(of groups: [RunGroup], _ knee: Measurement.Knee?) -> RunGroup? {
        guard let knee else { return groups.first }
        return groups.last { ($0.rate ?? 0) <= knee.rate * 1.000_001 } ?? groups.first
    }

    /// At most `mostDrawn`, evenly spread.
    private static func few(_ groups: [RunGroup], keeping kept: [RunGroup]) -> [RunGroup] {
        guard groups.count > mostDrawn else { return groups }
        var places = Set(groups.indices.filter { kept.contains(groups[$0]) }.prefix(mostDrawn))
        let step = Double(groups.count - 1) / Double(mostDrawn - 1)
        for place in [0, mostDrawn - 1] + Array(1..<mostDrawn - 1) where places.count < mostDrawn {
            places.insert(min(groups.count - 1, Int((Double(place) * step).rounded())))
        }
        return places.sorted().map { groups[$0] }
    }

    /// As short as it can be.
    func name(_ group: RunGroup) -> String {
        if groups.count == 1 { return group.target }
        return hasOneTarget ? group.load : group.name
    }

    func look(_ group: RunGroup, among groups: [RunGroup]) -> Plot.Look {
        .series(groups.firstIndex(of: group) ?? 0)
    }
}
