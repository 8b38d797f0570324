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
    /// Runs with the same seed ask the same in the same order; those with others begin at other places.
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
    /// Of a run at a rate: an answer that comes so long after its end still counts for its throughput.
    static let grace: Duration = .milliseconds(100)
    private static let unreachedPause: Duration = .milliseconds(50)
    /// A failure that came sooner than any gateway's answer is the client's, which is full. Asked again at once it
    /// would refuse for ever, on the thread that is to read the answers.
    private static let ownRefusal: Duration = .microseconds(20)
    private static let refusedPause: Duration = .milliseconds(1)
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
        return load.result(faults: done, isInterrupted: end.isWanted)
    }

    /// The number of the first request, which tells what it asks for. Far from those of other seeds.
    private var firstTurn: Int {
        var random = SplitMix64(seed: seed)
        return Int(random.next() >> 32)
    }

    /// The same for every run with the seed, whoever asks it.
    private func kind(of turn: Int) -> RequestKind {
        var random = SplitMix64(seed: seed, at: turn)
        return mix.draw(using: &random)
    }

    /// What a run needs while it runs.
    private final class RunningLoad: Sendable {
        let settings: LoadRun
        let workload: Workload
        let target: any BenchTarget
        private let executors: [any TaskExecutor]
        let tally = Tally()
        /// Of the measurement.
        let start: ContinuousClock.Instant
        let end: ContinuousClock.Instant
        private let deadline: Duration?
        /// For requests without a worker of their own.
        private let shared: [SharedPart]
        private let inFlight = Atomic<Int>(0)
        /// The next request's number, whoever asks it.
        private let turns: Atomic<Int>
        /// By when an answer counts for the throughput, since the measurement began; nil for any.
        private let limit: Duration?

        private enum Outcome {
            case answered(BenchAnswer)
            case failed(BenchFailure)
            case givenUp
        }

        init(_ settings: LoadRun, _ workload: Workload, _ target: any BenchTarget) {
            self.settings = settings
            self.workload = workload
            self.target = target
            executors = target.executors
            deadline = workload.terms.deadline
            start = ContinuousClock.now.advanced(by: settings.warmup)
            end = start.advanced(by: settings.seconds)
            turns = Atomic(settings.firstTurn)
            if case .open = settings.pace {
                shared = (0..<16).map { _ in SharedPart() }
                limit = settings.seconds + LoadRun.grace
            } else {
                shared = []
                limit = nil
            }
        }

        func run() async {
            switch settings.pace {
            case .closed(let workers):
                await withDiscardingTaskGroup { group in
                    for worker in 0..<workers {
                        group.addTask(executorPreference: executor(of: worker)) { await self.work() }
                    }
                }
            case .open(let rate, let spacing, let most):
                await withDiscardingTaskGroup { group in
                    await self.arrive(rate, spacing, most) { turn, kind, due in
                        group.addTask(executorPreference: executor(of: turn)) { await self.ask(turn, kind, due) }
                    }
                }
            }
        }

        private func executor(of number: Int) -> (any TaskExecutor)? {
            executors.isEmpty ? nil : executors[number % executors.count]
        }

        /// One request after another.
        private func work() async {
            var part = Tally.Part()
            var now = ContinuousClock.now
            var handIn = now.advanced(by: LoadRun.handInPause)
            while now < end, !Task.isCancelled {
                let (turn, began) = (turns.wrappingAdd(1, ordering: .relaxed).oldValue, now)
                let kind = settings.kind(of: turn)
                let outcome = await once(turn, kind)
                now = .now
                note(outcome, of: kind, began: began, now, &part)
                if part.isFull || now >= handIn {
                    tally.add(&part)
                    handIn = now.advanced(by: LoadRun.handInPause)
                }
                // The pause is no part of the next request.
                if await hasPaused(after: outcome, in: began.duration(to: now)) { now = .now }
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
            while let arrival = schedule.next(), !Task.isCancelled {
                let due = first.advanced(by: arrival)
                if due > .now { try? await Task.sleep(until: due, tolerance: .zero, clock: .continuous) }
                if Task.isCancelled { return }
                let turn = turns.wrappingAdd(1, ordering: .relaxed).oldValue
                let kind = settings.kind(of: turn)
                if inFlight.load(ordering: .relaxed) < most {
                    inFlight.wrappingAdd(1, ordering: .relaxed)
                    begin(turn, kind, due)
                } else {
                    let failure = BenchFailure(LoadRun.notSent, "too many requests are in flight")
                    shared[turn % shared.count].part.withLock {
                        note(.failed(failure), of: kind, began: due, .now, &$0)
                    }
                }
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
        }

        private func once(_ turn: Int, _ kind: RequestKind) async -> Outcome {
            do throws(BenchFailure) {
                return .answered(try await workload.perform(kind, turn, on: target))
            } catch {
                // What an interruption ends is no failure of the target.
                return Task.isCancelled ? .givenUp : .failed(error)
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
            case .answered(let answer):
                part.answered(kind, after: latency, at: elapsed, answer, deadline: deadline)
                if let limit, elapsed > limit { part.afterEnd += 1 }
            case .failed(let failure): part.failed(failure, after: latency, at: elapsed)
            case .givenUp: part.givenUp += 1
            }
        }

        private func hasPaused(after outcome: Outcome, in took: Duration) async -> Bool {
            guard case .failed(let failure) = outcome, failure.isUnreached || took < LoadRun.ownRefusal else {
                return false
            }
            try? await Task.sleep(for: failure.isUnreached ? LoadRun.unreachedPause : LoadRun.refusedPause)
            return true
        }

        func handIn() { for each in shared { each.part.withLock { tally.add(&$0) } } }

        func result(
            faults: [Measurement.Fault], isInterrupted: Bool
        ) -> (run: Measurement.Run, latencies: LatencyHistogram) {
            var rate: Double?
            let most: Int
            switch settings.pace {
            case .closed(let workers): most = workers
            case .open(let asked, _, let limit): (rate, most) = (asked, limit)
            }
            // All answers may be there before the time is over; only if it was ended it is less than planned.
            let planned =
                isInterrupted
                ? min(settings.seconds, max(.microseconds(1), start.duration(to: .now))) : settings.seconds
            var (run, latencies) = tally.run(
                target: target.name, rate: rate, inFlight: most, planned: planned, faults: faults)
            run.askedPerSecond = Double(run.asked) / planned.inSeconds
            if isInterrupted { run.isInterrupted = true }
            run.efSearch = workload.terms.efSearch
            return (run, latencies)
        }
    }

    private final class SharedPart: Sendable {
        let part = Mutex(Tally.Part())
    }
}
