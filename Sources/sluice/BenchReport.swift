import Foundation
import Histogram
import SluiceClient
import Synchronization

/// What the requests of a bench came to.
final class Tally: Sendable {
    struct Part {
        var latencies: [Duration] = []
        var refusals: [Duration] = []
        var errors: [String: Int] = [:]
        var late = 0
        var legs = 0
        var attempts = 0
        var hedges = 0

        var count: Int { latencies.count + refusals.count }

        mutating func note(_ reports: [LegReport]) {
            legs += reports.count
            for leg in reports {
                attempts += leg.attempts
                hedges += leg.hedges
            }
        }

        mutating func answered(after latency: Duration, deadline: Duration?) {
            latencies.append(latency)
            if let deadline, latency > deadline { late += 1 }
        }

        mutating func failed(_ code: SluiceError.Code, after latency: Duration) {
            errors[code.description, default: 0] += 1
            if code == .busy { refusals.append(latency) }
        }
    }

    private struct Sum {
        var latencies = Tally.histogram
        var refusals = Tally.histogram
        var errors: [String: Int] = [:]
        var late = 0
        var legs = 0
        var attempts = 0
        var hedges = 0
    }

    /// Of microseconds, up to an hour.
    private static var histogram: Histogram<UInt64> {
        Histogram(highestTrackableValue: 3_600_000_000, numberOfSignificantValueDigits: .three)
    }

    private let sum = Mutex(Sum())

    func add(_ part: inout Part) {
        sum.withLock { sum in
            for latency in part.latencies { sum.latencies.record(UInt64(clamping: Output.microseconds(latency))) }
            for latency in part.refusals { sum.refusals.record(UInt64(clamping: Output.microseconds(latency))) }
            sum.errors.merge(part.errors, uniquingKeysWith: +)
            sum.late += part.late
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
                p99Us: sum.latencies.valueAtPercentile(99), maxUs: sum.latencies.max, late: sum.late, legs: sum.legs,
                attempts: sum.attempts, hedges: sum.hedges, errors: sum.errors,
                busyP99Us: sum.refusals.valueAtPercentile(99), busyMaxUs: sum.refusals.max, seconds: seconds,
                concurrency: bench.concurrency, connections: bench.connections, rate: bench.rate,
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
    /// Answers that came after their own deadline.
    var late: Int
    var legs: Int
    /// Of the legs, hedges included.
    var attempts: Int
    var hedges: Int
    var errors: [String: Int]
    /// How long it took to be told that the gateway is busy.
    var busyP99Us: UInt64
    var busyMaxUs: UInt64
    var seconds: Double
    var concurrency: Int
    var connections: Int
    var rate: Double?
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
        if errors["busy"] != nil { print("told busy after: p99 \(busyP99Us) us, max \(busyMaxUs) us") }
        if late > 0 { print("\(late) answers came after their deadline") }
    }
}
