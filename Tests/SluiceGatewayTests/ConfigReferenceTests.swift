import Foundation
import SluiceGateway
import Testing

/// The reference of the configuration says what the code does, and all of it.
@Suite struct ConfigReferenceTests {
    private static let document = ConfigFileTests.root.appending(path: "docs/configuration-reference.md")

    private let reference: ConfigReference

    init() throws { reference = try ConfigReference() }

    @Test func theDocumentIsWhatTheCodeSays() throws {
        let lines = try String(contentsOf: Self.document, encoding: .utf8).components(separatedBy: "\n")
        let right = reference.text.components(separatedBy: "\n")
        let difference = lines.difference(from: right)
        #expect(
            difference.isEmpty,
            "run `sluice config-reference >docs/configuration-reference.md`: \(Self.words(of: difference))")
    }

    private static func words(of difference: CollectionDifference<String>) -> String {
        let missing = difference.removals.count
        let first = difference.first.map { change in
            switch change {
            case .insert(_, let line, _): "has \(line)"
            case .remove(_, let line, _): "lacks \(line)"
            }
        }
        return "\(missing) lines are missing; the document \(first ?? "is right")"
    }

    @Test func everyKeyThatIsReadIsDescribedAndNoOther() {
        #expect(
            reference.undescribed == [], "give each an entry in Sources/SluiceGateway/Config/ConfigReference+*.swift")
        #expect(reference.unfounded == [], "no such keys are read, or they are described twice")
    }

    /// The survey has seen all kinds of values, in tables, lists and tables of the user's own words.
    @Test func theKindsAreTheReaders() {
        #expect(reference.kinds["pool.max_size"] == .integer(1...1_000))
        #expect(reference.kinds["hedging.quantile"] == .number(0.5...0.999))
        #expect(
            reference.kinds["shards[].replicas[].pool.max_idle"] == .duration(.milliseconds(100) ... .seconds(86_400)))
        #expect(reference.kinds["limits.max_frame"] == .bytes(4_096...67_108_864))
        #expect(reference.kinds["admission.enabled"] == .flag)
        #expect(reference.kinds["collections[].coarse[]"] == .choice(["binary", "half"]))
        #expect(reference.kinds["access.identities[].collections.*.filter"] == .text)
        #expect(reference.kinds["shards"] == .list)
        #expect(reference.kinds["shards[].replicas[].pool.connect_timeout"] == nil)
    }

    /// A file that says a key's default reads to the same configuration as one that leaves it out.
    @Test func everyDefaultIsWhatIsReadWithoutTheKey() throws {
        let minimal = try GatewayConfig.parse(ConfigReference.minimal, file: "f", environment: [:])
        var count = 0
        for entry in reference.entries {
            let kind = try #require(reference.kinds[entry.path])
            guard let value = entry.value(in: minimal, kind) else { continue }
            let said = try GatewayConfig.parse(try Self.file(entry.path, value), file: "f", environment: [:])
            #expect(entry.value(in: said, kind) == value, "\(entry.path)")
            count += 1
        }
        #expect(count > 80)
    }

    @Test func bothEndsOfARangeAreTakenAndNothingBeyond() throws {
        var count = 0
        for (path, kind) in reference.kinds {
            guard let edges = Self.edges(of: kind) else { continue }
            for value in edges.taken { #expect(try Self.refusals(path, value) == [], "\(path): \(value)") }
            for value in edges.refused { #expect(try Self.refusals(path, value).count == 1, "\(path): \(value)") }
            count += 1
        }
        #expect(count > 100)
    }

    /// Values at a kind's edges, and just beyond them, as a file says them; nil for a kind without.
    private static func edges(of kind: ConfigKind) -> (taken: [String], refused: [String])? {
        switch kind {
        case .integer(let range):
            (["\(range.lowerBound)", "\(range.upperBound)"], ["\(range.lowerBound - 1)", "\(range.upperBound + 1)"])
        case .number(let range):
            (
                ["\(range.lowerBound)", "\(range.upperBound)"],
                ["\(range.lowerBound - 0.001)", "\(range.upperBound + 0.001)"]
            )
        case .bytes(let range):
            (
                ["\(range.lowerBound)", "\(range.upperBound)"],
                (range.lowerBound > 0 ? ["\(range.lowerBound - 1)"] : []) + ["\(range.upperBound + 1)"]
            )
        case .duration(let range):
            (
                [microseconds(range.lowerBound), microseconds(range.upperBound)],
                (range.lowerBound > .zero ? [microseconds(range.lowerBound - .microseconds(1))] : [])
                    + [microseconds(range.upperBound + .microseconds(1))]
            )
        case .flag: (["true", "false"], ["yes"])
        case .choice(let words): (words, ["nonesuch"])
        default: nil
        }
    }

    private static func microseconds(_ time: Duration) -> String { "\(Int64((time / .microseconds(1)).rounded()))us" }

    /// What is said against a key's own value; what does not go together with other keys is not of interest.
    private static func refusals(_ path: String, _ value: String) throws -> [String] {
        let file = try file(path, value)
        do throws(ConfigErrors) {
            _ = try GatewayConfig.parse(file, file: "f", environment: [:])
            return []
        } catch {
            let key = path.replacing("[]", with: "[0]")
            let ends = ["it must be from", "must be a ", "must be true", "not one of"]
            return error.problems.filter { problem in
                problem.keyPath == key && ends.contains { problem.message.contains($0) }
                    || problem.message.contains("unknown key")
            }.map(\.message)
        }
    }

    // MARK: A file with one key more

    /// The smallest configuration with this key, and what it needs.
    private static func file(_ path: String, _ value: String) throws -> String {
        var tree: [String: Any] = [
            "shards": [["name": "s0", "replicas": [["dsn": "host=127.0.0.1"]]]],
            "collections": [["name": "c", "table": "t", "metric": "l2", "dimensions": "3"]],
        ]
        if path.hasPrefix("tls") {
            tree["listen"] = ["tls": "127.0.0.1:0"]
            tree["tls"] = ["certificate": "c", "key": "k", "client_ca": "a"]
        }
        if path.hasPrefix("access") {
            tree["access"] = ["identities": [["name": "i", "collections": ["*": ["search"]]]]]
        }
        if path.hasPrefix("collections[].text") { tree = try setting(tree, "collections[].text.column", "words") }
        // JSON is YAML.
        let options: JSONSerialization.WritingOptions = [.withoutEscapingSlashes, .sortedKeys]
        let data = try JSONSerialization.data(withJSONObject: try setting(tree, path, value), options: options)
        return try #require(String(data: data, encoding: .utf8))
    }

    private static func setting(_ tree: [String: Any], _ path: String, _ value: String) throws -> [String: Any] {
        let parts = path.replacing("[]", with: ".[]").split(separator: ".")
        return try #require(setting(tree, parts[...], value) as? [String: Any])
    }

    private static func setting(_ tree: Any?, _ parts: ArraySlice<Substring>, _ value: String) -> Any {
        guard let part = parts.first else { return value }
        guard part != "[]" else {
            let list = tree as? [Any] ?? []
            return [setting(list.first, parts.dropFirst(), value)] + list.dropFirst()
        }
        var table = tree as? [String: Any] ?? [:]
        table[String(part)] = setting(table[String(part)], parts.dropFirst(), value)
        return table
    }
}
