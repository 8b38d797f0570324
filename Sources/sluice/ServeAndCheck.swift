import ArgumentParser
import Foundation
import Logging
import SluiceAdmin
import SluiceGateway
import SluiceMetrics
import SluiceTracing

struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Run the gateway until SIGTERM or SIGINT.")

    @Option(help: "The configuration file.")
    var config: String

    @Flag(
        help: """
            Listen where other machines may come from although there is no TLS, or no identity is configured: whoever \
            reaches the port can then read and write everything.
            """)
    var dangerouslyListenWithoutProtection = false

    func run() async throws {
        let log = GatewayLogHandler.Shared()
        LoggingSystem.bootstrap {
            GatewayLogHandler(StreamLogHandler.standardError(label: $0), label: $0, shared: log)
        }
        let logger = Logger(label: "sluice")
        let registry = MetricsRegistry(help: GatewayMain.metricHelp.merging(TraceExport.metricHelp) { $1 })
        do {
            try await GatewayMain.serve(
                configPath: config, environment: ProcessInfo.processInfo.environment,
                isUnprotected: dangerouslyListenWithoutProtection, metrics: registry,
                logLevels: log.levels,
                admin: { AdminServer($0, door: $1, registry: registry, logger: logger) },
                tracing: { settings in
                    let export = try TraceExport(
                        TraceExportSettings(settings), metrics: registry, logger: logger)
                    return (export.tracer, export.service)
                }, logger: logger)
        } catch let errors as ConfigErrors {
            Output.complain(errors.description)
            throw Exit.config
        } catch let refusal as ListeningRefused {
            Output.complain("sluice: the gateway does not open itself to other machines without protection")
            for line in refusal.description.split(separator: "\n") { Output.complain("\(config): \(line)") }
            throw Exit.config
        } catch let sockets as InheritedSockets.Unusable {
            Output.complain("sluice: \(sockets)")
            throw Exit.config
        } catch let refusal as StartRefused {
            Output.complain("sluice: the gateway does not start without the indexes that `require_index` asks for")
            for reason in refusal.reasons { Output.complain("\(config): \(reason)") }
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
    static let configuration = CommandConfiguration(
        abstract: "Validate a configuration; with --connect, the databases behind it, too.")

    @Option(help: "The configuration file.")
    var config: String

    @Flag(help: "Dial every replica, and look whether tables, columns and indexes are as configured.")
    var connect = false

    @Flag(help: "Print what was found as JSON.")
    var json = false

    func run() async throws {
        let environment = ProcessInfo.processInfo.environment
        let summary: CheckSummary
        if connect {
            do {
                summary = try await GatewayMain.checkConnecting(configPath: config, environment: environment)
            } catch {
                Output.complain("sluice: the databases cannot be examined: \(error)")
                throw Exit.software
            }
        } else {
            summary = GatewayMain.check(configPath: config, environment: environment)
        }
        try Report.show(summary, config: config, json: json)
    }
}

struct Doctor: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Dial every replica, and say what it is, how it is reached and doing, and what is wrong with its data.")

    @Option(help: "The configuration file.")
    var config: String

    @Flag(help: "Print what was found as JSON.")
    var json = false

    func run() async throws {
        let summary: CheckSummary
        do {
            summary = try await GatewayMain.doctor(
                configPath: config, environment: ProcessInfo.processInfo.environment)
        } catch {
            Output.complain("sluice: the databases cannot be reached: \(error)")
            throw Exit.software
        }
        if !json { for server in summary.servers ?? [] { print(server.line) } }
        try Report.show(summary, config: config, json: json)
    }
}

extension TraceExportSettings {
    fileprivate init(_ settings: TracingSettings) {
        self.init(
            host: settings.host, port: settings.port, path: settings.path, isEncrypted: settings.isEncrypted,
            headers: settings.headers,
            resource: [
                ("service.name", settings.serviceName), ("service.version", Version.current),
                ("service.instance.id", UUID().uuidString.lowercased()),
            ])
    }
}

/// What `check` and `doctor` end with.
private enum Report {
    static func show(_ summary: CheckSummary, config: String, json: Bool) throws {
        if json {
            try Output.json(summary)
        } else {
            for problem in summary.problems { Output.complain(problem.text) }
            for move in summary.moves { print("\(config): \(move.line)") }
            for finding in summary.findings ?? [] { Output.complain(finding.text) }
            if summary.verdict == .fine {
                print("\(config): \(summary.line)")
            } else if summary.findings != nil {
                Output.complain("\(config): \(summary.line)")
            }
        }
        switch summary.verdict {
        case .fine: break
        case .unreachable: throw Exit.unreachable
        case .wrong: throw Exit.config
        }
    }
}
