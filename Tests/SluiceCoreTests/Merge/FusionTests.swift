import SluiceCore
import Testing

@Suite struct FusionTests {
    private func list(
        _ rows: [(Int64, Double)], weight: Double = 1, largerIsBetter: Bool = false
    ) -> Fusion.List {
        Fusion.List(
            rows: rows.map { Fusion.Row(collection: 0, id: $0.0, score: $0.1) }, weight: weight,
            largerIsBetter: largerIsBetter)
    }

    @Test func ranksCountByTheirReciprocal() {
        let fused = Fusion.reciprocalRank([list([(1, 0.1), (2, 0.2)]), list([(2, 9), (3, 1)])], limit: 10)
        #expect(fused.rows.map(\.id) == [2, 1, 3])
        #expect(fused.rows.map(\.score) == [1 / 62.0 + 1 / 61.0, 1 / 61.0, 1 / 62.0])
        #expect(fused.rows.map(\.ranks) == [[2, 1], [1, nil], [nil, 2]])
        #expect(fused.refused == 0)
    }

    @Test func weightsAndTheConstantCount() {
        let fused = Fusion.reciprocalRank(
            [list([(1, 0)]), list([(2, 0)], weight: 3)], constant: 0, limit: 10)
        #expect(fused.rows.map(\.score) == [3, 1])
        #expect(fused.rows.map(\.id) == [2, 1])
    }

    @Test func equalScoresAreOrderedByCollectionThenID() {
        let rows = [(1, 5), (0, 9), (0, 7)].map { Fusion.Row(collection: $0.0, id: $0.1, score: 1) }
        let fused = Fusion.normalisedScoreSum([Fusion.List(rows: rows)], limit: 2)
        #expect(fused.rows.map(\.id) == [7, 9])
        #expect(fused.rows.map(\.ranks) == [[3], [2]])
    }

    @Test func scoresAreBroughtToTheSameScaleAndDirection() {
        let vectors = list([(1, 0.2), (2, 0.3), (3, 0.4)])
        let texts = list([(3, 80), (2, 60), (4, 0)], weight: 2, largerIsBetter: true)
        let fused = Fusion.normalisedScoreSum([vectors, texts], limit: 10).rows
        #expect(fused.map(\.id) == [2, 3, 1, 4] || fused.map(\.id) == [3, 2, 1, 4])
        let scores = Dictionary(uniqueKeysWithValues: fused.map { ($0.id, $0.score) })
        #expect(scores[1] == 1 && scores[3] == 2 && scores[4] == 0)
        #expect(abs((scores[2] ?? 0) - 2) < 1e-12, "a half, and three quarters twice")
    }

    @Test func aListOfEqualScoresGivesOneToEach() {
        let fused = Fusion.normalisedScoreSum([list([(1, 7), (2, 7)]), list([(2, 5)], weight: 0.5)], limit: 10)
        #expect(fused.rows.map(\.score) == [1.5, 1])
    }

    @Test(arguments: [Double.nan, .infinity, -.infinity])
    func whatIsNotFiniteIsRefusedAndTakesNoRank(score: Double) {
        let lists = [list([(1, score), (2, 0.5), (2, 0.6), (3, 0.7)])]
        for fused in [Fusion.reciprocalRank(lists, limit: 5), Fusion.normalisedScoreSum(lists, limit: 5)] {
            #expect(fused.refused == 2)
            #expect(fused.rows.map(\.id) == [2, 3])
            #expect(fused.rows.map(\.ranks) == [[1], [2]])
        }
    }

