import SluiceCore
import Testing

@Suite struct TraceSamplerTests {
    private var random = SplitMix64(seed: 11)
    private let start = Instant(nanoseconds: 0)

    @Test mutating func theClientsWordIsKept() {
        var sampler = TraceSampler(share: 1, spansPerSecond: 1_000, now: start)
        let unrecorded = sampler.takes(isRecorded: false, now: start, using: &random)
        let recorded = sampler.takes(isRecorded: true, now: start, using: &random)
        #expect(!unrecorded && recorded)
        var none = TraceSampler(share: 0, spansPerSecond: 1_000, now: start)
        let withoutTrace = none.takes(isRecorded: nil, now: start, using: &random)
        let withTrace = none.takes(isRecorded: true, now: start, using: &random)
        #expect(!withoutTrace && withTrace)
    }

    @Test mutating func aShareOfTheOthersIsTaken() {
        var sampler = TraceSampler(share: 0.25, spansPerSecond: 100_000, now: start)
        var taken = 0
        for _ in 0..<10_000 where sampler.takes(isRecorded: nil, now: start, using: &random) { taken += 1 }
        #expect((2_300...2_700).contains(taken))
    }

    @Test mutating func noClientCanHaveMoreSpansThanMayBe() {
        var sampler = TraceSampler(share: 0, spansPerSecond: 100, now: start)
        var requests = 0
        // Ten seconds of a thousand requests each, with five spans each.
        for step in 0..<10_000 {
            let now = start.advanced(by: .milliseconds(step))
            guard sampler.takes(isRecorded: true, now: now, using: &random) else { continue }
            requests += 1
            for _ in 1..<5 { sampler.began(now: now) }
        }
        // A second's worth is there at the start.
        #expect((200...225).contains(requests), "\(requests) requests of 5 spans")
    }
}
