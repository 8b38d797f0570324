import ArgumentParser
import Foundation
import SluiceBench

/// What a bench prints and writes.
struct BenchSummary {
    let measurement: SluiceBench.Measurement
    let outcome: BenchSession.Outcome
    /// Of the run that stands for all; nil if there was none.
    let flat: BenchFlatReport?

    func deliver(_ options: ResultOptions) throws {
        let json = try Self.json(BenchReport(measurement: measurement, flat: flat))
        if options.json { print(String(decoding: json, as: UTF8.self)) } else { show() }
        if let file = options.output { try Self.write(json, to: file) }
        let hgrm = Data((outcome.representative.map { outcome.latencies[$0].hgrm } ?? "").utf8)
        if let file = options.hgrm { try Self.write(hgrm, to: file) }
        guard let folder = options.report else { return }
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            Output.complain("sluice: the folder \(folder) cannot be made")
            throw Exit.data
        }
        try Self.write(Data(HTMLReport.page(of: measurement).utf8), to: "\(folder)/index.html")
        try Self.write(json, to: "\(folder)/measurement.json")
        try Self.write(hgrm, to: "\(folder)/latency.hgrm")
        Output.complain("report: \(folder)/index.html")
    }

    private static func write(_ data: Data, to file: String) throws {
        do { try data.write(to: URL(filePath: file), options: .atomic) } catch {
            Output.complain("sluice: \(file) cannot be written")
            throw Exit.data
        }
    }

    private static func json(_ value: some Encodable) throws -> Data {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
        return try encoder.encode(value)
    }

    /// As typed, without the values of a filter, which are data.
    static func command(_ arguments: [String] = CommandLine.arguments) -> [String] {
        var words: [String] = []
        var isSecret = false
        for (place, word) in arguments.enumerated() {
            if place == 0 {
                words.append(word.split(separator: "/").last.map(String.init) ?? word)
            } else if isSecret {
                words.append("…")
            } else {
                words.append(word.hasPrefix("--filter=") ? "--filter=…" : word)
            }
            isSecret = !isSecret && word == "--filter"
        }
        return words
    }

    // MARK: For people

    /// What goes on, in a line.
    static func line(_ status: BenchSession.Status) -> String {
        var parts = status.title.isEmpty ? [] : [status.title]
        guard status.elapsed >= .zero else { return (parts + ["warming up"]).joined(separator: ", ") }
        parts.append("\(status.elapsed.components.seconds) s")
        parts.append("\(status.answered) answered")
        if status.failed > 0 { parts.append("\(status.failed) failed") }
        if let recent = status.recent { parts.append("\(recent.answered)/s, p99 \(recent.p99) us") }
        return parts.joined(separator: ", ")
    }

    private func show() {
        for group in RunGroup.groups(of: outcome.runs) { show(group) }
        if let knee = measurement.knee {
            print(String(format: "knee: %.0f/s (%@)", knee.rate, knee.reason))
        }
        if !measurement.recall.isEmpty {
            Output.table(
                [["ef_search", "recall", "least", "per second", "p50 us", "p99 us"]]
                    + measurement.recall.map {
                        [
                            "\($0.efSearch)", String(format: "%.4f", $0.recall), String(format: "%.2f", $0.leastRecall),
                            String(format: "%.0f", $0.throughput), "\($0.p50)", "\($0.p99)",
                        ]
                    })
        }
    }

    private func show(_ group: RunGroup) {
        let sorted = group.runs.sorted { $0.throughput < $1.throughput }
        guard !sorted.isEmpty else { return }
        let run = sorted[(sorted.count - 1) / 2]
        if sorted.count > 1 || outcome.runs.count > 1 {
            print("\(group.name):")
        }
        let what = run.kinds.count == 1 ? (run.kinds.keys.first == "ping" ? "pings" : "searches") : "requests"
        let isSearch = run.kinds.keys.allSatisfy { $0 != "get" && $0 != "load" }
        print(
            String(
                format: "%d %@ in %.1f s: %.0f/s", run.answered, isSearch || run.kinds.count > 1 ? what : "requests",
                run.seconds, run.throughput))
        if let spread = group.spread({ $0.throughput }), sorted.count > 1 {
            print(
                String(
                    format: "  of %d runs: median %.0f/s, least %.0f/s, most %.0f/s", sorted.count, spread.median,
                    spread.least, spread.greatest))
        }
        show(run)
    }

    private func show(_ run: SluiceBench.Measurement.Run) {
        print(Self.text(run.latency))
        if run.kinds.count > 1 {
            for (kind, latency) in run.kinds.sorted(by: { $0.key < $1.key }) {
                print("  \(kind): \(latency.count), \(Self.text(latency))")
            }
        }
        for leg in run.legs {
            print(
                String(
                    format: "  shard %@: waited %.0f us, executed %.0f us", leg.shard, leg.waiting, leg.executing)
                    + (leg.hedges > 0 ? ", \(leg.hedges) hedges" : ""))
        }
        let total = run.errors.values.reduce(0, +)
        let detail = run.errors.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        print("errors: \(total)" + (detail.isEmpty ? "" : " (\(detail))"))
        if let busy = run.busy { print("told busy after: p99 \(busy.p99) us, max \(busy.max) us") }
        if run.isInterrupted == true {
            print("ended before its time; given up in flight: \(run.givenUp ?? 0)")
        }
        if run.late > 0 { print("\(run.late) answers came after their deadline") }
        if run.partial > 0 { print("\(run.partial) answers lacked a shard") }
        if let behind = run.behind, behind.p99 > 1_000 {
            print("the generator was behind its schedule: p99 \(behind.p99) us, max \(behind.max) us")
        }
        for fault in run.faults {
            print(String(format: "%@ %@ from %.1f s to %.1f s", fault.kind, fault.replica, fault.from, fault.until))
        }
    }

    private static func text(_ latency: SluiceBench.Measurement.Latency) -> String {
        "p50 \(latency.p50) us, p90 \(latency.p90) us, p99 \(latency.p99) us, p99.9 \(latency.p999) us, "
            + "p99.99 \(latency.p9999) us, max \(latency.max) us"
    }
}

