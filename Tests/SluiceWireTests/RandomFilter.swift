import SluiceWire

extension FilterExpression {
    /// Any filter at most so deep, with all kinds of nodes and values.
    static func random(depth: Int, using random: inout SplitMix64) -> FilterExpression {
        let kind = Int.random(in: depth > 1 ? 0...8 : 3...8, using: &random)
        let column = String.random(1...8, using: &random)
        switch kind {
        case 0: return .and(operands(depth: depth - 1, using: &random))
        case 1: return .or(operands(depth: depth - 1, using: &random))
        case 2: return .not(.random(depth: depth - 1, using: &random))
        case 3:
            let comparison = FilterComparison.allCases.randomElement(using: &random) ?? .equal
            return .compare(column: column, comparison, .random(using: &random))
        case 4: return .oneOf(column: column, list(using: &random) { .random(using: &$0) })
        case 5: return .between(column: column, low: .random(using: &random), high: .random(using: &random))
        case 6: return .isNull(column: column)
        case 7: return .hasPrefix(column: column, .random(0...6, using: &random))
        default: return .overlaps(column: column, list(using: &random) { .random(0...6, using: &$0) })
        }
    }

    private static func operands(depth: Int, using random: inout SplitMix64) -> [FilterExpression] {
        (0..<Int.random(in: 1...4, using: &random)).map { _ in .random(depth: depth, using: &random) }
    }

    fileprivate static func list<Element>(
        using random: inout SplitMix64, _ element: (inout SplitMix64) -> Element
    ) -> [Element] {
        (0..<Int.random(in: 0...4, using: &random)).map { _ in element(&random) }
    }
}

extension FilterValue {
    static func random(using random: inout SplitMix64) -> FilterValue {
        switch Int.random(in: 0...6, using: &random) {
        case 0: .bool(.random(using: &random))
        case 1:
            .int([.min, -1, 0, 1, .max, .random(in: .min ... .max, using: &random)].randomElement(using: &random) ?? 0)
        case 2: .double(.random(in: -1e6...1e6, using: &random))
        case 3: .text(.random(0...6, using: &random))
        case 4: .timestamp(.random(in: FilterExpression.timestamps, using: &random))
        case 5: .uuid(high: random.next(), low: random.next())
        default: .textArray(FilterExpression.list(using: &random) { .random(0...6, using: &$0) })
        }
    }
}

extension String {
    private static let letters: [Unicode.Scalar] = ["a", "B", "_", "7", " ", "'", "\"", "%", "\\", "\n", "é", "漢", "😀"]

    static func random(_ count: ClosedRange<Int>, using random: inout SplitMix64) -> String {
        var scalars = String.UnicodeScalarView()
        for _ in 0..<Int.random(in: count, using: &random) {
            scalars.append(letters.randomElement(using: &random) ?? "a")
        }
        return String(scalars)
    }
}
