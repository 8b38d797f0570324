/// A vector as people write it: `[0.1, -2, 3e-4]`.
public enum VectorText {
    public struct Problem: Error, Hashable, CustomStringConvertible, Sendable {
        public let description: String
    }

    public static func parse(_ text: String) throws(Problem) -> [Float] {
        let trimmed = text.drop { $0.isWhitespace }
        guard trimmed.first == "[", let end = trimmed.lastIndex(of: "]"),
            trimmed[end...].dropFirst().allSatisfy(\.isWhitespace)
        else { throw Problem(description: "a vector is written like [0.1, 0.2, 0.3]") }
        let inner = trimmed[..<end].dropFirst()
        var floats: [Float] = []
        for (place, part) in inner.split(separator: ",", omittingEmptySubsequences: false).enumerated() {
            var word = part.drop(while: \.isWhitespace)
            while word.last?.isWhitespace == true { word.removeLast() }
            guard let float = Float(word) else {
                throw Problem(description: "component \(place) of the vector is not a number: \"\(word.prefix(20))\"")
            }
            floats.append(float)
        }
        return floats
    }
}

/// A time as people write it: `250us`, `40ms`, `2s`, `5m`.
public enum DurationText {
    public static func parse(_ text: String) -> Duration? {
        let digits = text.prefix { $0.isNumber || $0 == "." }
        let factors: [String: Double] = ["us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3_600]
        guard let number = Double(digits), let factor = factors[String(text.dropFirst(digits.count))],
            number.isFinite, number * factor <= 1e6
        else { return nil }
        return .microseconds(Int64((number * factor * 1e6).rounded()))
    }
}

/// An amount of memory as PostgreSQL's configuration writes it: `64MB`, `4096kB`, `1GB`; kB if no unit is named.
public enum MemoryText {
    /// In KiB; nil if it is none.
    public static func kibibytes(_ text: String) -> Int? {
        let digits = text.prefix(while: \.isNumber)
        let factors = ["": 1, "kB": 1, "MB": 1_024, "GB": 1_048_576]
        guard let number = Int(digits), let factor = factors[String(text.dropFirst(digits.count))] else { return nil }
        let (kibibytes, overflow) = number.multipliedReportingOverflow(by: factor)
        return overflow ? nil : kibibytes
    }
}