    @Test func absurdNumbersGiveFiniteScores() {
        let most = Double.greatestFiniteMagnitude
        let rows: [(Int64, Double)] = [(1, -most), (2, 0), (3, .leastNonzeroMagnitude), (4, most)]
        for weight in [Double.nan, -1, 0, 1, .infinity] {
            let lists = [list(rows, weight: weight), list(rows.reversed(), weight: weight, largerIsBetter: true)]
            for constant in [Double.nan, -1, 0, most, .infinity] {
                let fused = Fusion.reciprocalRank(lists, constant: constant, limit: .max)
                #expect(fused.rows.count == 4 && fused.rows.allSatisfy { $0.score.isFinite && $0.score >= 0 })
            }
            let fused = Fusion.normalisedScoreSum(lists, limit: .max)
            #expect(fused.rows.allSatisfy { (0...2 * Fusion.highestWeight).contains($0.score) })
            #expect(Fusion.normalisedScoreSum(lists, limit: .min).rows.isEmpty)
        }
        #expect(Fusion.reciprocalRank([], limit: 3).rows.isEmpty)
    }

    // MARK: Against the definition

    private func lists(_ generator: inout SplitMix64) -> [Fusion.List] {
        (0..<Int.random(in: 0...4, using: &generator)).map { _ in
            let largerIsBetter = Bool.random(using: &generator)
            var keys: Set<[Int64]> = []
            for _ in 0..<Int.random(in: 0...40, using: &generator) {
                keys.insert([.random(in: 0...1, using: &generator), .random(in: 0...50, using: &generator)])
            }
            // Few distinct scores, so that ties are common.
            var rows = keys.sorted { ($0[0], $0[1]) < ($1[0], $1[1]) }.map { key in
                let score = Double(Int.random(in: -5...5, using: &generator))
                return Fusion.Row(collection: Int(key[0]), id: key[1], score: score)
            }
            rows.sort { largerIsBetter ? $0.score > $1.score : $0.score < $1.score }
            let weight = Double(Int.random(in: 0...4, using: &generator)) / 2
            return Fusion.List(rows: rows, weight: weight, largerIsBetter: largerIsBetter)
        }
    }

    private func expected(
        _ lists: [Fusion.List], limit: Int, _ share: (Fusion.List, Int) -> Double
    ) -> [Fusion.FusedRow] {
        let keys = Set(lists.flatMap { $0.rows.map { [Int64($0.collection), $0.id] } })
        let rows = keys.map { key in
            let places = lists.map { list in
                list.rows.firstIndex { $0.collection == Int(key[0]) && $0.id == key[1] }
            }
            let score = zip(lists, places).reduce(0.0) { sum, pair in
                sum + (pair.1.map { pair.0.weight * share(pair.0, $0) } ?? 0)
            }
            return (key: key, score: score, ranks: places.map { place in place.map { $0 + 1 } })
        }
        let ordered = rows.sorted { left, right in
            left.score != right.score
                ? left.score > right.score : left.key.lexicographicallyPrecedes(right.key)
        }
        // A fused row is made only by fusing; a list with the row alone gives one to fill in.
        return ordered.prefix(limit).compactMap { row in
            let alone = Fusion.List(rows: [Fusion.Row(collection: Int(row.key[0]), id: row.key[1], score: 0)])
            guard var made = Fusion.reciprocalRank([alone], limit: 1).rows.first else { return nil }
            made.score = row.score
            made.ranks = row.ranks
            return made
        }
    }

    @Test(arguments: 0..<300)
    func equalsTheDefinition(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        let lists = lists(&generator)
        let limit = Int.random(in: 0...60, using: &generator)
        let constant = Double(Int.random(in: 0...100, using: &generator))
        let byRank = Fusion.reciprocalRank(lists, constant: constant, limit: limit)
        #expect(byRank.rows == expected(lists, limit: limit) { _, place in 1 / (constant + Double(place + 1)) })
        let byScore = Fusion.normalisedScoreSum(lists, limit: limit)
        let definition = expected(lists, limit: limit) { list, place in
            let scores = list.rows.map(\.score)
            guard let lowest = scores.min(), let highest = scores.max(), lowest < highest else { return 1 }
            let part = list.largerIsBetter ? scores[place] - lowest : highest - scores[place]
            return part / (highest - lowest)
        }
        #expect(byScore.rows == definition)
        #expect(byRank.refused == 0 && byScore.refused == 0)
    }
}
