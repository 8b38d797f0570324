import Foundation
import ReferenceTestKit
import SluiceClient
import Testing

import enum SluiceCore.Metric
import struct SluiceCore.SplitMix64

extension PostgreSQL {
    /// Random exact searches of tables full of ties, held against brute force in Swift: the same hits, with the same
    /// distances to the last bit, in the same order.
    @Suite(.serialized) struct BruteForce {
        /// Searches of each type and metric. SLUICE_SEARCHES says how many.
        private static let count = ProcessInfo.processInfo.environment["SLUICE_SEARCHES"].flatMap(Int.init) ?? 400
        private static let workers = 4
        private static let tables = Result { try TiedTables(Replicas()) }

        private struct Answer: Hashable, CustomStringConvertible {
            var distance: Double
            var collection: String
            var id: Int64

            init(distance: Double, collection: String, id: Int64) {
                self.distance = distance
                self.collection = collection
                self.id = id
            }

            var description: String { "\(distance) \(collection) \(id)" }

            init(_ hit: SearchReply.Hit) { self.init(distance: hit.distance, collection: hit.collection, id: hit.id) }
        }

        /// The whole answer before it is cut to k, by the total order.
        private static func all(
            _ metric: Metric, _ vector: [Float], _ collections: [TiedTables.Collection], _ filter: Filter?,
            _ tables: TiedTables
        ) -> [Answer] {
            let answers = collections.flatMap { collection in
                tables.rows(of: collection).compactMap { row -> Answer? in
                    guard let values = row.values, filter.map(FilterEvaluation(row: row.columns).matches) ?? true else {
                        return nil
                    }
                    let distance = metric.distance(vector, values)
                    return distance.isNaN ? nil : Answer(distance: distance, collection: collection.name, id: row.id)
                }
            }
            return answers.sorted { ($0.distance, $0.collection, $0.id) < ($1.distance, $1.collection, $1.id) }
        }

        private static func withCollections(
            _ collections: [TiedTables.Collection], of kind: VectorTypes.Kind,
            _ body: (SluiceClient, Metric, TiedTables) async throws -> Void
        ) async throws {
            let tables = try tables.get()
            let metric = try #require(Metric(rawValue: kind.metric))
            let config = try tables.replicas.config(
                extraCollections: TiedTables.configuration(collections, type: kind.type, metric: metric),
                samples: false, replicas: { $0.name.hasSuffix("-a") })
            try await withGateway(config) { client, _ in try await body(client, metric, tables) }
        }

        @Test(arguments: VectorTypes.kinds)
        func exactSearchesFindWhatBruteForceFinds(kind: VectorTypes.Kind) async throws {
            let start = kind.testDescription.utf8.reduce(UInt64(0)) { $0 &* 31 &+ UInt64($1) }
            try await Self.withCollections(TiedTables.collections, of: kind) { client, metric, tables in
                let differences = try await withThrowingTaskGroup(of: [String].self) { group in
                    for worker in 0..<Self.workers {
                        group.addTask {
                            try await Self.differences(
                                client, kind.type, metric, tables, seed: start &+ UInt64(worker))
                        }
                    }
                    return try await group.reduce(into: []) { $0 += $1 }
                }
                let count = differences.count
                #expect(count == 0, "the first: \(differences.first ?? "")")
            }
        }

        /// Of one worker's share of the searches.
        private static func differences(
            _ client: SluiceClient, _ type: String, _ metric: Metric, _ tables: TiedTables, seed: UInt64
        ) async throws -> [String] {
            var random = SplitMix64(seed: seed)
            var filters = FilterGenerator(
                columns: [
                    .init("size", .int, samples: [0, 2, 3]),
                    .init("label", .text, samples: ["", "a", "ab"], isOrdered: true),
                ], random: SplitMix64(seed: ~seed))
            var differences: [String] = []
            for number in 0..<(count / workers) {
                let chosen = TiedTables.collections.shuffled(using: &random)
                    .prefix(Int.random(in: 1...TiedTables.collections.count, using: &random))
                let vector = tables.someVector(using: &random)
                let rows = chosen.reduce(0) { $0 + tables.rows(of: $1).count }
                var query = SearchQuery(
                    collections: chosen.map(\.name), target: .vector(TypedVector.query(vector, type)),
                    k: Int.random(in: 1...rows + 5, using: &random), deadline: .seconds(30), exact: true)
                if Int.random(in: 0..<3, using: &random) > 0 { query.filter = filters.filter(depth: 3) }
                var right = all(metric, vector, Array(chosen), query.filter, tables)
                if Int.random(in: 0..<4, using: &random) == 0, let furthest = right.randomElement(using: &random) {
                    query.maxDistance = furthest.distance
                    right = right.filter { $0.distance <= furthest.distance }
                }
                let found = try await client.search(query).hits.map(Answer.init)
                guard found != Array(right.prefix(query.k)) else { continue }
                differences.append(
                    "search \(number) of seed \(seed), \(query.collections) for \(vector), k \(query.k), "
                        + "\(query.filter.map { "\($0)" } ?? "no filter"): \(found) instead of \(right)")
            }
            return differences
        }

        /// When all distances are the same, where a shard's rows are cut shows: every k must give the same order.
        @Test(arguments: VectorTypes.kinds)
        func equalDistancesAreOrderedByCollectionThenID(kind: VectorTypes.Kind) async throws {
            let collections = TiedTables.level
            try await Self.withCollections(collections.reversed(), of: kind) { client, metric, tables in
                let ids = tables.rows(of: collections[0]).map(\.id).sorted()
                let right = collections.map(\.name).flatMap { name in ids.map { "\(name) \($0)" } }
                for k in [1, 2, 9, ids.count - 1, ids.count, ids.count + 1, 2 * ids.count + 7, right.count + 5] {
                    let vector = TypedVector.query(TiedTables.levelVector, kind.type)
                    for names in [["A", "B", "a"], ["a", "B", "A"]] {
                        let query = SearchQuery(collections: names, target: .vector(vector), k: k, exact: true)
                        let hits = try await client.search(query).hits
                        #expect(hits.map { "\($0.collection) \($0.id)" } == Array(right.prefix(k)))
                        #expect(Set(hits.map(\.distance)).count == 1)
                    }
                }
            }
        }
    }
}
