import SluiceBench
import Testing

@Suite struct ScheduleTests {
    private func arrivals(
        _ rate: Double, _ spacing: ArrivalSchedule.Spacing, seconds: Int, seed: UInt64 = 7
    ) -> [Duration] {
        var schedule = ArrivalSchedule(rate: rate, spacing: spacing, until: .seconds(seconds), seed: seed)
        var all: [Duration] = []
        while let next = schedule.next() { all.append(next) }
        return all
    }

    @Test func evenArrivalsAreWhereTheyBelongAndDoNotDrift() {
        let all = arrivals(3, .even, seconds: 1_000)
        #expect(all.count == 3_000 && all.first == .zero)
        for (number, due) in all.enumerated() {
            let ideal = Double(number) / 3
            #expect(abs(due.inSeconds - ideal) < 1e-6)
        }
    }

    @Test func poissonArrivalsHaveTheRateAndItsRandomness() {
        let all = arrivals(1_000, .poisson, seconds: 100)
        // Of 100,000 arrivals the number varies by its root: five of them would be one chance in millions.
        #expect(abs(all.count - 100_000) < 5 * 317)
        let gaps = zip(all.dropFirst(), all).map { ($0 - $1).inSeconds }
        let mean = gaps.reduce(0, +) / Double(gaps.count)
        let variance = gaps.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(gaps.count)
        // Exponential gaps: as wide as they are long.
        #expect(abs(variance.squareRoot() / mean - 1) < 0.03)
        #expect(gaps.allSatisfy { $0 >= 0 })
    }

    @Test func aSeedGivesTheSameArrivalsAndAnotherGivesOthers() {
        #expect(arrivals(50, .poisson, seconds: 10) == arrivals(50, .poisson, seconds: 10))
        #expect(arrivals(50, .poisson, seconds: 10) != arrivals(50, .poisson, seconds: 10, seed: 8))
    }

    @Test func noneIsDueAtTheEndOrLater() {
        #expect(arrivals(10, .even, seconds: 1).last == .milliseconds(900))
        for seed: UInt64 in 0..<50 {
            #expect(arrivals(5, .poisson, seconds: 1, seed: seed).allSatisfy { $0 < .seconds(1) })
        }
    }

    // MARK: Mixes

    private struct Counter: RandomNumberGenerator {
        var state: UInt64 = 1
        mutating func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state ^ (state >> 33)
        }
    }

    @Test func aMixIsDrawnByItsWeights() throws {
        let mix = try RequestMix(parsing: "search=70, get=20,batch=10")
        var random = Counter()
        var counts: [RequestKind: Int] = [:]
        for _ in 0..<100_000 { counts[mix.draw(using: &random), default: 0] += 1 }
        #expect(Set(counts.keys) == [.search, .get, .batch])
        for (kind, share) in [(RequestKind.search, 0.7), (.get, 0.2), (.batch, 0.1)] {
            #expect(abs(Double(counts[kind] ?? 0) / 100_000 - share) < 0.01, "\(kind)")
        }
        #expect(mix.description == "search=70,get=20,batch=10")
    }

    @Test func aSingleNameMeansAll() throws {
        var random = Counter()
        let mix = try RequestMix(parsing: "get")
        #expect(mix == RequestMix(.get) && mix.description == "get")
        #expect((0..<100).allSatisfy { _ in mix.draw(using: &random) == .get })
    }

    @Test(arguments: [
        "", "serch", "search=1,search=2", "search,get", "search=0", "search=-1", "search=x,get=1", "get=",
    ])
    func whatIsNoMixIsRefusedWithWords(text: String) {
        #expect(throws: RequestMix.Problem.self) { try RequestMix(parsing: text) }
    }
}
