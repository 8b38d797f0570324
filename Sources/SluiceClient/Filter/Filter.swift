public import SluiceWire

/// Which rows a search may find, by the columns that the gateway's configuration calls filterable:
///
///     let filter: Filter = .column("section") == "net" && .column("installed_kib") < 5000
///     let same = try Filter(parsing: "section = 'net' and installed_kib < 5000")
///
/// As in SQL a comparison with null is unknown, so is its negation, and only rows of which the filter is true are
/// found. It may be 16 levels deep, with 1,024 nodes, 10,000 values in a list and 65,536 bytes as the protocol writes
/// it: a search with a larger one fails with `invalidArgument` before it is sent.
public struct Filter: Hashable, Sendable {
    package let expression: FilterExpression

    package init(_ expression: FilterExpression) { self.expression = expression }

    /// Reads the text form; `description` writes it.
    ///
    /// A column is a bare name (letters, digits, `_`) or any name "in double quotes". Values are 'texts' with '' for a
    /// quote, numbers, `true`, `false`, `timestamp '2024-01-01T00:00:00Z'`, `uuid '…'` and `array['a', 'b']`.
    /// Conditions are `= != <> < <= > >=`, `[not] in (…)`, `[not] between … and …`, `is [not] null`,
    /// `[not] like 'prefix%'` and for arrays `&& ('a', 'b')` or `overlaps ('a', 'b')`. `not`, `and` and `or`, which
    /// bind in this order, and parentheses combine them. Keywords are so in any case; names are as they are written.
    public init(parsing text: String) throws(FilterSyntaxError) {
        expression = try FilterExpression(parsing: text)
    }

    public static func column(_ name: String) -> Column { Column(name) }

    public static func && (left: Filter, right: Filter) -> Filter { .and([left, right]) }

    public static func || (left: Filter, right: Filter) -> Filter { .or([left, right]) }

    public static prefix func ! (filter: Filter) -> Filter { Filter(.not(filter.expression)) }

    /// All of them; at least one, or the search fails with `invalidArgument`.
    public static func and(_ filters: [Filter]) -> Filter { Filter(.all(filters.map(\.expression))) }

    /// Any of them; at least one, or the search fails with `invalidArgument`.
    public static func or(_ filters: [Filter]) -> Filter { Filter(.any(filters.map(\.expression))) }
}

extension Filter: CustomStringConvertible {
    /// The text form; `init(parsing:)` makes the same filter of it.
    public var description: String { expression.text }
}

/// Why a text is not a filter, and where.
public typealias FilterSyntaxError = SluiceWire.FilterSyntaxError
