internal import Yams

/// Collects what is wrong while the file is read, so that everything is reported at once.
final class ConfigProblems {
    let file: String
    let expansion: ConfigExpansion
    /// Of which keys there are; nil where a file is read.
    let survey: ConfigSurvey?
    var found: [ConfigProblem] = []

    init(file: String, environment: [String: String], survey: ConfigSurvey? = nil) {
        self.file = file
        self.survey = survey
        expansion = ConfigExpansion(environment: environment)
    }

    /// The nearest right word. Not where nearly all is wrong: finding it takes time.
    func suggestion(for word: String, among known: [String]) -> String {
        found.count < 200 ? Suggestion.text(for: word, among: known) : ""
    }

    func add(_ message: String, line: Int?, path: String) {
        found.append(ConfigProblem(file: file, line: line, keyPath: path, message: message))
    }
}

/// A value of the file with its place, and typed ways to read it. A wrong value is noted, and a stand-in returned.
struct ConfigNode {
    let node: Node
    let path: String
    let problems: ConfigProblems

    var line: Int? { node.mark?.line }

    func complain(_ message: String) { problems.add(message, line: line, path: path) }

    func missing(_ key: String) {
        // What is no table at all has been complained about already.
        guard isTable else { return }
        problems.add("is missing", line: line, path: Self.path(path, key: key))
    }

    static func path(_ path: String, key: String) -> String {
        // A key can be any text.
        path.isEmpty ? String(key.prefix(60)) : "\(path).\(key.prefix(60))"
    }

    // MARK: Containers

    /// The keys of a table; an unknown one is noted with the nearest right one.
    func table(_ known: [String]) -> [String: ConfigNode] {
        if let survey = noted(.table(known)) {
            return Dictionary(known.map { ($0, survey.child(of: self, $0)) }) { first, _ in first }
        }
        guard case .mapping(let mapping) = node else {
            complain("must be a table of keys, not \(kind)")
            return [:]
        }
        var result: [String: ConfigNode] = [:]
        for (key, value) in mapping {
            guard let name = key.scalar?.string else {
                problems.add("a key must be a plain word", line: key.mark?.line, path: path)
                continue
            }
            if ConfigDocument.isDuplicate(name) { continue }
            let child = ConfigNode(node: value, path: Self.path(path, key: name), problems: problems)
            guard known.contains(name) else {
                problems.add(
                    "unknown key" + problems.suggestion(for: name, among: known), line: key.mark?.line, path: child.path
                )
                continue
            }
            result[name] = child
        }
        return result
    }

    /// A table whose keys are the user's own words.
    func entries(_ counts: ClosedRange<Int>) -> [(key: String, value: ConfigNode)] {
        if let survey = noted(.entries) { return [("*", survey.child(of: self, "*"))] }
        guard case .mapping(let mapping) = node else {
            complain("must be a table of keys, not \(kind)")
            return []
        }
        if mapping.count > counts.upperBound { complain("has \(mapping.count) keys; it may have \(counts.upperBound)") }
        return mapping.prefix(counts.upperBound).compactMap { key, value in
            guard let name = key.scalar?.string else {
                problems.add("a key must be a plain word", line: key.mark?.line, path: path)
                return nil
            }
            if ConfigDocument.isDuplicate(name) { return nil }
            return (name, ConfigNode(node: value, path: Self.path(path, key: name), problems: problems))
        }
    }

    /// The items of a list; of one that is too long, the first ones.
    func list(_ counts: ClosedRange<Int>) -> [ConfigNode] {
        if let survey = noted(.list) { return [survey.item(of: self)] }
        guard case .sequence(let sequence) = node else {
            complain("must be a list, not \(kind)")
            return []
        }
        if sequence.count < counts.lowerBound { complain("must not be empty") }
        if sequence.count > counts.upperBound {
            complain("has \(sequence.count) items; it may have \(counts.upperBound)")
        }
        return sequence.prefix(counts.upperBound).enumerated().map { index, value in
            ConfigNode(node: value, path: "\(path)[\(index)]", problems: problems)
        }
    }

    var isTable: Bool { node.mapping != nil }

