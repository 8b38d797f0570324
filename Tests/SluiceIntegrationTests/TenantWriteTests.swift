import Foundation
import SluiceClient
import SluiceGateway
import Testing

extension PostgreSQL {
    /// What an identity with a forced filter can write, replace and delete.
    @Suite(.serialized) struct TenantWrites {
        private static let identities = """
                - {name: a, collections: {tenants: {allow: [search, get, load, write, delete], filter: "name = 'a'"}}}
                - {name: free, collections: {"*": [search, get, load, write, delete]}}

            """

        private func withTable(
            throughPoolers: Bool = false, _ body: (GuardedGateway, LoadTable) async throws -> Void
        ) async throws {
            let replicas = try Replicas()
            try await LoadTable.with("tenants", replicas) { table in
                let text = """
                      - {name: tenants, table: tenants, metric: l2, dimensions: \(LoadTable.dimensions),
                         columns: [name, size], filterable: {name: text, size: int}}
                    """
                try await GuardedGateway.with(
                    replicas, identities: Self.identities, extraCollections: text, throughPoolers: throughPoolers,
                    samples: false
                ) { try await body($0, table) }
            }
        }

        private static func row(_ id: Int64, _ name: String) -> LoadRow {
            var row = LoadTable.row(id)
            row.values[0] = .text(name)
            return row
        }

        private func names(_ table: LoadTable) throws -> [String] {
            try table.replicas.topology.shards.flatMap {
                try table.replicas.query($0.replicas[0].name, "select id || name from tenants").split(separator: "\n")
                    .map(String.init)
            }.sorted()
        }

        @Test(arguments: [false, true]) func onlyItsOwnRowsAreWrittenReplacedAndDeleted(_ pooled: Bool) async throws {
            try await withTable(throughPoolers: pooled) { guarded, table in
                try await guarded.withClient("free") { client in
                    let rows = [Self.row(1, "b"), Self.row(2, "b"), Self.row(3, "a")]
                    let report = try await client.upsert("tenants", columns: LoadTable.columns, rows: rows)
                    #expect(report.isDone)
                }
                try await guarded.withClient("a") { client in
                    let columns = LoadTable.columns
                    let own = try await client.upsert("tenants", columns: columns, rows: [Self.row(4, "a")])
                    #expect(own.rows == [.inserted])
                    #expect(
                        try await client.upsert("tenants", columns: columns, rows: [Self.row(3, "a")]).rows
                            == [.updated])
                    // A row of another's, one that would become another's, and one that was another's.
                    for row in [Self.row(5, "b"), Self.row(3, "b"), Self.row(1, "a")] {
                        let report = try await client.upsert("tenants", columns: columns, rows: [row])
                        #expect(report.rows == [.failed] && !report.isDone)
                        #expect(report.shards.first?.message?.contains("outside of what this identity may see") == true)
                    }
                    // Without the column that the filter looks at, the row would be nobody's.
                    let blind = try await client.upsert(
                        "tenants", rows: [LoadRow(id: 9, vector: LoadTable.row(9).vector)])
                    #expect(blind.rows == [.failed])
                    let deleted = try await client.delete("tenants", ids: [1, 2, 4])
                    #expect(deleted.deletes == [.absent, .absent, .deleted])
                }
                #expect(try names(table) == ["1b", "2b", "3a"])
            }
        }

        @Test func aLoadBringsOnlyItsOwnRows() async throws {
            try await withTable { guarded, table in
                try await guarded.withClient("free") { client in
                    let rows = [Self.row(1, "b"), Self.row(2, "a")]
                    let report = try await client.upsert("tenants", columns: LoadTable.columns, rows: rows)
                    #expect(report.isDone)
                }
                try await guarded.withClient("a") { client in
                    func load(_ rows: [LoadRow], _ mode: LoadOptions.Mode) async -> SluiceError.Code? {
                        var options = LoadOptions()
                        options.mode = mode
                        return await code {
                            _ = try await client.load(
                                "tenants", columns: LoadTable.columns, rows: Listed(rows), options: options)
                        }
                    }
                    #expect(await load((10..<40).map { Self.row($0, "a") } + [Self.row(2, "a")], .upsert) == nil)
                    let loaded = try names(table)
                    #expect(loaded.count == 32)
                    #expect(await load([Self.row(50, "a"), Self.row(51, "b")], .upsert) == .permissionDenied)
                    #expect(await load([Self.row(50, "a"), Self.row(1, "a")], .upsert) == .permissionDenied)
                    // What it cannot see must not be found out or go with the rest.
                    #expect(await load([Self.row(50, "a")], .append) == .permissionDenied)
                    #expect(await load([Self.row(50, "a")], .replace) == .permissionDenied)
                    #expect(try names(table).count == 32 && names(table).first == "10a")
                }
                #expect(try names(table).contains("1b"))
            }
        }
    }
}
