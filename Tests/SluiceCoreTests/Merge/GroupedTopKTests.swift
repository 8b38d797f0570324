import SluiceCore
import Testing

@Suite struct GroupedTopKTests {
    private func candidate(_ distance: Double, _ id: Int64, leg: Int = 0) -> Candidate {
        Candidate(distance: distance, collection: 0, id: id, leg: leg, row: 0)
    }

    /// The answer by sorting everything.
    private func expected(
        _ offers: [(Candidate, [UInt8]?)], groups: Int, perGroup: Int
    ) -> [(key: [UInt8]?, candidates: [Candidate])] {
        var seen: Set<[Int64]> = []
        var answer: [(key: [UInt8]?, candidates: [Candidate])] = []
        for (candidate, key) in offers.sorted(by: { Candidate.precedes($0.0, $1.0) }) {
            guard seen.insert([Int64(candidate.collection), candidate.id]).inserted else { continue }
            if let place = answer.firstIndex(where: { $0.key == key }) {
                if answer[place].candidates.count < perGroup { answer[place].candidates.append(candidate) }
            } else if answer.count < groups {
                answer.append((key: key, candidates: [candidate]))
            }
        }
        return perGroup > 0 ? answer : []
    }

    private func offers(_ generator: inout SplitMix64) -> [(Candidate, [UInt8]?)] {
        let values = UInt8.random(in: 1...60, using: &generator)
        return (0..<Int.random(in: 0...400, using: &generator)).map { row in
            let id = Int64.random(in: 0...300, using: &generator)
            let candidate = Candidate(
                distance: Double(Int.random(in: 0...50, using: &generator)), collection: 0, id: id,
                leg: .random(in: 0...3, using: &generator), row: row)
            let value = UInt8(UInt64(bitPattern: id) % UInt64(values))
            return (candidate, value == 0 ? nil : [UInt8](repeating: 7, count: Int(value)))
        }
    }

    @Test func groupsComeByTheirBest() {
        var merge = GroupedTopK(groups: 2, perGroup: 2)
        for (distance, id, key) in [(5, 1, 1), (4, 2, 2), (3, 3, 3), (6, 4, 3), (7, 5, 3), (1, 6, 1)] {
            merge.offer(candidate(Double(distance), Int64(id)), key: [UInt8(key)])
        }
        let answer = merge.finish()
        #expect(answer.groups.map(\.key) == [[1], [3]])
        #expect(answer.groups.map { $0.candidates.map(\.id) } == [[6, 1], [3, 4]])
        #expect(answer.isExact)
    }

    @Test func nullIsAGroupAndNotTheEmptyValue() {
        var merge = GroupedTopK(groups: 3, perGroup: 1)
        merge.offer(candidate(2, 1), key: nil)
        merge.offer(candidate(1, 2), key: [])
        merge.offer(candidate(3, 3), key: nil)
        #expect(merge.finish().groups.map(\.key) == [[], nil])
    }

    @Test func aRowThatTwoShardsHoldIsKeptOnceAtItsNearest() {
        var merge = GroupedTopK(groups: 1, perGroup: 3)
        for (distance, id) in [(0.3, 1), (0.2, 1), (0.4, 1), (0.4, 2)] {
            merge.offer(candidate(distance, Int64(id)), key: [1])
        }
        #expect(merge.finish().groups.first?.candidates.map(\.distance) == [0.2, 0.4])
    }

    @Test func aRowUnderTwoValuesIsWhereItIsNearest() {
        var merge = GroupedTopK(groups: 2, perGroup: 1)
        merge.offer(candidate(0.3, 1), key: [1])
        merge.offer(candidate(0.2, 1), key: [2])
        merge.offer(candidate(0.4, 2), key: [3])
        #expect(merge.finish().groups.map(\.key) == [[2], [3]])
    }

    @Test func notANumberIsCounted() {
        var merge = GroupedTopK(groups: 1, perGroup: 1)
        merge.offer(candidate(.nan, 1), key: nil)
        merge.offer(candidate(.infinity, 2), key: nil)
        #expect(merge.unordered == 1)
        #expect(merge.finish().groups.first?.candidates.map(\.id) == [2])
    }

    @Test(arguments: [(0, 3), (3, 0), (Int.min, Int.min), (Int.max, Int.max)])
    func noBoundTrapsIt(groups: Int, perGroup: Int) {
        for held in [Int.min, 0, .max] {
            var merge = GroupedTopK(groups: groups, perGroup: perGroup, groupsHeld: held)
            merge.offer(candidate(1, 1), key: nil)
            #expect(merge.finish().groups.count == (min(groups, perGroup) > 0 ? 1 : 0))
        }
    }

    @Test(arguments: 0..<300)
    func equalsSortingEverything(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        let offers = offers(&generator)
        let groups = Int.random(in: 1...12, using: &generator)
        let perGroup = Int.random(in: 1...6, using: &generator)
        var merge = GroupedTopK(groups: groups, perGroup: perGroup)
        for (candidate, key) in offers { merge.offer(candidate, key: key) }
        let answer = merge.finish()
        let expected = expected(offers, groups: groups, perGroup: perGroup)
        #expect(answer.isExact)
        #expect(answer.groups.map(\.key) == expected.map(\.key))
        #expect(answer.groups.map(\.candidates) == expected.map(\.candidates))
    }

    @Test(arguments: 0..<300)
    func whatIsHeldIsBoundedAndTheAnswerSaysWhatThatCost(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        let offers = offers(&generator)
        let groups = Int.random(in: 1...4, using: &generator)
        let perGroup = Int.random(in: 1...4, using: &generator)
        let held = groups + Int.random(in: 0...4, using: &generator)
        var merge = GroupedTopK(groups: groups, perGroup: perGroup, groupsHeld: held)
        for (candidate, key) in offers {
            merge.offer(candidate, key: key)
            #expect(merge.candidatesHeld <= 2 * held * perGroup)
        }
        let answer = merge.finish()
        let expected = expected(offers, groups: groups, perGroup: perGroup)
        #expect(answer.groups.map(\.key) == expected.map(\.key))
        #expect(answer.groups.map(\.candidates.first) == expected.map(\.candidates.first))
        if answer.isExact { #expect(answer.groups.map(\.candidates) == expected.map(\.candidates)) }
    }
}
