public import NIOCore

extension FilterExpression {
    /// Appends the binary form; the buffer is as before if it throws.
    /// - Throws: `invalidArgument` for what a gateway would refuse: a limit, or a value out of its range.
    public func encode(into buffer: inout ByteBuffer) throws(WireError) {
        let start = buffer.writerIndex
        var encoder = FilterEncoder()
        do {
            try encoder.write(self, depth: 1, into: &buffer)
        } catch {
            buffer.moveWriterIndex(to: start)
            throw error
        }
    }
}

private struct FilterEncoder {
    private var nodes = 0
    private var room = FilterExpression.maximumEncodedBytes

    mutating func write(_ filter: FilterExpression, depth: Int, into buffer: inout ByteBuffer) throws(WireError) {
        try WireError.checkFilterDepth(depth)
        nodes += 1
        try WireError.checkFilterNodes(nodes)
        switch filter {
        case .and(let operands):
            try begin(.and, into: &buffer)
            try write(operands, depth: depth, into: &buffer)
        case .or(let operands):
            try begin(.or, into: &buffer)
            try write(operands, depth: depth, into: &buffer)
        case .not(let operand):
            try begin(.not, into: &buffer)
            try write(operand, depth: depth + 1, into: &buffer)
        default:
            try writeLeaf(filter, into: &buffer)
        }
    }

    private mutating func writeLeaf(_ leaf: FilterExpression, into buffer: inout ByteBuffer) throws(WireError) {
        switch leaf {
        case .and, .or, .not:
            break
        case .compare(let column, let comparison, let value):
            try begin(.compare, column, into: &buffer)
            try write(comparison.rawValue, into: &buffer)
            try write(value, into: &buffer)
        case .oneOf(let column, let values):
            try begin(.oneOf, column, into: &buffer)
            try writeListCount(values.count, into: &buffer)
            for value in values { try write(value, into: &buffer) }
        case .between(let column, let low, let high):
            try begin(.between, column, into: &buffer)
            try write(low, into: &buffer)
            try write(high, into: &buffer)
        case .isNull(let column):
            try begin(.isNull, column, into: &buffer)
        case .hasPrefix(let column, let prefix):
            try begin(.hasPrefix, column, into: &buffer)
            try write(prefix, into: &buffer)
        case .overlaps(let column, let texts):
            try begin(.overlaps, column, into: &buffer)
            try write(texts, into: &buffer)
        }
    }

    private mutating func write(
        _ operands: [FilterExpression], depth: Int, into buffer: inout ByteBuffer
    ) throws(WireError) {
        try WireError.checkFilterOperands(operands.count)
        try WireError.checkFilterNodes(nodes + operands.count)
        try write(UInt16(clamping: operands.count), into: &buffer)
        for operand in operands { try write(operand, depth: depth + 1, into: &buffer) }
    }

    // MARK: Values

    private mutating func write(_ value: FilterValue, into buffer: inout ByteBuffer) throws(WireError) {
        switch value {
        case .bool(let flag):
            try write(FilterValueKind.bool.rawValue, into: &buffer)
            try write(UInt8(flag ? 1 : 0), into: &buffer)
        case .int(let integer):
            try write(FilterValueKind.int.rawValue, into: &buffer)
            try write(integer, into: &buffer)
        case .double(let number):
            try WireError.checkFilterNumber(number)
            try write(FilterValueKind.double.rawValue, into: &buffer)
            try write(number.bitPattern, into: &buffer)
        case .text(let text):
            try write(FilterValueKind.text.rawValue, into: &buffer)
            try write(text, into: &buffer)
        case .timestamp(let microseconds):
            try WireError.checkFilterTimestamp(microseconds)
            try write(FilterValueKind.timestamp.rawValue, into: &buffer)
            try write(microseconds, into: &buffer)
        case .uuid(let high, let low):
            try write(FilterValueKind.uuid.rawValue, into: &buffer)
            try write(high, into: &buffer)
            try write(low, into: &buffer)
        case .textArray(let texts):
            try write(FilterValueKind.textArray.rawValue, into: &buffer)
            try write(texts, into: &buffer)
        }
    }

    private mutating func write(_ texts: [String], into buffer: inout ByteBuffer) throws(WireError) {
        try writeListCount(texts.count, into: &buffer)
        for text in texts { try write(text, into: &buffer) }
    }

    private mutating func writeListCount(_ count: Int, into buffer: inout ByteBuffer) throws(WireError) {
        try WireError.checkFilterList(count)
        try write(UInt16(clamping: count), into: &buffer)
    }

    // MARK: Parts

    private mutating func begin(_ kind: FilterNodeKind, into buffer: inout ByteBuffer) throws(WireError) {
        try write(kind.rawValue, into: &buffer)
    }

    private mutating func begin(
        _ kind: FilterNodeKind, _ column: String, into buffer: inout ByteBuffer
    ) throws(WireError) {
        try WireError.checkFilterColumn(bytes: column.utf8.count)
        try begin(kind, into: &buffer)
        try write(UInt8(clamping: column.utf8.count), into: &buffer)
        try writeBytes(of: column, into: &buffer)
    }

    private mutating func write(_ text: String, into buffer: inout ByteBuffer) throws(WireError) {
        try write(UInt32(clamping: text.utf8.count), into: &buffer)
        try writeBytes(of: text, into: &buffer)
    }

    private mutating func writeBytes(of text: String, into buffer: inout ByteBuffer) throws(WireError) {
        try take(text.utf8.count)
        guard !text.utf8.contains(0) else { throw WireError(.invalidArgument, "filter: a text contains NUL") }
        buffer.writeString(text)
    }

    private mutating func write<Integer: FixedWidthInteger>(
        _ integer: Integer, into buffer: inout ByteBuffer
    ) throws(WireError) {
        try take(MemoryLayout<Integer>.size)
        buffer.writeInteger(integer)
    }

    private mutating func take(_ bytes: Int) throws(WireError) {
        try WireError.checkFilterSize(bytes <= room)
        room -= bytes
    }
}
