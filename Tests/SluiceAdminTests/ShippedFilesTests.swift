import Foundation
import SluiceAdmin
import SluiceGateway
import Testing

/// What is in `configs` for Prometheus and systemd fits the gateway.
@Suite struct ShippedFilesTests {
    private static let configs = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "configs")

    private static func text(_ path: String) throws -> String {
        try String(contentsOf: configs.appending(path: path), encoding: .utf8)
    }

    /// - Returns: nil if there is no such program here.
    private static func run(_ program: String, _ arguments: [String], in folder: String) throws -> (Int32, String)? {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        let places = folders.map { URL(filePath: String($0)).appending(path: program) }
        guard let place = places.first(where: { FileManager.default.isExecutableFile(atPath: $0.path) }) else {
            return nil
        }
        let process = Process()
        let output = Pipe()
        process.executableURL = place
        process.arguments = arguments
        process.currentDirectoryURL = configs.appending(path: folder)
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, said)
    }

    @Test func alertsAreOfMetricsThatTheGatewayHas() async throws {
        try await AdminFixture.with { (fixture: AdminFixture) async throws in
            let scraped = try await fixture.client.get("/metrics").body
            var known = Set(scraped.matches(of: /[#] TYPE (\S+)/).map { String($0.1) })
            known.formUnion(GatewayMain.metricHelp.keys)
            // Of servers that have been reached, and those here never are.
            known.formUnion([
                "sluice_replica_lag_seconds", "sluice_replica_certificate_expiry_timestamp_seconds",
            ])
            let alerts = try Self.text("prometheus/alerts.yaml")
            let used = Set(alerts.matches(of: /sluice_[a-z_]+/).map { String($0.0) })
            #expect(used.count > 10)
            for name in used {
                let family = name.replacing(/_(?:bucket|count|sum)$/, with: "")
                #expect(known.contains(name) || known.contains(family), "\(name)")
            }
        }
    }

    @Test func alertsFireWhenTheyShould() throws {
        let checked = try Self.run("promtool", ["check", "rules", "alerts.yaml"], in: "prometheus")
        guard let checked else { return }
        #expect(checked.0 == 0, "\(checked.1)")
        for arguments in [["test", "rules", "alerts_test.yaml"], ["check", "config", "--syntax-only", "scrape.yaml"]] {
            let result = try #require(
                try Self.run("promtool", arguments, in: "prometheus"))
            #expect(result.0 == 0, "\(result.1)")
        }
    }

    @Test func theServiceMayDoLittle() throws {
        let unit = try Self.text("systemd/sluice.service")
        #expect(unit.contains("\nType=notify\n") && unit.contains("\nLimitCORE=0\n"))
        #expect(try Self.text("systemd/sluice.socket").contains("\nFileDescriptorName=tcp\n"))
        let said = try Self.run("systemd-analyze", ["security", "--offline=true", "sluice.service"], in: "systemd")
        guard let said, let exposure = said.1.firstMatch(of: /exposure level for sluice.service: ([0-9.]+)/) else {
            return
        }
        #expect(Double(exposure.1).map { $0 <= 2 } == true, "\(said.1)")
    }
}
