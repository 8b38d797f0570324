/// Many seeds on all cores.
public struct SeedRun: Sendable {
    private let seeds: Range<UInt64>
    private let bug: PlantedBug?

    public init(from first: UInt64, count: UInt64, bug: PlantedBug? = nil) {
        seeds = first..<(first.addingReportingOverflow(count).overflow ? .max : first &+ count)
        self.bug = bug
    }

    /// The seeds that broke a rule, in their order.
    /// - Parameter limit: stop soon after this many.
    public func run(stoppingAfter limit: Int = .max) async -> [(seed: UInt64, violation: Violation)] {
        let chunk: UInt64 = 25
        let bug = bug
        return await withTaskGroup(of: [(UInt64, Violation)].self) { group in
            var next = seeds.lowerBound
            var broken: [(seed: UInt64, violation: Violation)] = []
            func addChunk() {
                guard next < seeds.upperBound else { return }
                let part = next..<min(next &+ chunk, seeds.upperBound)
                next = part.upperBound
                group.addTask { part.compactMap { seed in Self.violation(seed, bug).map { (seed, $0) } } }
            }
            for _ in 0..<8 { addChunk() }
            while let found = await group.next() {
                broken += found.map { (seed: $0.0, violation: $0.1) }
                if broken.count < limit { addChunk() }
            }
            return broken.sorted { $0.seed < $1.seed }
        }
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
