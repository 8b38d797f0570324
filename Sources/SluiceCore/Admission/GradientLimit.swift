/// How many searches may run at a time, learned from their latency: while the recent latency stays near the usual one,
/// the limit grows by its square root; when the recent one is longer by more than the tolerance, it falls in
/// proportion.
///
/// It moves once a round: after some searches have ended that also began since the last move. Earlier ones tell of the
/// limit before, and following them overshoots and swings.
///
/// Source: Netflix concurrency-limits, `Gradient2Limit` (gradient of long-term to short-term latency, tolerance,
/// smoothing, square root as the allowed queue; no change while less than half of the limit is used) in a
/// `WindowedLimit`. Different here: the usual latency learns quickly only while there is room. There it follows the
/// overload itself, and the limit drifts to its maximum within seconds.
public struct GradientLimit: Sendable {
    public struct Configuration: Hashable, Sendable {
        /// At least 1.
        public var minimum: Int
        /// Taken as at least `minimum`, at most a million.
        public var maximum: Int
        /// Taken as between the two.
        public var initial: Int
        /// The recent latency may be this many times the usual; 1 or more.
        public var tolerance: Double
        /// How much of the way to a new limit one round goes, 0...1.
        public var smoothing: Double

        public init(minimum: Int, maximum: Int, initial: Int = 20, tolerance: Double = 1.5, smoothing: Double = 0.2) {
            self.minimum = minimum
            self.maximum = maximum
            self.initial = initial
            self.tolerance = tolerance
            self.smoothing = smoothing
        }
    }

    /// A round has at least this many samples, or half of the limit.
    private static let roundSamples = 10.0
    /// The usual latency is over about this many samples.
    private static let usualSamples = 600.0
    /// Under load the usual latency gets nearer to the recent one by 1/e in this time, in nanoseconds: work that has
    /// really become heavier is learned in minutes.
    private static let loadedNanoseconds = 60e9

    private struct Round: Sendable {
        var began: Instant
        var samples = 0.0
        var loadedSamples = 0.0
        var nanoseconds = 0.0
        var mostInFlight = 0
        var mean: Double { nanoseconds / max(1, samples) }
    }

    private let minimum: Double
    private let maximum: Double
    private let tolerance: Double
    private let smoothing: Double
    private var limit: Double
    /// Nanoseconds; 0: not known yet.
    private var recent = 0.0
    private var usual = 0.0
    private var round = Round(began: Instant(nanoseconds: .min))
    private var droppedAt = Instant(nanoseconds: .min)

    public init(_ configuration: Configuration) {
        let lowest = min(max(1, configuration.minimum), 1_000_000)
        let highest = min(max(lowest, configuration.maximum), 1_000_000)
        minimum = Double(lowest)
        maximum = Double(highest)
        limit = Double(min(max(configuration.initial, lowest), highest))
        tolerance = configuration.tolerance >= 1 ? min(configuration.tolerance, 1_000) : 1
        smoothing = configuration.smoothing.clampedShare
    }

    /// Within the configured bounds.
    public var current: Int { Int(limit.rounded()) }

    /// What a search usually takes, in nanoseconds: the shorter of the recent and the usual; 0 if unknown.
    public var expectedNanoseconds: Int64 { (usual > 0 ? min(recent, usual) : round.mean).clampedNanoseconds }

    /// A search ended by itself.
    /// - Parameters:
    ///   - inFlight: how many ran, this one included.
    ///   - isLoaded: true if nobody could be admitted, so that its latency may be our own doing.
    public mutating func sampled(_ took: Duration, inFlight: Int, isLoaded: Bool, now: Instant) {
        let nanoseconds = max(1, took.nanoseconds)
        guard now.elapsedNanoseconds(since: round.began) >= nanoseconds else { return }
        round.samples += 1
        round.loadedSamples += isLoaded ? 1 : 0
        round.nanoseconds += Double(nanoseconds)
        round.mostInFlight = max(round.mostInFlight, inFlight)
        guard round.samples >= max(Self.roundSamples, limit / 2) else { return }
        learn(now: now)
        // A limit that is not used teaches nothing about itself.
        if Double(round.mostInFlight) * 2 >= limit {
            let gradient = min(1, max(0.5, tolerance * usual / recent))
            move(to: limit * gradient + limit.squareRoot())
        }
        round = Round(began: now)
    }

    /// A search was given up: too much ran at a time. Many that are given up together count once.
    public mutating func dropped(now: Instant) {
        let isFirst = droppedAt == Instant(nanoseconds: .min)
        guard isFirst || now.elapsedNanoseconds(since: droppedAt) >= max(1, expectedNanoseconds) else { return }
        droppedAt = now
        move(to: limit / 2)
    }

    private mutating func learn(now: Instant) {
        recent = round.mean
        if usual == 0 { usual = recent }
        var step = min(1, round.samples / Self.usualSamples)
        // Shorter than usual is never the load's doing.
        if recent > usual, round.loadedSamples * 2 >= round.samples {
            step = min(step, Double(now.elapsedNanoseconds(since: round.began)) / Self.loadedNanoseconds)
        }
        usual += (recent - usual) * step
        // After an overload the usual latency must not stay what the overload made it.
        if usual > 2 * recent { usual *= 0.95 }
    }

    private mutating func move(to wanted: Double) {
        limit = min(max(limit + (wanted - limit) * smoothing, minimum), maximum)
    }
}
