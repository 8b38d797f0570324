internal import Logging
internal import SluiceCore

/// What `sluice create-collection` has to say; encoded, its keys are what docs/cli.md says.
public struct SchemaSummary: Encodable, Sendable {
    /// What came of one shard.
    public struct Shard: Encodable, Sendable {
        public var shard: String
        /// The one that is its primary.
        public var replica: String?
        /// `created`, `existed`, `refused`, `unreachable`, `failed`, `unknown` or `not_applied`.
        public var outcome: String
        public var messages: [String]
        /// All of it in a line or more.
        public var text: String
    }

    public enum Verdict: Sendable {
        case fine
        /// A shard has no primary that can be reached, or two.
        case unreachable
        /// A database refused, or did not answer.
        case failed
        /// The configuration, or what is there already.
        case wrong
    }

    public var collection: String
    public var statements: [String]
    /// What is wrong with the configuration.
    public var problems: [CheckSummary.Problem]
    /// Nil unless it was to be applied.
    public internal(set) var shards: [Shard]?
    /// The statements as a script for psql.
    public var script: String
    public internal(set) var verdict: Verdict

    private enum CodingKeys: CodingKey {
        case collection
        case statements
        case problems
        case shards
    }

    init(_ collection: String, _ schema: CollectionSchema) {
        self.collection = collection
        statements = schema.statements.map(\.sql)
        script = schema.script
        problems = []
        verdict = .fine
    }

    init(_ collection: String, _ errors: ConfigErrors) {
        self.collection = collection
        statements = []
        script = ""
        problems = errors.problems.map(CheckSummary.Problem.init)
        verdict = .wrong
    }

    mutating func add(_ reports: [SchemaApplication.Report]) {
        shards = reports.map { report in
            let place = report.replica.map { "\(report.shard)/\($0)" } ?? report.shard
            let words = report.outcome.rawValue.replacing("_", with: " ")
            return Shard(
                shard: report.shard, replica: report.replica, outcome: report.outcome.rawValue,
                messages: report.messages,
                text: (["\(place): \(words)"] + report.messages.map { "\(place): \($0)" }).joined(separator: "\n"))
        }
        let outcomes = Set(reports.map(\.outcome))
        verdict =
            if outcomes.contains(.refused) {
                .wrong
            } else if outcomes.contains(.failed) || outcomes.contains(.unknown) {
                .failed
            } else if outcomes.contains(.unreachable) { .unreachable } else { .fine }
    }
}

extension GatewayMain {
    /// The statements that make a collection's table; with `apply` they are run on every shard's primary.
    /// - Parameter acceptsExisting: a table that is there already is kept if it fits.
    /// - Throws: `ReactorError` if the process gets no thread for it.
    public static func createCollection(
        _ name: String, configPath: String, environment: [String: String], apply: Bool, acceptsExisting: Bool
    ) async throws -> SchemaSummary {
        let config: GatewayConfig
        let collection: GatewayConfig.Collection
        do throws(ConfigErrors) {
            config = try GatewayConfig.load(path: configPath, environment: environment)
            collection = try config.collection(name, file: configPath)
        } catch {
            return SchemaSummary(name, error)
        }
        var summary = SchemaSummary(name, CollectionSchema(collection))
        if apply {
            // It follows the sources until the last shard has been changed.
            let logger = Logger(label: "sluice") { _ in SwiftLogNoOpLogHandler() }
            let keeper = TopologyKeeper(config, keepsState: false, logger: logger)
            defer { keeper.stop() }
            await keeper.awaitFirst(within: config.pool.connectTimeout)
            summary.add(
                try await SchemaApplication.run(
                    collection, config.serving(keeper.places), acceptsExisting: acceptsExisting,
                    fences: keeper.fences(of: config)))
        }
        return summary
    }
}

extension GatewayConfig {
    /// One that a table can be made for.
    fileprivate func collection(_ name: String, file: String) throws(ConfigErrors) -> Collection {
        guard let place = collections.firstIndex(where: { $0.name == name }) else {
            throw ConfigErrors([
                ConfigProblem(
                    file: file, line: nil, keyPath: "collections",
                    message: "there is no collection \"\(name.withoutControls)\""
                        + Suggestion.text(for: name, among: collections.map(\.name)))
            ])
        }
        let conflicts = CollectionSchema(collections[place]).conflicts
        guard conflicts.isEmpty else {
            throw ConfigErrors(
                conflicts.map {
                    ConfigProblem(
                        file: file, line: nil, keyPath: "collections[\(place)]", message: $0.withoutControls)
                })
        }
        return collections[place]
    }
}
