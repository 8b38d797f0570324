/// HTML that is well-formed XML, too. Texts and attributes are escaped on their way in, so that nothing of a
/// measurement can become markup.
struct Markup: Sendable, Equatable {
    private(set) var source: String

    static let nothing = Markup(source: "")

    static func text(_ text: String) -> Markup { Markup(source: escaped(text)) }

    /// A sheet of the report's own; nothing in it may depend on a measurement.
    static func style(_ sheet: StaticString) -> Markup { Markup(source: "<style>\n\(sheet)</style>\n") }

    static func element(
        _ name: StaticString, _ attributes: KeyValuePairs<StaticString, String>, _ children: [Markup]
    ) -> Markup {
        Markup(source: "<\(name)\(list(attributes))>" + children.map(\.source).joined() + "</\(name)>")
    }

    static func element(
        _ name: StaticString, _ attributes: KeyValuePairs<StaticString, String>, _ text: String
    ) -> Markup {
        element(name, attributes, [.text(text)])
    }

    static func element(_ name: StaticString, _ children: [Markup]) -> Markup { element(name, [:], children) }
    static func element(_ name: StaticString, _ text: String) -> Markup { element(name, [:], [.text(text)]) }

    /// An element that never has children.
    static func empty(_ name: StaticString, _ attributes: KeyValuePairs<StaticString, String> = [:]) -> Markup {
        Markup(source: "<\(name)\(list(attributes))/>")
    }

    func followed(by other: Markup) -> Markup { Markup(source: source + other.source) }

    static func document(_ root: Markup) -> String { "<!DOCTYPE html>\n" + root.source + "\n" }

    private static func list(_ attributes: KeyValuePairs<StaticString, String>) -> String {
        attributes.map { " \($0.key)=\"\(escaped($0.value))\"" }.joined()
    }

    static func escaped(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            case "\t", "\n", "\r": escaped += " "
            // What XML has no characters for, and what would turn the direction of what follows.
            case "\0"..." ", "\u{7F}"..."\u{9F}", "\u{202A}"..."\u{202E}", "\u{2066}"..."\u{2069}", "\u{FFFE}",
                "\u{FFFF}":
                escaped += scalar == " " ? " " : "\u{FFFD}"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
