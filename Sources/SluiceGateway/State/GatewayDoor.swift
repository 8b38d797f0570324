internal import Logging
internal import Synchronization

/// Where the admin server listens.
public struct AdminSettings: Hashable, Sendable {
    public var host: String
    public var port: Int
    /// It was asked for: without it the gateway does not run.
    public var isRequired: Bool

    package init(host: String, port: Int, isRequired: Bool) {
        self.host = host
        self.port = port
        self.isRequired = isRequired
    }
}

/// The gateway of this process, for what is there before it and after it.
public final class GatewayDoor: Sendable {
    public enum Reloading: Hashable, Sendable {
        case taken
        /// What was in force stays so.
        case refused([String])
    }

    private let current = Mutex<Gateway?>(nil)
    /// The configuration as its file has it now.
    private let reading: @Sendable () throws(ConfigErrors) -> GatewayConfig

    /// Nil if the level is not the gateway's to decide.
    package let logLevels: LogLevels?

    package init(
        logLevels: LogLevels? = nil, reading: @escaping @Sendable () throws(ConfigErrors) -> GatewayConfig
    ) {
        self.logLevels = logLevels
        self.reading = reading
    }

    /// Nil until it serves.
    package var gateway: Gateway? { current.withLock { $0 } }

    package func open(_ gateway: Gateway) { current.withLock { $0 = gateway } }

    /// Reads the configuration anew.
    public func reload() async -> Reloading {
        guard let gateway else { return .refused(["the gateway is starting"]) }
        let reasons = await gateway.reload(reading)
        if reasons.isEmpty { logLevels?.configure(gateway.config.logLevel) }
        return reasons.isEmpty ? .taken : .refused(reasons)
    }
}
