import SluiceCore
import Testing

@Suite struct CutShortTests {
    private func row(_ distance: Double, _ id: Int64 = 1, collection: Int = 0) -> Candidate {
        Candidate(distance: distance, collection: collection, id: id, leg: 0, row: 0)
    }

    private func isCutShort(
        asked: Int = 3, returned: Int = 3, furthest: Candidate?, bound: Candidate?, ordersTies: Bool = false
    ) -> Bool {
        let leg = ShardQuota.Leg(asked: asked, returned: returned, furthest: furthest)
        return ShardQuota.mayBeCutShort([leg], k: 10, bound: bound, ordersTies: ordersTies) == [0]
    }

    @Test func aLegBehindTheEndIsNot() {
        #expect(!isCutShort(furthest: row(2), bound: row(1)))
        #expect(isCutShort(furthest: row(1), bound: row(2)))
    }

    @Test func aLegThatHasNoMoreIsNot() {
        #expect(!isCutShort(returned: 2, furthest: row(1), bound: row(2)))
        #expect(!isCutShort(returned: 0, furthest: nil, bound: nil))
        #expect(!isCutShort(furthest: row(.nan), bound: row(2)), "what is not a number comes last")
    }

    @Test func aLegThatWasAskedForAllIsNot() {
        #expect(!isCutShort(asked: 10, returned: 10, furthest: row(1), bound: row(2)))
    }

    @Test func aShortListNeedsEveryLegThatHasMore() {
        let full = ShardQuota.Leg(asked: 3, returned: 3, furthest: row(1))
        let ended = ShardQuota.Leg(asked: 3, returned: 1, furthest: row(1))
        #expect(ShardQuota.mayBeCutShort([full, ended, full], k: 10, bound: nil) == [0, 2])
    }

    @Test func amongEqualDistancesItDependsOnTheirOrder() {
        #expect(isCutShort(furthest: row(1, 7), bound: row(1, 5)), "an index may leave out id 4")
        #expect(!isCutShort(furthest: row(1, 7), bound: row(1, 5), ordersTies: true))
        #expect(isCutShort(furthest: row(1, 3), bound: row(1, 5), ordersTies: true))
        #expect(!isCutShort(furthest: row(1, 5), bound: row(1, 5), ordersTies: true), "the last row itself")
        #expect(!isCutShort(furthest: row(1, 3, collection: 1), bound: row(1, 5)))
        #expect(isCutShort(furthest: row(1, 7, collection: 0), bound: row(1, 5, collection: 1), ordersTies: true))
    }

    /// 10,000 placements by PostgreSQL's hash: after the repair each list is the one that asking all for k gives.
    @Test(arguments: 0..<20)
    func noListIsIncompleteAfterTheRepair(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        var (incompleteBefore, repaired) = (0, 0)
        for round in 0..<500 {
            let isDaring = round % 2 == 1
            let placement = Placement(probability: isDaring ? 0.6 : 0.9999, using: &generator)
            let full = placement.merged(limits: placement.all)
            let first = placement.merged(limits: placement.quotas)
            let again = placement.cutShort(first)
            var limits = placement.quotas
            for leg in again { limits[leg] = placement.k }
            #expect(placement.merged(limits: limits) == full, "seed \(seed), round \(round)")
            // Which of the rows of equal distance an index gives is chance, and not the quota's fault.
            guard first.map(\.distance) != full.map(\.distance) else { continue }
            if isDaring { repaired += 1 } else { incompleteBefore += 1 }
        }
        #expect(incompleteBefore <= 2, "one in 10,000")
        #expect(repaired > 0, "the repair has had something to do")
    }
}

/// Rows on shards, as each would return them.
private struct Placement {
    let k: Int
    let quotas: [Int]
    var all: [Int] { quotas.map { _ in k } }
    private var shards: [[Candidate]]
    private let ordersTies: Bool

    init(probability: Double, using generator: inout SplitMix64) {
        k = Int.random(in: 1...100, using: &generator)
        let count = Int.random(in: 1...16, using: &generator)
        ordersTies = .random(using: &generator)
        quotas = Array(repeating: ShardQuota.rows(k: k, shards: count, probability: probability), count: count)
        shards = Array(repeating: [], count: count)
        // At times there are fewer rows than wanted, and at times many of the same distance.
        let rows = Int.random(in: 0...4 * k, using: &generator)
        let distances = [3, rows, 1_000_000].randomElement(using: &generator) ?? rows
        var ids: Set<Int64> = []
        while ids.count < rows { ids.insert(.random(in: .min ... .max, using: &generator)) }
        let placement = HashPlacement(shardCount: count)
        for id in ids.sorted() {
            let leg = placement?.shard(of: id) ?? 0
            let distance = Double(Int.random(in: 0...distances, using: &generator))
            shards[leg].append(Candidate(distance: distance, collection: 0, id: id, leg: leg, row: 0))
        }
        for leg in shards.indices {
            if ordersTies {
                shards[leg].sort(by: Candidate.precedes)
            } else {
                shards[leg].shuffle(using: &generator)
                shards[leg].sort { $0.distance < $1.distance }
            }
        }
    }

    func merged(limits: [Int]) -> [Candidate] {
        var merge = TopKMerge(k: k)
        for (shard, limit) in zip(shards, limits) {
            for row in shard.prefix(limit) { merge.offer(row) }
        }
        return merge.finish()
    }

    func cutShort(_ merged: [Candidate]) -> [Int] {
        let legs = zip(shards, quotas).map { shard, quota in
            let rows = shard.prefix(quota)
            return ShardQuota.Leg(asked: quota, returned: rows.count, furthest: rows.last)
        }
        let bound = merged.count == k ? merged.last : nil
        return ShardQuota.mayBeCutShort(legs, k: k, bound: bound, ordersTies: ordersTies)
    }
}
