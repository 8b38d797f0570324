import Foundation
import SluiceAdmin
import Testing

/// What is in `configs` for Prometheus, Grafana and systemd fits the gateway.
@Suite struct ShippedFilesTests {
    static let configs = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "configs")

    static func text(_ path: String) throws -> String {
        try String(contentsOf: configs.appending(path: path), encoding: .utf8)
    }

    /// Nil if there is none here.
    static func program(_ name: String) -> URL? {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        return folders.map { URL(filePath: String($0)).appending(path: name) }
            .first { FileManager.default.isExecutableFile(atPath: $0.path) }
    }

    static func run(
        _ name: String, _ arguments: [String], in folder: String
    ) throws -> (code: Int32, words: String) {
        let process = Process()
        let output = Pipe()
        process.executableURL = program(name)
        process.arguments = arguments
        process.currentDirectoryURL = configs.appending(path: folder)
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let words = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, words)
    }

    @Test(arguments: ["prometheus/alerts.yaml", "grafana/sluice.json"])
    func whatIsAskedOfPrometheusAreMetricsThatTheGatewayHas(file: String) async throws {
        let words = try Self.text(file).matches(of: /(?:sluice|process)_[a-z_]+/).map { String($0.0) }
        let used = Set(words)
        #expect(used.count > 10)
        try await AdminFixture.with(shards: AdminFixture.shardsWithSource) { (fixture: AdminFixture) async throws in
            let scraped = try await fixture.client.get("/metrics").body
            var known = Set(scraped.matches(of: /[#] TYPE (\S+)/).map { String($0.1) })
            // Of servers and sources that have been reached, and those here never are.
            known.formUnion([
                "sluice_replica_lag_seconds", "sluice_replica_certificate_expiry_timestamp_seconds",
                "sluice_topology_source_age_seconds",
            ])
            for name in used {
                let family = name.replacing(/_(?:bucket|count|sum)$/, with: "")
                #expect(known.contains(name) || known.contains(family), "\(name)")
            }
        }
    }

    @Test(
        .enabled(if: program("promtool") != nil, "promtool is in Debian's prometheus"),
        arguments: [
            ["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"],
            ["check", "config", "--syntax-only", "scrape.yaml"],
        ])
    func alertsFireWhenTheyShould(arguments: [String]) throws {
        let result = try Self.run("promtool", arguments, in: "prometheus")
        #expect(result.code == 0, "\(result.words)")
    }

    @Test func theServiceSaysWhatItDoes() throws {
        let unit = try Self.text("systemd/sluice.service")
        #expect(unit.contains("\nType=notify\n") && unit.contains("\nLimitCORE=0\n"))
        #expect(try Self.text("systemd/sluice.socket").contains("\nFileDescriptorName=tcp\n"))
    }

    /// From 0 to 10.
    @Test(.enabled(if: program("systemd-analyze") != nil)) func theServiceMayDoLittle() throws {
        let result = try Self.run("systemd-analyze", ["security", "--offline=true", "sluice.service"], in: "systemd")
        // Before systemd 250 it looks at what is loaded only.
        guard let exposure = result.words.firstMatch(of: /exposure level for sluice.service: ([0-9.]+)/) else { return }
        #expect(Double(exposure.1).map { $0 <= 2 } == true, "\(result.words)")
    }
}
