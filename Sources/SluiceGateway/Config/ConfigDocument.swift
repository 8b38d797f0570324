internal import Yams

/// The text as YAML's nodes. What YAML allows and a configuration must not have is noted here: keys that are there
/// twice, anchors and aliases.
struct ConfigDocument {
    /// Each alias can stand for all of the text before it, so a few hundred of them can stand for more than any memory.
    private static let mostAliases = 16
    /// Yams refuses the whole text at the first mapping with a key that is there twice. So that the rest is checked
    /// too, such a key is made another one: this character (from Unicode's private area) and a number are appended.
    private static let marker: Character = "\u{E000}"
    private static let mostDuplicates = 20
    /// What may be parsed again, in bytes, to find more of them.
    private static let mostParsedAgain = 1_048_576

    private let problems: ConfigProblems
    private var anchorsSeen: Set<Anchor> = []

    /// The text's root; nil if there is none, which is noted.
    static func compose(_ text: String, _ problems: ConfigProblems) -> ConfigNode? {
        guard aliasCount(text) <= mostAliases else {
            problems.add("has many YAML aliases; anchors and aliases are not supported", line: nil, path: "")
            return nil
        }
        do {
            let (root, parser) = try rootAndParser(text)
            // A node knows its anchor only as long as its parser lives.
            return withExtendedLifetime(parser) {
                guard let root else {
                    problems.add("the file is empty", line: nil, path: "")
                    return nil
                }
                var document = ConfigDocument(problems: problems)
                document.inspect(root, path: "")
                return ConfigNode(node: root, path: "", problems: problems)
            }
        } catch {
            let complaint = YAMLComplaint(error)
            // At the end of the text libyaml may count one line too many.
            let lastLine = max(1, text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).count)
            problems.add(complaint.text, line: complaint.line.map { min($0, lastLine) }, path: "")
            return nil
        }
    }

    /// True for a key that is there a second time.
    static func isDuplicate(_ key: String) -> Bool { key.contains(marker) }

    private init(problems: ConfigProblems) { self.problems = problems }

    private static func aliasCount(_ text: String) -> Int {
        var count = 0
        for line in text.utf8.split(whereSeparator: { $0 == UInt8(ascii: "\n") || $0 == UInt8(ascii: "\r") }) {
            let content = line.drop { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
            guard content.first != UInt8(ascii: "#") else { continue }
            for (byte, next) in zip(content, content.dropFirst())
            where byte == UInt8(ascii: "*") && Character(UnicodeScalar(next)).isAnchorCharacter {
                count += 1
            }
        }
        return count
    }

    private static func rootAndParser(_ text: String) throws -> (Node?, Parser) {
        // libyaml takes a byte order mark for text when it is told that the text is UTF-8.
        var text = text.unicodeScalars.first == "\u{FEFF}" ? String(text.unicodeScalars.dropFirst()) : text
        let mayRename = !text.contains(marker)
        let mostRenamed = min(mostDuplicates, mostParsedAgain / max(1, text.utf8.count))
        var renamed = 0
        while true {
            do {
                let parser = try Parser(yaml: text, encoding: .utf8)
                return (try parser.singleRoot(), parser)
            } catch YamlError.duplicatedKeysInMapping(let keys, let context) {
                renamed += 1
                guard mayRename, renamed <= mostRenamed, let key = keys.first,
                    let other = DuplicateKey(key, at: context.mark).renamed(in: text, to: "\(key)\(marker)\(renamed)")
                else { throw YamlError.duplicatedKeysInMapping(duplicates: keys, context: context) }
                text = other
            }
        }
    }

    // MARK: Structure

    /// Does not go below an anchor, so that each part of the text is seen once.
    private mutating func inspect(_ node: Node, path: String) {
        if let anchor = node.anchor {
            guard anchorsSeen.insert(anchor).inserted else { return }
            problems.add(
                "YAML anchors and aliases are not supported; write the value out", line: node.mark?.line, path: path)
        }
        switch node {
        case .sequence(let sequence):
            for (index, value) in sequence.enumerated() { inspect(value, path: "\(path)[\(index)]") }
        case .mapping(let mapping): inspect(mapping, path: path)
        case .scalar, .alias: break
        }
    }

    private mutating func inspect(_ mapping: Node.Mapping, path: String) {
        var lines: [String: Int] = [:]
        for (key, value) in mapping {
            guard let text = key.scalar?.string else { continue }
            let name = String(text.prefix { $0 != Self.marker })
            let child = ConfigNode.path(path, key: name)
            if Self.isDuplicate(text) {
                let first = lines[name].map { "; the first is on line \($0)" } ?? ""
                problems.add("this key is there twice\(first)", line: key.mark?.line, path: child)
            } else {
                lines[name] = key.mark?.line
            }
            inspect(value, path: child)
        }
    }
}

