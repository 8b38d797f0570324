import Logging
import ServiceLifecycle
import SluiceAdmin
import SluiceGateway
import SluiceMetrics
import Testing

/// Where the admin server listens.
@Suite struct AdminAddressTests {
    /// Hears the log's warnings.
    private struct Listener: LogHandler {
        let complaining: AsyncStream<Void>.Continuation
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.warning

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) { if event.level == .warning { complaining.yield() } }
    }

    private struct Running {
        let group: ServiceGroup
        let task: Task<Void, any Error>
        let ports: AsyncStream<Int>
        let complaints: AsyncStream<Void>

        init(port: Int, isRequired: Bool) {
            let (complaints, complaining) = AsyncStream.makeStream(of: Void.self)
            self.complaints = complaints
            let logger = Logger(label: "test") { _ in Listener(complaining: complaining) }
            let door = GatewayDoor { () throws(ConfigErrors) in
                try GatewayConfig.parse("", file: "test.yaml", environment: [:])
            }
            let (ports, listening) = AsyncStream.makeStream(of: Int.self)
            let server = AdminServer(
                AdminSettings(host: "127.0.0.1", port: port, isRequired: isRequired), door: door,
                registry: MetricsRegistry(), logger: logger
            ) { listening.yield($0) }
            let group = ServiceGroup(configuration: .init(services: [server], logger: logger))
            self.group = group
            self.ports = ports
            task = Task { try await group.run() }
        }

        func port() async throws -> Int {
            var iterator = ports.makeAsyncIterator()
            return try #require(await iterator.next())
        }

        /// Until it has said that it has no address.
        func complaint() async {
            var iterator = complaints.makeAsyncIterator()
            await iterator.next()
        }

        func stop() async throws {
            await group.triggerGracefulShutdown()
            try await task.value
        }
    }

    /// A version that is being replaced may have it for a while.
    @Test(.timeLimit(.minutes(1))) func anAddressThatIsTakenIsHadOnceItIsFree() async throws {
        let old = Running(port: 0, isRequired: true)
        let port = try await old.port()
        let new = Running(port: port, isRequired: false)
        await new.complaint()
        let impatient = Running(port: port, isRequired: true)
        await #expect(throws: (any Error).self) { try await impatient.task.value }
        try await old.stop()
        #expect(try await new.port() == port)
        #expect(try await AdminClient(host: "127.0.0.1", port: port).get("/livez").status == 200)
        try await new.stop()
    }

    @Test(.timeLimit(.minutes(1))) func whoWaitsForItCanBeStopped() async throws {
        let old = Running(port: 0, isRequired: true)
        let new = Running(port: try await old.port(), isRequired: false)
        await new.complaint()
        try await new.stop()
        try await old.stop()
    }
}
