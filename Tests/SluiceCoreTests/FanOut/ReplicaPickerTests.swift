import SluiceCore
import Testing

@Suite struct ReplicaPickerTests {
    private func pick(
        _ candidates: [ReplicaCandidate], allowIneligible: Bool = false, seed: UInt64 = 0
    ) -> Int? {
        var generator = SplitMix64(seed: seed)
        return ReplicaPicker.pick(count: candidates.count, allowIneligible: allowIneligible, using: &generator) {
            candidates[$0]
        }
    }

    private func shares(of candidates: [ReplicaCandidate]) -> [Double] {
        var generator = SplitMix64(seed: 7)
        var hits = Array(repeating: 0.0, count: candidates.count)
        for _ in 0..<10_000 {
            let place = ReplicaPicker.pick(count: candidates.count, using: &generator) { candidates[$0] }
            if let place { hits[place] += 1 / 10_000 }
        }
        return hits
    }

    @Test func takesTheCheaperOfTwo() {
        let candidates = [ReplicaCandidate(isEligible: true, cost: 100), ReplicaCandidate(isEligible: true, cost: 10)]
        for seed: UInt64 in 0..<100 { #expect(pick(candidates, seed: seed) == 1) }
    }

    @Test func neverTakesTheDearestOfMany() {
        let shares = shares(of: [1, 10, 100, 1_000].map { ReplicaCandidate(isEligible: true, cost: $0) })
        #expect(shares[3] == 0 && abs(shares[0] - 0.5) < 0.03 && abs(shares[2] - 1.0 / 6) < 0.03)
    }

    @Test func spreadsOverThoseThatCostAboutTheSame() {
        let shares = shares(of: [10, 11, 12].map { ReplicaCandidate(isEligible: true, cost: $0) })
        for share in shares { #expect(abs(share - 1.0 / 3) < 0.03) }
    }

    @Test(arguments: [[1, 3], [1, 2, 7], [5, 5]])
    func honoursWeights(weights: [Int]) {
        let shares = shares(of: weights.map { ReplicaCandidate(isEligible: true, weight: $0, cost: 10) })
        for (share, weight) in zip(shares, weights) {
            #expect(abs(share - Double(weight) / Double(weights.reduce(0, +))) < 0.03)
        }
    }

    @Test func aWeightOfZeroIsForWhenThereIsNoOther() {
        let spare = ReplicaCandidate(isEligible: true, weight: 0, cost: 10)
        #expect(shares(of: [spare, ReplicaCandidate(isEligible: true, weight: 1, cost: 10)]).first == 0)
        #expect(abs(shares(of: [spare, spare])[0] - 0.5) < 0.03)
    }

    @Test func aLowerTierComesFirstHoweverDear() {
        var candidates = [
            ReplicaCandidate(isEligible: true, tier: 1, cost: 1),
            ReplicaCandidate(isEligible: true, tier: 0, cost: 1e9),
            ReplicaCandidate(isEligible: true, tier: 2, cost: 0),
        ]
        for seed: UInt64 in 0..<50 { #expect(pick(candidates, seed: seed) == 1) }
        candidates[1].isEligible = false
        for seed: UInt64 in 0..<50 { #expect(pick(candidates, seed: seed) == 0) }
        candidates[0].wasTried = true
        for seed: UInt64 in 0..<50 { #expect(pick(candidates, seed: seed) == 2) }
    }

    @Test func anIneligibleOneOnlyIfAllowedAndATriedOneNever() {
        var candidates = [
            ReplicaCandidate(isEligible: false, tier: 1, cost: 1),
            ReplicaCandidate(isEligible: true, wasTried: true, cost: 1),
        ]
        #expect(pick(candidates) == nil)
        #expect(pick(candidates, allowIneligible: true) == 0)
        candidates[0].wasTried = true
        #expect(pick(candidates, allowIneligible: true) == nil)
        candidates[1].wasTried = false
        #expect(pick(candidates, allowIneligible: true) == 1, "an eligible one goes first")
    }

    @Test(arguments: 0..<300)
    func whatItPicksIsAlwaysOneOfTheBestTier(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        let candidates = (0..<Int.random(in: 0...70, using: &generator)).map { _ in
            ReplicaCandidate(
                isEligible: .random(using: &generator), wasTried: Int.random(in: 0..<4, using: &generator) == 0,
                tier: .random(in: 0...3, using: &generator), weight: .random(in: -1...100, using: &generator),
                cost: [.nan, .infinity, -1, 0, 1, 1e300].randomElement(using: &generator) ?? 0)
        }
        let usable = candidates.prefix(64).filter { $0.isEligible && !$0.wasTried }
        let picked = pick(candidates, seed: seed).map { candidates[$0] }
        #expect((picked == nil) == usable.isEmpty)
        #expect(picked?.isEligible != false && picked?.wasTried != true)
        #expect(picked?.tier == usable.map(\.tier).min())
    }

    @Test func noneAndOneAndAbsurdNumbers() {
        var generator = SplitMix64(seed: 0)
        let one = ReplicaCandidate(isEligible: true, tier: .max, weight: .max, cost: .nan)
        #expect(pick([]) == nil)
        #expect(pick([one]) == 0)
        #expect(pick([one, one, one]) != nil)
        #expect(ReplicaPicker.pick(count: .min, using: &generator) { _ in one } == nil)
        #expect(ReplicaPicker.pick(count: .max, using: &generator) { _ in one }.map { $0 < 64 } == true)
    }
}
