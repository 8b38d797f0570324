import Foundation
import Logging
import NIOCore
import ReferenceTestKit
import SluiceClient
import SluiceGateway
import SluiceTools
import Testing

/// Everything against real PostgreSQL runs one after another: the tests stop servers that others need.
@Suite(.serialized, .timeLimit(.minutes(20))) enum PostgreSQL {}

/// The local replicas that `scripts/test` has brought up. Without them these tests fail; they are never skipped.
struct Replicas {
    struct Topology: Decodable {
        struct Shard: Decodable {
            struct Replica: Decodable {
                var name: String
                var port: Int
            }
            var name: String
            var replicas: [Replica]
        }
        var shards: [Shard]
        var passwordFile: String
    }

    struct Missing: Error, CustomStringConvertible {
        let description = "SLUICE_TEST_TOPOLOGY is not set: run scripts/test, which brings PostgreSQL up"
    }

    let topology: Topology
    /// Where the topology, the passwords and the data are.
    let home: URL
    /// For `scripts/replicas`, besides the tests' own.
    private var environment: [String: String] = [:]

    init() throws {
        guard let path = ProcessInfo.processInfo.environment["SLUICE_TEST_TOPOLOGY"] else { throw Missing() }
        try self.init(home: URL(filePath: path).deletingLastPathComponent())
    }

    private init(home: URL, environment: [String: String] = [:]) throws {
        self.home = home
        self.environment = environment
        topology = try Self.decode(Topology.self, home.appending(path: "topology.json"))
    }

    private static func decode<Value: Decodable>(_: Value.Type, _ file: URL) throws -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Value.self, from: Data(contentsOf: file))
    }

    /// One shard with two standbys that the body may ruin; made for it, and removed after it.
    static func withOwnShard(_ body: (Replicas) async throws -> Void) async throws {
        struct State: Decodable { var binaries: String }
        let shared = try Replicas()
        let home = shared.home.appending(path: "own")
        let environment = [
            "SLUICE_HOME": home.path,
            "SLUICE_PG_BIN": try decode(State.self, shared.home.appending(path: "state.json")).binaries,
            "SLUICE_BASE_PORT": String((shared.topology.shards.first?.replicas.first?.port ?? 0) + 40),
        ]
        try script(["up", "--shards", "1", "--standbys", "2"], environment)
        defer { _ = try? script(["down", "--purge"], environment) }
        try await body(Replicas(home: home, environment: environment))
    }

    /// As in configs/local.yaml.
    private static var samples: String {
        ["programs", "libraries"].map { name in
            "  - {name: \(name), table: \(name), metric: cosine, dimensions: 384, "
                + "columns: [name, section, priority, installed_kib], "
                + "filterable: {name: text, section: text, priority: text, installed_kib: int}, "
                + "text: {column: words, language: simple}, coarse: [binary, half]}\n"
        }.joined()
    }

    /// A configuration of a gateway on any free port.
    func config(
        limits: String = "{}", pool: String = "{max_size: 4}", extraCollections: String = "", extra: String = "",
        throughPoolers: Bool = false, samples: Bool = true,
        dsn: (Topology.Shard.Replica) -> String = { "host=127.0.0.1 port=\($0.port) dbname=sluice user=sluice" },
        replicas: (Topology.Shard.Replica) -> Bool = { _ in true }
    ) throws -> GatewayConfig {
        let shards = topology.shards.map { shard in
            let list = shard.replicas.filter(replicas).map { replica in
                var server = replica
                if throughPoolers { server.port += 1_000 }
                return "      - {name: \(replica.name), dsn: \(dsn(server)), password_file: \(topology.passwordFile), "
                    + "pooler: \(throughPoolers ? "transaction" : "none")}\n"
            }
            return "  - name: \(shard.name)\n    replicas:\n" + list.joined()
        }
        let text = """
            listen: {tcp: "127.0.0.1:0"}
            limits: \(limits)
            pool: \(pool)
            shards:
            \(shards.joined())
            collections:
            \(samples ? Self.samples : "")
            \(extraCollections)
            \(extra)
            """
        return try GatewayConfig.parse(text, file: "test.yaml", environment: [:])
    }

    /// - Throws: if there is none of that name.
    func replica(_ name: String) throws -> Topology.Shard.Replica {
        try #require(topology.shards.flatMap(\.replicas).first { $0.name == name }, "there is no \(name)")
    }

    /// Runs `scripts/replicas` with these words and returns what it printed.
    @discardableResult
    func script(_ arguments: String...) throws -> String { try script(arguments) }

    @discardableResult
    func script(_ arguments: [String]) throws -> String { try Self.script(arguments, environment) }

    @discardableResult
    private static func script(_ arguments: [String], _ environment: [String: String]) throws -> String {
        let process = Process()
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.executableURL = URL(
            filePath: ProcessInfo.processInfo.environment["SLUICE_REPLICAS"] ?? "scripts/replicas")
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw ScriptFailed(words: arguments) }
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
    }

    struct ScriptFailed: Error {
        var words: [String]
    }
}

/// Starts a gateway, connects a client, runs the body, and stops both.
func withGateway(
    _ config: GatewayConfig, _ body: (SluiceClient, Gateway) async throws -> Void
) async throws {
    var logger = Logger(label: "test")
    logger.logLevel = .error
    let gateway = try await Gateway.start(config, logger: logger)
    do {
        let client = try await SluiceClient.connect("sluice://127.0.0.1:\(gateway.tcpAddress?.port ?? 0)")
        try await body(client, gateway)
        await client.close()
    } catch {
        await gateway.shutDown()
        throw error
    }
    await gateway.shutDown()
}

/// The sample data as its files have it.
struct Samples {
    struct Row {
        var collection: String
        var id: Int64
        var vector: [Float]
    }

    /// In the order of ties: by collection, then id.
    let rows: [Row]
    let queries: [[Float]]
    private let index: FlatIndex

    init() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appending(path: "bench/data/packages")
        var rows: [Row] = []
        for collection in ["programs", "libraries"] {
            let vectors = try NumpyFile(path: folder.appending(path: "\(collection).npy").path)
            let lines = try String(contentsOf: folder.appending(path: "\(collection).csv"), encoding: .utf8)
                .split(whereSeparator: \.isNewline).dropFirst()
            for (index, line) in lines.enumerated() {
                let id = try #require(Int64(line.prefix { $0 != "," }))
                rows.append(Row(collection: collection, id: id, vector: try #require(vectors.row(index))))
            }
        }
        self.rows = rows.sorted { ($0.collection, $0.id) < ($1.collection, $1.id) }
        index = FlatIndex(self.rows.map(\.vector))
        let file = try NumpyFile(path: folder.appending(path: "queries.npy").path)
        queries = (0..<file.rowCount).compactMap { file.row($0) }
    }

    func nearest(_ query: [Float], _ k: Int) -> [(row: Row, distance: Double)] {
        index.nearest(to: query).prefix(k).map { (row: rows[$0.place], distance: $0.distance) }
    }
}
