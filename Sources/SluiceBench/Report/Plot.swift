/// A figure of lines over two axes, with what it shows in words and as a table.
struct Plot: Sendable {
    struct Axis: Sendable {
        var label: String
        var scale: Scale
        /// How its numbers are written.
        var write: @Sendable (Double) -> String
        /// Whether a linear axis begins at 0.
        var fromZero = true
    }

    struct Point: Sendable {
        var x: Double
        var y: Double
        /// The least and the greatest of the repeats.
        var band: ClosedRange<Double>?
        /// Written beside it.
        var label: String?
    }

    struct Line: Sendable {
        var name: String
        var look: Look
        var points: [Point]
    }

    /// Colour, dashes and mark go together: a line is told from the others without colour, too.
    enum Look: Sendable, Hashable {
        case series(Int)
        /// What went wrong.
        case bad
        /// Only for comparison, like "as asked for".
        case reference

        static let kinds = 6

        var name: String {
            switch self {
            case .series(let number): "s\(((number % Self.kinds) + Self.kinds) % Self.kinds)"
            case .bad: "bad"
            case .reference: "reference"
            }
        }
    }

    /// A vertical line.
    struct Mark: Sendable {
        var x: Double
        var label: String
    }

    /// A time in which something was the matter.
    struct Span: Sendable {
        var from: Double
        var until: Double
        var label: String
    }

    /// Of the page, once.
    var id: String
    var title: String
    var description: String
    var x: Axis
    var y: Axis
    var lines: [Line]
    var marks: [Mark] = []
    var spans: [Span] = []
    /// Whether lines have their points marked.
    var hasPoints = true

    static let width = 640.0
    static let height = 320.0
    private static let left = 66.0
    private static let right = 20.0
    private static let top = 24.0
    private static let bottom = 44.0

    var markup: Markup {
        .element(
            "div", ["class": "wide", "tabindex": "0", "role": "region", "aria-label": title], [svg, legend])
    }

    private var svg: Markup {
        let frame = Frame(self)
        return .element(
            "svg",
            [
                "viewBox": "0 0 \(Self.text(Self.width)) \(Self.text(Self.height))", "role": "img",
                "aria-labelledby": "\(id)-title \(id)-text", "xmlns": "http://www.w3.org/2000/svg",
            ],
            [.element("title", ["id": "\(id)-title"], title), .element("desc", ["id": "\(id)-text"], description)]
                + drawSpans(frame) + axes(frame) + drawMarks(frame) + lines.flatMap { draw($0, frame) })
    }

    private var legend: Markup {
        let keys = lines.filter { !$0.points.isEmpty }.map { line in
            Markup.element("span", ["class": "key"], [Self.sample(line.look, hasPoints), .text(" " + line.name)])
        }
        return keys.count > 1 || lines.contains { $0.look != .series(0) }
            ? .element("p", ["class": "legend"], keys) : .nothing
    }

    private static func sample(_ look: Look, _ hasPoint: Bool) -> Markup {
        let line = Markup.empty("path", ["class": "line \(look.name)", "d": "M1,7 H31"])
        let mark = hasPoint ? [PlotMark.markup(look, at: (16, 7))] : []
        return .element("svg", ["viewBox": "0 0 32 14", "class": "sample", "aria-hidden": "true"], [line] + mark)
    }

    // MARK: Where things lie

    private struct Frame {
        let x: (low: Double, high: Double)
        let y: (low: Double, high: Double)
        private let scales: (x: Scale, y: Scale)

        init(_ plot: Plot) {
            let points = plot.lines.flatMap(\.points)
            let xs = points.map(\.x) + plot.marks.map(\.x) + plot.spans.flatMap { [$0.from, $0.until] }
            let ys = points.flatMap { [$0.y] + ($0.band.map { [$0.lowerBound, $0.upperBound] } ?? []) }
            scales = (plot.x.scale, plot.y.scale)
            x = Self.bounds(xs, plot.x)
            y = Self.bounds(ys, plot.y)
        }

