/// The numbers of a figure, for those who want them exactly or cannot see it.
struct DataTable: Sendable {
    struct Cell: Sendable, Equatable, ExpressibleByStringInterpolation {
        var text: String
        /// Beneath it, smaller: the range of the runs.
        var range: String?

        init(_ text: String, range: String? = nil) {
            self.text = text
            self.range = range
        }

        init(stringLiteral text: String) { self.init(text) }

        /// The median and the range of the repeats.
        init(_ spread: Spread?, _ write: (Double) -> String) {
            self.init(spread.map { write($0.median) } ?? "–")
            guard let spread, write(spread.least) != write(spread.greatest) else { return }
            range = "\(write(spread.least)) to \(write(spread.greatest))"
        }

        var words: String { range.map { "\(text) (\($0))" } ?? text }
        var markup: [Markup] { [.text(text)] + (range.map { [.element("small", $0)] } ?? []) }
    }

    var caption: String
    var head: [String]
    var rows: [[Cell]]

    var markup: Markup {
        let head = self.head.map { Markup.element("th", ["scope": "col"], $0) }
        let body = rows.map { row in
            Markup.element(
                "tr",
                row.enumerated().map { column, cell in
                    column == 0 ? .element("th", ["scope": "row"], cell.markup) : .element("td", cell.markup)
                })
        }
        return .element(
            "div", ["class": "wide", "tabindex": "0", "role": "region", "aria-label": caption],
            [
                .element(
                    "table",
                    [
                        .element("caption", caption), .element("thead", [.element("tr", head)]),
                        .element("tbody", body),
                    ])
            ])
    }

    /// Below a figure, to be opened.
    var folded: Markup {
        rows.isEmpty ? .nothing : .element("details", [.element("summary", "The numbers"), markup])
    }
}
