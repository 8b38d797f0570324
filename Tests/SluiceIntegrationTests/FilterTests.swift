import Foundation
import ReferenceTestKit
import SluiceClient
import SluiceWire
import Testing

import struct SluiceCore.SplitMix64

extension PostgreSQL {
    /// Random filters, asked of PostgreSQL through the gateway and evaluated in Swift.
    @Suite(.serialized) struct Filters {
        /// SLUICE_FILTERS says how many.
        private static let count = ProcessInfo.processInfo.environment["SLUICE_FILTERS"].flatMap(Int.init) ?? 20_000

        /// Searches in flight: PostgreSQL's processes and this one share the machine.
        private static let concurrency = 6

        private struct Row: Sendable {
            var collection: String
            var id: Int64
            var distance: Double
            var columns: FilterEvaluation
        }

        private struct Rows: Sendable {
            /// The nearest first.
            let ordered: [Row]
            let columns: [FilterEvaluation]
            let byKey: [RowKey: Row]

            init(ordered: [Row]) {
                self.ordered = ordered
                columns = ordered.map(\.columns)
                byKey = Dictionary(
                    ordered.map { (RowKey(collection: $0.collection, id: $0.id), $0) }, uniquingKeysWith: { $1 })
            }
        }

        /// Half as many filters as there are to be, several at a time.
        private func check(
            _ client: SluiceClient, _ vector: [Float], _ rows: Rows, _ generator: inout FilterGenerator<SplitMix64>,
            collections: [String]
        ) async throws {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<Self.count / 2 {
                    if number >= Self.concurrency { try await group.next() }
                    let filter = generator.filter()
                    group.addTask { try await check(client, vector, rows, filter, collections: collections) }
                }
                try await group.waitForAll()
            }
        }

        /// The nearest k rows that match, or the whole of them in another order where rounding cannot tell them apart.
        private func check(
            _ client: SluiceClient, _ vector: [Float], _ rows: Rows, _ filter: Filter, collections: [String]
        ) async throws {
            let k = 12
            let right = FilterEvaluation.places(of: filter, in: rows.columns, most: k).map { rows.ordered[$0] }
            let query = SearchQuery(collections: collections, vector: vector, k: k, deadline: .seconds(30), exact: true)
            var filtered = query
            filtered.filter = filter
            let hits = try await client.search(filtered).hits
            #expect(hits.count == right.count, "\(filter)")
            for (hit, expected) in zip(hits, right) {
                #expect(abs(hit.distance - expected.distance) < 2e-6, "\(filter)")
                let own = rows.byKey[hit.key]
                #expect(own?.columns.matches(filter) == true, "\(filter): \(hit.key) does not match")
                #expect(own.map { abs($0.distance - hit.distance) < 2e-6 } == true, "\(filter): \(hit.key)")
            }
        }

