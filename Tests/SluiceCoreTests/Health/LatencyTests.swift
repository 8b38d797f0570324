import SluiceCore
import Testing

@Suite struct LatencyWindowTests {
    private static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test func saysNothingBeforeTwentyValues() {
        var window = LatencyWindow()
        for _ in 0..<19 { window.record(.milliseconds(10), now: Self.at(0)) }
        #expect(window.quantile(0.95, now: Self.at(0)) == nil)
        window.record(.milliseconds(10), now: Self.at(0))
        #expect(window.quantile(0.95, now: Self.at(0)) != nil)
    }

    @Test(arguments: 0..<50)
    func isWithinATenthOfTheTruth(seed: UInt64) throws {
        var generator = SplitMix64(seed: seed)
        var window = LatencyWindow()
        var values: [Int64] = []
        let magnitude = Int64(1) << Int64.random(in: 11...34, using: &generator)
        for _ in 0..<2_000 {
            let value = magnitude + Int64.random(in: 0...magnitude, using: &generator)
            values.append(value)
            window.record(.nanoseconds(value), now: Self.at(0))
        }
        values.sort()
        for quantile in [0, 0.1, 0.5, 0.95, 0.99, 1] {
            let truth = Double(values[max(0, Int((quantile * 2_000).rounded(.up)) - 1)])
            let quantile = window.quantile(quantile, now: Self.at(0))
            let found = Double(try #require(quantile).nanoseconds)
            #expect(abs(found - truth) <= 0.0625 * truth + 1)
        }
    }

    @Test func isFoundAnewAfterSomeValues() throws {
        var window = LatencyWindow()
        for _ in 0..<20 { window.record(.milliseconds(10), now: Self.at(0)) }
        let before = window.quantile(0.5, now: Self.at(0))
        for _ in 0..<31 { window.record(.milliseconds(100), now: Self.at(0)) }
        #expect(window.quantile(0.5, now: Self.at(0)) == before)
        window.record(.milliseconds(100), now: Self.at(0))
        let after = window.quantile(0.5, now: Self.at(0))
        #expect(try #require(after) > .milliseconds(90))
    }

    @Test func theOldIsForgotten() throws {
        var window = LatencyWindow()
        for _ in 0..<100 { window.record(.seconds(1), now: Self.at(0)) }
        for _ in 0..<100 { window.record(.milliseconds(1), now: Self.at(15_000)) }
        #expect(window.count == 200)
        for _ in 0..<100 { window.record(.milliseconds(1), now: Self.at(30_000)) }
        #expect(window.count == 200)
        let highest = window.quantile(1, now: Self.at(30_000))
        #expect(try #require(highest) < .milliseconds(2))
        #expect(window.quantile(0.5, now: Self.at(60_000)) == nil, "nothing was heard for two halves")
    }

    @Test func manyValuesPushOutTheOldOnes() throws {
        var window = LatencyWindow()
        for _ in 0..<2_048 { window.record(.milliseconds(1), now: Self.at(0)) }
        for _ in 0..<4_096 { window.record(.milliseconds(50), now: Self.at(1)) }
        let lowest = window.quantile(0, now: Self.at(1))
        #expect(try #require(lowest) > .milliseconds(40))
        #expect(window.count <= 4_096)
    }

    @Test(arguments: [Int64.min, -1, 0, .max])
    func noInputTrapsIt(nanoseconds: Int64) {
        var window = LatencyWindow()
        for _ in 0..<3_000 {
            window.record(.nanoseconds(nanoseconds), now: Instant(nanoseconds: nanoseconds))
            window.record(.seconds(nanoseconds), now: Instant(nanoseconds: .max))
        }
        for quantile in [.nan, -1, 2, Double.infinity] {
            let value = window.quantile(quantile, now: Instant(nanoseconds: .max))
            #expect(value.map { $0 > .zero && $0 < .seconds(70) } != false)
        }
    }
}

@Suite struct HedgePolicyTests {
    private let now = Instant(nanoseconds: 0)

    private func window(_ latency: Duration) -> LatencyWindow {
        var window = LatencyWindow()
        for _ in 0..<20 { window.record(latency, now: now) }
        return window
    }

    @Test func hedgesAfterTheUsualTimeWithinBounds() throws {
        let policy = HedgePolicy()
        var (fast, usual, slow) = (window(.microseconds(100)), window(.milliseconds(20)), window(.seconds(20)))
        #expect(policy.delay(from: &fast, now: now) == .milliseconds(2))
        let found = policy.delay(from: &usual, now: now)
        let delay = try #require(found)
        #expect(delay > .milliseconds(18) && delay < .milliseconds(22))
        #expect(policy.delay(from: &slow, now: now) == .seconds(1))
        var unknown = LatencyWindow()
        #expect(policy.delay(from: &unknown, now: now) == nil)
    }

