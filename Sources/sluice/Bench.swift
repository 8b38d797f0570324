import ArgumentParser
import Foundation
import Histogram
import SluiceClient
import SluiceTools
import Synchronization
import UnixSignals

struct Bench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Load the gateway with a closed loop of searches, or pings, and report what it did.")

    @OptionGroup var gateway: GatewayOption

    @Option(help: "How long to measure.")
    var seconds = 10.0

    @Option(help: "How long to run before measuring.")
    var warmup = 1.0

    @Option(help: "How many requests are in flight on each connection.")
    var concurrency = 16

    @Option(help: "How many connections.")
    var connections = 1

    @Option(help: "A collection to search; repeat it to search several at once.")
    var collection: [String] = []

    @Option(help: "A .npy file to draw the vectors from; else they are random unit vectors.")
    var vectorFile: String?

    @Option(name: [.customShort("k"), .customLong("k")], help: "How many neighbours.")
    var k = 10

    @Option(help: "hnsw.ef_search for the searches.")
    var efSearch: Int?

    @Option(help: "How long each search may take, like 40ms.")
    var deadline: String?

    @Flag(inversion: .prefixedNo, help: "Let the gateway ask a second replica when the first is slow.")
    var hedges = true

    @Flag(help: "Send pings instead of searches.")
    var ping = false

    @Flag(help: "Print JSON (docs/cli.md describes it).")
    var json = false

    func validate() throws {
        guard ping || !collection.isEmpty else { throw ValidationError("give --collection, or --ping") }
        try Checks.search(k: k, efSearch: efSearch)
        if let deadline, DurationText.parse(deadline) == nil {
            throw ValidationError("--deadline is a time like 40ms or 2s, not \"\(deadline)\"")
        }
        guard seconds > 0, seconds <= 86_400, warmup >= 0, warmup <= 3_600 else {
            throw ValidationError("--seconds must be above 0, --warmup at least 0")
        }
        guard (1...65_536).contains(concurrency), (1...64).contains(connections) else {
            throw ValidationError("--concurrency must be 1 to 65536, --connections 1 to 64")
        }
    }

    func run() async throws {
        try await withClient(gateway.gateway, connections: connections) { client in
            let vectors = ping ? [] : try await self.vectors(client)
            let tally = Tally()
            let clock = ContinuousClock()
            let start = clock.now.advanced(by: .seconds(warmup))
            let end = start.advanced(by: .seconds(seconds))
            let load = Task {
                await withTaskGroup(of: Void.self) { group in
                    for worker in 0..<(concurrency * connections) {
                        group.addTask {
                            await self.work(client, vectors, worker: worker, start: start, end: end, tally)
                        }
                    }
                }
            }
            // Ctrl-C ends the measurement, not the command: what was measured so far is reported.
            let interrupt = Task {
                for await _ in await UnixSignalsSequence(trapping: .sigint) { load.cancel() }
            }
            await load.value
            interrupt.cancel()
            let measured = max(.microseconds(1), start.duration(to: clock.now))
            let report = tally.report(seconds: Double(Output.microseconds(measured)) / 1e6, of: self)
            if json { try Output.json(report) } else { report.show() }
            if report.searches == 0 { throw Exit.software }
        }
    }

    private func work(
        _ client: SluiceClient, _ vectors: [[Float]], worker: Int, start: ContinuousClock.Instant,
        end: ContinuousClock.Instant, _ tally: Tally
    ) async {
        let clock = ContinuousClock()
        var local = Tally.Part()
        let patience = deadline.flatMap(DurationText.parse)
        var turn = worker
        while clock.now < end, !Task.isCancelled {
            let began = clock.now
            do throws(SluiceError) {
                if ping {
                    try await client.ping()
                } else {
                    var query = SearchQuery(
                        collections: collection, vector: vectors[turn % vectors.count], k: k, deadline: patience,
                        efSearch: efSearch)
                    query.allowHedges = hedges
                    let reply = try await client.search(query)
                    if began >= start { local.note(reply.legs) }
                }
                if began >= start { local.latencies.append(began.duration(to: clock.now)) }
            } catch {
                if began >= start, !Task.isCancelled { local.errors[error.code.description, default: 0] += 1 }
                if error.code == .notConnected { try? await Task.sleep(for: .milliseconds(50)) }
            }
            turn += 1
            if local.latencies.count >= 1_024 { tally.add(&local) }
        }
        tally.add(&local)
    }

    private func vectors(_ client: SluiceClient) async throws -> [[Float]] {
        if let vectorFile {
            do {
                let file = try NumpyFile(path: vectorFile)
                let rows = (0..<min(file.rowCount, 10_000)).compactMap { file.row($0) }
                guard !rows.isEmpty else { throw NumpyFile.Problem("\(vectorFile): the array is empty") }
                return rows
            } catch {
                Output.complain("sluice: \(error)")
                throw Exit.data
            }
        }
        let known = try await client.collections()
        guard let description = known.first(where: { collection.contains($0.name) }) else {
            Output.complain("sluice: the gateway has none of the collections \(collection.joined(separator: ", "))")
            throw Exit.software
        }
        return (0..<1_000).map { _ in
            let raw = (0..<description.dimensions).map { _ in Float.random(in: -1...1) }
            let length = raw.reduce(0) { $0 + $1 * $1 }.squareRoot()
            return raw.map { $0 / max(length, .leastNormalMagnitude) }
        }
    }
}