    var isNull: Bool {
        guard case .scalar(let scalar) = node else { return false }
        return scalar.style == .plain && ["", "~", "null"].contains(scalar.string)
    }

    private var kind: String {
        switch node {
        case .mapping: "a table"
        case .sequence: "a list"
        case .scalar: isNull ? "nothing" : "a single value"
        case .alias: "an alias"
        }
    }

    /// - Returns: the survey, if one is made: then there is nothing to read.
    @discardableResult
    private func noted(_ kind: ConfigKind) -> ConfigSurvey? {
        problems.survey?.note(path, kind)
        return problems.survey
    }

    // MARK: Values

    /// The value with its environment variables put in.
    func text() -> String? { expanded { text throws(ConfigExpansion.Problem) in try problems.expansion.expand(text) } }

    /// The same for a libpq connection string.
    func dsn() -> String? {
        expanded { text throws(ConfigExpansion.Problem) in try problems.expansion.expandDSN(text) }
    }

    private func expanded(_ expand: (String) throws(ConfigExpansion.Problem) -> String) -> String? {
        if noted(.text) != nil { return nil }
        guard case .scalar(let scalar) = node, !isNull else {
            complain("must be a single value, not \(kind)")
            return nil
        }
        do throws(ConfigExpansion.Problem) {
            return try expand(scalar.string)
        } catch {
            complain(error.message)
            return nil
        }
    }

    /// The value as the file has it, for messages: no environment variable shows in it.
    var quoted: String {
        let text = node.scalar?.string ?? ""
        return "\"\(text.prefix(40))\(text.count > 40 ? "…" : "")\""
    }

    func integer(_ range: ClosedRange<Int>, or standIn: Int) -> Int {
        noted(.integer(range))
        guard let text = text() else { return standIn }
        guard let value = Int(text.filter { $0 != "_" }) else {
            complain("must be a whole number, not \(quoted)")
            return standIn
        }
        guard range.contains(value) else {
            complain("is \(quoted); it must be from \(range.lowerBound) to \(range.upperBound)")
            return standIn
        }
        return value
    }

    func number(_ range: ClosedRange<Double>, or standIn: Double) -> Double {
        noted(.number(range))
        guard let text = text() else { return standIn }
        guard let value = Double(text), value.isFinite else {
            complain("must be a number, not \(quoted)")
            return standIn
        }
        guard range.contains(value) else {
            complain("is \(quoted); it must be from \(range.lowerBound) to \(range.upperBound)")
            return standIn
        }
        return value
    }

    func flag(or standIn: Bool) -> Bool {
        noted(.flag)
        switch text() {
        case "true": return true
        case "false": return false
        case nil: return standIn
        default:
            complain("must be true or false, not \(quoted)")
            return standIn
        }
    }

    func duration(_ range: ClosedRange<Duration>, or standIn: Duration) -> Duration {
        noted(.duration(range))
        guard let text = text() else { return standIn }
        guard let value = Quantity.duration(text) else {
            complain("must be a time like 250us, 40ms, 2s, 5m or 1h, not \(quoted)")
            return standIn
        }
        guard range.contains(value) else {
            let (lower, upper) = (Quantity.text(range.lowerBound), Quantity.text(range.upperBound))
            complain("is \(quoted); it must be from \(lower) to \(upper)")
            return standIn
        }
        return value
    }

    func bytes(_ range: ClosedRange<Int>, or standIn: Int) -> Int {
        noted(.bytes(range))
        guard let text = text() else { return standIn }
        guard let value = Quantity.bytes(text) else {
            complain("must be a size like 65536, 64KiB or 1MiB, not \(quoted)")
            return standIn
        }
        guard range.contains(value) else {
            complain("is \(quoted); it must be from \(range.lowerBound) to \(range.upperBound) bytes")
            return standIn
        }
        return value
    }

    func choice<Choice: RawRepresentable & CaseIterable>(
        _: Choice.Type, or standIn: Choice
    ) -> Choice where Choice.RawValue == String {
        noted(.choice(Choice.allCases.map(\.rawValue)))
        guard let text = text() else { return standIn }
        if let value = Choice(rawValue: text) { return value }
        let words = Choice.allCases.map(\.rawValue)
        complain(
            "is \(quoted), not one of \(words.joined(separator: ", "))"
                + problems.suggestion(for: text, among: words))
        return standIn
    }

