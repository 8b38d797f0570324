import Foundation
import SluiceBench
import Testing

private typealias Measurement = SluiceBench.Measurement

@Suite struct RankTestTests {
    /// Every division of the values is tried: what the test counts by sums.
    private static func enumerated(_ one: [Double], _ other: [Double]) -> Double {
        let all = one + other
        func score(_ mask: Int) -> Double {
            var (chosen, rest): ([Double], [Double]) = ([], [])
            for (place, value) in all.enumerated() {
                if mask >> place & 1 == 1 { chosen.append(value) } else { rest.append(value) }
            }
            // U: how many pairs the first wins, a tie by half; as far from its mean as it is.
            let wins = chosen.flatMap { left in rest.map { left > $0 ? 1.0 : left == $0 ? 0.5 : 0 } }.reduce(0, +)
            return abs(wins - Double(one.count * other.count) / 2)
        }
        let masks = (0..<1 << all.count).filter { $0.nonzeroBitCount == one.count }
        let seen = score((1 << one.count) - 1)
        return Double(masks.count { score($0) >= seen - 1e-9 }) / Double(masks.count)
    }

    @Test func knownProbabilitiesAreExact() throws {
        // Complete separation: 2 of the 252 (70, 20) divisions.
        #expect(try #require(RankTest.probability([1, 2, 3, 4, 5], [6, 7, 8, 9, 10])) == 2.0 / 252)
        #expect(try #require(RankTest.probability([1, 2, 3, 4], [6, 7, 8, 9])) == 2.0 / 70)
        #expect(try #require(RankTest.probability([1, 2, 3], [4, 5, 6])) == 0.1)
        // From the tables: U = 2 for 5 and 5 has a two-sided probability of 0.0317, U = 3 of 0.0556.
        #expect(abs(try #require(RankTest.probability([1, 2, 3, 4, 7], [5, 6, 8, 9, 10])) - 8.0 / 252) < 1e-12)
        #expect(abs(try #require(RankTest.probability([1, 2, 3, 4, 8], [5, 6, 7, 9, 10])) - 14.0 / 252) < 1e-12)
        #expect(RankTest.probability([3, 3, 3], [3, 3, 3]) == 1)
        #expect(RankTest.probability([], [1]) == nil)
    }

    @Test func countingAgreesWithTryingEveryDivision() throws {
        var random = SplitMix(state: 7)
        for _ in 0..<60 {
            let sizes = (Int.random(in: 1...6, using: &random), Int.random(in: 1...6, using: &random))
            // Few different values: many ties.
            let values = (0..<sizes.0 + sizes.1).map { _ in Double(Int.random(in: 0...7, using: &random)) }
            let (one, other) = (Array(values.prefix(sizes.0)), Array(values.dropFirst(sizes.0)))
            let counted = try #require(RankTest.probability(one, other))
            #expect(abs(counted - Self.enumerated(one, other)) < 1e-12, "\(one) \(other)")
            #expect(abs(counted - (RankTest.probability(other, one) ?? -1)) < 1e-12)
        }
    }

    @Test func theLeastProbabilityIsThatOfCompleteSeparation() {
        #expect(abs(RankTest.leastProbability(5, 5) - 2.0 / 252) < 1e-12)
        #expect(abs(RankTest.leastProbability(3, 7) - 2.0 / 120) < 1e-12)
        #expect(RankTest.leastProbability(1, 1) == 1)
    }

    @Test func manyValuesAreApproximatedClosely() throws {
        // 30 and 30 are counted, 31 and 31 approximated: nearly the same shift, nearly the same probability.
        func shifted(_ count: Int) -> Double? {
            RankTest.probability(
                (0..<count).map(Double.init), (0..<count).map { Double($0) + Double(count) * 0.2 + 0.5 })
        }
        let (counted, approximated) = (try #require(shifted(30)), try #require(shifted(31)))
        #expect(counted > 0.001 && counted < 0.1)
        #expect(abs(counted - approximated) < 0.01)
        #expect(RankTest.probability([Double](repeating: 1, count: 40), [Double](repeating: 1, count: 40)) == 1)
    }
}

@Suite struct ComparisonTests {
    private static func measurement(_ throughputs: [Double], p50s: [Int]? = nil, rate: Double? = nil) -> Measurement {
        Sample.measurement(
            throughputs.enumerated().map { place, throughput in
                Sample.run(rate: rate, throughput: throughput, p50: p50s?[place] ?? 500)
            })
    }

    private static func verdict(_ before: [Double], _ after: [Double]) -> Comparison.Verdict? {
        Comparison(of: measurement(before), and: measurement(after)).rows.first { $0.measure == "throughput" }?.verdict
    }

    private static let steady: [Double] = [1_000, 1_003, 998, 1_001, 997]