/// What the workers of a bench saw.
final class Tally: Sendable {
    struct Part {
        var latencies: [Duration] = []
        var errors: [String: Int] = [:]
        var legs = 0
        var attempts = 0
        var hedges = 0

        mutating func note(_ reports: [LegReport]) {
            legs += reports.count
            for leg in reports {
                attempts += leg.attempts
                hedges += leg.hedges
            }
        }
    }

    private struct Sum {
        var latencies = Histogram<UInt64>(highestTrackableValue: 3_600_000_000, numberOfSignificantValueDigits: .three)
        var errors: [String: Int] = [:]
        var legs = 0
        var attempts = 0
        var hedges = 0
    }

    private let sum = Mutex(Sum())

    func add(_ part: inout Part) {
        sum.withLock { sum in
            for latency in part.latencies { sum.latencies.record(UInt64(clamping: Output.microseconds(latency))) }
            sum.errors.merge(part.errors, uniquingKeysWith: +)
            sum.legs += part.legs
            sum.attempts += part.attempts
            sum.hedges += part.hedges
        }
        part = Part()
    }

    func report(seconds: Double, of bench: Bench) -> BenchReport {
        sum.withLock { sum in
            BenchReport(
                searches: Int(sum.latencies.totalCount), qps: Double(sum.latencies.totalCount) / seconds,
                p50Us: sum.latencies.valueAtPercentile(50), p90Us: sum.latencies.valueAtPercentile(90),
                p99Us: sum.latencies.valueAtPercentile(99), maxUs: sum.latencies.max, legs: sum.legs,
                attempts: sum.attempts,
                hedges: sum.hedges, errors: sum.errors,
                seconds: seconds, concurrency: bench.concurrency, connections: bench.connections,
                collections: bench.collection, k: bench.k, ping: bench.ping)
        }
    }
}

/// The JSON of a bench: times in microseconds, errors by code.
struct BenchReport: Encodable {
    var searches: Int
    var qps: Double
    var p50Us: UInt64
    var p90Us: UInt64
    var p99Us: UInt64
    var maxUs: UInt64
    var legs: Int
    /// Of the legs, hedges included.
    var attempts: Int
    var hedges: Int
    var errors: [String: Int]
    var seconds: Double
    var concurrency: Int
    var connections: Int
    var collections: [String]
    var k: Int
    var ping: Bool

    func show() {
        let what = ping ? "pings" : "searches"
        print(String(format: "%d %@ in %.1f s: %.0f/s", searches, what, seconds, qps))
        print("p50 \(p50Us) us, p90 \(p90Us) us, p99 \(p99Us) us, max \(maxUs) us")
        let total = errors.values.reduce(0, +)
        let detail = errors.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        print("errors: \(total)" + (detail.isEmpty ? "" : " (\(detail))"))
    }
}
