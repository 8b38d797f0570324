import NIOCore
import SluiceClient
import SluiceWire

/// A filter's text: what is read is written, read again, and the same; and so in its binary form.
enum FilterTarget {
    static func run(_ input: UnsafeRawBufferPointer) throws(FuzzFinding) {
        let text = String(decoding: input, as: UTF8.self)
        let filter: Filter
        do throws(FilterSyntaxError) { filter = try Filter(parsing: text) } catch { return try check(error, text) }
        let written = filter.description
        let again: Filter
        do throws(FilterSyntaxError) { again = try Filter(parsing: written) } catch {
            throw FuzzFinding("what was written cannot be read: \(error)")
        }
        try expect(again == filter, "another filter came back")
        try expect(Array(again.description.utf8) == Array(written.utf8), "a filter is written in two ways")
        try checkBytes(filter.expression, again.expression)
    }

    /// Texts that are canonically equivalent are equal, and their bytes must be, too. A filter can be too large to be
    /// sent.
    private static func checkBytes(_ filter: FilterExpression, _ again: FilterExpression) throws(FuzzFinding) {
        var (bytes, same) = (ByteBuffer(), ByteBuffer())
        guard (try? filter.encode(into: &bytes)) != nil else { return }
        guard (try? again.encode(into: &same)) != nil, bytes == same else {
            throw FuzzFinding("the filter that came back has other bytes")
        }
        guard let decoded = try? FilterExpression(decoding: bytes), decoded == filter else {
            throw FuzzFinding("the bytes are another filter")
        }
    }

    private static func check(_ error: FilterSyntaxError, _ text: String) throws(FuzzFinding) {
        try expect(error.offset >= 0 && error.offset <= text.count, "the error is at \(error.offset)")
        try expect(error.line >= 1 && error.column >= 1, "the error is at \(error.line):\(error.column)")
        try expect(error.description.utf8.count < 4_096, "a long error")
    }

    static let dictionary = [
        " and ", " or ", "not ", " in (", " between ", " is null", " is not null", " like '", "%'", "true", "false",
        "timestamp '2024-01-01T00:00:00Z'", "uuid '0b4f6c1e-9a3d-4c58-8f21-7d5e2a90c3b6'", "array['", "']", " && (",
        " overlaps (", "''", "\"", "\"\"", "!=", "<>", "<=", ">=", "9223372036854775807", "-9223372036854775808",
        "1e308", "0.1", "\\\\%", "\\\\_",
    ]

    static var seeds: [FuzzSeed] {
        let texts = [
            "section = 'net' and installed_kib < 5000", "a", "", "(((((a is null)))))",
            "name like 'lib%' or not (a in (1, 2.5, -3) and b != true)", "\"sel\"\"ect\" <> 'it''s'",
            "at between timestamp '2024-01-31' and timestamp '2024-01-31T12:30:05.25+01:00'",
            "u = uuid '0b4f6c1e-9a3d-4c58-8f21-7d5e2a90c3b6'", "tags && ('a', 'b') and tags = array['x', '']",
            "not not a = 1", "a not in () and b not between 1 and 2 and c not like 'x\\_y\\\\z%'", "a is not null",
            "tags overlaps ()", "a = 1e400", "a = 9223372036854775808", "a = .5 or a = -0.0", "NOT x = 1 AND y = 2",
            "e\u{301} = 'e\u{301}'", "\"e\u{301}\" = 'e\u{301}'", "a = timestamp 9223371331199999999", "a = 'x\u{0}'",
            (0..<40).map { "a\($0) = \($0)" }.joined(separator: " or "),
            String(repeating: "not ", count: 20) + "a = 1", String(repeating: "(", count: 33) + "a = 1",
        ]
        return texts.enumerated().map { FuzzSeed("filter-\($0)", $1) }
    }
}
