import ArgumentParser
import Foundation
import SluiceBench
import SluiceCore

/// What a bench prints and writes.
struct BenchSummary {
    let measurement: SluiceBench.Measurement
    let outcome: BenchSession.Outcome
    /// Of the run that stands for all; nil if there was none.
    let flat: BenchFlatReport?

    func deliver(_ options: ResultOptions) throws {
        let json = try Self.json(BenchReport(measurement: measurement, flat: flat))
        if options.json {
            print(String(decoding: json, as: UTF8.self))
        } else {
            for line in TextSummary.lines(of: measurement) { print(line.withoutControls) }
        }
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
