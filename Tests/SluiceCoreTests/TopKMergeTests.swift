import SluiceCore
import Testing

@Suite struct TopKMergeTests {
    private func candidate(_ distance: Double, _ collection: Int, _ id: Int64, leg: Int = 0, row: Int = 0) -> Candidate
    {
        Candidate(distance: distance, collection: collection, id: id, leg: leg, row: row)
    }

    @Test func equalDistancesAreOrderedByCollectionThenID() {
        var merge = TopKMerge(k: 4)
        for each in [candidate(1, 1, 3), candidate(1, 0, 9), candidate(1, 1, 2), candidate(0.5, 1, 7)] {
            merge.offer(each)
        }
        #expect(merge.finish().map(\.id) == [7, 9, 2, 3])
    }

    @Test func anythingOfferedToAnAnswerOfNoneIsIgnored() {
        var merge = TopKMerge(k: 0)
        merge.offer(candidate(1, 0, 1))
        #expect(merge.finish().isEmpty)
    }

    @Test func notANumberHasNoPlaceAndIsCounted() {
        var merge = TopKMerge(k: 2)
        merge.offer(candidate(.nan, 0, 1))
        merge.offer(candidate(.infinity, 0, 2))
        merge.offer(candidate(-.infinity, 0, 3))
        #expect(merge.unordered == 1)
        #expect(merge.finish().map(\.id) == [3, 2])
    }

    @Test func aRowThatTwoShardsHoldIsKeptOnceAtItsNearest() {
        var merge = TopKMerge(k: 2)
        merge.offer(candidate(0.3, 0, 1, leg: 0))
        merge.offer(candidate(0.2, 0, 1, leg: 1))
        merge.offer(candidate(0.4, 0, 2, leg: 0))
        let answer = merge.finish()
        #expect(answer.map(\.id) == [1, 2])
        #expect(answer.first?.distance == 0.2)
    }

    @Test(arguments: 0..<200)
    func equalsSortingEverything(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let count = Int.random(in: 0...300, using: &random)
        let k = Int.random(in: 1...60, using: &random)
        // Few distinct distances, so that ties are common; ids repeat between legs.
        let offered = (0..<count).map { row in
            candidate(
                Double(Int.random(in: 0...12, using: &random)), Int.random(in: 0...1, using: &random),
                Int64.random(in: 0...150, using: &random), leg: Int.random(in: 0...3, using: &random), row: row)
        }
        var merge = TopKMerge(k: k)
        for each in offered { merge.offer(each) }
        var seen: Set<[Int64]> = []
        let expected = offered.sorted(by: Candidate.precedes)
            .filter { seen.insert([Int64($0.collection), $0.id]).inserted }
            .prefix(k)
        #expect(merge.finish() == Array(expected), "seed \(seed)")
    }
}