        private static func bounds(_ values: [Double], _ axis: Axis) -> (low: Double, high: Double) {
            let finite = values.filter { $0.isFinite && abs($0) < 1e15 }
            let positive = axis.scale == .logarithmic ? finite.filter { $0 > 0 } : finite
            let (low, high) = axis.scale.bounds(positive.min() ?? 1, positive.max() ?? 1, fromZero: axis.fromZero)
            return (low, high)
        }

        func left(_ value: Double) -> Double {
            Plot.left + share(value, x, scales.x) * (Plot.width - Plot.left - Plot.right)
        }

        func top(_ value: Double) -> Double {
            Plot.top + (1 - share(value, y, scales.y)) * (Plot.height - Plot.top - Plot.bottom)
        }

        private func share(_ value: Double, _ bounds: (low: Double, high: Double), _ scale: Scale) -> Double {
            let (low, high) = (scale.place(bounds.low), scale.place(bounds.high))
            guard value.isFinite, high > low else { return 0 }
            return min(max((scale.place(value) - low) / (high - low), 0), 1)
        }
    }

    /// A coordinate, to a tenth of a unit.
    static func text(_ coordinate: Double) -> String {
        let tenths = (coordinate * 10).rounded()
        guard abs(tenths) < 1e9 else { return "0" }
        let whole = Int(tenths)
        return whole.isMultiple(of: 10) ? "\(whole / 10)" : "\(Double(whole) / 10)"
    }

    // MARK: What is drawn

    private func axes(_ frame: Frame) -> [Markup] {
        let (end, floor) = (Self.width - Self.right, Self.height - Self.bottom)
        var parts: [Markup] = []
        for tick in y.scale.ticks(from: frame.y.low, to: frame.y.high, count: 6) {
            let top = Self.text(frame.top(tick))
            parts.append(.empty("path", ["class": "grid", "d": "M\(Self.text(Self.left)),\(top) H\(Self.text(end))"]))
            parts.append(
                label(y.write(tick), Self.left - 8, frame.top(tick) + 4, ["class": "dim", "text-anchor": "end"]))
        }
        for tick in x.scale.ticks(from: frame.x.low, to: frame.x.high, count: 8) {
            let left = Self.text(frame.left(tick))
            parts.append(
                .empty("path", ["class": "grid", "d": "M\(left),\(Self.text(Self.top)) V\(Self.text(floor))"]))
            parts.append(
                label(x.write(tick), frame.left(tick), floor + 17, ["class": "dim", "text-anchor": "middle"]))
        }
        parts.append(
            .empty("path", ["class": "rule", "d": "M\(Self.text(Self.left)),\(Self.text(floor)) H\(Self.text(end))"]))
        parts.append(label(y.label, 4, 13, ["class": "axis"]))
        parts.append(label(x.label, end, Self.height - 6, ["class": "axis", "text-anchor": "end"]))
        return parts
    }

    private func drawSpans(_ frame: Frame) -> [Markup] {
        spans.enumerated().flatMap { place, span -> [Markup] in
            let (from, until) = (frame.left(span.from), frame.left(max(span.from, span.until)))
            let floor = Self.height - Self.bottom
            let isLate = from > Self.width * 0.62
            return [
                .empty(
                    "rect",
                    [
                        "class": "span", "x": Self.text(from), "y": Self.text(Self.top),
                        "width": Self.text(max(1.5, until - from)), "height": Self.text(floor - Self.top),
                    ]),
                .empty(
                    "path", ["class": "edge", "d": "M\(Self.text(from)),\(Self.text(Self.top)) V\(Self.text(floor))"]),
                label(
                    span.label, isLate ? from - 5 : from + 5, Self.top + 13 + Double(place % 4) * 15,
                    ["class": "fault", "text-anchor": isLate ? "end" : "start"]),
            ]
        }
    }