    @Test func notWhenOffAndNotToALoadedBackend() {
        var policy = HedgePolicy()
        #expect(policy.allowsHedge(load: 8, capacity: 10))
        #expect(!policy.allowsHedge(load: 9, capacity: 10))
        #expect(!policy.allowsHedge(load: 0, capacity: 0))
        #expect(policy.allowsHedge(load: .min, capacity: .max))
        policy.isEnabled = false
        var usual = window(.milliseconds(20))
        #expect(policy.delay(from: &usual, now: now) == nil)
        #expect(!policy.allowsHedge(load: 0, capacity: 10))
    }
}

@Suite struct PeakEWMATests {
    private static func at(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    private func warm(_ latency: Duration) -> PeakEWMA {
        var machine = PeakEWMA(now: Self.at(-20_000))
        machine.record(latency, now: Self.at(0))
        return machine
    }

    @Test func jumpsUpAtOnceAndComesDownSlowly() throws {
        var machine = warm(.milliseconds(10))
        machine.record(.milliseconds(200), now: Self.at(1))
        #expect(machine.latency(now: Self.at(1)) == .milliseconds(200))
        machine.record(.milliseconds(10), now: Self.at(1))
        #expect(machine.latency(now: Self.at(1)) == .milliseconds(200), "no time has passed")
        machine.record(.milliseconds(10), now: Self.at(10_001))
        let later = try #require(machine.latency(now: Self.at(10_001)))
        // 200/e + 10 × (1 - 1/e)
        #expect(later > .microseconds(79_800) && later < .microseconds(80_000))
    }

    @Test func fadesWhileNothingIsHeard() throws {
        let machine = warm(.milliseconds(100))
        let later = try #require(machine.latency(now: Self.at(20_000)))
        #expect(later > .microseconds(13_530) && later < .microseconds(13_540), "100 ms / e²")
        #expect(machine.cost(inFlight: 0, now: Instant(nanoseconds: .max)) == 1)
    }

    @Test func costsMoreWithMoreInFlight() {
        let machine = warm(.milliseconds(10))
        #expect(machine.cost(inFlight: 0, now: Self.at(0)) == 1e7)
        #expect(machine.cost(inFlight: 3, now: Self.at(0)) == 4e7)
    }

    @Test func anUnknownOneIsAskedOnceAndThenPenalised() {
        let unknown = PeakEWMA(now: Self.at(0))
        let known = warm(.milliseconds(10))
        #expect(unknown.cost(inFlight: 0, now: Self.at(0)) < known.cost(inFlight: 0, now: Self.at(0)))
        #expect(unknown.cost(inFlight: 1, now: Self.at(0)) > known.cost(inFlight: 50, now: Self.at(0)))
    }

    @Test func aRecoveredOneStartsSlowly() {
        var machine = warm(.milliseconds(10))
        machine.recovered(now: Self.at(0))
        machine.record(.milliseconds(10), now: Self.at(0))
        #expect(machine.cost(inFlight: 0, now: Self.at(0)) == 1e8)
        machine.record(.milliseconds(10), now: Self.at(5_000))
        #expect(abs(machine.cost(inFlight: 0, now: Self.at(5_000)) - 2e7) < 10)
        machine.record(.milliseconds(10), now: Self.at(10_000))
        #expect(abs(machine.cost(inFlight: 0, now: Self.at(10_000)) - 1e7) < 10)
    }

    @Test func anAttemptThatWasGivenUpOnlyRaises() {
        var machine = warm(.milliseconds(10))
        machine.recordAtLeast(.milliseconds(5), now: Self.at(0))
        #expect(machine.latency(now: Self.at(0)) == .milliseconds(10))
        machine.recordAtLeast(.milliseconds(50), now: Self.at(0))
        #expect(machine.latency(now: Self.at(0)) == .milliseconds(50))
    }

    @Test(arguments: 0..<100)
    func isPositiveAndFiniteWhateverHappens(seed: UInt64) {
        var generator = SplitMix64(seed: seed)
        var configuration = PeakEWMA.Configuration()
        if seed % 2 == 0 { configuration.decay = .nanoseconds(Int64.random(in: .min ... .max, using: &generator)) }
        if seed % 3 == 0 { configuration.slowStart = .seconds(Int64.random(in: .min ... .max, using: &generator)) }
        var machine = PeakEWMA(configuration, now: Instant(nanoseconds: .random(in: .min ... .max, using: &generator)))
        for _ in 0..<500 {
            let now = Instant(nanoseconds: .random(in: .min ... .max, using: &generator))
            let latency = Duration.nanoseconds(Int64.random(in: .min ... .max, using: &generator))
            switch Int.random(in: 0..<4, using: &generator) {
            case 0: machine.recovered(now: now)
            case 1: machine.recordAtLeast(latency, now: now)
            default: machine.record(latency, now: now)
            }
            for inFlight in [Int.min, -1, 0, 1, .max] {
                let cost = machine.cost(inFlight: inFlight, now: now)
                #expect(cost > 0 && cost.isFinite)
            }
        }
    }
}
