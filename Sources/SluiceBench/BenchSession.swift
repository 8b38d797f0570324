internal import Foundation
internal import SluiceCore

/// A measurement from its beginning to its end: one load, repeats of it, a sweep of rates, or a curve over ef_search.
package struct BenchSession: Sendable {
    package struct Plan: Sendable {
        package var mix: RequestMix
        /// Of a closed loop, and of one that is searched for recall: workers.
        package var workers = 16
        /// Nil for a closed loop.
        package var rate: Double?
        package var spacing = ArrivalSchedule.Spacing.poisson
        package var maxInFlight = 16_384
        package var sweep: RateSweep?
        package var knee = KneeRule()
        package var repeats = 1
        package var warmup: Duration = .seconds(1)
        package var seconds: Duration = .seconds(10)
        /// Not empty: recall is measured with each.
        package var recallWith: [Int] = []
        package var recallQueries = 100
        package var seed: UInt64 = 1
        package var keepsLoaded = false

        package init(mix: RequestMix) { self.mix = mix }
    }

    package struct Outcome: Sendable {
        package var runs: [Measurement.Run] = []
        package var knee: Measurement.Knee?
        package var recall: [Measurement.RecallPoint] = []
        /// One for each run.
        package var latencies: [LatencyHistogram] = []
        /// What is not as it was asked for.
        package var warnings: [String] = []

        /// What stands for all: of those at the knee, or of all with the first ef_search, the one of median throughput.
        /// Nil without any.
        package var representative: Int? {
            let atKnee = knee.map { knee in runs.indices.filter { runs[$0].rate == knee.rate } } ?? []
            let ofFirst = runs.indices.filter { runs[$0].efSearch == runs.first?.efSearch }
            let places = (atKnee.isEmpty ? ofFirst : atKnee).sorted {
                runs[$0].throughput < runs[$1].throughput
            }
            return places.isEmpty ? nil : places[(places.count - 1) / 2]
        }
    }

    /// What is going on, for a line on a terminal.
    package struct Status: Sendable {
        package enum Phase: Sendable {
            /// So many of the answers are there that recall is measured against.
            case comparing(done: Int, of: Int)
            case measuring
        }

        package var phase = Phase.measuring
        /// Like "3 of 9: 1200/s".
        package var title: String
        /// Negative during the warm-up.
        package var elapsed: Duration
        /// How long it is to be measured.
        package var planned: Duration
        package var answered: Int
        package var failed: Int
        package var recent: Measurement.Tick?

        package init(
            title: String, elapsed: Duration, planned: Duration, answered: Int, failed: Int,
            recent: Measurement.Tick? = nil
        ) {
            self.title = title
            self.elapsed = elapsed
            self.planned = planned
            self.answered = answered
            self.failed = failed
            self.recent = recent
        }
    }

    private let plan: Plan
    private let workload: Workload
    private let target: any BenchTarget
    /// A new one for each run.
    private let fault: (@Sendable () async -> FaultInjection?)?
    private let interruption: Interruption
    private let show: @Sendable (Status) -> Void

    package init(
        _ plan: Plan, _ workload: Workload, on target: any BenchTarget, interruption: Interruption,
        fault: (@Sendable () async -> FaultInjection?)? = nil, show: @escaping @Sendable (Status) -> Void
    ) {
        self.plan = plan
        self.workload = workload
        self.target = target
        self.interruption = interruption
        self.fault = fault
        self.show = show
    }

    /// Measures, and takes away again what it has loaded.
    /// - Throws: only if recall has no exact answers, or a load would meet rows that are there.
    package func run() async throws(BenchFailure) -> Outcome {
        var outcome = Outcome()
        if plan.mix.has(.load) { try await workload.checkFirstID(on: target) }
        let failure: BenchFailure?
        do throws(BenchFailure) {
            if !plan.recallWith.isEmpty {
                try await measureRecall(&outcome)
            } else if let sweep = plan.sweep {
                await self.sweep(sweep, &outcome)
            } else {
                for number in 1...plan.repeats where !interruption.isWanted {
                    await measure(plan.rate, workload, title(number, of: plan.repeats), number, &outcome)
                }
            }
            failure = nil
        } catch {
            failure = error
        }
        await deleteLoaded(&outcome)
        if let failure, outcome.runs.isEmpty { throw failure }
        if let failure { outcome.warnings.append("recall was not measured to the end: \(failure)") }
        return outcome
    }

    private func title(_ number: Int, of count: Int, _ what: String = "") -> String {
        (count > 1 ? ["\(number) of \(count)"] : []).joined() + (count > 1 && !what.isEmpty ? ", " : "") + what
    }

    /// Each repeat begins at another place in what is asked, so that caches have not just seen it.
    private func measure(
        _ rate: Double?, _ workload: Workload, _ title: String, _ number: Int, _ outcome: inout Outcome
    ) async {
        let pace =
            rate.map { LoadRun.Pace.open(rate: $0, plan.spacing, maxInFlight: plan.maxInFlight) }
            ?? .closed(workers: plan.workers)
        let load = LoadRun(
            pace: pace, mix: plan.mix, warmup: plan.warmup, seconds: plan.seconds,
            seed: plan.seed &+ UInt64(number))
        let (run, latencies) = await load.measure(
            workload, on: target, faults: await fault?(), until: interruption
        ) { elapsed, tally in
            let (answered, failed, recent) = tally.progress
            show(
                Status(
                    title: title, elapsed: elapsed, planned: plan.seconds, answered: answered, failed: failed,
                    recent: recent))
        }
        outcome.runs.append(run)
        outcome.latencies.append(latencies)
    }

    private func sweep(_ sweep: RateSweep, _ outcome: inout Outcome) async {
        var measured: [(rate: Double, runs: [Measurement.Run])] = []
        for (step, rate) in sweep.rates.enumerated() {
            let before = outcome.runs.count
            for number in 1...plan.repeats where !interruption.isWanted {
                let title = title(step + 1, of: sweep.rates.count, String(format: "%.0f/s", rate))
                await measure(rate, workload, title, number, &outcome)
            }
            // A rate whose measurement was ended says nothing of the rate.
            guard !interruption.isWanted else { break }
            let runs = Array(outcome.runs[before...])
            measured.append((rate, runs))
            if plan.knee.objection(to: runs) != nil { break }
        }
        outcome.knee = plan.knee.knee(measured)
        if outcome.knee == nil, let first = measured.first, let objection = plan.knee.objection(to: first.runs) {
            outcome.warnings.append("the sweep began too high: \(objection)")
        }
    }

    private func measureRecall(_ outcome: inout Outcome) async throws(BenchFailure) {
        let probe = try await RecallProbe(
            workload, isMulti: plan.mix.has(.multi), count: plan.recallQueries, on: target,
            until: interruption
        ) { done in
            var status = Status(title: "", elapsed: .zero, planned: plan.seconds, answered: 0, failed: 0)
            status.phase = .comparing(done: done, of: plan.recallQueries)
            show(status)
        }
        var current = workload
        for (step, efSearch) in plan.recallWith.enumerated() where !interruption.isWanted {
            let (mean, least) = try await probe.recall(efSearch: efSearch, on: target, until: interruption)
            current = current.with(efSearch: efSearch)
            let before = outcome.runs.count
            for number in 1...plan.repeats where !interruption.isWanted {
                let title = title(step + 1, of: plan.recallWith.count, "ef_search \(efSearch)")
                await measure(plan.rate, current, title, number, &outcome)
            }
            let runs = outcome.runs[before...].sorted { $0.throughput < $1.throughput }
            guard !runs.isEmpty else { break }
            let median = runs[(runs.count - 1) / 2]
            outcome.recall.append(
                Measurement.RecallPoint(
                    efSearch: efSearch, recall: mean, leastRecall: least, throughput: median.throughput,
                    p50: median.latency.p50, p99: median.latency.p99))
        }
    }

    private func deleteLoaded(_ outcome: inout Outcome) async {
        guard plan.mix.has(.load), !plan.keepsLoaded else { return }
        do throws(BenchFailure) {
            if let left = try await workload.deleteLoaded(on: target) { outcome.warnings.append(left) }
        } catch {
            outcome.warnings.append("what was loaded could not be deleted: \(error)")
        }
    }
}
