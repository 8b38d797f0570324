public import SluiceCore

/// A filter that fits a collection, split into the statement's part and its parameters.
public struct FilterPlan: Sendable {
    public let shape: FilterShape
    /// One for each of the shape's parameter types.
    public let values: [ParameterValue]

    /// - Parameters:
    ///   - columns: the collection's filterable columns.
    ///   - collection: its name, for errors.
    /// - Throws: `unknownColumn`; `invalidArgument` if a value or a condition does not fit its column's type. The
    ///   message names the column, never a value.
    public init(
        _ filter: Filter, columns: [String: FilterColumnType], collection: String
    ) throws(SearchError) {
        var splitter = FilterSplitter(columns: columns, collection: collection)
        shape = FilterShape(root: try splitter.node(filter))
        values = splitter.values
    }
}

extension FilterPlan {
    init(_ filter: Filter, _ collection: Collection) throws(SearchError) {
        try self.init(filter, columns: collection.filterable, collection: collection.name)
    }

    /// The values as a write's cells.
    var cells: [UInt8] { values.flatMap(\.cell) }
}

extension ParameterValue {
    /// Behind its i32 length.
    var cell: [UInt8] {
        var cell: [UInt8] = []
        cell.append(bigEndian: Int32(clamping: bytes.count))
        return cell + bytes
    }
}

extension FilterShape {
    var commandTypes: [WriteCommand.ParameterType] { parameterTypes.map { .oid($0) } }
}

private struct FilterSplitter {
    let columns: [String: FilterColumnType]
    let collection: String
    private(set) var values: [ParameterValue] = []

    init(columns: [String: FilterColumnType], collection: String) {
        self.columns = columns
        self.collection = collection
    }

    mutating func node(_ filter: Filter) throws(SearchError) -> FilterShape.Node {
        switch filter {
        case .and(let operands): return .and(try nodes(operands))
        case .or(let operands): return .or(try nodes(operands))
        case .not(let operand): return .not(try node(operand))
        case .compare(let name, let comparison, let value): return try compare(column(name), comparison, value)
        case .oneOf(let name, let values): return try oneOf(column(name), values)
        case .between(let name, let low, let high): return try between(column(name), low, high)
        case .isNull(let name): return .isNull(column: try column(name).name)
        case .hasPrefix(let name, let prefix): return try hasPrefix(column(name), prefix)
        case .overlaps(let name, let texts): return try overlaps(column(name), texts)
        }
    }

    private mutating func nodes(_ operands: [Filter]) throws(SearchError) -> [FilterShape.Node] {
        guard !operands.isEmpty else {
            throw SearchError(
                .invalidArgument, "filter: an \"and\" or \"or\" has no operand; it must have at least one")
        }
        var nodes: [FilterShape.Node] = []
        for operand in operands { nodes.append(try node(operand)) }
        return nodes
    }

    private func column(_ name: String) throws(SearchError) -> FilterableColumn {
        guard let type = columns[name] else {
            throw SearchError(
                .unknownColumn,
                "filter: collection \"\(collection)\" has no filterable column \"\(Planner.shown(name))\"")
        }
        return FilterableColumn(name: name, type: type)
    }

    // MARK: Conditions

    private mutating func compare(
        _ column: FilterableColumn, _ comparison: Filter.Comparison, _ value: Filter.Value
    ) throws(SearchError) -> FilterShape.Node {
        let type = add(try column.fitting(value))
        guard column.type != .textArray || comparison == .equal || comparison == .notEqual else {
            throw column.error("it can only be compared by = and !=")
        }
        return .compare(column: column.name, comparison, type: type)
    }

    private mutating func oneOf(
        _ column: FilterableColumn, _ list: [Filter.Value]
    ) throws(SearchError) -> FilterShape.Node {
        guard let elementType = column.elementType else { throw column.error("it cannot be looked up in a list") }
        var elements: [Filter.Value] = []
        elements.reserveCapacity(list.count)
        for value in list { elements.append(try column.fitting(value)) }
        // Only integers and floats can come together: PostgreSQL compares such a pair as floats.
        let isMixed = elements.contains { ScalarType($0) != elementType }
        if isMixed { elements = elements.map(\.asDouble) }
        values.append(ParameterValue(arrayOf: isMixed ? .float8 : elementType, elements))
        return .oneOf(column: column.name, arrayType: (isMixed ? .float8 : elementType).array)
    }

    private mutating func between(
        _ column: FilterableColumn, _ low: Filter.Value, _ high: Filter.Value
    ) throws(SearchError) -> FilterShape.Node {
        guard column.type != .textArray else { throw column.error("it can only be compared by = and !=") }
        let lowType = add(try column.fitting(low))
        let highType = add(try column.fitting(high))
        return .between(column: column.name, low: lowType, high: highType)
    }

    private mutating func hasPrefix(
        _ column: FilterableColumn, _ prefix: String
    ) throws(SearchError) -> FilterShape.Node {
        guard column.type == .text else { throw column.error("only text has a prefix") }
        _ = add(.text(prefix))
        return .hasPrefix(column: column.name)
    }

    private mutating func overlaps(
        _ column: FilterableColumn, _ texts: [String]
    ) throws(SearchError) -> FilterShape.Node {
        guard column.type == .textArray else { throw column.error("only text[] can overlap") }
        _ = add(.textArray(texts))
        return .overlaps(column: column.name)
    }

    /// The added parameter's type OID.
    private mutating func add(_ value: Filter.Value) -> UInt32 {
        let parameter = ParameterValue(value)
        values.append(parameter)
        return parameter.typeOID
    }
}

private struct FilterableColumn {
    let name: String
    let type: FilterColumnType

    /// Nil for an array's.
    var elementType: ScalarType? {
        switch type {
        case .bool: .bool
        case .int: .int8
        case .float: .float8
        case .text: .text
        case .timestamp: .timestamptz
        case .uuid: .uuid
        case .textArray: nil
        }
    }

    /// The value as it is sent to be compared with the column. An integer column is compared with a float as a float,
    /// and a float column with anything as a float, which is what PostgreSQL would do.
    func fitting(_ value: Filter.Value) throws(SearchError) -> Filter.Value {
        switch (type, value) {
        case (.bool, .bool), (.int, .int), (.int, .double), (.float, .double), (.text, .text),
            (.timestamp, .timestamp), (.uuid, .uuid), (.textArray, .textArray):
            return value
        case (.float, .int):
            return value.asDouble
        case (.timestamp, .text(let text)):
            guard let microseconds = TimestampText.microseconds(text) else {
                throw error("it is compared with a text that is not a time such as 2024-01-31T12:30:00Z")
            }
            return .timestamp(microseconds)
        case (.uuid, .text(let text)):
            guard let (high, low) = UUIDText.parse(text) else {
                throw error("it is compared with a text that is not 32 hexadecimal digits with hyphens")
            }
            return .uuid(high: high, low: low)
        default:
            throw error("it cannot be compared with \(value.typeName)")
        }
    }

    func error(_ what: String) -> SearchError {
        SearchError(.invalidArgument, "filter: column \"\(name)\" is \(type.rawValue); \(what)")
    }
}

extension Filter.Value {
    /// An integer as the nearest float; anything else as it is.
    fileprivate var asDouble: Filter.Value {
        if case .int(let integer) = self { .double(Double(integer)) } else { self }
    }

    fileprivate var typeName: String {
        let type: FilterColumnType =
            switch self {
            case .bool: .bool
            case .int: .int
            case .double: .float
            case .text: .text
            case .timestamp: .timestamp
            case .uuid: .uuid
            case .textArray: .textArray
            }
        return type.rawValue
    }
}