        @Test func theSamplesAreFilteredAsInSwift() async throws {
            let samples = try Samples()
            let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .deletingLastPathComponent().appending(path: "bench/data/packages")
            var columns: [Int64: [String: FilterValue?]] = [:]
            for name in ["programs", "libraries"] {
                let text = try String(contentsOf: folder.appending(path: "\(name).csv"), encoding: .utf8)
                for line in text.split(whereSeparator: \.isNewline).dropFirst() {
                    let cells = line.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
                    let id = try #require(Int64(cells[0]))
                    columns[id] = [
                        "name": .text(cells[1]), "section": .text(cells[2]), "priority": .text(cells[3]),
                        "installed_kib": .int(try #require(Int64(cells[4]))),
                    ]
                }
            }
            let vector = samples.queries[7]
            let rows = samples.nearest(vector, samples.rows.count).map {
                Row(
                    collection: $0.row.collection, id: $0.row.id, distance: $0.distance,
                    columns: FilterEvaluation(row: columns[$0.row.id] ?? [:]))
            }
            var generator = FilterGenerator(ofSamples: SplitMix64(seed: 11))
            try await withGateway(Replicas().config()) { client, _ in
                try await check(
                    client, vector, Rows(ordered: rows), &generator, collections: ["programs", "libraries"])
            }
        }

        @Test func everyTypeIsFilteredAsInSwift() async throws {
            let replicas = try Replicas()
            var random = SplitMix64(seed: 5)
            var rows: [Row] = []
            var literals: [String] = []
            for id in Int64(1)...80 {
                func some(_ value: FilterValue) -> FilterValue? {
                    Int.random(in: 0..<6, using: &random) == 0 ? nil : value
                }
                let high = UInt64.random(in: 0...3, using: &random)
                let tags = (0..<Int.random(in: 0...3, using: &random)).map { _ in
                    ["a", "b", "c", "d e"].randomElement(using: &random) ?? "a"
                }
                let days = Int64.random(in: -400...400, using: &random)
                let columns: [String: FilterValue?] = [
                    "flag": some(.bool(.random(using: &random))),
                    "size": some(.int(.random(in: -5...5, using: &random))),
                    "score": some(.double(Double(Int.random(in: -8...8, using: &random)) / 4)),
                    "name": some(.text(["", "net", "neta", "Net", "x'y"].randomElement(using: &random) ?? "")),
                    "made": some(.timestamp(days * 86_400_000_000)), "key": some(.uuid(high: high, low: 1)),
                    "tags": some(.textArray(tags)),
                ]
                rows.append(
                    Row(
                        collection: "kinds", id: id, distance: Double(id),
                        columns: FilterEvaluation(row: columns)))
                let cells = ["flag", "size", "score", "name", "made", "key", "tags"].map {
                    Self.literal(columns[$0] ?? nil)
                }
                literals.append("(\(id), '[\(id),0]', \(cells.joined(separator: ", ")))")
            }
            try replicas.query(
                "s0-a",
                "drop table if exists public.kinds; create table public.kinds (id bigint primary key, "
                    + "embedding vector(2), flag bool, size int, score float8, name text, made timestamptz, key uuid, "
                    + "tags text[]); insert into public.kinds values \(literals.joined(separator: ","))")
            var generator = FilterGenerator(
                columns: [
                    .init("flag", .bool, samples: [true, false]), .init("size", .int, samples: [0, 3, -5]),
                    .init("score", .float, samples: [0.25, -1, 2]),
                    .init("name", .text, samples: ["net", "x'y", ""], isOrdered: true),
                    .init("made", .timestamp, samples: [.timestamp(microsecondsSince2000: 0)]),
                    .init("key", .uuid, samples: [try .uuid("00000000-0000-0001-0000-000000000001")]),
                    .init("tags", .textArray, samples: ["a", "d e"]),
                ], random: SplitMix64(seed: 3))
            let kinds = "flag: bool, size: int, score: float, name: text, made: timestamp, key: uuid, tags: \"text[]\""
            let config = try replicas.config(
                extraCollections: "  - {name: kinds, table: kinds, metric: l2, dimensions: 2, shards: [s0], "
                    + "filterable: {\(kinds)}}", replicas: { $0.name.hasSuffix("-a") })
            try await withGateway(config) { client, _ in
                try await check(client, [0, 0], Rows(ordered: rows), &generator, collections: ["kinds"])
            }
        }

        private static func literal(_ value: FilterValue?) -> String {
            func quoted(_ text: String) -> String { "'\(text.replacing("'", with: "''"))'" }
            switch value {
            case nil: return "null"
            case .bool(let bool): return "\(bool)"
            case .int(let int): return "\(int)"
            case .double(let double): return "\(double)"
            case .text(let text): return quoted(text)
            case .timestamp(let microseconds):
                return "timestamptz '2000-01-01 00:00:00Z' + interval '\(microseconds) microseconds'"
            case .uuid(let high, let low):
                let digits = [high, low].map {
                    String(repeating: "0", count: 16 - String($0, radix: 16).count) + String($0, radix: 16)
                }
                return "'\(digits.joined())'::uuid"
            case .textArray(let texts):
                return texts.isEmpty ? "'{}'::text[]" : "array[\(texts.map(quoted).joined(separator: ", "))]::text[]"
            }
        }

        @Test(arguments: [
            ("nonsense = 1", SluiceError.Code.unknownColumn, "nonsense"),
            ("installed_kib = 'many'", .invalidArgument, "installed_kib"), ("name < 5", .invalidArgument, "name"),
        ])
        func aWrongFilterNamesItsColumn(text: String, code: SluiceError.Code, word: String) async throws {
            try await withGateway(Replicas().config()) { client, _ in
                var query = SearchQuery(collections: ["programs"], vector: Slow.vector, k: 3)
                query.filter = try Filter(parsing: text)
                await #expect { try await client.search(query) } throws: { error in
                    guard let error = error as? SluiceError else { return false }
                    return error.code == code && error.message.contains(word)
                }
            }
        }
    }
}
