internal import Foundation
internal import SluiceCore
internal import SluiceReactor

/// What `sluice adopt` has to say.
public struct AdoptionSummary: Sendable {
    public enum Verdict: Sendable {
        case fine
        /// A shard cannot be reached.
        case unreachable
        /// What was asked for cannot be written.
        case wrong
    }

    /// The configuration; nil if there is none to be written.
    public var text: String?
    /// How many collections it has.
    public var collections: Int
    /// What is wrong, and what is not served, a line each.
    public var messages: [String]
    public var verdict: Verdict
}

/// What `sluice adopt` is asked for.
public struct AdoptionRequest: Sendable {
    public enum Source: Sendable {
        /// A connection string for each shard, and the file that their password is in.
        case dsns([String], passwordFile: String?)
        /// A configuration, whose collections do not matter.
        case config(String)
    }

    public var source: Source
    public var schemas: [String]
    /// Empty for all.
    public var tables: [String]

    public init(source: Source, schemas: [String], tables: [String]) {
        self.source = source
        self.schemas = schemas
        self.tables = tables
    }
}

extension GatewayMain {
    /// Reads the catalogues of all shards, and makes a configuration of the tables that have vectors.
    /// - Throws: `ReactorError` if the process gets no thread for it.
    public static func adopt(
        _ request: AdoptionRequest, environment: [String: String]
    ) async throws -> AdoptionSummary {
        let base: AdoptionBase
        let config: GatewayConfig
        do throws(ConfigErrors) {
            (base, config) = try read(request.source, environment)
        } catch {
            return AdoptionSummary(collections: 0, messages: error.lines, verdict: .wrong)
        }
        let result = try await Adopter.run(
            config, schemas: request.schemas, tables: request.tables.isEmpty ? nil : request.tables)
        guard result.unreachable.isEmpty else {
            return AdoptionSummary(
                collections: 0, messages: result.unreachable.map(\.withoutControls), verdict: .unreachable)
        }
        var messages = result.notServed.map { "\($0.table): \($0.reason)".withoutControls }
        guard !result.served.isEmpty else {
            messages.append("no table can be served")
            return AdoptionSummary(collections: 0, messages: messages, verdict: .wrong)
        }
        let text = AdoptedText.text(base: base.text, result)
        do throws(ConfigErrors) {
            _ = try GatewayConfig.parse(text, file: "adopted", environment: environment)
        } catch {
            return AdoptionSummary(collections: 0, messages: error.lines, verdict: .wrong)
        }
        // Of tables that were asked for by name, each one matters.
        let isAll = request.tables.isEmpty || result.notServed.isEmpty
        return AdoptionSummary(
            text: text, collections: result.served.count, messages: messages, verdict: isAll ? .fine : .wrong)
    }

    /// - Returns: also the configuration that it makes with a collection that is not looked at.
    private static func read(
        _ source: AdoptionRequest.Source, _ environment: [String: String]
    ) throws(ConfigErrors) -> (AdoptionBase, GatewayConfig) {
        let base: AdoptionBase
        let file: String
        switch source {
        case .dsns(let dsns, let passwordFile):
            base = try AdoptionBase(dsns: dsns, passwordFile: passwordFile)
            file = "--dsn"
        case .config(let path):
            base = try AdoptionBase(file: path)
            file = path
        }
        let stand = "\ncollections: [{name: c, table: t, metric: l2, dimensions: 1}]\n"
        do throws(ConfigErrors) {
            return (base, try GatewayConfig.parse(base.text + stand, file: file, environment: environment))
        } catch {
            // The lines are those of a text that nobody has seen.
            throw ConfigErrors(
                error.problems.map {
                    var problem = $0
                    problem.line = nil
                    return problem
                })
        }
    }

    /// Writes a file; one that is there is replaced only if that is allowed.
    /// - Returns: what went wrong, if something did.
    public static func write(_ text: String, to path: String, replacing: Bool) -> String? {
        do {
            try Data(text.utf8).write(
                to: URL(filePath: path), options: replacing ? .atomic : .withoutOverwriting)
            return nil
        } catch {
            let isThere = (error as? CocoaError)?.code == .fileWriteFileExists
            return isThere ? "\(path) is there already; --force replaces it" : "\(path) cannot be written"
        }
    }
}
