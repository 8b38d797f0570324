internal import SluiceCore

/// What is left of a filter without its values: it decides the statement's text, so filters that differ in nothing but
/// values, or in how many a list has, share a prepared statement.
public struct FilterShape: Hashable, Sendable {
    let root: Node

    indirect enum Node: Hashable, Sendable {
        case and([Node])
        case or([Node])
        case not(Node)
        case compare(column: String, Filter.Comparison, type: UInt32)
        case oneOf(column: String, arrayType: UInt32)
        case between(column: String, low: UInt32, high: UInt32)
        case isNull(column: String)
        case hasPrefix(column: String)
        case overlaps(column: String)
    }

    /// PostgreSQL's type OIDs of the parameters, in their order.
    public var parameterTypes: [UInt32] { Self.types(root) }

    private static func types(_ node: Node) -> [UInt32] {
        switch node {
        case .and(let operands), .or(let operands): operands.flatMap(types)
        case .not(let operand): types(operand)
        case .compare(_, _, let type): [type]
        case .oneOf(_, let arrayType): [arrayType]
        case .between(_, let low, let high): [low, high]
        case .isNull: []
        case .hasPrefix: [ScalarType.text.rawValue]
        case .overlaps: [ScalarType.text.array]
        }
    }

    /// A boolean expression in parentheses, for a `WHERE`. Operators and functions are schema-qualified, and every
    /// operation has parentheses of its own.
    /// - Parameters:
    ///   - alias: the table's, as the statement writes it.
    ///   - firstParameter: the number of the filter's first parameter; the others follow it.
    public func sql(alias: String, firstParameter: Int) -> String {
        var writer = Writer(alias: alias, next: firstParameter)
        return writer.sql(root)
    }

    private struct Writer {
        let alias: String
        var next: Int

        mutating func sql(_ node: Node) -> String {
            switch node {
            case .and(let operands): return joined(operands, " AND ")
            case .or(let operands): return joined(operands, " OR ")
            case .not(let operand): return "(NOT \(sql(operand)))"
            case .compare(let column, let comparison, _):
                return "(\(name(column)) \(qualified(Self.symbol(comparison))) \(parameter()))"
            case .oneOf(let column, _):
                return "(\(name(column)) \(qualified("=")) ANY (\(parameter())))"
            case .between(let column, _, _):
                let low = "\(name(column)) \(qualified(">=")) \(parameter())"
                return "((\(low)) AND (\(name(column)) \(qualified("<=")) \(parameter())))"
            case .isNull(let column):
                return "(\(name(column)) IS NULL)"
            // The casts do nothing to text and text[]; they let varchar, varchar[] and the like be declared as such.
            case .hasPrefix(let column):
                return "pg_catalog.starts_with(\(name(column))::pg_catalog.text, \(parameter()))"
            case .overlaps(let column):
                return "(\(name(column))::pg_catalog.text[] \(qualified("&&")) \(parameter()))"
            }
        }

        private mutating func joined(_ operands: [Node], _ operation: String) -> String {
            var parts: [String] = []
            for operand in operands { parts.append(sql(operand)) }
            return "(" + parts.joined(separator: operation) + ")"
        }

        private func name(_ column: String) -> String { "\(alias).\(SearchShape.quoted(column))" }

        private func qualified(_ symbol: String) -> String { "OPERATOR(pg_catalog.\(symbol))" }

        private mutating func parameter() -> String {
            defer { next += 1 }
            return "$\(next)"
        }

        private static func symbol(_ comparison: Filter.Comparison) -> String {
            switch comparison {
            case .equal: "="
            case .notEqual: "<>"
            case .less: "<"
            case .lessOrEqual: "<="
            case .greater: ">"
            case .greaterOrEqual: ">="
            }
        }
    }
}
