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
        return await seeds.run(inChunksOf: 25, stoppingAfter: limit) { seed in
            var simulation = Simulation(seed: seed, bug: bug)
            do throws(Violation) {
                try simulation.run()
                return nil
            } catch {
                return error
            }
        }
    }
}

extension Range<UInt64> {
    static func seeds(from first: UInt64, count: UInt64) -> Self {
        first..<(first.addingReportingOverflow(count).overflow ? .max : first &+ count)
    }

    /// - Parameter violation: runs one seed.
    func run(
        inChunksOf chunk: UInt64, stoppingAfter limit: Int,
        _ violation: @escaping @Sendable (_ seed: UInt64) async -> Violation?
    ) async -> [(seed: UInt64, violation: Violation)] {
        await withTaskGroup(of: [(UInt64, Violation)].self) { group in
            var next = lowerBound
            var broken: [(seed: UInt64, violation: Violation)] = []
            func addChunk() {
                guard next < upperBound else { return }
                let part = next..<Swift.min(next &+ chunk, upperBound)
                next = part.upperBound
                group.addTask {
                    var found: [(UInt64, Violation)] = []
                    for seed in part { if let broken = await violation(seed) { found.append((seed, broken)) } }
                    return found
                }
            }
            for _ in 0..<8 { addChunk() }
            while let found = await group.next() {
                broken += found.map { (seed: $0.0, violation: $0.1) }
                if broken.count < limit { addChunk() }
            }
            return broken.sorted { $0.seed < $1.seed }
        }
    }
}
