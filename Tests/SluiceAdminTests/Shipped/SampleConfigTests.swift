import Foundation
import SluiceGateway
import Testing

/// Every configuration that is shipped is one that a gateway takes, and may listen where it says.
@Suite struct SampleConfigTests {
    /// For what the samples take from the environment.
    static let environment = [
        "SLUICE_PASSWORD": "p", "SLUICE_WEST": "w", "SLUICE_EAST": "e", "SLUICE_ZONE": "west",
    ]

    /// In a folder of their own with the files beside them that are read at once: the passwords of the local replicas
    /// and of the local cluster.
    static func parse(_ text: String) throws -> GatewayConfig {
        let folder = FileManager.default.temporaryDirectory.appending(path: "sluice-samples-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        for part in [".sluice/cluster", "configs"] {
            try FileManager.default.createDirectory(
                at: folder.appending(path: part), withIntermediateDirectories: true)
        }
        for home in [".sluice", ".sluice/cluster"] {
            try Data("secret\n".utf8).write(to: folder.appending(path: "\(home)/password"))
        }
        return try GatewayConfig.parse(
            text, file: folder.appending(path: "configs/sample.yaml").path, environment: environment)
    }

    static let samples: [String] =
        ((try? FileManager.default.contentsOfDirectory(atPath: ShippedFilesTests.configs.path)) ?? [])
        .filter { $0.hasSuffix(".yaml") }.sorted() + ["debian/sluice.yaml"]

    @Test func thereAreSamplesForEveryPlace() {
        #expect(Set(Self.samples).isSuperset(of: ["local.yaml", "minimal.yaml", "sidecar.yaml", "two-region.yaml"]))
    }

    @Test(arguments: samples)
    func aGatewayTakesIt(sample: String) throws {
        let config = try Self.parse(ShippedFilesTests.text(sample))
        #expect(!config.collections.isEmpty)
        #expect(ListeningRule.objections(config.listen, config.admin, config.access) == [])
    }

    @Test func theSidecarIsSmallAndFitForAPooler() throws {
        let config = try Self.parse(ShippedFilesTests.text("sidecar.yaml"))
        #expect(config.listen.unixPath == "/run/sluice/sluice.sock" && config.listen.tcp?.isLoopback == true)
        for replica in config.shards.flatMap(\.replicas) {
            #expect(replica.pooler == .transaction && replica.pool.maxSize <= 4)
        }
    }

    @Test func eachShardOfTheTwoRegionsHasAReplicaInBoth() throws {
        let config = try Self.parse(ShippedFilesTests.text("two-region.yaml"))
        #expect(config.listen.tls != nil && config.tls != nil && config.access.identities.count > 1)
        #expect(config.shards.count == 2)
        for shard in config.shards {
            #expect(Set(shard.replicas.map(\.zone)) == ["west", "east"])
            for replica in shard.replicas { #expect(replica.dsn.revealed.contains("sslmode=verify-full")) }
        }
    }

    /// The one that the package brings has to pass where nobody has set anything yet.
    @Test func thePackagesNeedsNoEnvironment() throws {
        _ = try GatewayConfig.parse(
            ShippedFilesTests.text("debian/sluice.yaml"), file: "/etc/sluice/sluice.yaml", environment: [:])
    }
}
