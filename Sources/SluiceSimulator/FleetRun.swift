internal import Synchronization

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
        let tallies = Mutex((synchronous: FleetTally(), asynchronous: FleetTally()))
        let broken = await seeds.run(inChunksOf: 1, stoppingAfter: limit) { seed in
            var fleet = FleetSimulation(seed: seed, scale: scale, bug: bug)
            var violation: Violation?
            do throws(Violation) { try fleet.run() } catch { violation = error }
            let tally = fleet.tally
            tallies.withLock { tallies in
                if tally.isSynchronous { tallies.synchronous += tally } else { tallies.asynchronous += tally }
            }
            return violation
        }
        let (synchronous, asynchronous) = tallies.withLock { $0 }
        return Result(broken: broken, synchronous: synchronous, asynchronous: asynchronous)
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