    @Test func fiveRepeatsAreJudgedByTheirRanks() {
        #expect(Self.verdict(Self.steady, [1_100, 1_098, 1_103, 1_104, 1_099]) == .better)
        #expect(Self.verdict(Self.steady, [900, 898, 903, 904, 899]) == .worse)
        #expect(Self.verdict(Self.steady, [999, 1_002, 1_004, 996, 1_000]) == .noChange)
        // The medians are 20 % apart, but so is everything.
        #expect(Self.verdict([700, 1_300, 1_000, 800, 1_250], [1_200, 720, 1_290, 830, 1_260]) == .noChange)
    }

    @Test func aSureButTinyChangeDoesNotMatter() throws {
        let comparison = Comparison(
            of: Self.measurement(Self.steady), and: Self.measurement(Self.steady.map { $0 + 10 }))
        let row = try #require(comparison.rows.first { $0.measure == "throughput" })
        #expect(row.verdict == .noChange)
        #expect((row.probability ?? 1) < 0.01)
        #expect(row.reason != nil)
    }

    @Test func fewRepeatsMustBeWellApart() {
        #expect(Self.verdict([1_000, 1_010, 990], [1_100, 1_110, 1_105]) == .better)
        #expect(Self.verdict([1_000, 1_010, 990], [900, 910]) == .worse)
        #expect(Self.verdict([1_000, 1_050, 990], [1_060, 1_120, 1_080]) == .cannotTell)
        #expect(Self.verdict([1_000, 1_100, 990], [1_060, 1_120, 1_080]) == .noChange)
        #expect(Self.verdict([1_000], [2_000]) == .cannotTell)
        #expect(Self.verdict(Self.steady, [2_000]) == .cannotTell)
    }

    @Test func aLowerLatencyIsBetter() {
        let comparison = Comparison(
            of: Self.measurement(Self.steady, p50s: [500, 502, 499, 501, 503]),
            and: Self.measurement(Self.steady, p50s: [400, 402, 399, 401, 403]))
        let latencies = comparison.rows.filter { $0.measure.hasPrefix("p") }
        #expect(Set(latencies.map(\.part)).count == 3)
        #expect(latencies.allSatisfy { $0.verdict == .better })
        let executing = comparison.rows.first { $0.measure == "executing" }
        #expect(executing?.part == "gateway, 16 in flight, legs of s0")
        #expect(executing?.verdict == .better)
        #expect(comparison.rows.first { $0.measure == "waiting" }?.verdict == .noChange)
        #expect(!comparison.gotWorse)
    }

    @Test func exchangingTheTwoExchangesBetterAndWorse() {
        var random = SplitMix(state: 11)
        let opposite: [Comparison.Verdict: Comparison.Verdict] = [
            .better: .worse, .worse: .better, .noChange: .noChange, .cannotTell: .cannotTell,
        ]
        var seen: Set<Comparison.Verdict> = []
        for _ in 0..<200 {
            let counts = (Int.random(in: 1...7, using: &random), Int.random(in: 1...7, using: &random))
            let shift = Double.random(in: -60...60, using: &random)
            func side(_ count: Int, _ shift: Double, _ random: inout SplitMix) -> Measurement {
                let values = (0..<count).map { _ in 1_000 + shift + Double.random(in: -20...20, using: &random) }
                return Self.measurement(values, p50s: values.map { Int($0) })
            }
            let (one, other) = (side(counts.0, 0, &random), side(counts.1, shift, &random))
            let (there, back) = (Comparison(of: one, and: other), Comparison(of: other, and: one))
            #expect(there.rows.map(\.measure) == back.rows.map(\.measure))
            #expect(there.rows.map { opposite[$0.verdict] } == back.rows.map(\.verdict))
            seen.formUnion(there.rows.map(\.verdict))
        }
        #expect(seen.count == 4)
    }

    @Test func errorsWhereThereWereNoneAreWorse() {
        let clean = Sample.measurement((0..<5).map { _ in Sample.run() })
        let failing = Sample.measurement((0..<5).map { Sample.run(errors: ["unavailable": 100 + $0]) })
        let row = Comparison(of: clean, and: failing).rows.first { $0.measure == "not answered" }
        #expect(row?.verdict == .worse)
        #expect(row?.change == nil)
        // 1 of 20,000 is sure to be more, and does not matter.
        let few = Sample.measurement((0..<5).map { _ in Sample.run(errors: ["unavailable": 1]) })
        #expect(Comparison(of: clean, and: few).rows.first { $0.measure == "not answered" }?.verdict == .noChange)
    }

    @Test func onlyTheSameLoadsAreCompared() {
        let before = Sample.measurement([100.0, 200].map { Sample.run(rate: $0) })
        let after = Sample.measurement([200.0, 300].map { Sample.run(rate: $0) })
        let comparison = Comparison(of: before, and: after)
        #expect(Set(comparison.rows.map { $0.part.prefix(14) }) == ["gateway, 200/s"])
        #expect(comparison.warnings.contains("only the first has a run of gateway, 100/s"))
        #expect(comparison.warnings.contains("only the second has a run of gateway, 300/s"))
    }

