/// The numbers of a figure, for those who want them exactly or cannot see it.
struct DataTable: Sendable {
    var caption: String
    var head: [String]
    var rows: [[String]]

    var markup: Markup {
        let head = self.head.map { Markup.element("th", ["scope": "col"], $0) }
        let body = rows.map { row in
            Markup.element(
                "tr",
                row.enumerated().map { column, cell in
                    column == 0 ? .element("th", ["scope": "row"], cell) : .element("td", cell)
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
