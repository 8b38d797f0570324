import ArgumentParser
import Foundation
import SluiceGateway

struct CreateCollection: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "create-collection",
        abstract: "Print the statements that make a collection's table; with --apply, run them on every shard.")

    @Option(help: "The configuration file.")
    var config: String

    @Option(help: "The collection's name.")
    var collection: String

    @Flag(help: "Run them on every shard's primary, in one transaction each; all shards are looked at first.")
    var apply = false

    @Flag(help: "Keep a table that is there already, if it fits.")
    var ifNotExists = false

    @Flag(help: "Print them, and what was done, as JSON.")
    var json = false

    func validate() throws {
        if ifNotExists, !apply { throw ValidationError("--if-not-exists is of use only with --apply") }
    }

    func run() async throws {
        let summary: SchemaSummary
        do {
            summary = try await GatewayMain.createCollection(
                collection, configPath: config, environment: ProcessInfo.processInfo.environment, apply: apply,
                acceptsExisting: ifNotExists)
        } catch {
            Output.complain("sluice: the databases cannot be reached: \(error)")
            throw Exit.software
        }
        if json {
            try Output.json(summary)
        } else {
            for problem in summary.problems { Output.complain(problem.text) }
            if let shards = summary.shards {
                for shard in shards { summary.verdict == .fine ? print(shard.text) : Output.complain(shard.text) }
            } else {
                print(summary.script, terminator: "")
            }
        }
        switch summary.verdict {
        case .fine: break
        case .unreachable: throw Exit.unreachable
        case .failed: throw Exit.software
        case .wrong: throw Exit.config
        }
    }
}

struct Adopt: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Write a configuration for tables that are there already.")

    @Option(help: "A shard's connection string; repeat it for each shard, in the order of the hash's remainders.")
    var dsn: [String] = []

    @Option(help: "Take the shards, and all but the collections, from this configuration instead.")
    var config: String?

    @Option(help: "A schema to look in (repeatable).")
    var schema: [String] = ["public"]

    @Option(help: "A table to adopt (repeatable); without it, all that have vectors.")
    var table: [String] = []

    @Option(help: "The file whose first line is the password for each --dsn.")
    var passwordFile: String?

    @Option(help: "Write it to this file, not to standard output.")
    var output: String?

    @Flag(help: "Replace the file if it is there already.")
    var force = false

    func validate() throws {
        guard dsn.isEmpty == (config != nil) else { throw ValidationError("give --dsn for each shard, or --config") }
        if passwordFile != nil, config != nil {
            throw ValidationError("--password-file goes with --dsn; a configuration names its own")
        }
    }

    func run() async throws {
        let source: AdoptionRequest.Source = config.map { .config($0) } ?? .dsns(dsn, passwordFile: passwordFile)
        let summary: AdoptionSummary
        do {
            summary = try await GatewayMain.adopt(
                AdoptionRequest(source: source, schemas: schema, tables: table),
                environment: ProcessInfo.processInfo.environment)
        } catch {
            Output.complain("sluice: the databases cannot be reached: \(error)")
            throw Exit.software
        }
        for message in summary.messages { Output.complain("sluice: \(message)") }
        if let text = summary.text {
            if let output {
                if let problem = GatewayMain.write(text, to: output, replacing: force) {
                    Output.complain("sluice: \(problem)")
                    throw Exit.data
                }
                print("\(output): \(summary.collections) collections")
            } else {
                print(text, terminator: "")
            }
        }
        switch summary.verdict {
        case .fine: break
        case .unreachable: throw Exit.unreachable
        case .wrong: throw Exit.config
        }
    }
}
