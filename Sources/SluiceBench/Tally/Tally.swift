package import Histogram
internal import Synchronization

package typealias LatencyHistogram = Histogram<UInt64>

/// What the requests of a run came to. Workers count for themselves in a `Part` and hand it over now and then, so that
/// none waits for another at every request.
package final class Tally: Sendable {
    /// One answer.
    struct Sample {
        var kind: RequestKind
        /// Since the measurement began, when the answer came.
        var second: Int
        var microseconds: UInt64
    }

    package struct Part {
        static let capacity = 1_024

        var samples: [Sample] = []
        var refusals: [UInt64] = []
        var behind: [UInt64] = []
        var errors: [String: Int] = [:]
        var failures: [Int: Int] = [:]
        var failed = 0
        var late = 0
        var partial = 0
        /// Of the answers: those that came too long after the end to count for a rate.
        var afterEnd = 0
        /// Requests that an interruption ended.
        var givenUp = 0
        var legs: [LegSum] = []
        /// Since the measurement began: the last answer.
        var last = Duration.zero

        package init() {}

        var isFull: Bool { samples.count >= Self.capacity || failed >= Self.capacity || behind.count >= Self.capacity }

        /// - Parameter elapsed: since the measurement began.
        mutating func answered(
            _ kind: RequestKind, after latency: Duration, at elapsed: Duration, _ answer: BenchAnswer,
            deadline: Duration?
        ) {
            let second = Int(clamping: elapsed.components.seconds)
            samples.append(Sample(kind: kind, second: second, microseconds: latency.wholeMicroseconds))
            last = max(last, elapsed)
            if let deadline, latency > deadline { late += 1 }
            if answer.isPartial { partial += 1 }
            for leg in answer.legs { note(leg) }
        }

        mutating func failed(_ failure: BenchFailure, after latency: Duration, at elapsed: Duration) {
            errors[failure.code, default: 0] += 1
            failures[Int(clamping: elapsed.components.seconds), default: 0] += 1
            last = max(last, elapsed)
            failed += 1
            if failure.isBusy { refusals.append(latency.wholeMicroseconds) }
        }

        /// A request began so much later than it was due.
        mutating func began(late: Duration) { behind.append(late.wholeMicroseconds) }

        private mutating func note(_ leg: BenchAnswer.Leg) {
            // There are few shards: a walk is cheaper than a table.
            let place = legs.firstIndex { $0.shard == leg.shard } ?? legs.endIndex
            if place == legs.endIndex { legs.append(LegSum(shard: leg.shard)) }
            legs[place].add(leg)
        }

        mutating func clear() {
            samples.removeAll(keepingCapacity: true)
            refusals.removeAll(keepingCapacity: true)
            behind.removeAll(keepingCapacity: true)
            if failed > 0 {
                errors.removeAll(keepingCapacity: true)
                failures.removeAll(keepingCapacity: true)
            }
            (failed, late, partial, afterEnd, givenUp, last) = (0, 0, 0, 0, 0, .zero)
            legs.removeAll(keepingCapacity: true)
        }
    }

    struct LegSum {
        var shard: String
        var count = 0
        var attempts = 0
        var hedges = 0
        var waiting = 0.0
        var executing = 0.0

        init(shard: String) { self.shard = shard }

        mutating func add(_ leg: BenchAnswer.Leg) {
            count += 1
            attempts += leg.attempts
            hedges += leg.hedges
            waiting += leg.waiting
            executing += leg.executing
        }

        mutating func add(_ other: LegSum) {
            count += other.count
            attempts += other.attempts
            hedges += other.hedges
            waiting += other.waiting
            executing += other.executing
        }

        var leg: Measurement.Leg {
            // A product with 1 / count would miss the mean of equal numbers.
            let number = Double(max(1, count))
            return Measurement.Leg(
                shard: shard, count: count, attempts: attempts, hedges: hedges, waiting: waiting / number,
                executing: executing / number)
        }
    }

    private struct Sum {
        var latencies = LatencyHistogram.ofLatencies
        var kinds: [RequestKind: LatencyHistogram] = [:]
        var refusals = LatencyHistogram.ofLatencies
        var behind = LatencyHistogram.ofLatencies
        var errors: [String: Int] = [:]
        var failed = 0
        var late = 0
        var partial = 0
        var afterEnd = 0
        var givenUp = 0
        var legs: [String: LegSum] = [:]
        var last = Duration.zero
        var timeline = RunTimeline()
    }

    private let sum = Mutex(Sum())

    package init() {}

    /// Takes what a worker has counted, and empties it.
    func add(_ part: inout Part) {
        sum.withLock { sum in
            for sample in part.samples {
                sum.latencies.note(sample.microseconds)
                sum.kinds[sample.kind, default: .ofLatencies].note(sample.microseconds)
                sum.timeline.answered(at: sample.second, after: sample.microseconds)
            }
            for refusal in part.refusals { sum.refusals.note(refusal) }
            for late in part.behind { sum.behind.note(late) }
            for leg in part.legs { sum.legs[leg.shard, default: Tally.LegSum(shard: leg.shard)].add(leg) }
            sum.errors.merge(part.errors, uniquingKeysWith: +)
            for (second, count) in part.failures { sum.timeline.failed(at: second, count) }
            sum.failed += part.failed
            sum.late += part.late
            sum.partial += part.partial
            sum.afterEnd += part.afterEnd
            sum.givenUp += part.givenUp
            sum.last = max(sum.last, part.last)
        }
        part.clear()
    }

    /// How far it is: answers, failures, and the p99 of the last whole second.
    package var progress: (answered: Int, failed: Int, recent: Measurement.Tick?) {
        sum.withLock { (Int($0.latencies.totalCount), $0.failed, $0.timeline.lastWhole) }
    }

    /// At a rate, the time is what was planned, so that no straggler stretches it: what came in it, or soon after, is
    /// the throughput. A closed loop's time goes on to the last answer, before which its workers had all asked.
    package func run(
        target: String, rate: Double?, inFlight: Int, planned: Duration, faults: [Measurement.Fault] = []
    ) -> (run: Measurement.Run, latencies: LatencyHistogram) {
        sum.withLock { sum in
            let seconds = (rate == nil ? max(planned, sum.last) : planned).inSeconds
            let answered = Int(sum.latencies.totalCount)
            let counted = answered - sum.afterEnd
            let kinds = sum.kinds.map { ($0.key.rawValue, Measurement.Latency($0.value)) }
            var run = Measurement.Run(
                target: target, rate: rate, inFlight: inFlight, seconds: seconds,
                throughput: Double(counted) / max(seconds, 1e-6), answered: answered, errors: sum.errors,
                late: sum.late, partial: sum.partial, latency: Measurement.Latency(sum.latencies),
                busy: sum.refusals.totalCount > 0 ? Measurement.Latency(sum.refusals) : nil,
                kinds: Dictionary(uniqueKeysWithValues: kinds),
                legs: sum.legs.values.map(\.leg).sorted { $0.shard < $1.shard }, timeline: sum.timeline.ticks,
                faults: faults)
            if sum.givenUp > 0 { run.givenUp = sum.givenUp }
            if sum.behind.totalCount > 0 { run.behind = Measurement.Latency(sum.behind) }
            return (run, sum.latencies)
        }
    }
}

extension Duration {
    /// Never negative.
    var wholeMicroseconds: UInt64 {
        let (seconds, attoseconds) = components
        return UInt64(clamping: seconds * 1_000_000 + attoseconds / 1_000_000_000_000)
    }

    package var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
