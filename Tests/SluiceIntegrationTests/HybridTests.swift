import SluiceClient
import Testing

extension PostgreSQL {
    /// Words and vectors together, held against the same formulas over all rows at once.
    @Suite(.serialized) struct Hybrids {
        private let both = ["programs", "libraries"]

        private static let texts = [
            "net", "python3 python", "lib -dev", "web or mail", "\"python3 numpy\"", "qqqzzz nothing at all",
            // What a search box can get.
            "\"net", "((net", "net) or (", "-", "or", "''\"\"''", "\\", "'; drop table programs; --", "naïve ☃ 𝔘 net",
            "a:b & c | !d <-> net*", "   ", "$1 %s \u{202E}net",
        ]

        /// A search and what it is held against; the vector's distance is measure 0, the texts' follow.
        private struct Case {
            var text: Int
            var fusion = SearchQuery.TextSearch.Fusion.reciprocalRank()
            var weights = (text: 1.0, vector: 1.0)
            var candidates: Int?
            var k = 10
            var section: String?
            var maxDistance = Double.infinity
        }

        private struct Right {
            var row: SampleRow
            var score = 0.0
            var vector: Int?
            var text: Int?
        }

        /// Both lists over all rows, cut, and fused: what a single database would answer.
        private func right(_ rows: [SampleRow], _ asked: Case) -> [Right] {
            let most = asked.candidates ?? max(4 * asked.k, 100)
            let passing = rows.filter { asked.section == nil || $0.section == asked.section }
            let nearest = passing.ordered(by: 0).filter { $0.measures[0] ?? .nan <= asked.maxDistance }.prefix(most)
            let worded = passing.ordered(by: 1 + asked.text).prefix(most)
            var fused: [RowKey: Right] = [:]
            func share(_ rank: Int, _ list: ArraySlice<SampleRow>, _ measure: Int) -> Double {
                if case .reciprocalRank(let constant) = asked.fusion { return 1 / (constant + Double(rank)) }
                let values = list.compactMap { $0.measures[measure] }
                guard let best = values.first, let worst = values.last, worst > best else { return 1 }
                return (worst - values[rank - 1]) / (worst - best)
            }
            for (place, row) in nearest.enumerated() {
                fused[row.key, default: Right(row: row)].vector = place + 1
                fused[row.key]?.score += asked.weights.vector * share(place + 1, nearest[...], 0)
            }
            for (place, row) in worded.enumerated() {
                fused[row.key, default: Right(row: row)].text = place + 1
                fused[row.key]?.score += asked.weights.text * share(place + 1, worded[...], 1 + asked.text)
            }
            return fused.values.sorted { ($1.score, $0.row.key) < ($0.score, $1.row.key) }.prefix(asked.k).map(\.self)
        }

        @Test func fusedListsAreThoseOfOneDatabase() async throws {
            let replicas = try Replicas()
            let vector = try Samples().queries[8]
            let rows = try replicas.sampleRows(
                [vector],
                ["embedding <=> v0"]
                    + Self.texts.map { text in
                        let query = "websearch_to_tsquery('simple', $sluice$\(text)$sluice$)"
                        return "case when words @@ \(query) then -ts_rank(words, \(query))::float8 end"
                    })
            var cases = Self.texts.indices.map { Case(text: $0) }
            cases += cases.map { asked in
                var asked = asked
                asked.fusion = .scoreSum
                return asked
            }
            cases += [
                Case(text: 0, weights: (3, 1)), Case(text: 0, weights: (0, 1)), Case(text: 0, weights: (1, 0)),
                Case(text: 1, fusion: .reciprocalRank(constant: 0), weights: (0.5, 2), candidates: 20, k: 15),
                Case(text: 3, fusion: .scoreSum, weights: (2, 5), candidates: 300, k: 100),
                Case(text: 3, fusion: .reciprocalRank(constant: 5), k: 30, section: "net"),
                Case(text: 2, fusion: .scoreSum, k: 30, section: "libs"),
                Case(text: 0, k: 50, maxDistance: 0.75), Case(text: 4, k: 100, section: "python"),
            ]
            try await withGateway(replicas.config()) { client, _ in
                for asked in cases {
                    var query = SearchQuery(
                        collections: both, vector: vector, k: asked.k, columns: ["section", "name"], exact: true)
                    query.text = SearchQuery.TextSearch(
                        Self.texts[asked.text], fusion: asked.fusion, textWeight: asked.weights.text,
                        vectorWeight: asked.weights.vector, candidates: asked.candidates)
                    if let section = asked.section { query.filter = .column("section") == .text(section) }
                    if asked.maxDistance.isFinite { query.maxDistance = asked.maxDistance }
                    let reply = try await client.search(query)
                    let right = right(rows, asked)
                    let comment: Comment = "\(Self.texts[asked.text]) \(asked)"
                    try #require(reply.ranks.count == reply.hits.count && reply.hits.count == right.count, comment)
                    #expect(zip(reply.ranks, right).allSatisfy { abs($0.score - $1.score) < 1e-12 }, comment)
                    // Scores that differ by rounding alone may change places.
                    let pairs = zip(reply.hits, reply.ranks).map { ($0.key, ($0, $1)) }
                    let byKey = Dictionary(uniqueKeysWithValues: pairs)
                    let end = (right.last?.score ?? 0) + 1e-12
                    for row in right where row.score > end {
                        let (hit, ranks) = try #require(byKey[row.row.key], comment)
                        #expect(ranks.vector == row.vector && ranks.text == row.text, comment)
                        let distance = row.vector == nil ? nil : row.row.measures[0]
                        #expect(distance.map { $0 == hit.distance } ?? hit.distance.isNaN, comment)
                        #expect(hit.columns["name"] == .string(row.row.name), comment)
                    }
                    #expect(reply.legs.count == 8 && reply.coverage == 1)
                }
                // The cases were of all kinds.
                #expect(rows.ordered(by: 1).count > 300 && rows.ordered(by: 6).isEmpty)
            }
        }

