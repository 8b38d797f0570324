internal import SluiceCore

/// What one seed draws: how big the world is, how it is configured, and what goes wrong when.
struct Scenario: Sendable {
    var shards: Int
    var replicas: Int
    var poolSize: Int
    var minPoolSize: Int
    var maxWaiting: Int
    var admissionLimit: Int
    var preference: RolePreference
    /// When the clock starts, in nanoseconds: sometimes near the limits of Int64.
    var origin: Int64
    var searches: Int
    /// The mean time between two searches.
    var pause: Duration
    var faults: [Fault]
    /// When the last fault ends, since the origin.
    var calm: Duration

    /// Rows of each shard.
    static let rows = 40
    static let k = 5

    init(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        shards = .random(in: 1...3, using: &random)
        replicas = .random(in: 1...3, using: &random)
        poolSize = .random(in: 1...4, using: &random)
        minPoolSize = .random(in: 0...poolSize, using: &random)
        maxWaiting = .random(in: 0...8, using: &random)
        admissionLimit = .random(in: 4...32, using: &random)
        preference = [.any, .primary, .standby].randomElement(using: &random) ?? .any
        origin = [0, 1_000_000_000_000, -5_000_000_000_000, .max - 400_000_000_000].randomElement(using: &random) ?? 0
        searches = .random(in: 60...160, using: &random)
        pause = .milliseconds(.random(in: 2...40, using: &random))
        calm = pause * searches
        let end = calm.nanoseconds
        let (shards, replicas) = (shards, replicas)
        faults = (0..<Int.random(in: 0...5, using: &random)).map { _ in
            let begin = Int64.random(in: 0...end, using: &random)
            return Fault(
                kind: Fault.Kind.allCases.randomElement(using: &random) ?? .down,
                shard: .random(in: 0..<shards, using: &random), replica: .random(in: 0..<replicas, using: &random),
                begin: .nanoseconds(begin), end: .nanoseconds(Int64.random(in: begin...end, using: &random)))
        }
    }
}

/// Something that is wrong with one replica for a while.
struct Fault: Sendable {
    enum Kind: Sendable, CaseIterable {
        /// Refuses connections; those it had are lost.
        case down
        /// Answers nothing at all.
        case hanging
        /// A hundred times slower.
        case slow
        /// Loses the connection in the middle of a third of the statements.
        case dropping
        /// Down and up again every 200 ms.
        case flapping
        /// Accepts no new connection.
        case full
        /// Cancels statements because of its replay.
        case lagging
        /// Refuses every statement: it is at fault itself.
        case refusing
        /// The shard's primary serves nothing, and when that ends the next replica is the primary.
        case failover
    }

    var kind: Kind
    var shard: Int
    var replica: Int
    var begin: Duration
    var end: Duration
}

/// Mistakes that can be planted, to see that the checkers bite. Each makes a machine decide as if its rule were broken.
public enum PlantedBug: String, CaseIterable, Sendable {
    case poolGrowsBeyondItsSize
    case poolForgetsWaiters
    case breakerStaysClosed
    case openBreakerIsUsed
    case budgetIsIgnored
    case legNeverStopsTrying
    case hedgeGoesToTheSameReplica
    case statementsAtFaultAreRepeated
    case fanOutForgetsTheCoverage
    case coverageIsOverstated
    case mergeLosesARow
    case admissionHasNoLimit
    case deadlineIsIgnored
    case rolesAreIgnored
    case slownessEjectsAll
    case laggardsAreWaitedFor
    case hedgesComeAtOnce
}