    /// A name of ours: it appears in messages and metrics. A wrong one is noted and returned, so that what refers to it
    /// is not wrong as well.
    func name() -> String? {
        noted(.name)
        guard let text = text() else { return nil }
        let allowed = text.utf8.allSatisfy { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || "_.-".utf8.contains(byte)
        }
        guard allowed, (1...63).contains(text.utf8.count) else {
            complain("must be 1 to 63 of the characters A-Z a-z 0-9 _ . -")
            return text
        }
        return text
    }

    /// An identifier of PostgreSQL, as it is spelt there.
    func identifier() -> String? {
        noted(.identifier)
        guard let text = text() else { return nil }
        guard (1...63).contains(text.utf8.count), !text.utf8.contains(0) else {
            complain("must be a PostgreSQL identifier of 1 to 63 bytes")
            return nil
        }
        return text
    }
}

/// Times and sizes as people write them.
enum Quantity {
    private static let seconds: [String: Double] = ["us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3_600]
    private static let sizes: [String: Double] = [
        "": 1, "KiB": 1_024, "MiB": 1_048_576, "KB": 1_000, "MB": 1_000_000,
    ]

    static func duration(_ text: String) -> Duration? {
        guard let (number, unit) = split(text), let factor = seconds[unit], number * factor <= 1e9 else { return nil }
        return .microseconds(Int64((number * factor * 1e6).rounded()))
    }

    static func bytes(_ text: String) -> Int? {
        guard let (number, unit) = split(text), let factor = sizes[unit], number * factor <= 0x1p60 else { return nil }
        return Int((number * factor).rounded())
    }

    /// As it is written in a configuration, in the largest unit that keeps it whole.
    static func text(_ duration: Duration) -> String {
        let microseconds = duration / .microseconds(1)
        let unit = [("h", 3.6e9), ("m", 6e7), ("s", 1e6), ("ms", 1e3)].first {
            microseconds >= $0.1 && microseconds.truncatingRemainder(dividingBy: $0.1) == 0
        }
        let (name, size) = unit ?? (microseconds == 0 ? "s" : "us", 1)
        return "\(Int64(clamping: Int(microseconds / size)))\(name)"
    }

    /// The same of a size in bytes.
    static func text(bytes: Int) -> String {
        for (unit, size) in [("MiB", 1_048_576), ("KiB", 1_024)] where bytes >= size && bytes % size == 0 {
            return "\(bytes / size)\(unit)"
        }
        return "\(bytes)"
    }

    private static func split(_ text: String) -> (Double, String)? {
        let digits = text.prefix { ("0"..."9").contains($0) || $0 == "." }
        guard let number = Double(digits), number.isFinite, number >= 0 else { return nil }
        return (number, text.dropFirst(digits.count).filter { $0 != " " })
    }
}

/// "did you mean": the nearest known word.
enum Suggestion {
    static func text(for word: String, among known: [String]) -> String {
        guard let candidate = nearest(word, known) else { return "" }
        return "; did you mean \"\(candidate)\"?"
    }

    private static func nearest(_ word: String, _ known: [String]) -> String? {
        if word.utf8.count >= 3, let longer = known.first(where: { $0.hasPrefix(word) || $0.hasSuffix("_" + word) }) {
            return longer
        }
        let near = known.map { ($0, distance(Array(word.utf8), Array($0.utf8))) }.min { $0.1 < $1.1 }
        guard let (candidate, distance) = near, distance <= max(2, candidate.utf8.count / 3),
            distance < candidate.utf8.count
        else { return nil }
        return candidate
    }

    /// Levenshtein's edit distance, over words that are short by nature.
    private static func distance(_ left: [UInt8], _ right: [UInt8]) -> Int {
        guard left.count <= 64 else { return .max }
        var previous = Array(0...right.count)
        for (row, byte) in left.enumerated() {
            var current = [row + 1]
            for (column, other) in right.enumerated() {
                current.append(
                    min(previous[column + 1] + 1, current[column] + 1, previous[column] + (byte == other ? 0 : 1)))
            }
            previous = current
        }
        return previous[right.count]
    }
}
