internal import Foundation
internal import SluiceCore
internal import SluicePostgres
internal import Yams

/// Writes adopted collections as a configuration file has them.
package enum AdoptedText {
    /// - Parameter base: the configuration without its collections.
    static func text(base: String, _ result: Adopter.Result) -> String {
        let collections = result.served.map { served in
            commented(served.comments, indent: "  ") + collection(served.collection)
        }
        let notServed = result.notServed.map { "  \($0.table): \($0.reason)" }
        return commented(["Written by `sluice adopt`."], indent: "") + "\n" + base + "\ncollections:\n"
            + collections.joined(separator: "\n")
            + (notServed.isEmpty ? "" : "\n" + commented(["Not served:"] + notServed, indent: ""))
    }

    /// One item of the list `collections`.
    package static func collection(_ collection: GatewayConfig.Collection) -> String {
        var keys = [
            ("name", scalar(collection.name)), ("table", scalar("\(collection.schema).\(collection.table)")),
            ("id", scalar(collection.idColumn)), ("vector", scalar(collection.vectorColumn)),
        ]
        if collection.form != .vector { keys.append(("type", collection.form.rawValue)) }
        keys += [("metric", collection.metric.rawValue), ("dimensions", "\(collection.dimensions)")]
        if !collection.columns.isEmpty { keys.append(("columns", list(collection.columns.map { scalar($0) }))) }
        if !collection.filterable.isEmpty {
            // In the order of the columns.
            let types = collection.columns.compactMap { column in
                collection.filterable[column].map { "\(key(column)): \($0 == .textArray ? "\"text[]\"" : $0.rawValue)" }
            }
            keys.append(("filterable", "{\(types.joined(separator: ", "))}"))
        }
        if let text = collection.text {
            keys.append(("text", "{column: \(scalar(text.column)), language: \(scalar(text.language))}"))
        }
        if !collection.coarse.isEmpty { keys.append(("coarse", list(collection.coarse.map(\.rawValue)))) }
        if collection.placement != .hash { keys.append(("placement", collection.placement.rawValue)) }
        keys.append(("shards", list(collection.shards.map { scalar($0) })))
        return keys.enumerated().map { place, pair in
            (place == 0 ? "  - " : "    ") + "\(pair.0): \(pair.1)\n"
        }.joined()
    }

    private static func list(_ items: [String]) -> String { "[\(items.joined(separator: ", "))]" }

    private static func commented(_ lines: [String], indent: String) -> String {
        lines.map { "\(indent)# \(comment($0))\n" }.joined()
    }

    /// Without anything that YAML takes for the end of a line.
    private static func comment(_ text: String) -> String {
        String(
            String.UnicodeScalarView(text.withoutControls.unicodeScalars.map { isPlain($0) ? $0 : "?" }))
    }

    // MARK: Scalars

    /// A value, in which the file's reader looks for environment variables.
    package static func scalar(_ text: String) -> String { key(text.replacing("${", with: "$${")) }

    /// A text that stands as it is; in quotes unless YAML can only take it for a text.
    package static func key(_ text: String) -> String {
        let isBare =
            text.wholeMatch(of: #/[A-Za-z_][A-Za-z0-9_.-]*/#) != nil && !words.contains(text.lowercased())
        guard !isBare else { return text }
        return "\"" + text.unicodeScalars.map(escaped).joined() + "\""
    }

    /// What YAML's versions take for booleans, nulls and numbers.
    private static let words: Set<String> = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"]

    private static func escaped(_ scalar: UnicodeScalar) -> String {
        if scalar == "\"" || scalar == "\\" { return "\\\(scalar)" }
        if isPlain(scalar) { return String(scalar) }
        let digits = String(scalar.value, radix: 16, uppercase: true)
        return "\\U" + String(repeating: "0", count: 8 - digits.count) + digits
    }

    private static func isPlain(_ scalar: UnicodeScalar) -> Bool {
        scalar.isASCII ? scalar.value >= 32 && scalar.value != 127 : scalar.properties.isAlphabetic
    }
}

/// The part of a configuration that adoption does not write: how the databases are reached, and whatever else the
/// operator has said already.
struct AdoptionBase {
    /// As YAML, without `collections`.
    let text: String

    /// A shard for each connection string, in which environment variables are put when the file is read.
    init(dsns: [String], passwordFile: String?) throws(ConfigErrors) {
        for dsn in dsns where Self.showsPassword(dsn) {
            throw ConfigErrors([
                ConfigProblem(
                    file: "--dsn", line: nil, keyPath: "",
                    message: "a password would be written into the file: give --password-file, or a variable as in "
                        + "'password=${NAME}'")
            ])
        }
        let password = passwordFile.map {
            "\n        password_file: \(AdoptedText.scalar(Self.absolute($0, in: ".")))"
        }
        text =
            "shards:\n"
            + dsns.enumerated().map { place, dsn in
                "  - name: s\(place)\n    replicas:\n      - dsn: \(AdoptedText.key(dsn))\(password ?? "")\n"
            }.joined()
    }

    /// A variable in its place is what the file's reader puts in.
    private static func showsPassword(_ dsn: String) -> Bool {
        guard let password = (try? ConnectionString(dsn))?.parameters["password"] else { return false }
        return password.wholeMatch(of: #/\$\{[A-Za-z0-9_]+\}/#) == nil
    }

    /// Everything but the collections of a file; what it names by relative paths is named by absolute ones.
    init(file: String) throws(ConfigErrors) {
        do throws(ConfigFile.Problem) {
            let source = try ConfigFile.text(path: file, maximumBytes: 1_048_576)
            let problems = ConfigProblems(file: file, environment: [:])
            guard let root = ConfigDocument.compose(source, problems)?.node, problems.found.isEmpty,
                case .mapping(let mapping) = root
            else {
                throw ConfigFile.Problem(message: problems.found.first?.description ?? "it is not a table of keys")
            }
            text = try Self.text(of: mapping, folder: file.contains("/") ? String(file[..<Self.end(file)]) : ".")
        } catch {
            throw ConfigErrors([ConfigProblem(file: file, line: error.line, keyPath: "", message: error.message)])
        }
    }

    private static func end(_ file: String) -> String.Index { file.lastIndex(of: "/") ?? file.startIndex }

    private static func text(of root: Node.Mapping, folder: String) throws(ConfigFile.Problem) -> String {
        let kept = root.filter { $0.key.string != "collections" }.map { key, value in
            (key, Self.absolute(value, key.string, in: folder))
        }
        do {
            return try Yams.serialize(node: .mapping(Node.Mapping(kept)), width: -1, allowUnicode: true)
        } catch {
            throw ConfigFile.Problem(message: "it cannot be written again as YAML")
        }
    }

    /// With every path in it absolute, which are the values of these keys wherever they are.
    private static func absolute(_ node: Node, _ key: String?, in folder: String) -> Node {
        switch node {
        case .mapping(let mapping):
            .mapping(
                Node.Mapping(
                    mapping.map { ($0.key, absolute($0.value, $0.key.string, in: folder)) }, .implicit, mapping.style))
        case .sequence(let sequence):
            .sequence(
                Node.Sequence(sequence.map { absolute($0, key, in: folder) }, .implicit, sequence.style))
        case .scalar(let scalar) where key == "password_file" || key == "unix":
            .scalar(.init(absolute(scalar.string, in: folder), scalar.tag, scalar.style))
        case .scalar, .alias: node
        }
    }

    /// A path that begins with a variable is taken for an absolute one.
    private static func absolute(_ path: String, in folder: String) -> String {
        if path.hasPrefix("/") || path.hasPrefix("${") { return path }
        let below = URL(filePath: folder, directoryHint: .isDirectory).appending(path: path)
        return below.standardizedFileURL.path(percentEncoded: false)
    }
}
