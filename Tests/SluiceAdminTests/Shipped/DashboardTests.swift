import Foundation
import Testing

/// The dashboard for Grafana. That its metrics exist is among `ShippedFilesTests`.
@Suite struct DashboardTests {
    struct Dashboard: Decodable {
        struct Panel: Decodable {
            struct Place: Decodable {
                var x, y, w, h: Int
            }
            struct Target: Decodable {
                var refId: String
                var expr: String
            }
            var id: Int
            var type: String
            var title: String
            var gridPos: Place
            var targets: [Target]?
        }
        struct Templating: Decodable {
            struct Variable: Decodable { var name: String }
            var list: [Variable]
        }
        var uid: String
        var title: String
        var schemaVersion: Int
        var panels: [Panel]
        var templating: Templating
    }

    static func dashboard() throws -> Dashboard {
        try JSONDecoder().decode(Dashboard.self, from: Data(try ShippedFilesTests.text("grafana/sluice.json").utf8))
    }

    @Test func panelsHaveTheirPlacesAndQueries() throws {
        let dashboard = try Self.dashboard()
        #expect(Set(dashboard.panels.map(\.id)).count == dashboard.panels.count)
        var taken: Set<[Int]> = []
        for panel in dashboard.panels {
            let place = panel.gridPos
            #expect(place.x >= 0 && place.x + place.w <= 24 && !panel.title.isEmpty)
            for x in place.x..<place.x + place.w {
                for y in place.y..<place.y + place.h {
                    #expect(taken.insert([x, y]).inserted, "\(panel.title) is on another panel")
                }
            }
            guard panel.type != "row" else { continue }
            let targets = try #require(panel.targets)
            #expect(!targets.isEmpty && Set(targets.map(\.refId)).count == targets.count)
        }
        #expect(dashboard.panels.contains { $0.type == "heatmap" })
    }

    @Test func whatQueriesAreFilteredByCanBeChosen() throws {
        let dashboard = try Self.dashboard()
        let known = Set(dashboard.templating.list.map(\.name) + ["__rate_interval"])
        let queries = dashboard.panels.flatMap { $0.targets ?? [] }.map(\.expr)
        for query in queries {
            for variable in query.matches(of: /\$([a-z_]+)/) {
                #expect(known.contains(String(variable.1)), "\(query)")
            }
            #expect(query.contains("instance=~\"$instance\""), "\(query)")
        }
    }

    /// `promtool` reads the queries as those of recording rules.
    @Test(.enabled(if: ShippedFilesTests.program("promtool") != nil, "promtool is in Debian's prometheus"))
    func prometheusUnderstandsTheQueries() throws {
        let queries = try Self.dashboard().panels.flatMap { $0.targets ?? [] }.map(\.expr)
        #expect(queries.count > 30)
        var rules = "groups:\n  - name: dashboard\n    rules:\n"
        for (number, query) in queries.enumerated() {
            let plain = query.replacing("$__rate_interval", with: "1m")
                .replacing(/\$[a-z_]+/, with: ".*").replacing("'", with: "''")
            rules += "      - {record: 'dashboard:query:\(number)', expr: '\(plain)'}\n"
        }
        let file = FileManager.default.temporaryDirectory.appending(path: "sluice-queries-\(UUID().uuidString).yaml")
        try Data(rules.utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        let result = try ShippedFilesTests.run("promtool", ["check", "rules", file.path], in: "grafana")
        #expect(result.code == 0 && result.words.contains("\(queries.count) rules found"), "\(result.words)")
    }
}
