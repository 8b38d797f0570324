/// Makes one ranking of several: of a vector search and a text search, or of searches with several vectors. Each list
/// is already merged over the shards, best first.
///
/// A row whose score is not finite is refused and counted, and so is a row that its list has had before; neither takes
/// a rank. What a list does not have gets nothing from it.
public enum Fusion {
    /// Cormack, Clarke and Büttcher found 60 good and not critical.
    public static let defaultConstant = 60.0
    public static let highestWeight = 1e6

    public struct Row: Hashable, Sendable {
        /// The collection's place in the order of the names asked for.
        public var collection: Int
        public var id: Int64
        public var score: Double

        public init(collection: Int, id: Int64, score: Double) {
            self.collection = collection
            self.id = id
            self.score = score
        }
    }

    public struct List: Hashable, Sendable {
        /// Best first.
        public var rows: [Row]
        /// 0...`highestWeight`; less, or not a number, counts as 0.
        public var weight: Double
        /// True for a text's rank, false for a vector's distance.
        public var largerIsBetter: Bool

        public init(rows: [Row], weight: Double = 1, largerIsBetter: Bool = false) {
            self.rows = rows
            self.weight = weight
            self.largerIsBetter = largerIsBetter
        }
    }

    public struct FusedRow: Hashable, Sendable {
        public var collection: Int
        public var id: Int64
        /// Larger is better; finite and not negative.
        public var score: Double
        /// Its rank in each list, from 1; nil where it is not.
        public var ranks: [Int?]

        /// The total order of a fused list: score, then collection, then id.
        static func precedes(_ left: FusedRow, _ right: FusedRow) -> Bool {
            if left.score != right.score { return left.score > right.score }
            return (left.collection, left.id) < (right.collection, right.id)
        }
    }

    public struct Outcome: Hashable, Sendable {
        /// Best first.
        public var rows: [FusedRow]
        /// Rows that were left out, over all lists.
        public var refused: Int
    }

    /// Reciprocal rank fusion: a row's score is the sum of weight / (constant + rank) over the lists that have it.
    ///
    /// Source: Cormack, Clarke, Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank Learning
    /// Methods", SIGIR 2009.
    /// - Parameters:
    ///   - constant: 0 or more: the larger, the less the first ranks stand out. Not finite, or less, counts as 60.
    ///   - limit: rows wanted.
    public static func reciprocalRank(
        _ lists: [List], constant: Double = defaultConstant, limit: Int
    ) -> Outcome {
        let constant = constant.isFinite && constant >= 0 ? constant : defaultConstant
        return fuse(lists, limit: limit) { _ in { rank, _ in 1 / (constant + Double(rank)) } }
    }

    /// A row's score is the weighted sum of its scores, each list's brought to 0...1 by its own worst and best: the
    /// last row of a list gets 0 from it, like one that it does not have. In a list of equal scores all get 1.
    ///
    /// Source: Fox, Shaw, "Combination of Multiple Searches", TREC-2, 1994 (CombSUM); min-max normalisation from Lee,
    /// "Analyses of Multiple Evidence Combination", SIGIR 1997.
    /// - Parameter limit: rows wanted.
    public static func normalisedScoreSum(_ lists: [List], limit: Int) -> Outcome {
        fuse(lists, limit: limit) { list in
            let scores = list.rows.lazy.map(\.score).filter(\.isFinite)
            let (lowest, highest) = (scores.min() ?? 0, scores.max() ?? 0)
            // In halves, as the whole span can be more than a Double holds.
            let span = highest / 2 - lowest / 2
            guard span > 0 else { return { _, _ in 1 } }
            if list.largerIsBetter { return { _, score in (score / 2 - lowest / 2) / span } }
            return { _, score in (highest / 2 - score / 2) / span }
        }
    }

    private struct RowKey: Hashable {
        var collection: Int
        var id: Int64
    }

    /// - Parameter share: makes, for a list, what gives a row of a rank and score its share, before the weight.
    private static func fuse(
        _ lists: [List], limit: Int, _ share: (List) -> (_ rank: Int, _ score: Double) -> Double
    ) -> Outcome {
        var fused: [FusedRow] = []
        var places: [RowKey: Int] = [:]
        var refused = 0
        for (place, list) in lists.enumerated() {
            let share = share(list)
            let weight = list.weight.isNaN ? 0 : min(max(list.weight, 0), highestWeight)
            var rank = 0
            for row in list.rows {
                let key = RowKey(collection: row.collection, id: row.id)
                let known = places[key]
                guard row.score.isFinite, known.map({ fused[$0].ranks[place] == nil }) ?? true else {
                    refused += 1
                    continue
                }
                rank += 1
                let at = known ?? fused.count
                if known == nil {
                    places[key] = at
                    let ranks = [Int?](repeating: nil, count: lists.count)
                    fused.append(FusedRow(collection: row.collection, id: row.id, score: 0, ranks: ranks))
                }
                fused[at].ranks[place] = rank
                fused[at].score += weight * share(rank, row.score)
            }
        }
        fused.sort(by: FusedRow.precedes)
        return Outcome(rows: Array(fused.prefix(max(0, limit))), refused: refused)
    }
}
