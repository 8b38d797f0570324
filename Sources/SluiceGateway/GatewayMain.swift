public import Logging
internal import NIOCore
internal import ServiceLifecycle
internal import UnixSignals

/// The version of this source tree; CHANGELOG.md says what it brought.
public enum Version {
    public static let current = "0.1.0"
}

/// What the CLI's `serve` runs.
public enum GatewayMain {
    /// Serves until SIGTERM or SIGINT, then lets what is in flight finish.
    /// - Throws: `ConfigErrors` if the configuration is wrong; NIO's errors if an address cannot be bound.
    public static func serve(configPath: String, environment: [String: String], logger: Logger) async throws {
        let config = try GatewayConfig.load(path: configPath, environment: environment)
        var logger = logger
        logger.logLevel = config.logLevel
        let services = ServiceGroup(
            configuration: .init(
                services: [GatewayService(config: config, logger: logger)],
                gracefulShutdownSignals: [.sigterm, .sigint],
                logger: logger))
        try await services.run()
    }

    /// Reads a configuration and says everything that is wrong with it, without connecting anywhere.
    public static func check(configPath: String, environment: [String: String]) -> CheckSummary {
        do throws(ConfigErrors) {
            let config = try GatewayConfig.load(path: configPath, environment: environment)
            return CheckSummary(
                shards: config.shards.count, replicas: config.shards.reduce(0) { $0 + $1.replicas.count },
                collections: config.collections.count, problems: [])
        } catch {
            return CheckSummary(
                shards: 0, replicas: 0, collections: 0, problems: error.problems.map(CheckSummary.Problem.init))
        }
    }
}

/// What `sluice check` found.
public struct CheckSummary: Encodable, Sendable {
    public struct Problem: Encodable, Sendable {
        public var file: String
        public var line: Int?
        /// Like `collections[1].metric`.
        public var key: String
        public var message: String
        /// All of it in one line.
        public var text: String

        init(_ problem: ConfigProblem) {
            file = problem.file
            line = problem.line
            key = problem.keyPath
            message = problem.message
            text = problem.description
        }
    }

    public var shards: Int
    public var replicas: Int
    public var collections: Int
    public var problems: [Problem]
}

private struct GatewayService: Service {
    let config: GatewayConfig
    let logger: Logger

    func run() async throws {
        let gateway = try await Gateway.start(config, logger: logger)
        await gateway.logReadiness()
        try? await gracefulShutdown()
        await gateway.shutDown()
    }
}
