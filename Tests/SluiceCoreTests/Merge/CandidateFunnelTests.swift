import SluiceCore
import Testing

@Suite struct CandidateFunnelTests {
    private func candidate(_ distance: Double, _ id: Int64, leg: Int) -> Candidate {
        Candidate(distance: distance, collection: 0, id: id, leg: leg, row: 0)
    }

    @Test func theNearestOfAllShardsGoOn() {
        var funnel = CandidateFunnel(most: 3)
        for (distance, id, leg) in [(0.1, 1, 2), (0.5, 2, 2), (0.2, 3, 0), (0.3, 4, 2), (0.9, 5, 1)] {
            funnel.offer(candidate(distance, Int64(id), leg: leg))
        }
        funnel.offer(candidate(.nan, 6, leg: 1))
        #expect(funnel.bound == 0.3 && funnel.unordered == 1)
        let survivors = funnel.finish()
        #expect(survivors.map(\.leg) == [0, 2])
        #expect(survivors.map(\.ids) == [[3], [1, 4]])
    }

    @Test func aRowThatTwoLegsFoundGoesOnOnce() {
        var funnel = CandidateFunnel(most: 5)
        funnel.offer(candidate(0.2, 1, leg: 0))
        funnel.offer(candidate(0.1, 1, leg: 1))
        let survivors = funnel.finish()
        #expect(survivors.map(\.leg) == [1] && survivors.map(\.ids) == [[1]])
    }

    @Test func noneGoOnIfNoneAreWanted() {
        for most in [Int.min, 0] {
            var funnel = CandidateFunnel(most: most)
            funnel.offer(candidate(0.2, 1, leg: 0))
            #expect(funnel.finish().isEmpty)
        }
    }

    @Test(arguments: 0..<100)
    func equalsSortingEverything(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        let most = Int.random(in: 1...100, using: &generator)
        let coarse = (0..<Int64.random(in: 0...300, using: &generator)).map { id in
            candidate(
                Double(Int.random(in: 0...40, using: &generator)), id, leg: Int.random(in: 0...7, using: &generator))
        }
        var funnel = CandidateFunnel(most: most)
        for each in coarse.shuffled(using: &generator) { funnel.offer(each) }
        let nearest = coarse.sorted(by: Candidate.precedes).prefix(most)
        let survivors = funnel.finish()
        #expect(survivors.map(\.leg) == Set(nearest.map(\.leg)).sorted())
        for leg in survivors { #expect(leg.ids == nearest.filter { $0.leg == leg.leg }.map(\.id)) }
    }
}
