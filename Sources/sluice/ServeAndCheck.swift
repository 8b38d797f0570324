import ArgumentParser
import Foundation
import Logging
import SluiceGateway

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Run the gateway until SIGTERM or SIGINT.")

    @Option(help: "The configuration file.")
    var config: String

    func run() async throws {
        LoggingSystem.bootstrap { StreamLogHandler.standardError(label: $0) }
        do {
            try await GatewayMain.serve(
                configPath: config, environment: ProcessInfo.processInfo.environment, logger: Logger(label: "sluice"))
        } catch let errors as ConfigErrors {
            Output.complain(errors.description)
            throw Exit.config
        } catch {
            Output.complain("sluice: the gateway cannot run: \(error)")
            throw Exit.software
        }
        // Without exit handlers: OpenSSL's would take down what a dial on a reactor's thread may still be using.
        fflush(nil)
        _exit(0)
    }
}

struct Check: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Validate a configuration without connecting anywhere.")

    @Option(help: "The configuration file.")
    var config: String

    @Flag(help: "Print the problems as JSON.")
    var json = false

    func run() async throws {
        let summary = GatewayMain.check(configPath: config, environment: ProcessInfo.processInfo.environment)
        if json {
            try Output.json(summary)
        } else if summary.problems.isEmpty {
            print(
                "\(config): fine: \(summary.shards) shards, \(summary.replicas) replicas, "
                    + "\(summary.collections) collections")
        } else {
            for problem in summary.problems { Output.complain(problem.text) }
        }
        if !summary.problems.isEmpty { throw Exit.config }
    }
}
