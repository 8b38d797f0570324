import Foundation
import Logging
import ServiceLifecycle
import SluiceAdmin
import SluiceGateway
import SluiceMetrics
import Testing

/// A gateway whose replicas cannot be reached, with an admin server before it.
struct AdminFixture: Sendable {
    static let shards = """
        shards:
          - name: s0
            replicas:
              - {name: s0-a, dsn: "host=127.0.0.1 port=1 dbname=x user=x", pool: {min_size: 1, max_size: 6}}
              - {name: s0-b, dsn: "host=127.0.0.1 port=2 dbname=x user=x", pool: {min_size: 1, max_size: 6}}
        collections:
          - {name: programs, table: programs, metric: cosine, dimensions: 3}
        """

    /// The same with one more shard, whose source cannot be reached, and which is in no collection's way.
    static let shardsWithSource = shards.replacing(
        "collections:",
        with: """
              - name: s1
                source: {type: patroni, endpoints: ["http://127.0.0.1:1"], replica: {dsn: dbname=x user=x}}
            collections:
            """
    ).replacing("dimensions: 3", with: "dimensions: 3, shards: [s0]")

    var client: AdminClient
    var gateway: Gateway
    var registry: MetricsRegistry
    var levels: LogLevels

    static func with(
        _ more: String = "", shards: String = AdminFixture.shards, _ body: (AdminFixture) async throws -> Void
    ) async throws {
        let text = "listen: {tcp: \"127.0.0.1:0\"}\n\(shards)\n\(more)\n"
        let config = try GatewayConfig.parse(text, file: "test.yaml", environment: [:])
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        let registry = MetricsRegistry(help: GatewayMain.metricHelp)
        let levels = LogLevels()
        let door = GatewayDoor(logLevels: levels) { () throws(ConfigErrors) in
            try GatewayConfig.parse(text, file: "test.yaml", environment: [:])
        }
        let (ports, listening) = AsyncStream.makeStream(of: Int.self)
        let server = AdminServer(
            AdminSettings(host: "127.0.0.1", port: 0, isRequired: true), door: door, registry: registry, logger: logger
        ) { listening.yield($0) }
        let group = ServiceGroup(configuration: .init(services: [server], logger: logger))
        let running = Task { try await group.run() }
        var iterator = ports.makeAsyncIterator()
        let port = try #require(await iterator.next())
        let client = AdminClient(host: "127.0.0.1", port: port)
        #expect(try await client.get("/livez").status == 200)
        #expect(try await client.get("/readyz").status == 503)
        #expect(try await client.get("/api/v1/state").status == 503)
        let gateway = try await Gateway.start(config, metrics: registry, logger: logger)
        door.open(gateway)
        do {
            try await body(AdminFixture(client: client, gateway: gateway, registry: registry, levels: levels))
        } catch {
            Issue.record(error)
        }
        await gateway.shutDown()
        #expect(try await client.get("/livez").status == 200, "until after the gateway")
        for path in ["/readyz", "/api/v1/state", "/api/v1/frame", "/api/v1/live"] {
            #expect(try await client.get(path).status == 503)
        }
        await group.triggerGracefulShutdown()
        try await running.value
    }

    func state() async throws -> GatewayState {
        let answer = try await client.get("/api/v1/state")
        #expect(answer.status == 200 && answer.type == "application/json")
        return try Self.decoder.decode(GatewayState.self, from: Data(answer.body.utf8))
    }

    static var decoder: JSONDecoder {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return decoder
    }

    func act(_ action: String, replica: String = "s0-a", json: String = "{}") async throws -> AdminClient.Answer {
        try await client.post("/api/v1/shards/s0/replicas/\(replica)/\(action)", json: json)
    }
}
