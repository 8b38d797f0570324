public import NIOCore

extension FilterExpression {
    /// - Throws: `malformed` if the bytes are not a filter, `invalidArgument` if one of its limits is passed or a value
    ///   is out of its range.
    public init(decoding payload: ByteBuffer, within bounds: FilterBounds = .init()) throws(WireError) {
        var decoder = FilterDecoder(payload, bounds)
        self = try decoder.filter()
    }
}

/// Reads the binary form. A count or length is checked against what is left before memory is taken for it.
private struct FilterDecoder {
    private var rest: ByteBuffer
    private let bounds: FilterBounds
    private var nodes = 0

    init(_ payload: ByteBuffer, _ bounds: FilterBounds) {
        rest = payload
        self.bounds = bounds
    }

    mutating func filter() throws(WireError) -> FilterExpression {
        try WireError.checkFilterSize(rest.readableBytes <= bounds.bytes, bounds.bytes)
        let filter = try node(depth: 1)
        guard rest.readableBytes == 0 else {
            throw .filterIsMalformed("\(rest.readableBytes) bytes follow after its end")
        }
        return filter
    }

    private mutating func node(depth: Int) throws(WireError) -> FilterExpression {
        try WireError.checkFilterDepth(depth, within: bounds.depth)
        nodes += 1
        try WireError.checkFilterNodes(nodes, within: bounds.nodes)
        let byte = try integer(UInt8.self)
        guard let kind = FilterNodeKind(rawValue: byte) else {
            throw .filterIsMalformed("there is no kind of node \(byte)")
        }
        switch kind {
        case .and: return .and(try operands(depth: depth))
        case .or: return .or(try operands(depth: depth))
        case .not: return .not(try node(depth: depth + 1))
        case .compare: return .compare(column: try column(), try comparison(), try value())
        case .oneOf: return .oneOf(column: try column(), try values())
        case .between: return .between(column: try column(), low: try value(), high: try value())
        case .isNull: return .isNull(column: try column())
        case .hasPrefix: return .hasPrefix(column: try column(), try text())
        case .overlaps: return .overlaps(column: try column(), try texts())
        }
    }

    private mutating func operands(depth: Int) throws(WireError) -> [FilterExpression] {
        // The smallest node is `isNull` of a column with one letter.
        let count = try count(ofAtLeast: 3)
        try WireError.checkFilterOperands(count)
        try WireError.checkFilterNodes(nodes + count, within: bounds.nodes)
        var operands: [FilterExpression] = []
        operands.reserveCapacity(count)
        for _ in 0..<count { operands.append(try node(depth: depth + 1)) }
        return operands
    }

    private mutating func comparison() throws(WireError) -> FilterComparison {
        let byte = try integer(UInt8.self)
        guard let comparison = FilterComparison(rawValue: byte) else {
            throw .filterIsMalformed("there is no comparison \(byte)")
        }
        return comparison
    }

    // MARK: Values

    private mutating func values() throws(WireError) -> [FilterValue] {
        let count = try count(ofAtLeast: 2)
        try WireError.checkFilterList(count)
        var values: [FilterValue] = []
        values.reserveCapacity(count)
        for _ in 0..<count { values.append(try value()) }
        return values
    }

    private mutating func texts() throws(WireError) -> [String] {
        let count = try count(ofAtLeast: 4)
        try WireError.checkFilterList(count)
        var texts: [String] = []
        texts.reserveCapacity(count)
        for _ in 0..<count { texts.append(try text()) }
        return texts
    }

    private mutating func value() throws(WireError) -> FilterValue {
        let byte = try integer(UInt8.self)
        guard let kind = FilterValueKind(rawValue: byte) else {
            throw .filterIsMalformed("there is no kind of value \(byte)")
        }
        switch kind {
        case .bool: return .bool(try bool())
        case .int: return .int(try integer(Int64.self))
        case .double: return .double(try double())
        case .text: return .text(try text())
        case .timestamp: return .timestamp(try timestamp())
        case .uuid: return .uuid(high: try integer(UInt64.self), low: try integer(UInt64.self))
        case .textArray: return .textArray(try texts())
        }
    }

    private mutating func bool() throws(WireError) -> Bool {
        switch try integer(UInt8.self) {
        case 0: return false
        case 1: return true
        default: throw .filterIsMalformed("a bool must be 0 or 1")
        }
    }

    private mutating func double() throws(WireError) -> Double {
        let number = Double(bitPattern: try integer(UInt64.self))
        try WireError.checkFilterNumber(number)
        return number
    }

    private mutating func timestamp() throws(WireError) -> Int64 {
        let microseconds = try integer(Int64.self)
        try WireError.checkFilterTimestamp(microseconds)
        return microseconds
    }

    // MARK: Parts

    private mutating func column() throws(WireError) -> String {
        let length = Int(try integer(UInt8.self))
        try WireError.checkFilterColumn(bytes: length)
        return try text(length: length)
    }

    private mutating func text() throws(WireError) -> String {
        try text(length: Int(try integer(UInt32.self)))
    }

    private mutating func text(length: Int) throws(WireError) -> String {
        guard let slice = rest.readSlice(length: length) else { throw Self.cutShort }
        guard let text = String(validating: slice.readableBytesView, as: UTF8.self), !text.utf8.contains(0) else {
            throw .filterIsMalformed("a text must be UTF-8 without NUL")
        }
        return text
    }

    /// How many elements follow, each of at least so many bytes.
    private mutating func count(ofAtLeast bytes: Int) throws(WireError) -> Int {
        let count = Int(try integer(UInt16.self))
        guard count <= rest.readableBytes / bytes else { throw Self.cutShort }
        return count
    }

    private mutating func integer<Integer: FixedWidthInteger>(_: Integer.Type) throws(WireError) -> Integer {
        guard let integer = rest.readInteger(as: Integer.self) else { throw Self.cutShort }
        return integer
    }

    private static let cutShort = WireError.filterIsMalformed("it is cut short")
}
