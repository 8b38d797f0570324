internal import Yams

/// What a value of the configuration may be.
package enum ConfigKind: Hashable, Sendable {
    case integer(ClosedRange<Int>)
    case number(ClosedRange<Double>)
    case duration(ClosedRange<Duration>)
    case bytes(ClosedRange<Int>)
    case flag
    case choice([String])
    case text
    /// 1 to 63 of the characters A-Z a-z 0-9 _ . -
    case name
    case identifier
    case table([String])
    /// A table whose keys are the user's own words; below it they are `*`.
    case entries
    /// Below it, its items are `[]`.
    case list
}

/// Finds every key there is, by having `ConfigReader` read a file that has them all and says nothing. So what it finds
/// is what the reader takes, with the bounds that the reader checks.
final class ConfigSurvey {
    private(set) var paths: [String] = []
    private(set) var kinds: [String: ConfigKind] = [:]

    static func run() -> ConfigSurvey {
        let survey = ConfigSurvey()
        let problems = ConfigProblems(file: "", environment: [:], survey: survey)
        let root = ConfigNode(node: nothing, path: "", problems: problems)
        _ = ConfigReader(problems: problems, folder: ".").read(root)
        return survey
    }

    /// A table, so that what may be a table or something shorter is seen as the table.
    private static var nothing: Node { .mapping([:]) }

    /// The first that is said of a path is the most that is known of it.
    func note(_ path: String, _ kind: ConfigKind) {
        guard kinds[path] == nil else { return }
        kinds[path] = kind
        paths.append(path)
    }

    func child(of node: ConfigNode, _ key: String) -> ConfigNode {
        ConfigNode(node: Self.nothing, path: ConfigNode.path(node.path, key: key), problems: node.problems)
    }

    func item(of node: ConfigNode) -> ConfigNode {
        ConfigNode(node: Self.nothing, path: "\(node.path)[]", problems: node.problems)
    }
}
