internal import SluiceCore
internal import Synchronization

/// One run of a load: warm-up, then the measurement.
package struct LoadRun: Sendable {
    /// When requests begin.
    package enum Pace: Sendable {
        /// Each of so many workers asks again when it has its answer.
        case closed(workers: Int)
        /// By a schedule, whatever is answered. What would be in flight beyond the limit is not sent, and counted.
        case open(rate: Double, ArrivalSchedule.Spacing, maxInFlight: Int)
    }

    package var pace: Pace
    package var mix: RequestMix
    package var warmup: Duration
    package var seconds: Duration
    /// Runs with the same seed ask the same in the same order.
    package var seed: UInt64

    package init(pace: Pace, mix: RequestMix, warmup: Duration, seconds: Duration, seed: UInt64) {
        self.pace = pace
        self.mix = mix
        self.warmup = warmup
        self.seconds = seconds
        self.seed = seed
    }

    /// What a request is counted as that was due when as many were in flight as may be.
    package static let notSent = "max_in_flight"
    private static let unreachedPause: Duration = .milliseconds(50)
    /// Workers hand in so often, for the progress line.
    private static let handInPause: Duration = .milliseconds(500)

    package typealias Progress = @Sendable (_ elapsed: Duration, _ tally: Tally) -> Void

    /// - Parameter faults: what is done to replicas meanwhile.
    package func measure(
        _ workload: Workload, on target: any BenchTarget, faults: FaultInjection?, until end: Interruption,
        progress: Progress? = nil
    ) async -> (run: Measurement.Run, latencies: LatencyHistogram) {
        let load = RunningLoad(self, workload, target)
        let injection = faults.map { faults in Task { await faults.run(from: load.start, until: end) } }
        let ticker = Task {
            while (try? await Task.sleep(for: .milliseconds(200))) != nil {
                load.handIn()
                progress?(load.start.duration(to: .now), load.tally)
            }
        }
        await end.run { await load.run() }
        ticker.cancel()
        await ticker.value
        load.handIn()
        let done = await injection?.value ?? []
        return load.result(faults: done)
    }

    /// What a run needs while it runs.
    private final class RunningLoad: Sendable {
        let settings: LoadRun
        let workload: Workload
        let target: any BenchTarget
        let tally = Tally()
        /// Of the measurement.
        let start: ContinuousClock.Instant
        let end: ContinuousClock.Instant
        private let deadline: Duration?
        /// For requests without a worker of their own.
        private let shared: [SharedPart]
        private let inFlight = Atomic<Int>(0)

        private enum Outcome {
            case answered(BenchAnswer)
            case failed(BenchFailure)
            case none
        }

        init(_ settings: LoadRun, _ workload: Workload, _ target: any BenchTarget) {
            self.settings = settings
            self.workload = workload
            self.target = target
            deadline = workload.terms.deadline
            start = ContinuousClock.now.advanced(by: settings.warmup)
            end = start.advanced(by: settings.seconds)
            if case .open = settings.pace { shared = (0..<16).map { _ in SharedPart() } } else { shared = [] }
        }

        func run() async {
            switch settings.pace {
            case .closed(let workers):
                await withDiscardingTaskGroup { group in
                    for worker in 0..<workers { group.addTask { await self.work(worker) } }
                }
            case .open(let rate, let spacing, let most):
                await withDiscardingTaskGroup { group in
                    await self.arrive(rate, spacing, most) { turn, kind, due in
                        group.addTask { await self.ask(turn, kind, due) }
                    }
                }
            }
        }

        /// One request after another.
        private func work(_ worker: Int) async {
            var part = Tally.Part()
            var random = SplitMix64(seed: settings.seed &+ UInt64(worker) &* 0x9E37_79B9)
            var turn = worker
            var now = ContinuousClock.now
            var handIn = now.advanced(by: LoadRun.handInPause)
            while now < end, !Task.isCancelled {
                let (kind, began) = (settings.mix.draw(using: &random), now)
                let outcome = await once(turn, kind)
                turn += 1
                now = .now
                note(outcome, of: kind, began: began, now, &part)
                if part.isFull || now >= handIn {
                    tally.add(&part)
                    handIn = now.advanced(by: LoadRun.handInPause)
                }
                await pause(after: outcome)
            }
            tally.add(&part)
        }

        /// Begins requests when they are due. What the machine was too slow for is made up for at once.
        private func arrive(
            _ rate: Double, _ spacing: ArrivalSchedule.Spacing, _ most: Int,
            _ begin: (Int, RequestKind, ContinuousClock.Instant) -> Void
        ) async {
            let first = start.advanced(by: .zero - settings.warmup)
            var schedule = ArrivalSchedule(
                rate: rate, spacing: spacing, until: settings.warmup + settings.seconds, seed: settings.seed)
            var random = SplitMix64(seed: ~settings.seed)
            var turn = 0
            while let arrival = schedule.next(), !Task.isCancelled {
                let due = first.advanced(by: arrival)
                if due > .now { try? await Task.sleep(until: due, tolerance: .zero, clock: .continuous) }
                if Task.isCancelled { return }
                let kind = settings.mix.draw(using: &random)
                if inFlight.load(ordering: .relaxed) < most {
                    inFlight.wrappingAdd(1, ordering: .relaxed)
                    begin(turn, kind, due)
                } else {
                    let failure = BenchFailure(LoadRun.notSent, "too many requests are in flight")
                    shared[turn % shared.count].part.withLock {
                        note(.failed(failure), of: kind, began: due, .now, &$0)
                    }
                }
                turn += 1
            }
        }

        /// One request, its latency counted from when it was due.
        private func ask(_ turn: Int, _ kind: RequestKind, _ due: ContinuousClock.Instant) async {
            let begun = ContinuousClock.now
            let outcome = await once(turn, kind)
            let now = ContinuousClock.now
            inFlight.wrappingSubtract(1, ordering: .relaxed)
            shared[turn % shared.count].part.withLock { part in
                if due >= start { part.began(late: due.duration(to: begun)) }
                note(outcome, of: kind, began: due, now, &part)
                if part.isFull { tally.add(&part) }
            }
            await pause(after: outcome)
        }

        private func once(_ turn: Int, _ kind: RequestKind) async -> Outcome {
            do throws(BenchFailure) {
                return .answered(try await workload.perform(kind, turn, on: target))
            } catch {
                // One that was given up at the end is none.
                return Task.isCancelled ? .none : .failed(error)
            }
        }

        private func note(
            _ outcome: Outcome, of kind: RequestKind, began: ContinuousClock.Instant, _ now: ContinuousClock.Instant,
            _ part: inout Tally.Part
        ) {
            guard began >= start else { return }
            let latency = began.duration(to: now)
            let elapsed = start.duration(to: now)
            switch outcome {
            case .answered(let answer): part.answered(kind, after: latency, at: elapsed, answer, deadline: deadline)
            case .failed(let failure): part.failed(failure, after: latency, at: elapsed)
            case .none: break
            }
        }

        private func pause(after outcome: Outcome) async {
            guard case .failed(let failure) = outcome, failure.isUnreached else { return }
            try? await Task.sleep(for: LoadRun.unreachedPause)
        }

        func handIn() { for each in shared { each.part.withLock { tally.add(&$0) } } }

        func result(faults: [Measurement.Fault]) -> (run: Measurement.Run, latencies: LatencyHistogram) {
            var rate: Double?
            let most: Int
            switch settings.pace {
            case .closed(let workers): most = workers
            case .open(let asked, _, let limit): (rate, most) = (asked, limit)
            }
            // Up to the last answer, unless it was ended before its time.
            let planned = min(settings.seconds, max(.microseconds(1), start.duration(to: .now)))
            var (run, latencies) = tally.run(
                target: target.name, rate: rate, inFlight: most, atLeast: planned, faults: faults)
            run.askedPerSecond = Double(run.answered + run.errors.values.reduce(0, +)) / planned.inSeconds
            run.efSearch = workload.terms.efSearch
            return (run, latencies)
        }
    }

    private final class SharedPart: Sendable {
        let part = Mutex(Tally.Part())
    }
}
