/// What the configuration says about pools and about living with sick replicas. docs/configuration.md is its reference.
extension GatewayConfig {
    package struct PoolSettings: Hashable, Sendable {
        /// Connections that are kept up whether or not they are used, over all reactors.
        package var minSize = 2
        /// The most connections to the replica, over all reactors.
        package var maxSize = 8
        /// An idle connection above `minSize` is closed after this.
        package var maxIdle: Duration = .seconds(300)
        /// A connection is replaced at this age, less up to a tenth.
        package var maxLifetime: Duration = .seconds(1_800)
        /// A connection that has been idle for longer is asked whether it lives before it is used.
        package var checkAfterIdle: Duration = .seconds(30)
        /// Dials of one replica at a time, over all reactors.
        package var maxDialling = 4
        package var acquireTimeout: Duration = .seconds(2)
        package var connectTimeout: Duration = .seconds(3)
        package var maxWaiting = 256
        /// Connections to the replica of all gateways together; nil: each has its `maxSize`.
        package var connectionBudget: Int?
    }

    package enum Preference: String, Hashable, Sendable, CaseIterable {
        case any
        case primary
        case standby
    }

    package struct Routing: Hashable, Sendable {
        package var prefer = Preference.any
        /// Where this gateway runs: replicas of the same zone come first.
        package var zone: String?
        /// From this share of their pools in use on, other zones' replicas are asked as well.
        package var zoneSpillOver = 0.8
        /// How long a new or recovered replica takes to get its full share.
        package var slowStart: Duration = .seconds(10)
        /// How often a replica is asked for its role and its tables' sizes.
        package var probeInterval: Duration = .seconds(5)
        /// Replicas are ejected for slowness only while at least this share of the shard's stays.
        package var panicThreshold = 0.5
    }

    package struct Breaker: Hashable, Sendable {
        package var consecutiveFailures = 5
        /// Of the calls in the last 10 s.
        package var failureShare = 0.5
        package var minVolume = 20
        /// A call that takes longer is slow; zero for never.
        package var slowThreshold: Duration = .seconds(2)
        package var slowShare = 0.8
        package var openTime: Duration = .seconds(1)
        package var maxOpenTime: Duration = .seconds(30)
        package var probes = 1
    }

    package struct Retries: Hashable, Sendable {
        /// Extra attempts, hedges included, as a share of first attempts.
        package var budget = 0.2
        /// Extra attempts a second of each shard that are always allowed.
        package var floor = 10
        /// Attempts of one leg.
        package var maxAttempts = 3
        /// The first retry waits up to this, each next one up to twice as long.
        package var backoff: Duration = .milliseconds(2)
    }

    package struct Hedging: Hashable, Sendable {
        package var enabled = true
        package var quantile = 0.95
        package var minDelay: Duration = .milliseconds(5)
        package var maxDelay: Duration = .seconds(1)
    }

    package struct Laggards: Hashable, Sendable {
        /// Extra time for laggards, as a share of what the others took.
        package var factor = 0.5
        package var minWait: Duration = .milliseconds(5)
        package var maxWait: Duration = .milliseconds(500)
    }

    package struct Admission: Hashable, Sendable {
        package var enabled = true
        /// Searches at a time that are always let in.
        package var minSearches = 16
        /// Nil: four times what all pools hold, since more would only wait there.
        package var maxSearches: Int?
        package var maxWaiting = 1_024
        /// A search that is not let in by then is told that we are busy.
        package var maxWait: Duration = .milliseconds(30)
    }
}
