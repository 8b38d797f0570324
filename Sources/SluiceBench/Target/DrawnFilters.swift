package import SluiceClient

/// Filters of what is in a collection's columns.
extension Drawing {
    /// A column that filters can be made of: one that searches can give and filter by.
    package static func filterColumn(of collection: DescribedCollection) -> DescribedCollection.FilterableColumn? {
        let known = collection.filterable.filter { collection.columns.contains($0.name) }
        return known.first { $0.type == "text" } ?? known.first { ["int", "float", "bool"].contains($0.type) }
    }

    /// A filter for each value that the rows have: that value, or for numbers what is no smaller.
    package static func filters(on column: String, _ rows: [DrawnRow], most: Int = 64) -> [Filter] {
        var seen: Set<String> = []
        var filters: [Filter] = []
        for row in rows where filters.count < most {
            guard let value = row.columns[column], let text = condition(column, value), seen.insert(text).inserted,
                let filter = try? Filter(parsing: text)
            else { continue }
            filters.append(filter)
        }
        return filters
    }

    private static func condition(_ column: String, _ value: Value) -> String? {
        let name = "\"\(column.replacing("\"", with: "\"\""))\""
        switch value {
        case .string(let text): return "\(name) = '\(text.replacing("'", with: "''"))'"
        case .int(let number): return "\(name) >= \(number)"
        case .double(let number): return number.isFinite ? "\(name) >= \(number)" : nil
        case .bool(let flag): return "\(name) = \(flag)"
        case .null, .bytes: return nil
        }
    }
}
