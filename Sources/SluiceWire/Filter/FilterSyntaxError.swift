/// Why a text is not a filter. It quotes the text, which is the application's own; nothing of it goes to a gateway.
public struct FilterSyntaxError: Error, Hashable, Sendable, CustomStringConvertible {
    /// Where, in characters from the text's start, from 0.
    public let offset: Int
    /// From 1.
    public let line: Int
    /// In characters of its line, from 1.
    public let column: Int
    /// What is there, cut to a few characters and in backquotes; or "the end".
    public let found: String
    /// What should be there.
    public let expected: String
    /// The line, or the part of a long one around the place, and below it a caret under the place.
    public let excerpt: String
    private let hasLines: Bool

    /// - Parameters:
    ///   - text: the whole text as UTF-8.
    ///   - range: what was found, in bytes; within the text and on the borders of its characters.
    package init(in text: [UInt8], at range: Range<Int>, expected: String) {
        let lineStart = text[..<range.lowerBound].lastIndex(of: Self.newline).map { $0 + 1 } ?? 0
        let lineEnd = text[range.lowerBound...].firstIndex(of: Self.newline) ?? text.endIndex
        let before = String(decoding: text[lineStart..<range.lowerBound], as: UTF8.self)
        offset = String(decoding: text[..<range.lowerBound], as: UTF8.self).count
        line = text[..<range.lowerBound].count { $0 == Self.newline } + 1
        column = before.count + 1
        found = Self.shown(text[range])
        self.expected = expected
        excerpt = Self.excerpt(before, String(decoding: text[range.lowerBound..<lineEnd], as: UTF8.self))
        hasLines = text.contains(Self.newline)
    }

    package init(in text: [UInt8], at place: Int, expected: String) {
        self.init(in: text, at: place..<text.endIndex, expected: expected)
    }

    /// The place, what was expected and found, and the excerpt on two lines of its own.
    public var description: String {
        let place = hasLines ? "line \(line), column \(column)" : "character \(column)"
        return "filter, \(place): expected \(expected), found \(found)\n\(excerpt)"
    }

    private static let newline = UInt8(ascii: "\n")
    private static let shownCharacters = 24

    private static func shown(_ bytes: ArraySlice<UInt8>) -> String {
        if bytes.isEmpty { return "the end" }
        let text = String(decoding: bytes.prefix(4 * shownCharacters), as: UTF8.self)
        let head = printable(text.prefix(shownCharacters))
        return head.utf8.count < bytes.count ? "`\(head)…`" : "`\(head)`"
    }

    private static func excerpt(_ before: String, _ after: String) -> String {
        let left = before.count > 60 ? "…" + printable(before.suffix(59)) : printable(before[...])
        let right = after.count > 60 ? printable(after.prefix(59)) + "…" : printable(after[...])
        return "  \(left)\(right)\n  \(String(repeating: " ", count: left.count))^"
    }

    /// A tab or an escape sequence would move the caret, or the terminal.
    private static func printable(_ text: Substring) -> String {
        String(text.map { $0.unicodeScalars.contains { $0.value < 32 || $0.value == 127 } ? " " : $0 })
    }
}

// What several places expect.
extension FilterSyntaxError {
    package static let timestamp = "a time such as 2024-01-31T12:30:00Z"
    package static let uuid = "a UUID such as 0b4f6c1e-9a3d-4c58-8f21-7d5e2a90c3b6"
}
