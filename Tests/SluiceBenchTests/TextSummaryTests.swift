import SluiceBench
import SluiceWire
import Testing

/// What a terminal shows.
@Suite struct TextSummaryTests {
    private static func text(_ measurement: Measurement) -> String {
        TextSummary.lines(of: measurement).joined(separator: "\n")
    }

    @Test func aLoadIsSummarizedWithItsPercentilesKindsAndShards() {
        var measurement = Sample.measurement([Sample.run()])
        measurement.versions = ["sluice": "1.0", "postgresql": "16.10", "pgvector": "0.8.5"]
        #expect(
            Self.text(measurement) == """
                gateway, 16 in flight: 20,000 answered in 3 s, 1,000/s
                          answers     p50     p90     p99  p99.9  p99.99  longest
                  all      20,000  500 µs    1 ms    2 ms   4 ms    8 ms    10 ms
                  get      20,000  125 µs  250 µs  500 µs   1 ms    2 ms   2.5 ms
                  search   20,000  500 µs    1 ms    2 ms   4 ms    8 ms    10 ms
                              legs  attempts  hedges  waiting  executing
                  shard s0  20,000    20,100      90     7 µs     350 µs
                errors: none
                versions: pgvector 0.8.5, postgresql 16.10, sluice 1.0
                """)
    }

    @Test func whatWentWrongIsSaid() {
        var run = Sample.run(
            errors: ["deadline_exceeded": 5, "busy": 20],
            faults: [.init(kind: "stop", replica: "s0-b", from: 1, until: 2.5)])
        (run.late, run.partial, run.isInterrupted, run.givenUp) = (3, 4, true, 1_234)
        (run.busy, run.behind) = (Sample.latency(100), Sample.latency(1_000))
        let text = Self.text(Sample.measurement([run]))
        for words in [
            "errors: 25, 0.125 % of the requests (busy 20, deadline_exceeded 5)",
            "told busy after: p99 400 µs, longest 2 ms", "ended before its time; given up in flight: 1,234",
            "3 answers came after their deadline", "4 answers lacked a shard",
            "the generator was behind its schedule: p99 4 ms, longest 20 ms", "stop s0-b from 1 s to 2.5 s",
        ] {
            #expect(text.contains(words), "\(words) is missing in\n\(text)")
        }
    }

    @Test func aSweepIsATableAndTheKneeInDetail() {
        let runs = [500.0, 1_000, 1_500].flatMap { rate in
            (0..<3).map { Sample.run(rate: rate, throughput: min(rate, 1_234) - Double($0), p50: Int(rate)) }
        }
        let lines = TextSummary.lines(
            of: Sample.measurement(runs, knee: .init(rate: 1_000, reason: "p99 was over 5 ms")))
        #expect(lines[0].contains("runs") && lines[1...3].allSatisfy { $0.contains("gateway, ") })
        #expect(lines[2].contains("1,000/s") && lines[2].contains(" 3 ") && lines[2].contains("999/s"))
        #expect(lines[5] == "gateway, 1,000/s: 20,000 answered in 3 s, 999/s")
        #expect(lines[6].contains("the 3 runs had 998/s to 1,000/s"))
        #expect(lines.contains("knee: 1,000/s (p99 was over 5 ms)"))
        // The columns stand below their names.
        #expect(Set(lines[0...3].map(\.count)).count == 1)
    }

    @Test func recallIsACurveInLines() {
        let text = Self.text(
            Sample.measurement(
                [Sample.run()],
                recall: [
                    .init(efSearch: 20, recall: 0.913, leastRecall: 0.06, throughput: 2_222, p50: 450, p99: 900),
                    .init(efSearch: 80, recall: 1, leastRecall: 0.9999, throughput: 1_111, p50: 900, p99: 1_800),
                ]))
        #expect(text.contains("ef_search 20   0.913    0.06   2,222/s  450 µs  900 µs"))
        #expect(text.contains("ef_search 80     1.0  0.9999   1,111/s  900 µs  1.8 ms"))
    }

    @Test func withoutARunThereIsASummary() {
        #expect(Self.text(Sample.measurement([])) == "Nothing was measured.\nversions: sluice 1.0")
    }

    @Test func theProgressLineSaysHowFarItIs() {
        var status = BenchSession.Status(
            title: "2 of 3, 500/s", elapsed: .seconds(-1), planned: .seconds(10), answered: 0, failed: 0)
        #expect(status.line == "2 of 3, 500/s, warming up")
        (status.elapsed, status.answered, status.failed) = (.milliseconds(4_200), 4_910, 12)
        status.recent = .init(second: 3, answered: 1_638, failed: 0, p50: 9_000, p99: 18_991)
        #expect(status.line == "2 of 3, 500/s, 4 of 10 s, 4,910 answered, 12 failed, 1,638/s, p99 19 ms")
        // While the last answers are waited for.
        status.elapsed = .seconds(12)
        #expect(status.line.contains("10 of 10 s"))
        status.phase = .comparing(done: 7, of: 100)
        #expect(status.line == "exact answers for the recall: 7 of 100")
    }

    @Test func serversThatDifferAreNamedWithTheirVersions() {
        func server(_ replica: String, _ postgres: String, _ vector: String? = "0.8.5") -> ServerDescription {
            ServerDescription(shard: "s0", replica: replica, postgres: postgres, vector: vector)
        }
        #expect(ServerVersionNames.versions(of: []) == [:])
        #expect(
            ServerVersionNames.versions(of: [server("a", "16.10"), server("b", "16.10")])
                == ["postgresql": "16.10", "pgvector": "0.8.5"])
        #expect(
            ServerVersionNames.versions(of: [server("a", "16.9"), server("b", "16.10", nil), server("c", "16.10")])
                == [
                    "postgresql": "16.10 (s0/b, s0/c); 16.9 (s0/a)", "pgvector": "0.8.5 (s0/a, s0/c); none (s0/b)",
                ])
    }
}
