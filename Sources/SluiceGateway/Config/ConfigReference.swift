internal import Logging
internal import SluiceCore
internal import SluiceEngine

/// What docs/configuration-reference.md says: each key that `ConfigReader` takes, what its value may be, what it is if
/// it is left out, and what it does.
///
/// The bounds come from the reader itself and the defaults from a configuration that says as little as it can. Only
/// what a key does is written by hand: an entry for each key, which is all that a new key needs beside its
/// reading (ConfigReference+Keys.swift, +Limits, +Dependability).
package struct ConfigReference {
    package struct Entry {
        /// Like `shards[].replicas[].dsn`. One of a table speaks for all keys in it that have none of their own.
        package var path: String
        let standard: Standard
        let text: String

        enum Standard {
            case read((GatewayConfig, ConfigKind) -> String?)
            case words(String)
        }

        /// A key that must be there.
        init(required path: String, _ text: String) { self.init(path, else: "required", text) }

        /// - Parameter words: what it is if it is left out.
        init(_ path: String, else words: String, _ text: String) {
            (self.path, self.text) = (path, text)
            standard = .words(words)
        }

        /// - Parameter read: where the configuration has it.
        init<Value: ConfigValue>(_ path: String, _ read: KeyPath<GatewayConfig, Value>, _ text: String) {
            (self.path, self.text) = (path, text)
            standard = .read { $0[keyPath: read].text(as: $1) }
        }

        init<Value: ConfigValue>(_ path: String, _ read: KeyPath<GatewayConfig, Value?>, _ text: String) {
            (self.path, self.text) = (path, text)
            standard = .read { $0[keyPath: read]?.text(as: $1) }
        }

        /// What it is in a configuration, as a file says it; nil for nothing, and where that has no one value.
        package func value(in config: GatewayConfig, _ kind: ConfigKind) -> String? {
            if case .read(let read) = standard { read(config, kind) } else { nil }
        }
    }

    /// A configuration that says as little as it can.
    package static let minimal = """
        shards: [{name: s0, replicas: [{dsn: host=127.0.0.1}]}]
        collections: [{name: c, table: t, metric: l2, dimensions: 3}]
        """

    package let entries: [Entry]
    package let kinds: [String: ConfigKind]
    /// In the order in which the reader knows them.
    private let paths: [String]
    private let config: GatewayConfig

    package init() throws(ConfigErrors) {
        let survey = ConfigSurvey.run()
        (entries, paths, kinds) = (Self.keys, survey.paths, survey.kinds)
        config = try GatewayConfig.parse(Self.minimal, file: "minimal", environment: [:])
    }

    // MARK: Whether all keys are there

    /// The keys of which no entry speaks.
    package var undescribed: [String] {
        let described = Set(entries.map(\.path))
        return paths.filter { path in
            guard let kind = kinds[path], isValue(path, kind) else { return false }
            return !Self.tables(of: path).contains(where: described.contains)
        }
    }

    /// The entries of keys that the reader does not know, and those that are there twice.
    package var unfounded: [String] {
        var seen: Set<String> = []
        return entries.map(\.path).filter { kinds[$0] == nil || !seen.insert($0).inserted }
    }

    /// Whether a key has a value: single, or a list or a table of the user's own words with single values.
    private func isValue(_ path: String, _ kind: ConfigKind) -> Bool {
        switch kind {
        case .table: false
        case .list, .entries: item(of: path).map { isValue($0.path, $0.kind) } ?? false
        default: true
        }
    }

    private func item(of path: String) -> (path: String, kind: ConfigKind)? {
        for item in ["\(path)[]", "\(path).*"] {
            if let kind = kinds[item] { return (item, kind) }
        }
        return nil
    }

    /// A path and the tables and lists that it is in, the innermost first.
    private static func tables(of path: String) -> [String] {
        var (paths, rest) = ([path], path[...])
        while let end = rest.lastIndex(where: { $0 == "." || $0 == "[" }) {
            rest = rest[..<end]
            paths.append(String(rest))
        }
        return paths
    }

    // MARK: The text

    /// All of it, as Markdown.
    package var text: String {
        var lines = [
            "<!-- Written by `sluice config-reference`; a test compares it with what that prints. -->",
            "# Configuration reference", "",
            "Every key, from the code that reads it. [configuration.md](configuration.md) says what a file looks like,",
            "and how times, sizes and variables are written. `x[].y` is the key `y` of each item of the list `x`.",
        ]
        var section: Substring?
        for entry in entries {
            let own = entry.path.prefix { $0 != "." && $0 != "[" }
            if own != section {
                lines += ["", "## \(own)", "", "| key | value | default | |", "| --- | --- | --- | --- |"]
                section = own
            }
            lines.append(row(entry))
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func row(_ entry: Entry) -> String {
        let kind = kinds[entry.path] ?? .text
        let standard =
            switch entry.standard {
            case .words(let words): words
            case .read: entry.value(in: config, kind).map { "`\($0)`" } ?? "none"
            }
        return "| `\(entry.path)` | \(values(entry.path, kind)) | \(standard) | \(entry.text) |"
    }

    private func values(_ path: String, _ kind: ConfigKind) -> String {
        switch kind {
        case .integer(let range): "\(range.lowerBound) to \(range.upperBound)"
        case .number(let range): "\(range.lowerBound.text(as: kind)) to \(range.upperBound.text(as: kind))"
        case .duration(let range): "\(Quantity.text(range.lowerBound)) to \(Quantity.text(range.upperBound))"
        case .bytes(let range): "\(Quantity.text(bytes: range.lowerBound)) to \(Quantity.text(bytes: range.upperBound))"
        case .flag: Self.words(["true", "false"])
        case .choice(let words): Self.words(words)
        case .text: "text"
        case .name: "name"
        case .identifier: "identifier"
        case .table(let keys): "table: " + Self.words(keys)
        case .entries: "table" + (choices(of: path) ?? "")
        case .list: "list" + (choices(of: path) ?? "")
        }
    }

    private func choices(of path: String) -> String? {
        guard case .choice(let words) = item(of: path)?.kind else { return nil }
        return " of " + Self.words(words)
    }

    private static func words(_ words: [String]) -> String { words.map { "`\($0)`" }.joined(separator: " ") }
}

/// What a configuration can hold, and how a file says it.
package protocol ConfigValue {
    func text(as kind: ConfigKind) -> String
}

extension Int: ConfigValue {
    package func text(as kind: ConfigKind) -> String {
        if case .bytes = kind { Quantity.text(bytes: self) } else { String(self) }
    }
}

extension Double: ConfigValue {
    package func text(as kind: ConfigKind) -> String { Int(exactly: self).map(String.init) ?? String(self) }
}

extension Bool: ConfigValue {
    package func text(as kind: ConfigKind) -> String { String(self) }
}

extension Duration: ConfigValue {
    package func text(as kind: ConfigKind) -> String { Quantity.text(self) }
}

extension String: ConfigValue {
    package func text(as kind: ConfigKind) -> String { self }
}

extension GatewayConfig.HostPort: ConfigValue {
    package func text(as kind: ConfigKind) -> String { description }
}

extension RawRepresentable<String> where Self: ConfigValue {
    package func text(as kind: ConfigKind) -> String { rawValue }
}

extension GatewayConfig.Preference: ConfigValue {}
extension GatewayConfig.Pooler: ConfigValue {}
extension GatewayConfig.Fleet.Discovery: ConfigValue {}
extension GatewayConfig.TLS.ClientCertificates: ConfigValue {}
extension GatewayConfig.TLS.Version: ConfigValue {}
extension Placement: ConfigValue {}
extension VectorForm: ConfigValue {}
extension Logger.Level: ConfigValue {}
