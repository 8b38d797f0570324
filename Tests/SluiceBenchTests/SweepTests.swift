import SluiceBench
import Testing

@Suite struct SweepTests {
    static func run(
        rate: Double, throughput: Double, errors: [String: Int] = [:], p99: Int = 1_000, asked: Double? = nil
    ) -> Measurement.Run {
        let latency = Measurement.Latency(
            count: 1, mean: 1, p50: 1, p90: 1, p99: p99, p999: p99, p9999: p99, max: p99, curve: [])
        var run = Measurement.Run(
            target: "gateway", rate: rate, inFlight: 1, seconds: 1, throughput: throughput, answered: Int(throughput),
            errors: errors, late: 0, partial: 0, latency: latency, busy: nil, kinds: [:], legs: [], timeline: [],
            faults: [])
        run.askedPerSecond = asked
        return run
    }

    @Test func ratesRiseByTheSameFactorAndEndWhereTheyAreAskedTo() throws {
        let rates = try RateSweep(parsing: "100:1600:5").rates
        for (rate, expected) in zip(rates, [100.0, 200, 400, 800, 1_600]) { #expect(abs(rate - expected) < 1e-6) }
        #expect(rates.count == 5 && rates.last == 1_600)
        #expect(try RateSweep(parsing: "1:2").rates.count == RateSweep.defaultSteps)
    }

    @Test(arguments: ["", "100", "100:50", "100:100", "0:10", "1:10:1", "1:10:101", "1:10:3:4", "a:b", "1:1e9"])
    func whatIsNoSweepIsRefused(text: String) {
        #expect(throws: RateSweep.Problem.self) { try RateSweep(parsing: text) }
    }

    @Test func theKneeIsTheHighestRateBeforeTheFirstThatWasTooMuch() {
        let runs = [
            (100.0, Self.run(rate: 100, throughput: 99.9)), (200, Self.run(rate: 200, throughput: 196.1)),
            (400, Self.run(rate: 400, throughput: 391)), (800, Self.run(rate: 800, throughput: 799)),
        ].map { (rate: $0.0, runs: [$0.1]) }
        let knee = KneeRule().knee(runs)
        #expect(knee?.rate == 200)
        #expect(knee?.reason == "at 400/s 391/s were answered of 400/s")
        #expect(KneeRule().knee(Array(runs[..<2]))?.reason == "no rate of the sweep was too much")
        #expect(KneeRule().knee(Array(runs[2...])) == nil)
    }

    @Test func errorsAndSlowAnswersAreTooMuch() throws {
        let failing = Self.run(rate: 100, throughput: 100, errors: ["busy": 2])
        #expect(KneeRule().objection(to: failing)?.contains("2.0 %") == true)
        #expect(KneeRule().objection(to: Self.run(rate: 100, throughput: 100, errors: ["busy": 1])) == nil)
        let slow = Self.run(rate: 100, throughput: 100, p99: 20_001)
        #expect(KneeRule().objection(to: slow) == nil)
        #expect(KneeRule(mostP99: 20_000).objection(to: slow) == "p99 was 20,001 µs, above 20,000 µs")
    }

    /// Arrivals are random: fewer than the rate may have been asked for.
    @Test func whatWasNotAskedIsNotMissed() {
        #expect(KneeRule().objection(to: Self.run(rate: 100, throughput: 95, asked: 95)) == nil)
        #expect(KneeRule().objection(to: Self.run(rate: 100, throughput: 95, asked: 105)) != nil)
    }

    @Test func halfOfTheRepeatsThatFailAreEnoughToDoubtARate() {
        let (good, bad) = (Self.run(rate: 100, throughput: 100), Self.run(rate: 100, throughput: 50))
        #expect(KneeRule().objection(to: [good, good, bad]) == nil)
        #expect(KneeRule().objection(to: [good, bad]) != nil)
        #expect(KneeRule().objection(to: [bad, bad, good]) != nil)
    }
}