    private func drawMarks(_ frame: Frame) -> [Markup] {
        marks.flatMap { mark -> [Markup] in
            let left = frame.left(mark.x)
            let isLate = left > Self.width * 0.62
            return [
                .empty(
                    "path",
                    [
                        "class": "mark",
                        "d": "M\(Self.text(left)),\(Self.text(Self.top)) V\(Self.text(Self.height - Self.bottom))",
                    ]),
                label(
                    mark.label, isLate ? left - 5 : left + 5, Self.top - 8,
                    ["class": "name", "text-anchor": isLate ? "end" : "start"]),
            ]
        }
    }

    private func draw(_ line: Line, _ frame: Frame) -> [Markup] {
        let points = line.points.filter { $0.x.isFinite && $0.y.isFinite }
        guard !points.isEmpty else { return [] }
        let way = points.map { "\(Self.text(frame.left($0.x))),\(Self.text(frame.top($0.y)))" }
        var parts: [Markup] = []
        let upper = points.map { "\(Self.text(frame.left($0.x))),\(Self.text(frame.top($0.band?.upperBound ?? $0.y)))" }
        let lower = points.map { "\(Self.text(frame.left($0.x))),\(Self.text(frame.top($0.band?.lowerBound ?? $0.y)))" }
        if points.contains(where: { $0.band != nil }), upper != lower {
            let around = (upper + lower.reversed()).joined(separator: " L")
            parts.append(.empty("path", ["class": "band \(line.look.name)", "d": "M\(around) Z"]))
        }
        parts.append(.empty("path", ["class": "line \(line.look.name)", "d": "M" + way.joined(separator: " L")]))
        guard hasPoints || points.count == 1, line.look != .reference else { return parts }
        let step = max(1, points.count / 12)
        for (place, point) in points.enumerated() where place.isMultiple(of: step) || points.count <= 24 {
            let words = "\(line.name): \(x.write(point.x)), \(y.write(point.y))"
            let at = (frame.left(point.x), frame.top(point.y))
            parts.append(.element("g", [.element("title", words), PlotMark.markup(line.look, at: at)]))
            if let name = point.label {
                let isLate = at.0 > Self.width * 0.8
                parts.append(
                    label(
                        name, at.0 + (isLate ? -9 : 9), at.1 + (isLate ? 14 : -7),
                        ["text-anchor": isLate ? "end" : "start"]))
            }
        }
        return parts
    }

    private func label(
        _ words: String, _ x: Double, _ y: Double, _ attributes: KeyValuePairs<StaticString, String>
    ) -> Markup {
        // KeyValuePairs cannot be added to: the place goes by a group.
        .element(
            "g", ["transform": "translate(\(Self.text(x)),\(Self.text(y)))"], [.element("text", attributes, words)])
    }
}

/// The mark of a point, another for each look.
enum PlotMark {
    static func markup(_ look: Plot.Look, at place: (Double, Double)) -> Markup {
        let (x, y) = (Plot.text(place.0), Plot.text(place.1))
        let shape =
            switch look {
            case .series(let number):
                [circle, square, triangle, diamond, cross, turned][
                    ((number % Plot.Look.kinds) + Plot.Look.kinds) % Plot.Look.kinds]
            case .bad: cross
            case .reference: ""
            }
        return .empty("path", ["class": "point \(look.name)", "d": "M\(x),\(y) \(shape)"])
    }

    private static let circle = "m-4,0 a4,4 0 1,0 8,0 a4,4 0 1,0 -8,0 z"
    private static let square = "m-3.6,-3.6 h7.2 v7.2 h-7.2 z"
    private static let triangle = "m0,-4.8 l4.6,8.2 h-9.2 z"
    private static let diamond = "m0,-5 l5,5 l-5,5 l-5,-5 z"
    private static let cross = "m-4,-4 l8,8 m0,-8 l-8,8"
    private static let turned = "m0,4.8 l4.6,-8.2 h-9.2 z"
}