/// Finds the second place of a key in the text, from the place of the first.
private struct DuplicateKey {
    private typealias Bytes = ArraySlice<UInt8>

    private let spellings: [[UInt8]]
    private let line: Int
    private let column: Int

    init(_ key: String, at mark: Mark) {
        spellings = [Array(key.utf8), Array("\"\(key)\"".utf8), Array("'\(key)'".utf8)]
        line = mark.line - 1
        column = mark.column - 1
    }

    /// The text with the second place renamed; nil if it is not where a mapping in block style, or in flow style on
    /// one line, has it.
    func renamed(in text: String, to name: String) -> String? {
        let bytes = Array(text.utf8)
        let rest = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropFirst(line)
        guard let first = rest.first, let start = offset(ofColumn: column, in: first),
            let spelling = spelling(at: start, of: first),
            let place = placeBelow(rest.dropFirst()) ?? placeBeside(first, from: start + spelling.count)
        else { return nil }
        let found = self.spelling(at: place, of: bytes[...]) ?? []
        return String(decoding: bytes[..<place], as: UTF8.self) + "\"\(name)\""
            + String(decoding: bytes[(place + found.count)...], as: UTF8.self)
    }

    /// In block style a mapping's keys begin in the same column, and what belongs to one is further right.
    private func placeBelow(_ lines: ArraySlice<Bytes>) -> Int? {
        for line in lines {
            guard let start = line.firstIndex(where: { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\r") }),
                line[start] != UInt8(ascii: "#")
            else { continue }
            if start - line.startIndex < column { return nil }
            if start - line.startIndex == column, spelling(at: start, of: line) != nil { return start }
        }
        return nil
    }

    private func placeBeside(_ line: Bytes, from start: Int) -> Int? {
        line.indices.dropFirst(start - line.startIndex).first { place in
            " {,".utf8.contains(line[place - 1]) && spelling(at: place, of: line) != nil
        }
    }

    /// libyaml counts columns in Unicode scalars.
    private func offset(ofColumn column: Int, in line: Bytes) -> Int? {
        var left = column
        return line.indices.first { index in
            let isStart = line[index] & 0xC0 != 0x80
            defer { if isStart { left -= 1 } }
            return isStart && left == 0
        }
    }

    /// How the key is spelt there, if it is there and a colon follows.
    private func spelling(at place: Int, of line: Bytes) -> [UInt8]? {
        spellings.first { spelling in
            guard line[place...].starts(with: spelling) else { return false }
            return line[(place + spelling.count)...].first { $0 != UInt8(ascii: " ") } == UInt8(ascii: ":")
        }
    }
}

/// An error of YAML's parser in one line, without the text it stumbled over.
private struct YAMLComplaint {
    var text: String
    var line: Int?

    init(_ error: any Error) {
        switch error as? YamlError {
        case .scanner(let context, let problem, let mark, _), .parser(let context, let problem, let mark, _),
            .composer(let context, let problem, let mark, _):
            let place = context.map { " \($0.text), which begins on line \($0.mark.line)" } ?? ""
            self.init("not YAML: \(problem)\(place)", mark.line)
        case .reader(let problem, let offset, _, let yaml):
            let before = offset.map { yaml.prefix($0) }
            self.init("not YAML: \(problem)", before.map { $0.count { $0.isNewline } + 1 })
        case .duplicatedKeysInMapping(let keys, let context):
            self.init("the key \"\((keys.first ?? "").prefix(60))\" is there twice", context.mark.line)
        default: self.init("not YAML", nil)
        }
    }

    private init(_ text: String, _ line: Int?) {
        self.text = text
        self.line = line
    }
}

extension Character {
    fileprivate var isAnchorCharacter: Bool { isASCII && (isLetter || isNumber || self == "_" || self == "-") }
}
