/// Puts environment variables into a text of the file: `${NAME}` is that variable, `$${` stands for a literal `${`.
struct ConfigExpansion {
    /// How a variable's value has to be written where it goes.
    enum Place {
        case plain
        /// A value in libpq's `keyword=value` form: a backslash before a space, a quote or a backslash keeps it from
        /// ending the value, quoted or not.
        case keywordValue
        /// The user, the password or a parameter of a URI.
        case uriPart
    }

    struct Problem: Error {
        var message: String
    }

    let environment: [String: String]

    func expand(_ text: String) throws(Problem) -> String { try expand(text) { _ in .plain } }

    /// Expands a libpq connection string: what a variable holds stays one value in it, whatever its characters.
    func expandDSN(_ text: String) throws(Problem) -> String {
        // The variable is the connection string.
        if text.hasPrefix("${"), text.firstIndex(of: "}") == text.indices.last { return try expand(text) }
        guard text.hasPrefix("postgres://") || text.hasPrefix("postgresql://") else {
            return try expand(text) { _ in .keywordValue }
        }
        let endOfUser = Self.endOfUserInfo(text)
        let query = text.firstIndex(of: "?")
        return try expand(text) { place in
            let isPart = endOfUser.map { place < $0 } == true || query.map { place > $0 } == true
            return isPart ? .uriPart : .plain
        }
    }

    private static func endOfUserInfo(_ uri: String) -> String.Index? {
        guard let start = uri.firstRange(of: "://")?.upperBound else { return nil }
        let authority = uri[start...].prefix { $0 != "/" && $0 != "?" }
        return authority.lastIndex(of: "@")
    }

    private func expand(_ text: String, _ place: (String.Index) -> Place) throws(Problem) -> String {
        var result = ""
        var rest = text[...]
        while let dollar = rest.firstIndex(of: "$") {
            result += rest[..<dollar]
            rest = rest[dollar...]
            if rest.hasPrefix("$${") {
                result += "${"
                rest = rest.dropFirst(3)
            } else if rest.hasPrefix("${") {
                guard let end = rest.firstIndex(of: "}") else {
                    throw Problem(message: "\"${\" has no \"}\"; write $${ for a literal ${")
                }
                let name = String(rest[..<end].dropFirst(2))
                result += Self.written(try value(name), place(dollar))
                rest = rest[end...].dropFirst()
            } else {
                result.append("$")
                rest = rest.dropFirst()
            }
        }
        return result + rest
    }

    private func value(_ name: String) throws(Problem) -> String {
        let isName = name.utf8.allSatisfy { byte in
            let character = Character(UnicodeScalar(byte))
            return character.isASCII && (character.isLetter || character.isNumber || character == "_")
        }
        guard isName, let first = name.first, !first.isNumber else {
            throw Problem(message: "\"${\(name.prefix(40))}\" does not name an environment variable")
        }
        guard let value = environment[name] else {
            throw Problem(message: "the environment variable \(name.prefix(40)) is not set")
        }
        guard !value.isEmpty else { throw Problem(message: "the environment variable \(name.prefix(40)) is empty") }
        return value
    }

    private static func written(_ value: String, _ place: Place) -> String {
        switch place {
        case .plain: value
        case .keywordValue:
            String(
                String.UnicodeScalarView(
                    value.unicodeScalars.flatMap { scalar -> [UnicodeScalar] in
                        " \t\n\r\u{B}\u{C}'\\".unicodeScalars.contains(scalar) ? ["\\", scalar] : [scalar]
                    }))
        case .uriPart:
            value.utf8.map { byte in
                let character = Character(UnicodeScalar(byte))
                guard byte >= 0x80 || !(character.isLetter || character.isNumber || "-._~".contains(character)) else {
                    return String(character)
                }
                return "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
            }.joined()
        }
    }
}
