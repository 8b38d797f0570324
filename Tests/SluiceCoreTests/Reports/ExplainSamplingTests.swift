import SluiceCore
import Testing

@Suite struct ExplainSamplingTests {
    private func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test func oneInSoManyIsExplained() {
        var random = SplitMix64(seed: 7)
        var sampling = ExplainSampling(oneIn: 20)
        var explained = 0
        for second in 0..<Int64(10_000) {
            guard sampling.slowSearchEnded(now: at(1_000 * second), using: &random) else { continue }
            explained += 1
            sampling.ended()
        }
        #expect((400...600).contains(explained), "\(explained) of 10000")
    }

    @Test func oneInOneIsEach() {
        var random = SplitMix64(seed: 7)
        var sampling = ExplainSampling(oneIn: 1)
        for second in 0..<Int64(100) {
            #expect(sampling.slowSearchEnded(now: at(1_000 * second), using: &random))
            sampling.ended()
        }
    }

    @Test func noneIsExplainedIfNoneIsAskedFor() {
        var random = SplitMix64(seed: 7)
        var sampling = ExplainSampling(oneIn: 0)
        for second in 0..<Int64(1_000) {
            #expect(!sampling.slowSearchEnded(now: at(1_000 * second), using: &random))
        }
    }

    /// Whatever comes meanwhile is not kept for later either.
    @Test func oneAtATimeAndOneASecond() {
        var random = SplitMix64(seed: 7)
        var sampling = ExplainSampling(oneIn: 1)
        #expect(sampling.slowSearchEnded(now: at(0), using: &random))
        #expect(!sampling.slowSearchEnded(now: at(5_000), using: &random), "the first one is still at it")
        sampling.ended()
        #expect(sampling.slowSearchEnded(now: at(5_000), using: &random))
        sampling.ended()
        #expect(!sampling.slowSearchEnded(now: at(5_999), using: &random))
        #expect(sampling.slowSearchEnded(now: at(6_000), using: &random))
    }
}
