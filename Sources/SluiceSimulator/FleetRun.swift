/// Fleets of many seeds on all cores.
public struct FleetRun: Sendable {
    private let seeds: Range<UInt64>
    private let scale: FleetScale
    private let bug: FleetBug?

    public init(from first: UInt64, count: UInt64, scale: FleetScale = FleetScale(), bug: FleetBug? = nil) {
        seeds = .seeds(from: first, count: count)
        self.scale = scale
        self.bug = bug
    }

    public struct Result: Sendable {
        /// The seeds that broke a rule, in their order.
        public var broken: [(seed: UInt64, violation: Violation)]
        /// Of those with synchronous mode, and of those without.
        public var synchronous = FleetTally()
        public var asynchronous = FleetTally()
    }

    /// - Parameter limit: stop soon after so many have broken a rule.
    public func run(stoppingAfter limit: Int = .max) async -> Result {
        let (scale, bug) = (scale, bug)
        let runs = await seeds.run(
            inChunksOf: 1, stoppingAfter: limit, isCounted: { $0.violation != nil }, { Self.outcome($0, scale, bug) })
        var result = Result(broken: [])
        for (seed, outcome) in runs {
            if let violation = outcome.violation { result.broken.append((seed, violation)) }
            if outcome.tally.isSynchronous {
                result.synchronous += outcome.tally
            } else {
                result.asynchronous += outcome.tally
            }
        }
        return result
    }

    private struct Outcome: Sendable {
        var violation: Violation?
        var tally: FleetTally
    }

    private static func outcome(_ seed: UInt64, _ scale: FleetScale, _ bug: FleetBug?) -> Outcome {
        var fleet = FleetSimulation(seed: seed, scale: scale, bug: bug)
        do throws(Violation) {
            try fleet.run()
            return Outcome(violation: nil, tally: fleet.tally)
        } catch {
            return Outcome(violation: error, tally: fleet.tally)
        }
    }
}

extension FleetTally {
    static func += (sum: inout FleetTally, other: FleetTally) {
        sum.writes += other.writes
        sum.acknowledged += other.acknowledged
        sum.lost += other.lost
        sum.unknown += other.unknown
        sum.refused += other.refused
        sum.promotions += other.promotions
        sum.legs += other.legs
        sum.failedLegs += other.failedLegs
        sum.spread = max(sum.spread, other.spread)
        sum.fill = max(sum.fill, other.fill)
    }
}

extension FleetTally: CustomStringConvertible {
    public var description: String {
        "\(promotions) promotions, \(writes) writes (\(acknowledged) acknowledged, \(lost) of them lost; "
            + "\(unknown) unknown, \(refused) refused), \(legs) legs (\(failedLegs) failed), "
            + "load \(Self.rounded(spread)) of even, budget \(Self.rounded(fill)) used"
    }

    private static func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }
}
