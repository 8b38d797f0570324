internal import SluiceCore

/// One gateway's process. Its clock is not the world's.
struct SimulatedGateway {
    let zone: Int
    /// What its clock shows when the world's shows nothing, in nanoseconds.
    let clockOrigin: Int64
    /// By how many millionths it is too fast.
    let clockDrift: Int64
    /// Counts its starts.
    var life = 0
    var isAlive = false
    var frozenUntil = Instant(nanoseconds: .min)
    /// How many faults keep it from the source.
    var cuts = 0
    /// How many faults let it hear what was true before.
    var misleadings = 0
    /// It may go by that until then.
    var misledUntil = Instant(nanoseconds: .min)
    /// Since when nothing of this is wrong with it.
    var wellSince: Instant?

    func clock(_ now: Instant) -> Instant {
        Instant(nanoseconds: clockOrigin + now.nanoseconds + now.nanoseconds / 1_000_000 * clockDrift)
    }
}

/// What one gateway knows of one shard's cluster.
///
/// Most rounds say what the last one said. Such a one is only noted, and told to the machine when somebody asks it or
/// something else is heard: the state is the same then as if it had been told at once.
struct SimulatedView {
    var machine: ShardTopology
    /// Of the store, as it was heard last; nil before.
    private(set) var version: Int?
    /// When the round was begun that was told last.
    private(set) var heard: Instant?
    private var answered: Instant?
    private var asking: (asked: Instant, until: Instant)?
    /// Another question, or look at the servers, is planned already.
    var isAskingAgain = false
    var isLookingAgain = false

    init(_ machine: ShardTopology) { self.machine = machine }

    /// A round is begun whose answer, until a certain instant, is the version that is known.
    mutating func asked(_ asked: Instant, until: Instant, now: Instant) {
        if let asking, asking.until <= now { answered = asking.asked }
        asking = (asked, until)
    }

    mutating func settle(_ cluster: SimulatedCluster, now: Instant) {
        if let asking, asking.until <= now {
            answered = asking.asked
            self.asking = nil
        }
        guard let answered, let version else { return }
        self.answered = nil
        take(cluster, version, asked: answered)
    }

    mutating func take(_ cluster: SimulatedCluster, _ version: Int, asked: Instant) {
        if let heard, asked < heard { return }
        self.version = version
        heard = asked
        machine.observed([cluster.versions[version].statement], asked: asked)
    }

    mutating func roundFailed(_ cluster: SimulatedCluster, asked: Instant, now: Instant) {
        settle(cluster, now: now)
        machine.observed([], silences: Self.silence, asked: asked)
    }

    private static let silence = [ShardTopology.Silence("store", "no answer")]
}
