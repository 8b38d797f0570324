/// Many seeds on all cores.
public struct SeedRun: Sendable {
    private let seeds: Range<UInt64>
    private let bug: PlantedBug?

    public init(from first: UInt64, count: UInt64, bug: PlantedBug? = nil) {
        seeds = .seeds(from: first, count: count)
        self.bug = bug
    }

    /// The seeds that broke a rule, in their order.
    /// - Parameter limit: stop soon after this many.
    public func run(stoppingAfter limit: Int = .max) async -> [(seed: UInt64, violation: Violation)] {
        let bug = bug
        let runs = await seeds.run(
            inChunksOf: 25, stoppingAfter: limit, isCounted: { $0 != nil }, { Self.violation($0, bug) })
        return runs.compactMap { run in run.outcome.map { (seed: run.seed, violation: $0) } }
    }

    private static func violation(_ seed: UInt64, _ bug: PlantedBug?) -> Violation? {
        var simulation = Simulation(seed: seed, bug: bug)
        do throws(Violation) {
            try simulation.run()
            return nil
        } catch {
            return error
        }
    }
}

extension Range<UInt64> {
    static func seeds(from first: UInt64, count: UInt64) -> Self {
        first..<(first.addingReportingOverflow(count).overflow ? .max : first &+ count)
    }

    /// - Parameters:
    ///   - limit: stop soon after so many outcomes that count.
    ///   - outcome: runs one seed.
    /// - Returns: in the order of the seeds.
    func run<Outcome: Sendable>(
        inChunksOf chunk: UInt64, stoppingAfter limit: Int, isCounted: (Outcome) -> Bool,
        _ outcome: @escaping @Sendable (_ seed: UInt64) -> Outcome
    ) async -> [(seed: UInt64, outcome: Outcome)] {
        await withTaskGroup(of: [(seed: UInt64, outcome: Outcome)].self) { group in
            var next = lowerBound
            var all: [(seed: UInt64, outcome: Outcome)] = []
            var counted = 0
            func addChunk() {
                guard next < upperBound else { return }
                let part = next..<Swift.min(next &+ chunk, upperBound)
                next = part.upperBound
                group.addTask { part.map { (seed: $0, outcome: outcome($0)) } }
            }
            for _ in 0..<8 { addChunk() }
            while let found = await group.next() {
                all += found
                counted += found.count { isCounted($0.outcome) }
                if counted < limit { addChunk() }
            }
            return all.sorted { $0.seed < $1.seed }
        }
    }
}