/// The JSON of a bench: the measurement, and beside its keys those of the run that stands for it, as scripts know them.
struct BenchReport: Encodable {
    var measurement: SluiceBench.Measurement
    var flat: BenchFlatReport?

    func encode(to encoder: any Encoder) throws {
        try measurement.encode(to: encoder)
        try flat?.encode(to: encoder)
    }
}

/// One run in a few numbers: times in microseconds, errors by code.
struct BenchFlatReport: Encodable {
    var searches: Int
    var qps: Double
    var p50Us: Int
    var p90Us: Int
    var p99Us: Int
    var maxUs: Int
    /// Answers that came after their own deadline.
    var late: Int
    var legs: Int
    /// Of the legs, hedges included.
    var attempts: Int
    var hedges: Int
    var errors: [String: Int]
    /// How long it took to be told that the gateway is busy.
    var busyP99Us: Int
    var busyMaxUs: Int
    var seconds: Double
    var concurrency: Int
    var connections: Int
    var rate: Double?
    var collections: [String]
    var k: Int
    var ping: Bool

    init(
        _ run: SluiceBench.Measurement.Run, concurrency: Int, connections: Int, collections: [String], k: Int,
        ping: Bool
    ) {
        searches = run.answered
        qps = run.throughput
        (p50Us, p90Us, p99Us, maxUs) = (run.latency.p50, run.latency.p90, run.latency.p99, run.latency.max)
        late = run.late
        legs = run.legs.reduce(0) { $0 + $1.count }
        attempts = run.legs.reduce(0) { $0 + $1.attempts }
        hedges = run.legs.reduce(0) { $0 + $1.hedges }
        errors = run.errors
        (busyP99Us, busyMaxUs) = (run.busy?.p99 ?? 0, run.busy?.max ?? 0)
        seconds = run.seconds
        rate = run.rate
        self.concurrency = concurrency
        self.connections = connections
        self.collections = collections
        self.k = k
        self.ping = ping
    }
}