        /// With the index instead of an exact vector list the words' list is the same.
        @Test func theVectorListMayComeFromTheIndex() async throws {
            let replicas = try Replicas()
            let samples = try Samples()
            try await withGateway(replicas.config()) { client, _ in
                var found = 0
                for vector in samples.queries.prefix(10) {
                    var query = SearchQuery(collections: both, vector: vector, k: 20, exact: true)
                    query.text = .init("network or python or game")
                    let exact = try await client.search(query).hits.map(\.key)
                    query.exact = false
                    query.efSearch = 400
                    found += Set(exact).intersection(try await client.search(query).hits.map(\.key)).count
                }
                #expect(found >= 195, "\(found) of 200")
            }
        }

        @Test func wordsAreReadInTheConfiguredLanguage() async throws {
            let replicas = try Replicas()
            let words = ["running dogs", "the runner", "a dog", "cats sleep", "dogs ran and the cat slept"]
            try replicas.onPrimaries { shard in
                let rows = words.enumerated().filter { $0.offset % 2 == shard }
                    .map { "(\($0.offset), '[\($0.offset),0]', to_tsvector('english', '\($0.element)'))" }
                return "drop table if exists public.tongues; create table public.tongues (id bigint primary key, "
                    + "embedding vector(2), words tsvector); insert into public.tongues values "
                    + rows.joined(separator: ",")
            }
            let common = "table: tongues, metric: l2, dimensions: 2"
            let config = try replicas.primaries(
                extraCollections: """
                      - {name: english, \(common), text: {column: words, language: english}}
                      - {name: simple, \(common), text: {column: words}}
                      - {name: wordless, \(common)}
                    """)
            try await withGateway(config) { client, _ in
                func found(_ collection: String, _ text: String) async throws -> Set<Int64> {
                    var query = SearchQuery(collections: [collection], vector: [0, 0], k: 5)
                    query.text = .init(text, vectorWeight: 0)
                    let reply = try await client.search(query)
                    return Set(zip(reply.hits, reply.ranks).filter { $1.text != nil }.map(\.0.id))
                }
                let cases: [(String, String, Set<Int64>)] = [
                    ("english", "the dogs", [0, 2, 4]), ("simple", "the dogs", []), ("simple", "dog -ran", [0, 2]),
                    ("english", "the and of", []),
                ]
                for (collection, text, right) in cases {
                    let ids = try await found(collection, text)
                    #expect(ids == right, "\(collection): \(text)")
                }
                var query = SearchQuery(collections: ["wordless"], vector: [0, 0], k: 5)
                query.text = .init("dog")
                await expectError(.notSupported, saying: "wordless") { _ = try await client.search(query) }
                query.collections = ["english", "wordless"]
                await expectError(.notSupported, saying: "wordless") { _ = try await client.search(query) }
            }
        }
    }
}
