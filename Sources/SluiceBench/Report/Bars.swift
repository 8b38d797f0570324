/// Bars that lie, each of parts one after the other: where a time goes.
struct Bars: Sendable {
    struct Bar: Sendable {
        var name: String
        /// In the order of the parts' names.
        var values: [Double]
        /// Beside the bar.
        var words: String
    }

    var id: String
    var title: String
    var description: String
    var parts: [String]
    var bars: [Bar]
    var write: @Sendable (Double) -> String

    private static let left = 130.0
    private static let right = 90.0
    private static let row = 30.0
    private static let top = 8.0

    var markup: Markup {
        .element(
            "div", ["class": "wide", "tabindex": "0", "role": "region", "aria-label": title], [svg, legend])
    }

    private var svg: Markup {
        let floor = Self.top + Double(bars.count) * Self.row
        let most = bars.map { $0.values.filter(\.isFinite).reduce(0, +) }.max() ?? 0
        let high = Scale.linear.bounds(0, most, fromZero: true).high
        let unit = (Plot.width - Self.left - Self.right) / high
        var drawn: [Markup] = []
        for tick in Scale.linear.ticks(from: 0, to: high, count: 5) {
            let left = Self.left + tick * unit
            drawn.append(
                .empty(
                    "path", ["class": "grid", "d": "M\(Plot.text(left)),\(Plot.text(Self.top)) V\(Plot.text(floor))"]))
            drawn.append(
                .element(
                    "text",
                    ["class": "dim", "text-anchor": "middle", "x": Plot.text(left), "y": Plot.text(floor + 17)],
                    write(tick)))
        }
        for (place, bar) in bars.enumerated() {
            drawn += draw(bar, top: Self.top + Double(place) * Self.row, unit: unit)
        }
        return .element(
            "svg",
            [
                "viewBox": "0 0 \(Plot.text(Plot.width)) \(Plot.text(floor + 24))", "role": "img",
                "aria-labelledby": "\(id)-title \(id)-text", "xmlns": "http://www.w3.org/2000/svg",
            ],
            [.element("title", ["id": "\(id)-title"], title), .element("desc", ["id": "\(id)-text"], description)]
                + drawn)
    }

    private func draw(_ bar: Bar, top: Double, unit: Double) -> [Markup] {
        let middle = Plot.text(top + Self.row / 2 + 4)
        var drawn: [Markup] = [
            .element(
                "text",
                ["class": "name", "text-anchor": "end", "x": Plot.text(Self.left - 8), "y": middle],
                Self.short(bar.name))
        ]
        var left = Self.left
        for (part, value) in bar.values.enumerated() where value.isFinite && value > 0 {
            let words = part < parts.count ? "\(bar.name), \(parts[part]): \(write(value))" : bar.name
            let box = Markup.element(
                "rect",
                [
                    "class": "part p\(part % 4)", "x": Plot.text(left), "y": Plot.text(top + 5),
                    "width": Plot.text(max(0.5, value * unit)), "height": Plot.text(Self.row - 10),
                ], [.element("title", words)])
            drawn.append(box)
            left += value * unit
        }
        drawn.append(.element("text", ["class": "dim", "x": Plot.text(left + 6), "y": middle], bar.words))
        return drawn
    }

    private var legend: Markup {
        .element(
            "p", ["class": "legend"],
            parts.enumerated().map { part, name in
                .element(
                    "span", ["class": "key"],
                    [
                        .element(
                            "svg", ["viewBox": "0 0 14 14", "class": "swatch", "aria-hidden": "true"],
                            [
                                .empty(
                                    "rect",
                                    ["class": "part p\(part % 4)", "x": "1", "y": "1", "width": "12", "height": "12"])
                            ]), .text(" " + name),
                    ])
            })
    }

    /// Names of shards are short; one that is not has its end cut.
    static func short(_ name: String) -> String { name.count > 18 ? name.prefix(17) + "…" : name }
}