    @Test func runsWithAnotherEfSearchAreNoRepeats() {
        func runs(_ throughputs: [Int: Double]) -> Measurement {
            Sample.measurement(
                throughputs.sorted { $0.key < $1.key }.flatMap { efSearch, throughput in
                    (0..<5).map { turn in
                        var run = Sample.run(throughput: throughput + Double(turn))
                        run.efSearch = efSearch
                        return run
                    }
                })
        }
        let comparison = Comparison(of: runs([40: 2_000, 80: 1_000]), and: runs([40: 2_000, 80: 1_500]))
        let rows = comparison.rows.filter { $0.measure == "throughput" }
        #expect(rows.map(\.part) == ["gateway, 16 in flight, ef_search 40", "gateway, 16 in flight, ef_search 80"])
        #expect(rows.map(\.verdict) == [.noChange, .better])
        // Where each has but one, it is what is compared.
        #expect(Comparison(of: runs([40: 2_000]), and: runs([80: 1_000])).rows.first?.verdict == .worse)
    }

    @Test func whatElseIsDifferentIsSaid() {
        let before = Sample.measurement([Sample.run()])
        var after = Sample.measurement([Sample.run()], settings: ["ef_search": "80", "k": "10"])
        after.versions = ["sluice": "1.1"]
        after.machine.cores = 8
        after.machine.loadAverage = 7.5
        #expect(Comparison(of: before, and: before).warnings == [])
        #expect(
            Comparison(of: before, and: after).warnings == [
                "another machine: cores 2 → 8", "another version of sluice: 1.0 → 1.1",
                "another setting ef_search: 40 → 80", "another setting k: none → 10",
                "the machine was busy when the second began: load 7.5",
            ])
    }

    @Test func aRunThatWasEndedEarlyIsSaid() {
        var run = Sample.run()
        (run.isInterrupted, run.givenUp) = (true, 3)
        let comparison = Comparison(of: Sample.measurement([Sample.run()]), and: Sample.measurement([run]))
        #expect(comparison.warnings == ["1 run of the second ended before the time"])
    }

    @Test func withoutRunsNothingIsCompared() {
        let comparison = Comparison(of: Sample.measurement([]), and: Sample.measurement([]))
        #expect(comparison.rows.isEmpty)
        #expect(comparison.warnings == ["the first has no run", "the second has no run"])
    }

    @Test func aStricterLevelNeedsMoreRepeats() {
        let (before, after) = (Self.measurement(Self.steady), Self.measurement(Self.steady.map { $0 * 2 }))
        func verdict(_ level: Double) -> Comparison.Verdict? {
            Comparison(of: before, and: after, by: .init(level: level)).rows.first?.verdict
        }
        #expect(verdict(0.01) == .better)
        #expect(verdict(0.001) == .cannotTell)
    }
}

@Suite struct MeasurementFileTests {
    @Test func aMeasurementIsReadAsItWasWritten() throws {
        let measurement = Sample.measurement(
            [Sample.run(rate: 5, errors: ["deadline_exceeded": 2])], knee: .init(rate: 5, reason: "late"))
        for strategy in [JSONEncoder.KeyEncodingStrategy.convertToSnakeCase, .useDefaultKeys] {
            let encoder = JSONEncoder()
            encoder.keyEncodingStrategy = strategy
            #expect(try MeasurementFile.decode(encoder.encode(measurement)) == measurement)
        }
    }

    @Test(arguments: [
        ("", "no JSON"), ("[", "no JSON"), ("{}", "\"format\" is missing"), ("{\"format\": 2}", "format 2"),
        ("{\"format\": 1}", "is missing"), ("{\"format\": \"secret\"}", "another type at format"),
    ])
    func whatIsNoMeasurementIsRefusedWithTheReason(text: String, reason: String) throws {
        let problem = #expect(throws: MeasurementFile.Problem.self) { try MeasurementFile.decode(Data(text.utf8)) }
        #expect(problem?.description.contains(reason) == true, "\(problem?.description ?? "")")
        #expect(problem?.description.contains("secret") == false)
    }

    @Test func theErrorSaysWhichRun() throws {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        let text = String(decoding: try encoder.encode(Sample.measurement([Sample.run()])), as: UTF8.self)
        let broken = text.replacingOccurrences(of: "\"in_flight\":16", with: "\"in_flight\":\"many\"")
        let problem = #expect(throws: MeasurementFile.Problem.self) { try MeasurementFile.decode(Data(broken.utf8)) }
        #expect(problem?.description.hasSuffix("at runs[0].inFlight") == true, "\(problem?.description ?? "")")
    }

    @Test func aFileThatIsTooLargeIsNotRead() {
        let data = Data(count: MeasurementFile.largestSize + 1)
        let problem = #expect(throws: MeasurementFile.Problem.self) { try MeasurementFile.decode(data) }
        #expect(problem?.description.contains("64 MiB") == true)
    }
}

/// The same numbers at each run of the tests.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
