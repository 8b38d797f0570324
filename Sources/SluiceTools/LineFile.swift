import Foundation

/// A file of integers, one a line; empty lines are left out.
public enum LineFile {
    public static func integers(path: String) throws -> [Int64] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw FileProblem(path, "the file cannot be read")
        }
        var integers: [Int64] = []
        for (place, line) in data.split(separator: Ascii.newline, omittingEmptySubsequences: false).enumerated() {
            let word = String(decoding: line, as: UTF8.self).trimmingCharacters(in: .whitespaces)
            let text = word.hasSuffix("\r") ? String(word.dropLast()) : word
            guard !text.isEmpty else { continue }
            guard let integer = Int64(text) else {
                throw FileProblem(path, line: place + 1, "an id is an integer of 64 bits")
            }
            integers.append(integer)
        }
        return integers
    }
}
