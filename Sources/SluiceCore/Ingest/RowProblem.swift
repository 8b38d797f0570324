/// Why a row cannot be stored. Names columns and types, never values.
public enum RowProblem: Error, Hashable, Sendable, CustomStringConvertible {
    /// Bytes that are not a vector of the column's form.
    case notAVector
    case dimensions(found: Int, expected: Int)
    /// A NaN or an infinity in the vector.
    case notFinite
    case noVector
    case idOutOfRange
    case null(column: String)
    /// The value is of a kind that the column's type does not take, or a text that cannot be read as that type.
    case type(column: String, expected: String)
    case outOfRange(column: String, type: String)
    /// The row is cut off in its middle, or goes on after its last column.
    case shape(columns: Int)
    /// The server refused it.
    case refused(String)

    public var description: String {
        switch self {
        case .notAVector: "its vector is not in the binary form of the collection's vector type"
        case .dimensions(let found, let expected): "its vector has \(found) dimensions, the collection has \(expected)"
        case .notFinite: "its vector has a component that is not a finite number"
        case .noVector: "it has no vector"
        case .idOutOfRange: "its id is out of the id column's range"
        case .null(let column): "column \"\(column)\" must not be null"
        case .type(let column, let expected): "column \"\(column)\" takes \(expected), and the value is none"
        case .outOfRange(let column, let type): "column \"\(column)\": the number is out of the range of \(type)"
        case .shape(let columns): "it is not an id, a vector and \(columns) values"
        case .refused(let reason): reason
        }
    }
}
